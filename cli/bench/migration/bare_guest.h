// The floor: a guest that is moved by QEMU alone, as a plain script does it. No lease, no keeper, no log; the same command lines, the same
// settings of the migration, the same kind of stream.
//
//   target: started with -incoming, capabilities ─▶ migrate-incoming
//   source: capabilities, parameters ─▶ migrate ─▶ pre-switchover ─▶ migrate-continue ─▶ completed ─▶ quit
//                                                                    target: the guest goes on
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/guests/qmp_script.h"
#include "core/event_loop.h"
#include "hypercall/qemu/machine.h"

namespace supercloud {

struct BareGuestOptions {
  QemuStart start;  // with the watch's program; its folder and its side of a move are filled in
  QemuGuest guest;
  std::filesystem::path folder;  // below it each QEMU has one
  std::function<bool()> stop;    // true: Cancelled
};

// Thread-bound to the loop; calls block and run it.
class BareGuest {
 public:
  // It runs.
  static absl::StatusOr<std::unique_ptr<BareGuest>> start(EventLoop& loop,
                                                          BareGuestOptions options);
  ~BareGuest();
  BareGuest(const BareGuest&) = delete;
  BareGuest& operator=(const BareGuest&) = delete;

  // Starts the QEMU that the next move goes to, ahead of that.
  absl::Status prepare();
  // To that one, or to a new QEMU. Until the guest goes on there and the old one has said that all is sent; the old one has ended when it
  // returns. How long the former took, with the start of the target unless it was prepared.
  absl::StatusOr<Duration> move();

 private:
  struct Machine {
    pid_t process = -1;
    std::string folder;
    std::string status;  // of the migration, as it told last
    bool goes_on = false;
    std::optional<QmpWord> answer;  // to the last command
    std::unique_ptr<QmpScript> monitor;
    ~Machine();
  };

  BareGuest(EventLoop& loop, BareGuestOptions options)
      : loop_(loop), options_(std::move(options)) {}
  absl::StatusOr<std::unique_ptr<Machine>> launch(bool incoming);
  // Says it and waits for its answer.
  absl::Status tell(Machine& machine, const std::string& command,
                    const std::string& arguments = "{}");
  absl::Status until(const char* what, absl::FunctionRef<bool()> done);
  void end(Machine& machine);

  EventLoop& loop_;
  const BareGuestOptions options_;
  int launched_ = 0;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<Machine> target_;  // that is prepared
};

}  // namespace supercloud
