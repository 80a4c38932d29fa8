// The real guests of a demo: what they are started with, what is heard of them, and what ends them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/guests/guest_watch.h"
#include "cli/guests/leftovers.h"
#include "cli/guests/qemu_program.h"
#include "cli/node_config.h"
#include "core/event.h"

namespace supercloud {

// Of a guest that counts a hundred times a second, checks its memory, and says each count on a serial port of its own.
struct GuestCount {
  std::uint64_t beats = 0;  // that were heard
  int moves = 0;            // across which it was heard to count on without a break
  int restarts = 0;         // it was taken over, and counts from zero again
  Duration silence_max;     // of these moves
  std::string broken;       // what is wrong with its count or its memory; empty: nothing
};

// Thread-bound. Its guests end with it, or with this process.
class DemoGuests {
 public:
  static constexpr std::uint64_t memory_bytes = 64 << 20;

  // `sockets`: a folder of this demo alone, with a short path, which is removed at the end. Forks: the caller has no threads yet.
  static absl::StatusOr<std::unique_ptr<DemoGuests>> open(const FoundQemu& qemu,
                                                          const std::filesystem::path& sockets);
  ~DemoGuests();
  DemoGuests(const DemoGuests&) = delete;
  DemoGuests& operator=(const DemoGuests&) = delete;

  void write(HostConfig& host, const std::string& node);
  static void write(schema::VmSpec::Builder spec);
  absl::Status listen(EventLoop& loop);
  void stop_listening() { watch_.reset(); }

  void heard(const Event& event);
  // Its machine has gone, with all that ran there.
  void taken(const std::string& node);
  // What is to be told of moves that have ended since.
  std::vector<std::string> look();
  GuestCount count(const std::string& vm) const;
  // After the nodes, which would start them anew.
  void end() { leftovers_.reset(); }

 private:
  struct Counted {
    GuestCount count;  // until the last move began
    std::optional<std::uint64_t>
        heard_again_at;  // a move has ended: so many beats tell that it goes on
    Instant patience{};
  };
  DemoGuests(FoundQemu qemu, std::filesystem::path sockets);
  std::filesystem::path folder_of(const std::string& node);

  const FoundQemu qemu_;
  const std::filesystem::path sockets_;
  std::string program_;
  std::optional<Leftovers> leftovers_;
  EventLoop* loop_ = nullptr;
  std::unique_ptr<GuestWatch> watch_;
  std::map<std::string, int> numbers_;  // of nodes' folders: a socket's path is short
  std::map<std::string, Counted> counted_;
  struct Taken {
    GuestKiller killer;
    int looks = 0;  // how often something is still looked for
  };
  std::map<std::string, Taken> taken_;  // nodes
};

}  // namespace supercloud
