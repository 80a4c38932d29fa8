// The source's side of a page stream: pre-copy in passes, paced to a bandwidth, then the rest of a
// drained guest.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/link.h"
#include "core/scheduler.h"
#include "hypercall/hypervisor.h"
#include "hypercall/simulated/guest.h"
#include "hypercall/transfer_protocol.h"

namespace supercloud {

// Thread-bound. Destroying it closes the stream without a further call; replies that wait are
// dropped, see cancel().
class PageSender {
 public:
  using Progress = std::function<void(const TransferProgress&)>;

  // `share`: the bytes per second that the host's link has for this stream now; asked anew for each batch. `ended` is called once if
  // the stream ends by itself, never from inside a call: the owner may then destroy the sender.
  PageSender(Scheduler& scheduler, LinkNetwork& network, SimulatedGuest& guest,
             TransferOptions options, std::function<std::uint64_t()> share, Epoch epoch,
             std::function<void(absl::Status why)> ended);
  ~PageSender();
  PageSender(const PageSender&) = delete;
  PageSender& operator=(const PageSender&) = delete;

  const EventId& migration() const { return options_.migration; }
  bool failed() const { return failed_; }
  // Whether it takes its share of the link.
  bool busy() const { return !failed_ && (!confirmed_ || following()); }
  // Post-copy has begun, and the target does not have all: this guest cannot go on.
  bool following() const { return follows_ && !whole_; }
  GuestStatus::Memory memory() const;
  const std::string& memory_why() const { return memory_why_; }
  // Called when memory() has changed.
  void on_change(std::function<void()> call) { changed_ = std::move(call); }
  // Of one that is following: its stream ends, and another is tried; or what has not followed is given up.
  void cut();
  void lose(const absl::Status& why);

  // Whom to tell; a daemon that has restarted asks again and takes the place of the former one.
  void report_to(Progress progress, Reply<TransferProgress> converged);
  // The guest is stopped and drained, and stays so. Again: answered again.
  void finish(Reply<TransferProgress> reply);
  // The guest executes less and less until it has converged, by a step each pass; as before when this is gone.
  void slow_down();
  void start_post_copy();
  // Answers who still waits.
  void cancel(const absl::Status& why);

 private:
  void on_frame(const std::string& bytes);
  void fail(absl::Status why);
  void schedule(Duration delay);
  void pump();
  void send_batch();
  void end_pass();
  void throttle();
  void finish_by_parts();
  void send_rest();
  void take_rest(std::vector<std::uint32_t> pages);
  void break_off(const absl::Status& why);
  void recover();
  void connect(bool again);
  void confirm();
  void report();
  TransferProgress measure() const;
  std::uint64_t bytes_per_second() const;
  Duration time_for(std::uint64_t bytes) const;

  Scheduler& scheduler_;
  LinkNetwork& network_;
  const Epoch epoch_;
  SimulatedGuest& guest_;
  TransferOptions options_;
  std::function<std::uint64_t()> share_;
  std::function<void(absl::Status)> ended_;
  std::function<void()> changed_;
  Progress progress_;
  Reply<TransferProgress> converged_reply_;
  std::vector<Reply<TransferProgress>> finish_replies_;

  std::vector<std::uint32_t> queue_;  // of this pass
  std::size_t next_ = 0;              // in queue_
  std::uint32_t pass_ = 0;
  std::uint64_t sent_pages_ = 0;
  std::uint32_t percent_ = 0;
  bool accepted_ = false;
  bool idle_ = false;  // the timer is a rest between passes, not the time a batch takes
  bool converged_ = false;
  bool finishing_ = false;
  bool final_sent_ = false;
  bool confirmed_ = false;
  bool failed_ = false;
  std::uint32_t throttle_percent_ = 0;  // 0: it is not slowed down
  bool follow_asked_ = false;           // post-copy
  bool follows_ = false;                // it has begun
  bool whole_ = false;                  // the target has all
  bool broken_ = false;                 // without a stream, since broken_at_
  bool lost_ = false;
  std::string memory_why_;
  Instant broken_at_;
  std::vector<std::uint32_t> rest_;  // what the target does not have, the last first
  Instant reported_;
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Link> link_;  // last: closed before anything that its handler uses
};

}  // namespace supercloud
