#include "core/runtime.h"

#include <algorithm>
#include <utility>

#include "core/actor_cell.h"

namespace supercloud {

void Gate::resume(ActorCell& cell, std::uint64_t token, Context::Value value) {
  const std::lock_guard lock(mutex_);
  if (scheduler_ == nullptr) return;
  scheduler_->post([gate = shared_from_this(), &cell, token, value = std::move(value)]() mutable {
    if (gate->runtime_ != nullptr) cell.resume(token, std::move(value));
  });
}

void Gate::close() {
  const std::lock_guard lock(mutex_);
  scheduler_ = nullptr;
  runtime_ = nullptr;
}

Runtime::Runtime(NodeSeams seams, NodeOptions options)
    : seams_(seams),
      options_(std::move(options)),
      clock_(seams.scheduler.clock()),
      gate_(std::make_shared<Gate>(seams.scheduler, *this)),
      publisher_(seams.log, seams.scheduler, clock_, options_.mailbox_max,
                 [this](const Event& event) {
                   deliver(event);
                   seams_.bus.publish(event);
                 }),
      own_(publisher_.stream(options_.name + "/node")) {}

Runtime::~Runtime() { gate_->close(); }

HybridTime Runtime::time() const {
  return std::max(latest_, HybridTime::at(seams_.scheduler.clock().wall()));
}

void Runtime::push(Mail mail) {
  mail_.push(std::move(mail));
  schedule();
}

void Runtime::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  seams_.scheduler.post([gate = gate_] {
    if (gate->runtime() != nullptr) gate->runtime()->dispatch();
  });
}

void Runtime::dispatch() {
  for (std::size_t i = 0; i < options_.batch && !mail_.empty(); ++i) {
    Mail mail = mail_.pop();
    mail.cell->take(mail);
  }
  scheduled_ = false;
  if (!mail_.empty()) schedule();
}

void Runtime::deliver(const Event& event) {
  index_.match(event, [&event](ActorCell& cell) { cell.enqueue(event); });
}

absl::Status Runtime::observe(HybridTime time) {
  if (absl::Status status = clock_.observe(time); !status.ok()) return status;
  latest_ = std::max(latest_, time);
  return absl::OkStatus();
}

absl::StatusOr<Event> Runtime::publish(OriginStream& stream, Draft draft,
                                       Publisher::Logged logged) {
  absl::StatusOr<Event> event =
      publisher_.publish(stream, std::move(draft), *cause_ ? cause_ : nullptr, std::move(logged));
  if (event.ok()) latest_ = std::max(latest_, event->time());
  return event;
}

void Runtime::publish_own(Draft draft) { publish(own_, std::move(draft), nullptr).IgnoreError(); }

}  // namespace supercloud
