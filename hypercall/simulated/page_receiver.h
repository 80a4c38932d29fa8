// The target's side of a page stream.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/link.h"
#include "core/scheduler.h"
#include "hypercall/simulated/guest.h"
#include "hypercall/transfer_protocol.h"

namespace supercloud {

// One connection. Thread-bound.
class PageReceiver {
 public:
  struct Owner {
    // Whether a stream that begins so may fill a copy here, and which.
    std::function<absl::StatusOr<SimulatedGuest*>(const transfer::Hello&)> admit;
    // Memory and devices are complete; the source is told after this returns.
    std::function<void(const std::string& vm)> arrived;
    // After a post-copy: all of its memory is here.
    std::function<void(const std::string& vm)> whole;
    // The connection is over: lost, refused, malformed, or closed after arrival. Never from inside
    // a call; the owner destroys the receiver. `vm` is empty if no stream had been admitted.
    std::function<void(const std::string& vm, absl::Status why)> ended;
  };

  PageReceiver(Scheduler& scheduler, std::unique_ptr<Link> link, Owner owner);
  ~PageReceiver();
  PageReceiver(const PageReceiver&) = delete;
  PageReceiver& operator=(const PageReceiver&) = delete;

  bool admitted() const { return guest_ != nullptr; }
  // Its guest waits for this page.
  void want(std::uint32_t page);

 private:
  void on_frame(const std::string& bytes);
  absl::Status take(const transfer::Frame& frame);
  absl::Status begin(const transfer::Hello& hello);
  absl::Status fill(const transfer::Pages& pages);
  absl::Status miss(const transfer::Rest& rest);
  absl::Status complete(const transfer::Final& last);
  void end(absl::Status why);

  Scheduler& scheduler_;
  Owner owner_;
  SimulatedGuest* guest_ = nullptr;
  std::string vm_;
  bool arrived_ = false;
  std::optional<std::uint32_t> wanted_;
  bool ended_ = false;
  TimerId greeting_ = 0;  // a connection that says nothing is closed
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Link> link_;
};

}  // namespace supercloud
