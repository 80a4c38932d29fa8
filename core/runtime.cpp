#include "core/runtime.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/actor_cell.h"

namespace supercloud {

namespace {

constexpr Duration report_backoff_min = absl::Seconds(1);
constexpr Duration report_backoff_max = absl::Seconds(10);

// What the bus holds back until the turn ends, and whoever else shares the loop, waits for no more mail than that behind the first piece, but
// for the piece that is under way. A turn of one piece, of which there are many, reads no clock.
constexpr Duration turn_max = absl::Microseconds(50);

}  // namespace

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
      own_(publisher_.stream(options_.name + "/node")) {
  if (seams_.notary != nullptr)
    publisher_.sign_with(*seams_.notary, checkpoint_origin(options_.name));
}

Runtime::~Runtime() {
  seams_.scheduler.cancel(report_timer_);
  gate_->close();
}

HybridTime Runtime::time() const {
  return std::max(latest_, HybridTime::at(seams_.scheduler.clock().wall()));
}

void Runtime::push(Mail mail) {
  mail_.push(std::move(mail));
  schedule();
}

void Runtime::voided(std::size_t tickets) {
  constexpr std::size_t few = 64;
  voided_ += tickets;
  if (voided_ < few || voided_ < mail_.size() / 2) return;
  voided_ = 0;
  for (std::size_t left = mail_.size(); left > 0; --left) {
    Mail mail = mail_.pop();
    if (!mail.cell->is_void(mail)) mail_.push(std::move(mail));
  }
}

void Runtime::schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  seams_.scheduler.post([gate = gate_] {
    if (gate->runtime() != nullptr) gate->runtime()->dispatch();
  });
}

void Runtime::dispatch() {
  Instant end;
  for (std::size_t i = 0; i < options_.batch && !mail_.empty(); ++i) {
    Mail mail = mail_.pop();
    mail.cell->take(mail);
    if (mail_.empty()) break;
    const Instant now = seams_.scheduler.clock().now();
    if (i == 0) {
      end = now + turn_max;
    } else if (now >= end) {
      break;
    }
  }
  scheduled_ = false;
  if (!mail_.empty()) schedule();
}

void Runtime::deliver(const Event& event) {
  index_.match(event,
               [&event](ActorCell& cell, std::uint32_t queue) { cell.enqueue(event, queue); });
}

absl::Status Runtime::observe(HybridTime time) {
  if (absl::Status status = clock_.observe(time); !status.ok()) return status;
  latest_ = std::max(latest_, time);
  return absl::OkStatus();
}

absl::StatusOr<Event> Runtime::publish(OriginStream& stream, Draft draft, Publisher::Logged logged,
                                       bool awaited) {
  Custody* const custody = awaited ? seams_.custody : nullptr;
  std::shared_ptr<Event> held;
  if (custody != nullptr) {
    if (absl::Status valid = draft.set_topic(); !valid.ok()) return valid;
  }
  if (custody != nullptr && custody->holds(draft.payload().which(), draft.topic())) {
    if (absl::Status room = custody->room(); !room.ok()) return room;
    // Whether it is waited for is said by who is known here, for whom by who is known when it is in the log.
    // Volatile types are not held: it is in the log, later than this call, that `logged` is told.
    held = std::make_shared<Event>();
    logged = [custody, held, gate = gate_,
              logged = std::move(logged)](absl::Status status) mutable {
      if (!status.ok()) return std::move(logged)(std::move(status));
      custody->keep(
          *held, [gate = std::move(gate), logged = std::move(logged)](absl::Status kept) mutable {
            if (gate->runtime() != nullptr) std::move(logged)(std::move(kept));
          });
    };
  }
  absl::StatusOr<Event> event =
      publisher_.publish(stream, std::move(draft), *cause_ ? cause_ : nullptr, std::move(logged));
  if (event.ok()) latest_ = std::max(latest_, event->time());
  if (event.ok() && held) *held = *event;
  return event;
}

void Runtime::publish_own(Draft draft, std::function<void(absl::Status)> logged) {
  const absl::StatusOr<Event> event =
      publish(own_, std::move(draft), logged ? Publisher::Logged(logged) : nullptr);
  if (!event.ok() && logged) logged(event.status());
}

// ---- what must not be lost in silence ------------------------------------------------------------------------------

void Runtime::report(Fill fill) {
  Report report{std::move(fill), cause()};
  if (probing_ || report_timer_ != 0) {
    put_off(std::move(report), false);
  } else {
    try_report(std::move(report));
  }
}

void Runtime::report_gap(std::string subscriber, const BusGap& gap) {
  report([subscriber = std::move(subscriber), gap](schema::Payload::Builder payload) {
    auto said = payload.initBusGap();
    said.setSubscriber(subscriber);
    said.setOrigin(gap.origin);
    said.setIncarnation(gap.incarnation);
    said.setPrefix(gap.prefix);
    said.setAfter(gap.after);
    said.setUpTo(gap.up_to);
    said.setDone(gap.why);
  });
}

void Runtime::try_report(Report report) {
  Draft draft = own_draft();
  report.fill(draft.payload());
  const Event parent = report.cause;
  const Turn turn(*this, running_, parent);
  const absl::StatusOr<Event> event =
      publish(own_, std::move(draft),
              [this, report](const absl::Status& status) { reported(report, status); });
  if (!event.ok()) reported(std::move(report), event.status());
}

void Runtime::reported(Report report, const absl::Status& status) {
  const bool probe = std::exchange(probing_, false);
  if (absl::IsInvalidArgument(status)) {
    complain(absl::StrCat("node ", options_.name,
                          " cannot say on the bus what it should: ", status.message()));
  } else if (!status.ok()) {
    if (report_timer_ == 0) {
      if (report_backoff_ == absl::ZeroDuration()) {
        complain(
            absl::StrCat("node ", options_.name,
                         " cannot log what it has to report, and tries again: ", status.message()));
      }
      report_backoff_ = std::clamp(2 * report_backoff_, report_backoff_min, report_backoff_max);
      report_timer_ = seams_.scheduler.at(now() + report_backoff_, [this] { retry_reports(); });
    }
    return put_off(std::move(report), probe);
  }
  if (!probe) return;
  report_backoff_ = absl::ZeroDuration();
  for (Report& next : std::exchange(put_off_, {})) try_report(std::move(next));
  if (left_out_ == 0) return;
  const std::uint64_t count = std::exchange(left_out_, 0);
  const std::string why =
      "reports of this node's own, left out while its event log took nothing; look at its disk";
  complain(absl::StrCat(count, " ", why));
  this->report([name = options_.name, why, count](schema::Payload::Builder payload) {
    auto rejected = payload.initBusRejected();
    rejected.setFrom(name);
    rejected.setWhy(why);
    rejected.setCount(count);
  });
}

void Runtime::put_off(Report report, bool first) {
  if (first) {
    put_off_.push_front(std::move(report));
  } else if (put_off_.size() < reports_max) {
    put_off_.push_back(std::move(report));
  } else {
    ++left_out_;
  }
}

// One goes ahead: a sequence number that the log refuses is one that others miss.
void Runtime::retry_reports() {
  report_timer_ = 0;
  if (put_off_.empty()) return;
  Report first = std::move(put_off_.front());
  put_off_.pop_front();
  probing_ = true;
  try_report(std::move(first));
}

}  // namespace supercloud
