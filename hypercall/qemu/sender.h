// One transfer of a guest that runs here, to another host. Used by QemuHypervisor alone.
//
//   hello ─ accept ─▶ connect, token ─▶ TLS, getfd, migrate ─▶ copying ── remaining fits ──▶ converged, still copying
//                                                            │ the guest is stopped, finish()
//          QEMU: pre-switchover ── migrate-continue ──▶ device ──▶ completed ── arrived, from the target ──▶ done
//   by post-copy, once the device state is sent:
//          postcopy-active ── arrived: needed ──▶ completed ──▶ done
//               │  ▲ lost, and made again: hello "again", migrate with resume
//               ▼  │
//          postcopy-paused: broken ── post_copy_patience, or the target's copy is gone ──▶ lost: this one cannot go on, and is destroyed
//   any: refused, lost, failed, or cancel() ──▶ ending: migrate_cancel, until QEMU says that it has ended ──▶ over, told once
//
// Who waits is told at once why it ends. A frozen QEMU hears of it when it goes on; it sends nothing before that.
// A daemon that finds a guest being sent goes on from copying: QEMU knows how far it is, and the target is asked when it matters.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/event_loop.h"
#include "core/link.h"
#include "hypercall/hypervisor.h"
#include "hypercall/qemu/copy.h"
#include "hypercall/qemu/handshake.h"
#include "hypercall/qemu/progress.h"
#include "hypercall/qemu/stream_socket.h"
#include "hypercall/qemu/tls.h"

namespace supercloud {

// Thread-bound to its loop. `over` is called when QEMU sends no more, and destroys it; so nothing of it meets the next transfer.
class QemuSender {
 public:
  using Progress = std::function<void(const TransferProgress&)>;

  QemuSender(EventLoop& loop, LinkNetwork& network, QemuCopy& copy, TransferOptions options,
             const QemuTls& tls, Duration patience, std::function<void()> over);
  ~QemuSender();
  QemuSender(const QemuSender&) = delete;
  QemuSender& operator=(const QemuSender&) = delete;

  void begin();
  // After a restart of the daemon: QEMU is at it.
  void find();
  void report_to(Progress progress, Reply<TransferProgress> converged);
  // Hypervisor::slow_down
  void slow_down();
  void start_post_copy();
  void finish(Reply<TransferProgress> reply);
  // Replies when it is over, or when QEMU is frozen.
  void cancel(const absl::Status& why, Reply<Done> reply);
  void on_event(const QmpEvent& event);
  const EventId& migration() const { return options_.migration; }
  bool ending() const { return ending_; }

 private:
  static constexpr Duration report_every = absl::Seconds(1);
  static constexpr Duration look_every = absl::Milliseconds(10);       // at passes
  static constexpr Duration first_pass_max = absl::Milliseconds(150);  // of one that is not told

  static constexpr Duration recover_every = absl::Seconds(1);
  static constexpr Duration stalled_max =
      absl::Seconds(10);  // of a stream of post-copy: then it is taken for lost

  using Kind = qemu_handshake::Hello::Kind;
  using Command = std::pair<const char*, QmpValue>;
  void greet(Kind kind);
  std::vector<Command> commands() const;
  bool following() const { return follows_ && status_ != "completed"; }
  void heard(const std::string& status);
  void recover();
  void lose(const absl::Status& why);
  void watch_stall();
  void on_frame(const std::string& bytes);
  void connected(absl::StatusOr<OwnFd> stream);
  void configure(std::shared_ptr<OwnFd> stream, std::size_t step);
  void poll();
  void polled(const absl::StatusOr<QmpValue>& value);
  void poll_at(Instant when);
  void advance();
  void fail(const absl::Status& why);
  void end(const absl::Status& why);
  void be_over();
  void answer(const absl::Status& why);
  void answer_cancelled();
  void take_back_stream();
  template <class F>
  auto guarded(F function);

  EventLoop& loop_;
  LinkNetwork& network_;
  QemuCopy& copy_;
  const TransferOptions options_;
  const QemuTls& tls_;
  std::function<void()> over_call_;
  TransferMeter meter_;
  std::unique_ptr<Link> link_;
  std::uint64_t last_link_ = 0;
  std::string status_ = "none";  // QEMU's
  bool begun_ = false;           // QEMU may be at it, or have its stream
  bool slowed_ = false;
  const Duration patience_;         // without a stream
  bool can_follow_ = false;         // the target is able to
  bool follow_asked_ = false;       // post-copy
  bool follows_ = false;            // it has begun: QEMU cannot take the guest back
  bool lost_ = false;               // what has not followed
  bool whole_there_ = false;        // the target has all, which QEMU has not heard
  Instant broken_at_ = far_future;  // since when there is no stream
  std::uint64_t moved_bytes_ = 0;
  Instant moved_at_{};
  TimerId recover_timer_ = 0;
  bool ending_ = false;
  bool over_ = false;
  absl::Status why_;         // it ends
  bool continuing_ = false;  // migrate-continue was said
  bool arrived_ = false;     // the target said so
  bool polling_ = false;
  bool starting_ = false;  // nothing is to be asked of QEMU yet
  bool asking_ = false;    // while it starts: of QEMU, or for a stream
  TimerId hello_timer_ = 0;
  TimerId poll_timer_ = 0;
  Instant poll_due_{};
  Instant reported_{};
  Instant polled_{};
  Progress progress_;
  Reply<TransferProgress> converged_;
  std::vector<Reply<TransferProgress>> finishers_;
  std::vector<Reply<Done>> cancelled_;  // who waits for the end
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
