#include "hypercall/qemu/copy.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Phase = KeeperState::Phase;

constexpr Duration connect_again = absl::Milliseconds(10);
constexpr std::size_t last_words_bytes_max = 400;

}  // namespace

QemuCopy::QemuCopy(EventLoop& loop, std::string folder, QemuRecord record, QemuCopyOwner owner)
    : loop_(loop),
      folder_(std::move(folder)),
      record_(std::move(record)),
      owner_(std::move(owner)) {}

QemuCopy::~QemuCopy() {
  *alive_ = false;
  loop_.cancel(connect_timer_);
}

std::string QemuCopy::folder_of(const std::string& run_folder, std::string_view vm) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325U;  // FNV-1a: sockets have short paths
  for (const char byte : vm) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100'0000'01b3U;
  return absl::StrCat(run_folder, "/", absl::StrFormat("%016x", hash));
}

// ---- beginning -------------------------------------------------------------------------------------------------------

void QemuCopy::start(KeeperOptions options, Reply<Done> reply) {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  if (!std::filesystem::create_directories(folder_, error)) {
    return reply(
        absl::UnavailableError(absl::StrCat("cannot make ", folder_, ": ", error.message())));
  }
  if (const absl::Status saved = record_.save(folder_); !saved.ok()) return reply(saved);
  options.socket = folder_ + "/keeper";
  options.output = folder_ + "/log";
  starting_ = std::move(reply);
  KeeperClient::start(
      loop_, options, [this](const KeeperState& state) { keeper_changed(state); },
      Reply<std::unique_ptr<KeeperClient>>(
          far_future, [this, alive = std::weak_ptr<bool>(alive_)](
                          absl::StatusOr<std::unique_ptr<KeeperClient>> keeper) {
            if (alive.expired()) return;
            if (!keeper.ok()) {
              remove_folder();
              return starting_(keeper.status());
            }
            keeper_ = *std::move(keeper);
            connect(loop_.clock().now() + start_max,
                    Reply<Done>(far_future, [this, answer = std::move(starting_)](
                                                absl::StatusOr<Done> up) mutable {
                      if (up.ok()) return answer(Done{});
                      destroy(Reply<Done>(
                          far_future, [answer = std::move(answer), why = up.status()](
                                          const absl::StatusOr<Done>&) mutable { answer(why); }));
                    }));
          }));
}

void QemuCopy::find(Reply<Done> reply) {
  auto keeper = KeeperClient::find(loop_, folder_ + "/keeper",
                                   [this](const KeeperState& state) { keeper_changed(state); });
  if (!keeper.ok()) {
    if (absl::IsNotFound(keeper.status())) {
      (void)KeeperClient::sweep({.socket = folder_ + "/keeper"});
      remove_folder();
    }
    return reply(keeper.status());
  }
  keeper_ = *std::move(keeper);
  if (const auto state = keeper_->status(); state.ok()) {
    keeper_state_ = *state;
    if (state->deadline) deadline_ = *state->deadline;
  }
  // A frozen QEMU says nothing; what it was doing is known.
  if (frozen()) {
    up_ = running_ = true;
    return reply(Done{});
  }
  connect(loop_.clock().now() + start_max, std::move(reply));
}

void QemuCopy::connect(Instant until, Reply<Done> reply) {
  QmpHandler handler;
  handler.on_event = [this](const QmpEvent& event) { on_event(event); };
  handler.obituary = [this](Reply<std::string> said) { said(last_words()); };
  auto client = QmpClient::connect(loop_, folder_ + "/qmp", {.vm = record_.vm}, std::move(handler));
  if (client.ok()) {
    qmp_ = *std::move(client);
    return connected(std::move(reply));
  }
  if (loop_.clock().now() >= until) return reply(client.status());
  starting_ = std::move(reply);
  connect_timer_ = loop_.at(loop_.clock().now() + connect_again, [this, until] {
    connect_timer_ = 0;
    connect(until, std::move(starting_));
  });
}

void QemuCopy::connected(Reply<Done> reply) {
  ask("query-status", QmpValue::object(),
      [this, reply = std::move(reply)](absl::StatusOr<QmpValue> status) mutable {
        if (!status.ok()) return reply(status.status());
        running_ = qmp_flag(*status, "running");
        const std::string what = qmp_text(*status, "status");
        arrived_ = !record_.own && what != "inmigrate" && what != "prelaunch";
        up_ = true;
        reply(Done{});
      });
}

void QemuCopy::ask(const std::string& command, const QmpValue& arguments, Then then,
                   Instant deadline, int fd) {
  if (qmp_ == nullptr || qmp_->lost()) {
    return std::move(then)(absl::UnavailableError(
        absl::StrCat(command, ": QEMU of ", record_.vm, " is not reached now")));
  }
  qmp_->execute(command, arguments,
                Reply<QmpValue>(deadline,
                                [alive = std::weak_ptr<bool>(alive_),
                                 then = std::move(then)](absl::StatusOr<QmpValue> value) mutable {
                                  if (!alive.expired()) std::move(then)(std::move(value));
                                }),
                fd);
}

// ---- what it is ------------------------------------------------------------------------------------------------------

GuestStatus QemuCopy::status() const {
  using State = GuestStatus::State;
  GuestStatus status;
  status.vm = record_.vm;
  status.epoch = record_.epoch;
  status.migration = record_.migration;
  status.address = record_.address;
  status.state = !record_.own ? (arrived_ ? State::arrived : State::incoming)
                 : frozen()   ? State::frozen
                 : running_   ? State::running
                              : State::stopped;
  return status;
}

absl::Status QemuCopy::set_transfer(const EventId& migration, const std::string& endpoint) {
  record_.migration = migration;
  record_.endpoint = endpoint;
  return record_.save(folder_);
}

void QemuCopy::on_event(const QmpEvent& event) {
  if (event.name == "STOP") running_ = false;
  if (event.name == "RESUME") running_ = true;
  if (event.name == "MIGRATION" || event.name == "MIGRATION_PASS") {
    if (!record_.own && qmp_text(event.data, "status") == "completed") {
      arrived_ = true;
      owner_.look();
    }
    owner_.event(event);
  }
}

void QemuCopy::keeper_changed(const KeeperState& state) {
  if (state.phase == Phase::ended) return end(state.end);
  if (keeper_ == nullptr) return;
  // What it has told may be older than what it has answered since.
  if (const auto now = keeper_->status(); now.ok()) take_state(*now);
}

void QemuCopy::take_state(const KeeperState& state) {
  const bool was_frozen = frozen();
  if (state.phase == Phase::ended) return;  // it tells that, too
  keeper_state_ = state;
  if (!was_frozen && frozen()) {
    if (resume_)
      continued(absl::FailedPreconditionError(
          absl::StrCat("the keeper of ", record_.vm, " froze it after this resume was called")));
    owner_.look();
  }
}

// ---- executing -------------------------------------------------------------------------------------------------------

void QemuCopy::arm(Instant deadline) {
  deadline_ = deadline;
  // One whose vCPUs do not run needs none: it may be sending its memory, or filling it.
  if (keeper_ == nullptr || !(running_ || resume_ || frozen())) return;
  if (const auto state = keeper_->arm(deadline); state.ok()) take_state(*state);
}

absl::Status QemuCopy::refused_resume(Epoch epoch) const {
  const std::string& vm = record_.vm;
  if (!record_.own && !arrived_)
    return absl::FailedPreconditionError(
        absl::StrCat("the memory of ", vm, " is not complete here; wait until it has arrived"));
  if (epoch < record_.epoch)
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " was resumed here at epoch ", record_.epoch, " already, which is above ", epoch));
  if (resume_)
    return absl::FailedPreconditionError(
        absl::StrCat("another resume of ", vm, " is under way; wait for its answer"));
  if (running_ && !frozen() && epoch != record_.epoch)
    return absl::FailedPreconditionError(absl::StrCat(
        vm, " runs here at epoch ", record_.epoch, "; pause it before it runs at epoch ", epoch));
  if (deadline_ <= loop_.clock().now())
    return absl::FailedPreconditionError(absl::StrCat(
        "the keeper of ", vm, " allows no execution now; renew the session and arm it first"));
  return absl::OkStatus();
}

void QemuCopy::resume(Epoch epoch, Reply<Done> reply) {
  if (const absl::Status refused = refused_resume(epoch); !refused.ok()) return reply(refused);
  if (running_ && !frozen()) return reply(Done{});
  record_.epoch = epoch;
  record_.own = true;
  record_.migration = {};
  record_.endpoint.clear();
  if (const absl::Status saved = record_.save(folder_); !saved.ok()) return reply(saved);
  const auto thawed = keeper_->thaw(deadline_);
  if (!thawed.ok()) return reply(thawed.status());
  keeper_state_ = *thawed;
  resume_.emplace(Resume{thawed->freezes, std::move(reply)});
  const auto cont = [this] {
    ask("cont", QmpValue::object(), [this](const absl::StatusOr<QmpValue>& done) {
      if (resume_) continued(done.status());
    });
  };
  if (qmp_ != nullptr && !qmp_->lost()) return cont();
  connect(loop_.clock().now() + start_max,
          Reply<Done>(far_future, [this, cont](const absl::StatusOr<Done>& done) {
            if (!done.ok() && resume_) return continued(done.status());
            cont();
          }));
}

void QemuCopy::continued(const absl::Status& status) {
  Resume resume = *std::exchange(resume_, std::nullopt);
  if (!status.ok()) {
    // It was answered that it does not run: else the keeper goes on guarding it.
    if (status.code() == absl::StatusCode::kUnknown && !running_) (void)keeper_->disarm();
    return resume.reply(status);
  }
  running_ = true;
  const auto state = keeper_->status();
  if (!state.ok()) return resume.reply(state.status());
  keeper_state_ = *state;
  if (frozen() || state->freezes != resume.freezes) {
    owner_.look();
    return resume.reply(absl::FailedPreconditionError(
        absl::StrCat("the keeper of ", record_.vm, " froze it after this resume was called")));
  }
  resume.reply(Done{});
}

void QemuCopy::pause(Reply<Done> reply) {
  if (!record_.own)
    return reply(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", record_.vm, " here is incoming and has never run")));
  if (frozen())
    return reply(absl::FailedPreconditionError(
        absl::StrCat(record_.vm,
                     " is frozen, and would execute before it could be stopped; resume it at a new "
                     "epoch, or destroy it")));
  const Instant deadline = reply.deadline();
  ask(
      "stop", QmpValue::object(),
      [this, reply = std::move(reply)](const absl::StatusOr<QmpValue>& stopped) mutable {
        if (!stopped.ok()) return reply(stopped.status());
        running_ = false;
        if (frozen())
          return reply(absl::FailedPreconditionError(
              absl::StrCat("the keeper of ", record_.vm, " froze it as it was being paused")));
        if (const auto state = keeper_->disarm(); !state.ok()) return reply(state.status());
        reply(Done{});
      },
      deadline);
}

// ---- the end ---------------------------------------------------------------------------------------------------------

void QemuCopy::destroy(Reply<Done> reply) {
  if (told_) return reply(Done{});
  destroyers_.push_back(std::move(reply));
  if (std::exchange(destroying_, true)) return;
  // Through keeper_changed() it is told once more, and then no longer of interest.
  keeper_->kill(Reply<KeeperState>(far_future, [this, alive = std::weak_ptr<bool>(alive_)](
                                                   const absl::StatusOr<KeeperState>& state) {
    if (!alive.expired() && !destroyers_.empty()) end(state.ok() ? state->end : "");
  }));
}

void QemuCopy::end(const std::string& how) {
  if (std::exchange(keeper_state_.phase, Phase::ended) == Phase::ended) return;
  last_words_ = absl::StrCat(how.empty() ? "" : ", ", how, last_words());
  const absl::Status why =
      absl::UnavailableError(absl::StrCat("QEMU of ", record_.vm, " ended", last_words_));
  const bool was_up = std::exchange(up_, false);
  loop_.cancel(std::exchange(connect_timer_, 0));
  remove_folder();
  loop_.post([this, alive = std::weak_ptr<bool>(alive_), why, was_up] {
    if (alive.expired()) return;
    told_ = true;
    std::vector<Reply<Done>> destroyers = std::exchange(destroyers_, {});
    Reply<Done> starting = std::move(starting_);
    std::optional<Resume> resume = std::exchange(resume_, std::nullopt);
    const bool destroyed = destroying_;
    const auto died = owner_.died;
    if (was_up || destroyed) died(why);  // this may be gone now
    starting(why);
    if (resume) resume->reply(why);
    for (Reply<Done>& destroyer : destroyers) destroyer(Done{});
  });
}

void QemuCopy::remove_folder() const {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

std::string QemuCopy::last_words() const {
  if (!last_words_.empty()) return last_words_;
  std::ifstream log(folder_ + "/log");
  std::string said(std::istreambuf_iterator<char>(log), {});
  absl::StripAsciiWhitespace(&said);
  if (said.empty()) return "";
  if (said.size() > last_words_bytes_max) said.erase(0, said.size() - last_words_bytes_max);
  return absl::StrCat(": ", said);
}

}  // namespace supercloud
