// One copy of a guest: its QEMU, the keeper above that, and what is written down about it. Used by QemuHypervisor alone.
//
//                    stop, answered           died: keeper or QEMU gone
//   own:  stopped ◀──────────────── running ─────────────▶ gone
//            └─── thaw, cont ───────▶ │ deadline passes
//                        ▲            ▼
//                        └───────── frozen          a keeper has a deadline from before the cont until after the stop
//   not own: incoming ── all of memory ──▶ arrived ── resume ──▶ own, running
//
//   folder = state qmp console keeper log       ; RUN/16HEXDIG
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event_loop.h"
#include "hypercall/hypervisor.h"
#include "hypercall/keeper/keeper_client.h"
#include "hypercall/qemu/qmp_client.h"
#include "hypercall/qemu/record.h"

namespace supercloud {

// Called from the loop, or from inside arm().
struct QemuCopyOwner {
  std::function<void()> look;
  std::function<void(const QmpEvent& event)> event;   // of a migration
  std::function<void(const absl::Status& why)> died;  // may destroy the copy; its folder is gone
};

// Thread-bound to its loop. Destroying it leaves guest and keeper as they are.
class QemuCopy {
 public:
  static constexpr Duration start_max = absl::Seconds(30);
  using Then = absl::AnyInvocable<void(absl::StatusOr<QmpValue>) &&>;

  QemuCopy(EventLoop& loop, std::string folder, QemuRecord record, QemuCopyOwner owner);
  ~QemuCopy();
  QemuCopy(const QemuCopy&) = delete;
  QemuCopy& operator=(const QemuCopy&) = delete;

  static std::string folder_of(const std::string& run_folder, std::string_view vm);

  // Starts its processes; replies when QEMU answers. If that fails, nothing is left.
  void start(KeeperOptions options, Reply<Done> reply);
  // Finds them again. NotFound: they are gone, and then their folder too.
  void find(Reply<Done> reply);

  GuestStatus status() const;
  const QemuRecord& record() const { return record_; }
  bool running() const { return running_; }
  bool frozen() const { return keeper_state_.phase != KeeperState::Phase::running; }
  bool arrived() const { return arrived_; }
  // Who sends it, or brings it.
  absl::Status set_transfer(const EventId& migration, const std::string& endpoint);

  // As Hypervisor has them, for this copy. A transfer has been ended before it is resumed.
  void arm(Instant deadline);
  void resume(Epoch epoch, Reply<Done> reply);
  void pause(Reply<Done> reply);
  void destroy(Reply<Done> reply);

  // Not after it died; never once it is destroyed.
  void ask(const std::string& command, const QmpValue& arguments, Then then,
           Instant deadline = far_future, int fd = -1);

 private:
  struct Resume {
    std::uint64_t freezes = 0;
    Reply<Done> reply;
  };
  void connect(Instant until, Reply<Done> reply);
  void connected(Reply<Done> reply);
  void keeper_changed(const KeeperState& state);
  void take_state(const KeeperState& state);
  void on_event(const QmpEvent& event);
  void continued(const absl::Status& status);
  void end(const std::string& how);
  void remove_folder() const;
  std::string last_words() const;
  absl::Status refused_resume(Epoch epoch) const;

  EventLoop& loop_;
  const std::string folder_;
  QemuRecord record_;
  QemuCopyOwner owner_;
  std::unique_ptr<KeeperClient> keeper_;
  std::unique_ptr<QmpClient> qmp_;
  KeeperState keeper_state_{.phase = KeeperState::Phase::running};
  TimerId connect_timer_ = 0;
  bool up_ = false;
  bool running_ = false;  // the vCPUs, as far as QEMU has said
  bool arrived_ = false;
  bool destroying_ = false;
  bool told_ = false;  // of its end
  std::string last_words_;
  Instant deadline_{};
  std::optional<Resume> resume_;
  Reply<Done> starting_;
  std::vector<Reply<Done>> destroyers_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
