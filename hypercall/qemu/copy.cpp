#include "hypercall/qemu/copy.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/text.h"

namespace supercloud {
namespace {

using Phase = KeeperState::Phase;

constexpr Duration connect_again_min = absl::Milliseconds(2);
constexpr Duration connect_again_max = absl::Milliseconds(250);
constexpr std::streamoff last_words_bytes_max = 400;
constexpr Duration arrival_again = absl::Milliseconds(2);

}  // namespace

QemuCopy::QemuCopy(EventLoop& loop, std::string folder, QemuRecord record, KeeperOptions keeper,
                   QemuCopyOwner owner)
    : loop_(loop),
      folder_(std::move(folder)),
      record_(std::move(record)),
      keeper_options_(std::move(keeper)),
      owner_(std::move(owner)),
      connect_again_(connect_again_min) {
  keeper_options_.socket = folder_ + "/keeper";
  keeper_options_.output = folder_ + "/log";
}

QemuCopy::~QemuCopy() {
  alive_.reset();
  loop_.cancel(look_timer_);
  loop_.cancel(connect_timer_);
}

std::string QemuCopy::folder_of(const std::string& run_folder, std::string_view vm) {
  std::uint64_t hash = 0xcbf2'9ce4'8422'2325U;  // FNV-1a: sockets have short paths
  for (const char byte : vm) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100'0000'01b3U;
  return absl::StrCat(run_folder, "/", absl::StrFormat("%016x", hash));
}

absl::Status QemuCopy::check_owned(const std::string& folder, Links links) {
  struct stat file{};
  const bool follows = links == Links::followed;
  if ((follows ? ::stat(folder.c_str(), &file) : ::lstat(folder.c_str(), &file)) != 0)
    return absl::UnavailableError(absl::StrCat(folder, ": ", std::strerror(errno)));
  if (!S_ISDIR(file.st_mode))
    return absl::FailedPreconditionError(
        absl::StrCat(folder, " is ", S_ISLNK(file.st_mode) ? "a symbolic link, and " : "",
                     "no folder; move it away, or name another run folder"));
  if (file.st_uid == ::geteuid()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(folder, " is no folder of this user, but of user ", file.st_uid,
                   "; run as that one, or name another run folder"));
}

// ---- beginning -------------------------------------------------------------------------------------------------------

void QemuCopy::start(std::vector<std::string> command, Reply<Done> reply) {
  starting_ = std::move(reply);
  keeper_options_.guest = std::move(command);
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::symlink_status(folder_, error))) return launch();
  // Of a copy that no readable record tells of: it may live.
  if (const absl::Status owned = check_owned(folder_); !owned.ok()) return tell(owned);
  KeeperClient::sweep(
      loop_, keeper_options_,
      Reply<Done>(
          far_future, while_alive([this](const absl::StatusOr<Done>& swept) {
            if (!swept.ok())
              return tell(absl::FailedPreconditionError(absl::StrCat(
                  folder_, " is of an earlier copy of ", record_.vm,
                  " that may live still; end its keeper first: ", swept.status().message())));
            remove_folder();
            launch();
          })));
}

void QemuCopy::launch() {
  if (destroying_)
    return tell(absl::CancelledError(absl::StrCat(record_.vm, " was destroyed before it started")));
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) {
    return tell(absl::UnavailableError(absl::StrCat("cannot make ", folder_, ": ", error.message(),
                                                    "; name a run folder where one can")));
  }
  if (const absl::Status saved = record_.save(folder_); !saved.ok()) {
    remove_folder();
    return tell(saved);
  }
  KeeperClient::start(
      loop_, keeper_options_, [this](const KeeperState& state) { keeper_changed(state); },
      Reply<std::unique_ptr<KeeperClient>>(
          far_future, while_alive([this](absl::StatusOr<std::unique_ptr<KeeperClient>> keeper) {
            if (!keeper.ok()) return fail_start(keeper.status());
            keeper_ = *std::move(keeper);
            kept_ = true;
            if (destroying_) return kill();
            reach(loop_.clock().now() + start_max,
                  Reply<Done>(far_future, [this](const absl::StatusOr<Done>& up) {
                    if (!up.ok()) return fail_start(up.status());
                    starting_(Done{});
                  }));
          })));
}

// It is answered when its processes are gone.
void QemuCopy::fail_start(const absl::Status& why) {
  if (start_error_.ok()) start_error_ = why;
  destroying_ = true;
  if (keeper_ != nullptr) return kill();
  if (doubt_.ok()) look_for_keeper();
}

void QemuCopy::find(Reply<Done> reply) {
  finding_ = std::move(reply);
  look_for_keeper();
}

// Only a sweep proves that one is dead: who listens nowhere may be about to, or may have lost its socket.
void QemuCopy::look_for_keeper() {
  KeeperClient::find(
      loop_, keeper_options_.socket, [this](const KeeperState& state) { keeper_changed(state); },
      Reply<std::unique_ptr<KeeperClient>>(
          far_future, while_alive([this](absl::StatusOr<std::unique_ptr<KeeperClient>> keeper) {
            if (keeper.ok()) return found(*std::move(keeper));
            if (!absl::IsNotFound(keeper.status())) return be_in_doubt(keeper.status());
            KeeperClient::sweep(
                loop_, keeper_options_,
                Reply<Done>(far_future, while_alive([this](const absl::StatusOr<Done>& swept) {
                              // What its start had launched has ended, unless a keeper lives here.
                              const bool proven =
                                  swept.ok() || (!start_error_.ok() && !kept_ &&
                                                 !absl::IsFailedPrecondition(swept.status()));
                              if (!proven) return be_in_doubt(swept.status());
                              end(KeeperClient::lost);
                            })));
          })));
}

void QemuCopy::found(std::unique_ptr<KeeperClient> keeper) {
  if (keeper_state_.phase == Phase::ended) return;
  keeper_ = std::move(keeper);
  kept_ = true;
  keeper_state_ = keeper_->told();
  const bool doubted = !std::exchange(doubt_, absl::OkStatus()).ok();
  if (destroying_) return kill();
  if (!armed_ && keeper_state_.deadline) deadline_ = *keeper_state_.deadline;
  if (armed_) arm(deadline_);  // what it was not told meanwhile
  if (doubted) owner_.look();
  // A frozen QEMU says nothing; what it was doing is known.
  if (frozen()) {
    running_ = true;
    return finding_(Done{});
  }
  reach(loop_.clock().now() + find_max,
        Reply<Done>(far_future, [this](const absl::StatusOr<Done>& up) {
          if (!up.ok()) {
            running_ = record_.own;  // it may
            ABSL_RAW_LOG(WARNING, "%s; it is kept, and tried again until it answers",
                         std::string(up.status().message()).c_str());
          }
          finding_(Done{});
        }));
}

void QemuCopy::lose_keeper() {
  keeper_.reset();
  doubt_ = absl::UnavailableError(
      absl::StrCat("the keeper of ", record_.vm, " is lost, and what it has left is looked for"));
  if (resume_) continued(doubt_);
  look_for_keeper();
}

void QemuCopy::be_in_doubt(const absl::Status& why) {
  if (keeper_state_.phase == Phase::ended) return;
  doubt_ = absl::UnavailableError(absl::StrCat("whether ", record_.vm,
                                               " lives here is not known now, so it is kept in ",
                                               folder_, ": ", why.message()));
  // Of the first time only: it is looked for until it is known.
  if (finding_ || starting_ || !destroyers_.empty())
    ABSL_RAW_LOG(WARNING, "%s", std::string(doubt_.message()).c_str());
  loop_.cancel(look_timer_);
  look_timer_ = loop_.at(loop_.clock().now() + look_again, [this] {
    look_timer_ = 0;
    look_for_keeper();
  });
  destroying_ = !start_error_.ok();
  Reply<Done> starting = std::move(starting_);
  Reply<Done> finding = std::move(finding_);
  const absl::Status failed = start_error_.ok() ? doubt_ : start_error_;
  const absl::Status why_kept = doubt_;
  std::vector<Reply<Done>> destroyers = std::exchange(destroyers_, {});
  starting(failed);
  finding(Done{});
  for (Reply<Done>& destroyer : destroyers) destroyer(why_kept);
}

// ---- QEMU ------------------------------------------------------------------------------------------------------------

// Replies when QEMU answers, or at `until`; it is tried on after that.
void QemuCopy::reach(Instant until, Reply<Done> reply) {
  if (reached_) return reply(Done{});
  reaching_.push_back({until, std::move(reply)});
  loop_.at(until, while_alive([this] { give_up_late(); }));
  if (qmp_ != nullptr) return;
  connect_again_ = connect_again_min;
  connect();
}

void QemuCopy::give_up_late() {
  std::vector<Reaching> late;
  const Instant now = loop_.clock().now();
  for (std::vector<Reaching> all = std::exchange(reaching_, {}); Reaching & each : all)
    (each.until <= now ? late : reaching_).push_back(std::move(each));
  const absl::Status why =
      !unreached_.ok()
          ? unreached_
          : absl::UnavailableError(absl::StrCat("QEMU of ", record_.vm, " says nothing"));
  for (Reaching& each : late) each.reply(why);
}

void QemuCopy::connect() {
  loop_.cancel(std::exchange(connect_timer_, 0));
  if (keeper_state_.phase == Phase::ended) return;
  if (frozen()) return disconnected(absl::UnavailableError(absl::StrCat(record_.vm, " is frozen")));
  QmpHandler handler;
  handler.on_event = [this](const QmpEvent& event) { on_event(event); };
  handler.on_lost = [this](const absl::Status& why) {
    loop_.post(while_alive([this, why] { disconnected(why); }));  // not inside its own call
  };
  handler.obituary = [this](Reply<std::string> said) { said(last_words()); };
  auto client = QmpClient::connect(loop_, folder_ + "/qmp", {.vm = record_.vm}, std::move(handler));
  if (!client.ok()) return disconnected(client.status());
  qmp_ = *std::move(client);
  execute(
      "query-status", QmpValue::object(),
      [this](const absl::StatusOr<QmpValue>& status) {
        if (status.ok()) return connected(*status);
        if (!qmp_->lost())  // else it is told
          loop_.post(while_alive([this, why = status.status()] { disconnected(why); }));
      },
      far_future, -1);
}

void QemuCopy::connected(const QmpValue& status) {
  reached_ = true;
  connect_again_ = connect_again_min;
  unreached_ = absl::OkStatus();
  running_ = qmp_flag(status, "running");
  cont_unanswered_ = false;
  // All of it has come, as it was stopped at its source; of other states nothing is known.
  if (!record_.own && qmp_text(status, "status") == "paused") arrived_ = true;
  if (!record_.own && !arrived_) hold_console();
  if (running_ && armed_) arm(deadline_);  // what its keeper was not told meanwhile
  if (!starting_ && !finding_) owner_.look();
  for (Reaching& each : std::exchange(reaching_, {})) each.reply(Done{});
}

// A serial port whose console was full at its source arrives waiting, and would wait for ever if nobody were connected to this one at
// that moment. QEMU has the connection in its queue before it is given a stream.
void QemuCopy::hold_console() {
  if (console_.get() >= 0) return;
  connect_stream(loop_, absl::StrCat("unix:", folder_, "/console"), "",
                 Reply<OwnFd>(far_future, while_alive([this](absl::StatusOr<OwnFd> console) {
                                // Else others are connected, which is as good.
                                if (console.ok() && !record_.own) console_ = *std::move(console);
                              })));
}

void QemuCopy::disconnected(const absl::Status& why) {
  qmp_.reset();
  reached_ = false;
  unreached_ = why;
  if (keeper_state_.phase == Phase::ended) return;
  connect_timer_ = loop_.at(loop_.clock().now() + connect_again_, [this] {
    connect_timer_ = 0;
    connect();
  });
  // One that is just being started is there in a moment, and waited for.
  if (!starting_) connect_again_ = std::min(2 * connect_again_, connect_again_max);
}

void QemuCopy::ask(const std::string& command, const QmpValue& arguments, Then then,
                   Instant deadline, int fd) {
  if (!reached_ || qmp_->lost())
    return std::move(then)(absl::UnavailableError(
        absl::StrCat(command, ": QEMU of ", record_.vm, " is not reached now")));
  execute(command, arguments, std::move(then), deadline, fd);
}

void QemuCopy::execute(const std::string& command, const QmpValue& arguments, Then then,
                       Instant deadline, int fd) {
  qmp_->execute(command, arguments, Reply<QmpValue>(deadline, while_alive(std::move(then))), fd);
}

// ---- what it is ------------------------------------------------------------------------------------------------------

GuestStatus QemuCopy::status() const {
  using State = GuestStatus::State;
  GuestStatus status;
  status.vm = record_.vm;
  status.epoch = record_.epoch;
  status.migration = record_.migration;
  status.address = record_.address;
  // Of what is in doubt the worst is said: it may execute.
  status.state = !record_.own   ? (arrived_ ? State::arrived : State::incoming)
                 : !doubt_.ok() ? State::running
                 : frozen()     ? State::frozen
                 : running_     ? State::running
                                : State::stopped;
  status.memory = memory_;
  status.memory_why = memory_why_;
  return status;
}

absl::Status QemuCopy::take(Epoch epoch, const EventId& migration) {
  record_.epoch = epoch;
  return set_transfer(migration, "");
}

void QemuCopy::set_memory(GuestStatus::Memory memory, const std::string& why) {
  if (std::exchange(memory_, memory) == memory) return;
  memory_why_ = why;
  if (memory == GuestStatus::Memory::whole && std::exchange(record_.rest, false))
    if (const absl::Status saved = record_.save(folder_); !saved.ok())
      ABSL_RAW_LOG(WARNING, "%s", std::string(saved.message()).c_str());
  owner_.look();
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
    if (!record_.own && qmp_text(event.data, "status") == "postcopy-active") await_arrival();
    owner_.event(event);
  }
}

// That its devices are there, too, QEMU tells nobody.
void QemuCopy::await_arrival() {
  if (arrived_ || record_.own) return;
  ask("query-status", QmpValue::object(), [this](const absl::StatusOr<QmpValue>& status) {
    if (!status.ok() || arrived_ || record_.own) return;  // connected() looks, too
    if (qmp_text(*status, "status") != "paused") {
      loop_.at(loop_.clock().now() + arrival_again, while_alive([this] { await_arrival(); }));
      return;
    }
    arrived_ = true;
    owner_.look();
  });
}

void QemuCopy::keeper_changed(const KeeperState& state) {
  if (state.phase == Phase::ended)
    return state.end == KeeperClient::lost ? lose_keeper() : end(state.end);
  if (keeper_ == nullptr) return;
  // What it has told may be older than what it has answered since.
  if (const auto now = keeper_->status(); now.ok()) return take_state(*now);
  // It owes answers, and may tell nothing again. A freeze that was counted before has been thawed since.
  const bool older = state.freezes < keeper_state_.freezes ||
                     (state.freezes == keeper_state_.freezes && !frozen());
  if (!older) take_state(state);
}

void QemuCopy::take_state(const KeeperState& state) {
  const bool was_frozen = frozen();
  if (state.phase == Phase::ended) return;  // it tells that, too
  keeper_state_ = state;
  if (!was_frozen && frozen()) {
    if (finding_) {  // QEMU says nothing now
      running_ = record_.own;
      std::exchange(finding_, {})(Done{});
    }
    if (resume_)
      continued(absl::FailedPreconditionError(
          absl::StrCat("the keeper of ", record_.vm, " froze it after this resume was called")));
    owner_.look();
  }
}

// ---- the end ---------------------------------------------------------------------------------------------------------

void QemuCopy::destroy(Reply<Done> reply) {
  if (told_) return reply(Done{});
  if (!doubt_.ok()) return reply(doubt_);
  destroyers_.push_back(std::move(reply));
  if (std::exchange(destroying_, true)) return;
  if (keeper_ != nullptr) kill();  // else as soon as there is one
}

// Through keeper_changed() it is told, once more.
void QemuCopy::kill() {
  keeper_->kill(Reply<KeeperState>(
      far_future, while_alive([this](const absl::StatusOr<KeeperState>& state) {
        if (state.ok()) return;
        destroying_ = false;
        std::exchange(starting_, {})(start_error_.ok() ? state.status() : start_error_);
        for (Reply<Done>& destroyer : std::exchange(destroyers_, {})) destroyer(state.status());
      })));
}

void QemuCopy::end(const std::string& how) {
  if (keeper_state_.phase == Phase::ended) return;
  last_words_ = absl::StrCat(how.empty() ? "" : ", ", how, last_words());
  remove_folder();
  tell(absl::UnavailableError(absl::StrCat("QEMU of ", record_.vm, " ended", last_words_)));
}

void QemuCopy::tell(const absl::Status& why) {
  keeper_state_.phase = Phase::ended;
  doubt_ = absl::OkStatus();
  loop_.cancel(std::exchange(look_timer_, 0));
  loop_.cancel(std::exchange(connect_timer_, 0));
  loop_.post(while_alive([this, why] {
    told_ = true;
    reaching_.clear();
    std::vector<Reply<Done>> destroyers = std::exchange(destroyers_, {});
    Reply<Done> starting = std::move(starting_);
    Reply<Done> finding = std::move(finding_);
    std::optional<Resume> resume = std::exchange(resume_, std::nullopt);
    const absl::Status failed = start_error_.ok() ? why : start_error_;
    const auto died = owner_.died;
    died(why);  // this may be gone now
    starting(failed);
    finding(absl::NotFoundError(why.message()));
    if (resume) resume->reply(why);
    for (Reply<Done>& destroyer : destroyers) destroyer(Done{});
  }));
}

void QemuCopy::remove_folder() const {
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

std::string QemuCopy::last_words() const {
  if (!last_words_.empty()) return last_words_;
  std::ifstream log(folder_ + "/log", std::ios::ate);
  log.seekg(std::max<std::streamoff>(log.tellg() - std::streampos(last_words_bytes_max), 0));
  std::string said(std::istreambuf_iterator<char>(log), {});
  absl::StripAsciiWhitespace(&said);
  return said.empty() ? "" : absl::StrCat(": ", said);
}

}  // namespace supercloud
