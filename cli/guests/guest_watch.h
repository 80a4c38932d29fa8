// What an outsider sees of real guests, whoever moves them: when a QEMU says that its guest stands still and goes on, and each beat of the
// guest itself (cli/measure/guest). Each QEMU is started through a program of the watch, which gives it a second monitor and a second
// serial port, both sockets in the watch's folder.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/guests/qmp_script.h"
#include "core/event_loop.h"

namespace supercloud {

// What a QEMU says of its guest, or of a migration.
struct GuestSign {
  std::string what;  // "STOP", "RESUME", "completed" and other states of a migration
  absl::Time at;     // by QEMU's stamp
  int machine = 0;   // of the guest's QEMUs: a later one has a higher number
};

// Of a guest since the last GuestWatch::forget().
struct GuestSeen {
  std::vector<GuestSign> signs;  // of each QEMU in their order
  std::uint64_t beats = 0;
  int restarts =
      0;  // a QEMU of its own began, that got nothing from another: it counts from zero again
  Duration gap_max;  // between two beats, as they are heard here
  std::string
      broken;  // what is wrong with its memory, or with the order of its beats; empty: nothing

  // Stands still from the source's STOP to the target's RESUME. Empty: not both were said.
  std::optional<Duration> stood_still() const;
};

// Thread-bound to its loop.
class GuestWatch {
 public:
  // Makes the program that starts `qemu` so that it is watched. Its path; Unavailable.
  static absl::StatusOr<std::string> write_program(const std::filesystem::path& folder,
                                                   const std::string& qemu);
  // Watches each QEMU that is started by that program from now on.
  static absl::StatusOr<std::unique_ptr<GuestWatch>> open(EventLoop& loop,
                                                          const std::filesystem::path& folder);
  ~GuestWatch();
  GuestWatch(const GuestWatch&) = delete;
  GuestWatch& operator=(const GuestWatch&) = delete;

  // By QEMU's name for it.
  const GuestSeen& seen(const std::string& guest) { return guests_[guest].seen; }
  void forget(const std::string& guest) { guests_[guest].seen = {}; }

 private:
  struct Guest {
    GuestSeen seen;
    std::optional<std::uint8_t> last_beat;
    Instant heard{};
  };
  struct Machine {
    std::string guest;
    bool fresh = false;  // its guest began there
    bool heard = false;
    int number = 0;
    std::unique_ptr<QmpScript> monitor;
    int beats = -1;
  };

  GuestWatch(EventLoop& loop, std::filesystem::path folder)
      : loop_(loop), folder_(std::move(folder)) {}
  void look_for_machines();
  bool connect(pid_t process, Machine& machine);
  void heard(pid_t process, const QmpWord& word);
  void ended(pid_t process);
  void read_beats(Machine& machine);
  void read_all_beats(const std::string& guest, pid_t last);
  void heard(Machine& machine, std::uint8_t beat);
  void close(int& fd);

  EventLoop& loop_;
  const std::filesystem::path folder_;
  int changes_ = -1;  // of the folder
  TimerId again_ = 0;
  int last_number_ = 0;
  std::map<pid_t, Machine> machines_;
  std::map<std::string, Guest> guests_;
};

// Runs the loop until `done` holds or `limit` has passed: whether it holds. What no event tells of is looked at, too.
bool await(EventLoop& loop, Duration limit, absl::FunctionRef<bool()> done);

}  // namespace supercloud
