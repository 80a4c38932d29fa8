// One copy of a guest: its QEMU, the keeper above that, and what is written down about it. Used by QemuHypervisor alone.
//
//                    stop, answered           died: all of its processes are gone
//   own:  stopped ◀──────────────── running ─────────────▶ gone
//            └─── thaw, cont ───────▶ │ deadline passes       ▲ swept: nothing of it lives
//                        ▲            ▼                       │
//                        └───────── frozen     any ─ keeper silent, or lost ─▶ in doubt ── it answers ──▶ as it is
//   not own: incoming ── all of memory ──▶ arrived ── resume ──▶ own, running
//
//   By post-copy it has arrived when it may execute, and is not whole before the rest of its memory has followed: GuestStatus::Memory.
//   A keeper has a deadline from before the cont until after the stop. What is in doubt is kept: folder, record, and its place in lists.
//   folder = state qmp console keeper keeper.lock log       ; RUN/16HEXDIG
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/event_loop.h"
#include "hypercall/hypervisor.h"
#include "hypercall/keeper/keeper_client.h"
#include "hypercall/qemu/qmp_client.h"
#include "hypercall/qemu/record.h"
#include "hypercall/qemu/stream_socket.h"

namespace supercloud {

// Called from the loop, or from inside arm().
struct QemuCopyOwner {
  std::function<void()> look;
  std::function<void(const QmpEvent& event)> event;   // of a migration
  std::function<void(const absl::Status& why)> died;  // once, when it is gone; may destroy the copy
};

// Thread-bound to its loop. Destroying it leaves guest and keeper as they are.
class QemuCopy {
 public:
  static constexpr Duration start_max = absl::Seconds(30);
  static constexpr Duration find_max = absl::Milliseconds(500);  // as long as a keeper may take
  static constexpr Duration look_again = absl::Seconds(1);       // at a keeper that is in doubt
  using Then = absl::AnyInvocable<void(absl::StatusOr<QmpValue>) &&>;

  // `keeper` has its program and freezer.
  QemuCopy(EventLoop& loop, std::string folder, QemuRecord record, KeeperOptions keeper,
           QemuCopyOwner owner);
  ~QemuCopy();
  QemuCopy(const QemuCopy&) = delete;
  QemuCopy& operator=(const QemuCopy&) = delete;

  static std::string folder_of(const std::string& run_folder, std::string_view vm);
  enum class Links : std::uint8_t { refused, followed };
  // PermissionDenied: it is another user's. FailedPrecondition: it is no folder.
  static absl::Status check_owned(const std::string& folder, Links links = Links::refused);

  // Starts its processes; replies when QEMU answers. After an error it has died, or is in doubt, and destroyed as soon as it is found.
  void start(std::vector<std::string> command, Reply<Done> reply);
  // Finds them again. Replies when it is known what they do, or that it is in doubt, or that QEMU is silent: keeper and QEMU each have
  // find_max. One that is silent is looked for on, and executes, as far as is known. NotFound: it has died.
  void find(Reply<Done> reply);

  GuestStatus status() const;
  const QemuRecord& record() const { return record_; }
  bool running() const { return running_; }
  pid_t process() const { return keeper_state_.guest; }  // 0: not known
  bool frozen() const { return keeper_state_.phase != KeeperState::Phase::running; }
  bool arrived() const { return arrived_; }
  // Unavailable, with the reason: whether it lives is not known now.
  const absl::Status& doubt() const { return doubt_; }
  // Of one that no migration brings yet: this one does.
  absl::Status take(Epoch epoch, const EventId& migration);
  bool ends() const { return destroying_; }
  // Who sends it, or brings it.
  absl::Status set_transfer(const EventId& migration, const std::string& endpoint);
  GuestStatus::Memory memory() const { return memory_; }
  // ... as QEMU tells it, or who waits for it. Looks, if that is new.
  void set_memory(GuestStatus::Memory memory, const std::string& why = "");

  // How often its deadline has passed, as far as it was moved by arm(). A resume holds for one figure only: what was called before a
  // deadline passed is refused after that, whatever the deadline is moved to.
  std::uint64_t lapses() const;

  // As Hypervisor has them, for this copy. A transfer has been ended before it is resumed; `called_at` are the lapses of when that was called.
  void arm(Instant deadline);
  absl::Status check_resume(Epoch epoch) const;
  void resume(Epoch epoch, std::uint64_t called_at, Reply<Done> reply);
  void pause(Reply<Done> reply);
  void destroy(Reply<Done> reply);

  // Not after it died; never once it is destroyed. Unavailable: QEMU is not reached now; it is tried again by itself.
  void ask(const std::string& command, const QmpValue& arguments, Then then,
           Instant deadline = far_future, int fd = -1);

 private:
  struct Resume {
    std::uint64_t number = 0;
    std::uint64_t freezes = 0;
    std::uint64_t lapses = 0;
    Reply<Done> reply;
  };
  struct Reaching {
    Instant until;
    Reply<Done> reply;
  };
  template <class F>
  auto while_alive(F function) {
    return [alive = std::weak_ptr<bool>(alive_),
            function = std::move(function)](auto&&... values) mutable {
      if (!alive.expired()) std::move(function)(std::forward<decltype(values)>(values)...);
    };
  }
  void launch();
  void fail_start(const absl::Status& why);
  void look_for_keeper();
  void found(std::unique_ptr<KeeperClient> keeper);
  void lose_keeper();
  void be_in_doubt(const absl::Status& why);
  void reach(Instant until, Reply<Done> reply);
  void give_up_late();
  void connect();
  void connected(const QmpValue& status);
  void hold_console();
  void disconnected(const absl::Status& why);
  void execute(const std::string& command, const QmpValue& arguments, Then then, Instant deadline,
               int fd);
  void keeper_changed(const KeeperState& state);
  void take_state(const KeeperState& state);
  void on_event(const QmpEvent& event);
  void await_arrival();
  void let_run(std::uint64_t number);
  void continued(const absl::Status& status);
  void kill();
  void end(const std::string& how);
  void tell(const absl::Status& why);
  void remove_folder() const;
  std::string last_words() const;
  absl::Status lapsed() const;

  EventLoop& loop_;
  const std::string folder_;
  QemuRecord record_;
  KeeperOptions keeper_options_;
  QemuCopyOwner owner_;
  std::unique_ptr<KeeperClient> keeper_;  // null: not found yet, or in doubt
  std::unique_ptr<QmpClient> qmp_;
  KeeperState keeper_state_{.phase = KeeperState::Phase::running};
  absl::Status doubt_;
  TimerId look_timer_ = 0;
  TimerId connect_timer_ = 0;
  Duration connect_again_;
  OwnFd console_;                 // while it is filled: hold_console()
  absl::Status unreached_;        // why QEMU was not reached
  bool reached_ = false;          // on this connection, and what it does is known
  bool running_ = false;          // the vCPUs, as far as QEMU has said
  bool cont_unanswered_ = false;  // so they may run
  bool arrived_ = false;
  GuestStatus::Memory memory_ = GuestStatus::Memory::whole;
  std::string memory_why_;
  bool destroying_ = false;
  bool told_ = false;  // of its end
  bool kept_ = false;  // a keeper was found for it once
  std::string last_words_;
  Instant deadline_{};
  bool armed_ = false;  // by this daemon
  std::uint64_t lapses_ = 0;
  std::uint64_t last_resume_ = 0;
  std::optional<Resume> resume_;
  absl::Status start_error_;
  Reply<Done> starting_;
  Reply<Done> finding_;
  std::vector<Reaching> reaching_;
  std::vector<Reply<Done>> destroyers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
