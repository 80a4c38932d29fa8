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
// Auto-converge has to be there from the beginning; how much it may slow a guest down is said when that is wanted. Percent. QEMU goes a
// step further at every second pass in which more was dirtied than `throttle_trigger` percent of what was sent.
constexpr int throttle_nothing = 1, throttle_step = 33, throttle_max = 99, throttle_trigger = 1;
constexpr std::uint64_t rate_unlimited = 1ULL << 40U;

QmpValue capability(const char* name, bool on = true) {
  return {{"capability", name}, {"state", on}};
}

}  // namespace

template <class F>
auto QemuSender::guarded(F function) {
  return [alive = std::weak_ptr<bool>(alive_),
          function = std::move(function)](auto&&... values) mutable {
    if (!alive.expired()) function(std::forward<decltype(values)>(values)...);
  };
}

QemuSender::QemuSender(EventLoop& loop, LinkNetwork& network, QemuCopy& copy,
                       TransferOptions options, const QemuTls& tls, Duration patience,
                       std::function<void()> over)
    : loop_(loop),
      network_(network),
      copy_(copy),
      options_(std::move(options)),
      tls_(tls),
      over_call_(std::move(over)),
      meter_(options_.blackout_budget, options_.passes_max),
      patience_(patience) {}

QemuSender::~QemuSender() {
  alive_.reset();
  loop_.cancel(poll_timer_);
  loop_.cancel(hello_timer_);
  loop_.cancel(recover_timer_);
}

// ---- agreeing --------------------------------------------------------------------------------------------------------

void QemuSender::begin() {
  starting_ = true;
  hello_timer_ = loop_.at(loop_.clock().now() + qemu_handshake::hello_max, [this] {
    hello_timer_ = 0;
    fail(absl::UnavailableError(absl::StrCat("the target of ", copy_.record().vm, " at ",
                                             options_.endpoint, " does not answer")));
  });
  greet(Kind::hello);
}

void QemuSender::find() {
  begun_ = true;
  poll();
}

void QemuSender::greet(Kind kind) {
  link_ = network_.connect(options_.endpoint, qemu_handshake::service);
  const std::uint64_t number = ++last_link_;
  Link::Handler handler;
  handler.on_frame = guarded([this](const std::string& bytes) { on_frame(bytes); });
  handler.on_closed = guarded([this, number](const absl::Status& why) {
    if (number != last_link_) return;    // another has taken its place
    loop_.post(guarded([this, number] {  // not inside its own call
      if (number == last_link_) link_.reset();
    }));
    if (starting_)
      return fail(absl::UnavailableError(absl::StrCat("the target of ", copy_.record().vm,
                                                      " is lost: ", std::string(why.message()))));
    // The stream is QEMU's own; the target is asked again when it is complete.
    loop_.at(loop_.clock().now() + ask_again, guarded([this] { advance(); }));
  });
  link_->set_handler(std::move(handler));
  link_->send(encode(Frame(qemu_handshake::Hello{copy_.record().vm, copy_.record().epoch,
                                                 options_.migration, kind, tls_.used()})));
}

void QemuSender::on_frame(const std::string& bytes) {
  auto frame = qemu_handshake::decode(bytes);
  if (!frame.ok()) return fail(frame.status());
  if (const auto* accept = std::get_if<qemu_handshake::Accept>(&*frame)) {
    const bool again = status_ == "postcopy-paused" && !lost_;
    if (!(starting_ || again) || asking_ || ending_) return;
    loop_.cancel(std::exchange(hello_timer_, 0));
    can_follow_ = accept->post_copy && options_.post_copy;
    asking_ = true;
    connect_stream(loop_, accept->address, accept->token,
                   Reply<OwnFd>(far_future, guarded([this](absl::StatusOr<OwnFd> stream) {
                                  connected(std::move(stream));
                                })));
    return;
  }
  if (std::holds_alternative<qemu_handshake::Whole>(*frame)) {
    arrived_ = true;
    // What QEMU did not hear any more. It cannot go on, and need not: what becomes of it is decided there, as long as somebody answers.
    if (status_ == "postcopy-paused") {
      whole_there_ = true;
      broken_at_ = loop_.clock().now();
    }
    return advance();
  }
  if (std::holds_alternative<qemu_handshake::Refuse>(*frame) && follows_)
    return;  // it is tried again
  if (const auto* refuse = std::get_if<qemu_handshake::Refuse>(&*frame))
    return fail(absl::FailedPreconditionError(
        absl::StrCat("the target refuses ", copy_.record().vm, ": ", refuse->why)));
  if (const auto* lost = std::get_if<qemu_handshake::Lost>(&*frame))
    return fail(absl::UnavailableError(
        absl::StrCat("the target has lost ", copy_.record().vm, ": ", lost->why)));
  if (std::holds_alternative<qemu_handshake::Arrived>(*frame)) {
    arrived_ = true;
    if (broken_at_ != far_future) broken_at_ = loop_.clock().now();  // frozen there
    advance();
  }
}

void QemuSender::connected(absl::StatusOr<OwnFd> stream) {
  asking_ = false;
  if (ending_) return end(why_);
  if (!stream.ok()) return follows_ ? void() : fail(stream.status());
  asking_ = true;
  set_tls(copy_, tls_, QemuTlsEnd::source, tls_host_of(options_.endpoint),
          guarded([this,
                   socket = std::make_shared<OwnFd>(*std::move(stream))](const absl::Status& set) {
            asking_ = false;
            if (ending_) return end(why_);
            if (!set.ok()) return follows_ ? void() : fail(set);
            configure(socket, 0);
          }));
}

std::vector<QemuSender::Command> QemuSender::commands() const {
  if (follows_)
    return {{"getfd", {{"fdname", "outgoing"}}},
            {"migrate", {{"uri", "fd:outgoing"}, {"resume", true}}}};
  const std::uint64_t rate =
      options_.bytes_per_second_max == 0 ? rate_unlimited : options_.bytes_per_second_max;
  return {
      {"migrate-set-capabilities",
       {{"capabilities",
         QmpValue::array({capability("events"), capability("return-path"),
                          capability("pause-before-switchover"), capability("switchover-ack"),
                          capability("auto-converge"), capability("postcopy-ram", can_follow_)})}}},
      {"migrate-set-parameters",
       {{"max-bandwidth", rate},
        {"max-postcopy-bandwidth", options_.bytes_per_second_max},
        {"downtime-limit", downtime_limit_ms},
        {"cpu-throttle-initial", throttle_nothing},
        {"cpu-throttle-increment", throttle_nothing},
        {"max-cpu-throttle", throttle_nothing}}},
      {"getfd", {{"fdname", "outgoing"}}},
      {"migrate", {{"uri", "fd:outgoing"}}}};
}

void QemuSender::configure(std::shared_ptr<OwnFd> stream, std::size_t step) {
  const std::vector<Command> all = commands();
  if (step == all.size()) {
    starting_ = false;
    return poll();
  }
  const auto& [name, arguments] = all[step];
  const bool gives = std::string_view(name) == "getfd";
  const bool begins = std::string_view(name) == "migrate";
  asking_ = true;
  begun_ = gives || begins;
  copy_.ask(name, arguments,
            guarded([this, stream, step, gives, begins](const absl::StatusOr<QmpValue>& done) {
              asking_ = false;
              if (absl::IsUnknown(done.status())) begun_ = false;  // QEMU refuses
              if ((gives && ending_) || ((gives || begins) && !done.ok())) take_back_stream();
              if (ending_) return end(why_);
              if (!done.ok()) return follows_ ? void() : fail(done.status());
              configure(stream, step + 1);
            }),
            far_future, gives ? stream->get() : -1);
}

// What QEMU was given, and has not begun to use, it would keep open; the target would wait at its other end.
void QemuSender::take_back_stream() {
  copy_.ask("closefd", {{"fdname", "outgoing"}}, [](const absl::StatusOr<QmpValue>&) {});
}

// ---- copying ---------------------------------------------------------------------------------------------------------

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
  if (polling_ || over_ || lost_) return;
  if (copy_.frozen()) {
    if (ending_) answer_cancelled();
    return poll_at(loop_.clock().now() + report_every);
  }
  polling_ = true;
  if (ending_)
    copy_.ask("migrate_cancel", QmpValue::object(), [](const absl::StatusOr<QmpValue>&) {});
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
  if (lost_) return;
  heard(migration.status);
  if (lost_) return;
  if (ending_) {
    if (!migration.ended() && status_ != "completed")
      return poll_at(loop_.clock().now() + look_every);
    take_back_stream();  // should QEMU not have been reached any more when it had got one
    return be_over();
  }
  if (migration.ended()) {
    return fail(absl::UnavailableError(absl::StrCat(
        "the stream of ", copy_.record().vm,
        " was lost: QEMU says: ", migration.error.empty() ? status_ : migration.error)));
  }
  const Instant now = loop_.clock().now();
  TransferProgress progress = meter_.update(migration, now);
  progress.can_follow = can_follow_;
  const bool due =
      now - reported_ >= report_every || (follows_ ? status_ == "completed" : progress.converged);
  if (due && progress_ && (converged_ || follows_)) {
    reported_ = now;
    progress_(progress);
  }
  progress.converged = progress.converged || follow_asked_;
  if (progress.converged && converged_) std::exchange(converged_, {})(progress);
  if (following()) watch_stall();
  // A short first pass ends without a word.
  const bool first = migration.passes <= 1 && migration.time < first_pass_max;
  if (status_ != "completed") poll_at(now + (first ? look_every : report_every));
  advance();
}

void QemuSender::on_event(const QmpEvent& event) {
  if (over_ || starting_) return;
  const Instant now = loop_.clock().now();
  if (event.name == "MIGRATION_PASS") {
    if (converged_) poll_at(std::max(now, polled_ + look_every));
    return;
  }
  heard(qmp_text(event.data, "status"));
  if (status_ == "failed" || status_ == "cancelled" || status_ == "completed") return poll();
  advance();
}

// Should it not be heard, it is said again with the next look at the guest.
void QemuSender::slow_down() {
  if (slowed_ || starting_ || ending_ || over_) return;
  slowed_ = true;
  copy_.ask("migrate-set-parameters",
            {{"throttle-trigger-threshold", throttle_trigger},
             {"cpu-throttle-initial", throttle_step},
             {"cpu-throttle-increment", throttle_step},
             {"max-cpu-throttle", throttle_max}},
            guarded([this](const absl::StatusOr<QmpValue>& done) { slowed_ = done.ok(); }));
}

void QemuSender::start_post_copy() {
  if (follow_asked_ || !can_follow_ || starting_ || ending_ || over_) return;
  follow_asked_ = true;
  copy_.ask("migrate-start-postcopy", QmpValue::object(),
            guarded([this](const absl::StatusOr<QmpValue>& done) {
              follow_asked_ = done.ok();
              if (done.ok()) poll();
            }));
}

// ---- post-copy -------------------------------------------------------------------------------------------------------

void QemuSender::heard(const std::string& status) {
  using Memory = GuestStatus::Memory;
  status_ = status;
  if (lost_) return;
  if (status == "postcopy-active") {
    const bool first = !std::exchange(follows_, true);
    if (first || broken_at_ != far_future) moved_at_ = loop_.clock().now();
    if (first) {
      poll_at(loop_.clock().now() + report_every);
      // Found by the next daemon: each side is to hear of the other's end.
      if (link_ == nullptr) greet(Kind::ask);
    }
    broken_at_ = far_future;
    copy_.set_memory(Memory::needed);
  } else if (status == "postcopy-paused") {
    follows_ = true;
    if (broken_at_ == far_future) broken_at_ = loop_.clock().now();
    copy_.set_memory(Memory::broken, "the stream of its memory was lost");
    recover();
  } else if (status == "failed" && follows_) {
    lose(absl::UnavailableError("QEMU has given its transfer up"));
  } else if ((status == "completed" && follows_) || copy_.memory() == Memory::unknown) {
    copy_.set_memory(Memory::whole);
  }
}

// Another stream: asked for again and again, until QEMU goes on, or it is too late.
void QemuSender::recover() {
  if (recover_timer_ != 0 || lost_ || status_ != "postcopy-paused") return;
  const Instant now = loop_.clock().now();
  if (now - broken_at_ > patience_)
    return lose(absl::UnavailableError(absl::StrCat("no other stream to ", options_.endpoint,
                                                    " could be made within ",
                                                    absl::FormatDuration(patience_))));
  if (!asking_) greet(Kind::again);
  recover_timer_ = loop_.at(now + recover_every, [this] {
    recover_timer_ = 0;
    recover();
  });
}

// A way that carries nothing any more may not be told as such for a long time.
void QemuSender::watch_stall() {
  const Instant now = loop_.clock().now();
  const std::uint64_t moved = meter_.progress().sent_bytes;
  if (std::exchange(moved_bytes_, moved) != moved || status_ == "postcopy-paused") moved_at_ = now;
  if (now - moved_at_ <= stalled_max) return;
  moved_at_ = now;
  copy_.ask("migrate-pause", QmpValue::object(), [](const absl::StatusOr<QmpValue>&) {});
}

// QEMU cannot be made to end it, nor to go on with the guest.
void QemuSender::lose(const absl::Status& why) {
  if (std::exchange(lost_, true)) return;
  if (link_ != nullptr)
    link_->send(encode(Frame(qemu_handshake::Lost{std::string(why.message())})));
  copy_.set_memory(GuestStatus::Memory::lost, std::string(why.message()));
  loop_.post(guarded([this, why] {
    answer(why);
    answer_cancelled();
  }));
}

// ---- the rest --------------------------------------------------------------------------------------------------------

void QemuSender::finish(Reply<TransferProgress> reply) {
  finishers_.push_back(std::move(reply));
  advance();
}

void QemuSender::advance() {
  if (ending_ || starting_ || finishers_.empty()) return;
  if (status_ == "pre-switchover" && !std::exchange(continuing_, true)) {
    return copy_.ask("migrate-continue", {{"state", "pre-switchover"}},
                     guarded([this](const absl::StatusOr<QmpValue>& done) {
                       if (!done.ok()) fail(done.status());
                     }));
  }
  if (status_ != "completed" && status_ != "postcopy-active" && !whole_there_) return;
  if (!arrived_) {
    if (link_ == nullptr) greet(Kind::ask);
    return;
  }
  const TransferProgress progress = meter_.progress();
  for (Reply<TransferProgress>& reply : std::exchange(finishers_, {})) reply(progress);
}

// ---- the end ---------------------------------------------------------------------------------------------------------

void QemuSender::fail(const absl::Status& why) {
  if (following()) return lose(why);
  if (ending_) return end(why_);
  loop_.post(guarded([this, why] { answer(why); }));
  end(why);
}

void QemuSender::cancel(const absl::Status& why, Reply<Done> reply) {
  cancelled_.push_back(std::move(reply));
  if (following()) {
    lose(why);
    return loop_.post(guarded([this] { answer_cancelled(); }));
  }
  answer(why);
  end(why);
  if (copy_.frozen() && !over_) loop_.post(guarded([this] { answer_cancelled(); }));
}

void QemuSender::end(const absl::Status& why) {
  if (!std::exchange(ending_, true)) {
    why_ = why;
    loop_.cancel(std::exchange(hello_timer_, 0));
    loop_.post(guarded([this] { link_.reset(); }));  // not inside its own call
  }
  if (asking_) return;  // as soon as that is answered
  const bool ended = status_ == "completed" || status_ == "failed" || status_ == "cancelled";
  if (!begun_ || ended) return be_over();
  poll();
}

void QemuSender::be_over() {
  if (std::exchange(over_, true)) return;
  loop_.cancel(std::exchange(poll_timer_, 0));
  loop_.post(guarded([this] {
    std::vector<Reply<Done>> cancelled = std::exchange(cancelled_, {});
    const auto call = over_call_;
    call();  // this is gone now
    for (Reply<Done>& reply : cancelled) reply(Done{});
  }));
}

void QemuSender::answer(const absl::Status& why) {
  std::exchange(converged_, {})(why);
  for (Reply<TransferProgress>& reply : std::exchange(finishers_, {})) reply(why);
}

void QemuSender::answer_cancelled() {
  for (Reply<Done>& reply : std::exchange(cancelled_, {})) reply(Done{});
}

}  // namespace supercloud
