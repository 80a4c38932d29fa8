#include "hypercall/qemu/sender.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

using qemu_handshake::Frame;

constexpr Duration ask_again = absl::Milliseconds(200);
// What QEMU keeps for the last moment: the rest is sent while the disk is sealed.
constexpr int downtime_limit_ms = 20;
constexpr std::uint64_t rate_unlimited = 1ULL << 40U;

QmpValue capability(const char* name) { return {{"capability", name}, {"state", true}}; }

}  // namespace

template <class F>
auto QemuSender::guarded(F function) {
  return [alive = std::weak_ptr<bool>(alive_),
          function = std::move(function)](auto&&... values) mutable {
    if (!alive.expired()) function(std::forward<decltype(values)>(values)...);
  };
}

QemuSender::QemuSender(EventLoop& loop, LinkNetwork& network, QemuCopy& copy,
                       TransferOptions options, std::function<void(const absl::Status&)> failed)
    : loop_(loop),
      network_(network),
      copy_(copy),
      options_(std::move(options)),
      failed_call_(std::move(failed)),
      meter_(options_.blackout_budget, options_.passes_max) {}

QemuSender::~QemuSender() {
  alive_.reset();
  loop_.cancel(poll_timer_);
}

// ---- agreeing --------------------------------------------------------------------------------------------------------

void QemuSender::begin() {
  starting_ = true;
  greet(false);
}

void QemuSender::find() { copying(); }

void QemuSender::greet(bool ask) {
  link_ = network_.connect(options_.endpoint, qemu_handshake::service);
  Link::Handler handler;
  handler.on_frame = guarded([this](const std::string& bytes) { on_frame(bytes); });
  handler.on_closed = guarded([this](const absl::Status& why) {
    loop_.post(guarded([this] { link_.reset(); }));  // not inside its own call
    if (starting_)
      return fail(absl::UnavailableError(absl::StrCat("the target of ", copy_.record().vm,
                                                      " is lost: ", std::string(why.message()))));
    // The stream is QEMU's own; the target is asked again when it is complete.
    loop_.at(loop_.clock().now() + ask_again, guarded([this] { advance(); }));
  });
  link_->set_handler(std::move(handler));
  link_->send(encode(Frame(
      qemu_handshake::Hello{copy_.record().vm, copy_.record().epoch, options_.migration, ask})));
}

void QemuSender::on_frame(const std::string& bytes) {
  auto frame = qemu_handshake::decode(bytes);
  if (!frame.ok()) return fail(frame.status());
  if (const auto* accept = std::get_if<qemu_handshake::Accept>(&*frame)) {
    if (!starting_ || status_ != "none") return;
    status_ = "connecting";
    return connect_stream(loop_, accept->address, accept->token,
                          Reply<OwnFd>(far_future, guarded([this](absl::StatusOr<OwnFd> stream) {
                                         if (!stream.ok()) return fail(stream.status());
                                         connected(*std::move(stream));
                                       })));
  }
  if (const auto* refuse = std::get_if<qemu_handshake::Refuse>(&*frame))
    return fail(absl::FailedPreconditionError(
        absl::StrCat("the target refuses ", copy_.record().vm, ": ", refuse->why)));
  if (const auto* lost = std::get_if<qemu_handshake::Lost>(&*frame))
    return fail(absl::UnavailableError(
        absl::StrCat("the target has lost ", copy_.record().vm, ": ", lost->why)));
  if (std::holds_alternative<qemu_handshake::Arrived>(*frame)) {
    arrived_ = true;
    advance();
  }
}

void QemuSender::connected(OwnFd stream) {
  configure(std::make_shared<OwnFd>(std::move(stream)), 0);
}

void QemuSender::configure(std::shared_ptr<OwnFd> stream, std::size_t step) {
  if (!cancelled_.empty()) {
    for (Reply<Done>& reply : std::exchange(cancelled_, {})) reply(Done{});
    return;  // this may be gone
  }
  const std::uint64_t rate =
      options_.bytes_per_second_max == 0 ? rate_unlimited : options_.bytes_per_second_max;
  const std::pair<const char*, QmpValue> commands[] = {
      {"migrate-set-capabilities",
       {{"capabilities",
         QmpValue::array({capability("events"), capability("return-path"),
                          capability("pause-before-switchover"), capability("switchover-ack")})}}},
      {"migrate-set-parameters", {{"max-bandwidth", rate}, {"downtime-limit", downtime_limit_ms}}},
      {"getfd", {{"fdname", "outgoing"}}},
      {"migrate", {{"uri", "fd:outgoing"}}}};
  if (step == std::size(commands)) {
    starting_ = false;
    return copying();
  }
  const auto& [name, arguments] = commands[step];
  const int fd = std::string_view(name) == "getfd" ? stream->get() : -1;
  copy_.ask(name, arguments, guarded([this, stream, step](const absl::StatusOr<QmpValue>& done) {
              if (!done.ok()) return fail(done.status());
              configure(stream, step + 1);
            }),
            far_future, fd);
}

// ---- copying ---------------------------------------------------------------------------------------------------------

void QemuSender::copying() {
  if (!cancelled_.empty()) {
    copy_.ask("migrate_cancel", QmpValue::object(),
              guarded([](const absl::StatusOr<QmpValue>&) {}));
  }
  poll();
}

void QemuSender::report_to(Progress progress, Reply<TransferProgress> converged) {
  progress_ = std::move(progress);
  converged_ = std::move(converged);
  if (!starting_) poll();
}

void QemuSender::poll_at(Instant when) {
  if (poll_timer_ != 0 && poll_due_ <= when) return;
  loop_.cancel(poll_timer_);
  poll_due_ = when;
  poll_timer_ = loop_.at(when, [this] {
    poll_timer_ = 0;
    poll();
  });
}

void QemuSender::poll() {
  if (polling_ || failed_) return;
  polling_ = true;
  polled_ = loop_.clock().now();
  copy_.ask("query-migrate", QmpValue::object(),
            guarded([this](const absl::StatusOr<QmpValue>& value) {
              polling_ = false;
              polled(value);
            }));
}

void QemuSender::polled(const absl::StatusOr<QmpValue>& value) {
  // A frozen QEMU answers nothing; a dead one is told by its keeper.
  if (!value.ok()) return poll_at(loop_.clock().now() + report_every);
  const QemuMigration migration = QemuMigration::parse(*value);
  status_ = migration.status;
  if (!cancelled_.empty() && (migration.ended() || status_ == "completed")) {
    for (Reply<Done>& reply : std::exchange(cancelled_, {})) reply(Done{});
    return;  // this may be gone
  }
  if (migration.ended() && cancelled_.empty()) {
    return fail(absl::UnavailableError(absl::StrCat(
        "the stream of ", copy_.record().vm,
        " was lost: QEMU says: ", migration.error.empty() ? status_ : migration.error)));
  }
  const Instant now = loop_.clock().now();
  const TransferProgress progress = meter_.update(migration, now);
  const bool due = now - reported_ >= report_every || progress.converged;
  if (due && progress_ && converged_) {
    reported_ = now;
    progress_(progress);
  }
  if (progress.converged && converged_) std::exchange(converged_, {})(progress);
  if (status_ != "completed") poll_at(now + (cancelled_.empty() ? report_every : look_every));
  advance();
}

void QemuSender::on_event(const QmpEvent& event) {
  if (failed_ || starting_) return;
  const Instant now = loop_.clock().now();
  if (event.name == "MIGRATION_PASS") {
    if (converged_) poll_at(std::max(now, polled_ + look_every));
    return;
  }
  status_ = qmp_text(event.data, "status");
  if (status_ == "failed" || status_ == "cancelled" || status_ == "completed") return poll();
  advance();
}

// ---- the rest --------------------------------------------------------------------------------------------------------

void QemuSender::finish(Reply<TransferProgress> reply) {
  finishers_.push_back(std::move(reply));
  advance();
}

void QemuSender::advance() {
  if (failed_ || starting_ || finishers_.empty()) return;
  if (status_ == "pre-switchover" && !std::exchange(continuing_, true)) {
    return copy_.ask("migrate-continue", {{"state", "pre-switchover"}},
                     guarded([this](const absl::StatusOr<QmpValue>& done) {
                       if (!done.ok()) fail(done.status());
                     }));
  }
  if (status_ != "completed") return;
  if (!arrived_) {
    if (link_ == nullptr) greet(true);
    return;
  }
  const TransferProgress progress = meter_.progress();
  for (Reply<TransferProgress>& reply : std::exchange(finishers_, {})) reply(progress);
}

void QemuSender::fail(const absl::Status& why) {
  if (std::exchange(failed_, true)) return;
  loop_.cancel(std::exchange(poll_timer_, 0));
  loop_.post(guarded([this, why] {
    answer_all(why);
    const auto call = failed_call_;
    call(why);  // this may be gone now
  }));
}

void QemuSender::answer_all(const absl::Status& why) {
  std::exchange(converged_, {})(why);
  for (Reply<TransferProgress>& reply : std::exchange(finishers_, {})) reply(why);
  for (Reply<Done>& reply : std::exchange(cancelled_, {})) reply(Done{});
}

void QemuSender::cancel(const absl::Status& why, Reply<Done> reply) {
  std::exchange(converged_, {})(why);
  for (Reply<TransferProgress>& finisher : std::exchange(finishers_, {})) finisher(why);
  link_.reset();
  if (failed_ || status_ == "completed" || (starting_ && status_ == "none")) return reply(Done{});
  cancelled_.push_back(std::move(reply));
  if (starting_) return;  // as soon as it has begun
  copying();
}

}  // namespace supercloud
