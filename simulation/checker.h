// What must always hold, watched from outside of the system (docs/architecture.md, "Failure model").
//
// The machines of a simulated cluster tell the checker what really happens (an instruction executes, a write is acknowledged, a
// frame is delivered), and it sees the lease table's stable contents. None of this is visible to the actors.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/event.h"
#include "core/lease_table.h"
#include "core/time.h"
#include "core/units.h"
#include "simulation/holder.h"

namespace supercloud {

struct Violation {
  Instant at;        // world time
  std::string rule;  // of the failure model: "1: at most one effective copy", ...
  std::string what;
};

// A block as a guest or a disk knows it.
struct KnownBlock {
  std::uint64_t value = 0;
  Epoch epoch = 0;
  std::uint64_t version = 0;
};

// Thread-bound.
class Checker {
 public:
  explicit Checker(const Clock& world)
      : world_(world), holds_(world, [this](std::string what) {
          violated("an event whose publisher was told so is taken by who holds it",
                   std::move(what));
        }) {}

  // What the cluster is asked when it matters.
  struct Eyes {
    // A machine that is frozen as a whole, or thawed less than the keeper's stopping time ago, may execute past its deadline.
    std::function<bool(const std::string& machine)> excused;
    // Whether the lease table goes on with a session; where it cannot be asked, as it last stood on its disk.
    std::function<bool(const SessionId& session)> session_alive;
    // The content of a machine's volume.
    std::function<std::map<std::uint64_t, KnownBlock>(const std::string& machine,
                                                      const std::string& vm)>
        disk;
    // Machines where a copy of the VM executes now.
    std::function<std::vector<std::string>(const std::string& vm)> executing;
    // Archives, by the machines that they are on, and which disk of the machine it is; without those that were lost for good.
    std::function<std::map<std::string, std::uint64_t>()> archive_disks;
    // Whether an event is on the disk of one of them.
    std::function<bool(const std::string& machine, const EventId& event)> in_archive;
  };
  void set_eyes(Eyes eyes) { eyes_ = std::move(eyes); }

  // The table's record, after each change that is on its stable storage.
  void lease_changed(const std::string& vm, const LeaseRecord* record);

  // `boot`: from disk, without the memory of an earlier execution.
  void first_instruction(const std::string& machine, const std::string& vm, Epoch epoch, bool boot);
  void executed(const std::string& machine, const std::string& vm, Epoch epoch);
  // A fault took a copy's memory: the guest died, or its machine lost its power.
  void memory_lost(const std::string& vm);
  // A part of it did not follow in time (14): only a boot ends that.
  void memory_given_up(const std::string& vm) { vms_[vm].memory_given_up = true; }
  // An executor destroys a copy whose memory its target needs. Right only where nobody has committed what is half way.
  void needed_destroyed(const std::string& machine, const std::string& vm);
  // What runs there has to leave: moves until then may leave its memory behind (16).
  void hurried(const std::string& machine, Instant until = far_future) {
    Instant& known = hurried_[machine];
    known = std::max(known, until);
  }
  void memory_broken(const std::string& machine, const std::string& vm);
  // A block that is written again may be torn by a crash, whatever was flushed there before.
  void write_issued(const std::string& vm, std::uint64_t block, std::uint64_t value);
  void write_acknowledged(const std::string& machine, const std::string& vm, Epoch epoch,
                          std::uint64_t block, const KnownBlock& content);
  // Every write that was acknowledged with at most this version is promised to be on stable storage.
  void flush_acknowledged(const std::string& vm, std::uint64_t version);
  void frame_delivered(const std::string& machine, const std::string& vm, Epoch epoch);
  // A guest was told that its access to a resource is on record.
  void access_acknowledged(const std::string& vm) { ++accesses_[vm]; }
  const std::map<std::string, std::uint64_t>& accesses() const { return accesses_; }  // by vm

  // A publisher was told that an event is archived: it is on the disks of archives of `machines` others, then and for ever, and where
  // such a disk was lost since the event was logged, it counts as if the event had been there.
  struct Archived {
    std::string machine;  // that published it
    EventId event;
    std::uint32_t machines = 0;
    std::map<std::string, std::uint64_t> disks;  // archive_disks() when it was logged
  };
  std::map<std::string, std::uint64_t> archive_disks() const { return eyes_.archive_disks(); }
  void told_archived(Archived archived);
  void check_archived();  // all of them
  std::size_t told_archived() const { return archived_.size(); }
  const Clock& world() const { return world_; }
  HoldBook& holds() { return holds_; }
  const HoldBook& holds() const { return holds_; }

  // What a takeover lost of what the guest had been promised: vm.started has to say as much (13, 21).
  struct Loss {
    std::string vm;
    Epoch epoch = 0;
    Duration age;  // of the oldest promise that was broken, at the takeover
  };
  const std::vector<Loss>& losses() const { return losses_; }

  // For what the end of a run finds.
  void violated(std::string rule, std::string what);
  const std::vector<Violation>& violations() const { return violations_; }

 private:
  struct Vm {
    std::map<Epoch, std::string> winners;  // who won each epoch, by the table
    std::map<Epoch, SwapKind> kinds;
    Epoch epoch = 0;        // the table's
    Instant epoch_since{};  // world time
    std::string holder;
    SessionId session;  // under which the epoch was won
    bool loss_allowed = false;
    Duration loss_bound = absl::InfiniteDuration();
    std::vector<std::string> in_sync;  // of the record
    // Since it last executed, somebody took it over who had not been in it: when, the first time.
    std::optional<Instant> out_of_sync;
    std::string address;                 // of the guest
    bool unwanted = false;               // its user wants it stopped or gone
    bool stopped = false;                // ... or did, since it last began to execute
    bool memory_lost = false;            // since it last executed
    bool memory_given_up = false;        // since it last booted
    bool committed = false;              // a move, whose end is not told
    std::map<Epoch, std::string> began;  // where each epoch's first instruction was executed
    Epoch executed = 0;                  // highest epoch that began
    Epoch written = 0, delivered = 0;    // highest epochs that had an effect
    std::map<std::uint64_t, KnownBlock> acknowledged, flushed;  // the newest of each block
    std::map<std::uint64_t, Instant> promised;                  // since when each block is flushed
    Instant last_promise{};                                     // to the guest at this holder
    std::map<std::uint64_t, std::uint64_t> issued;              // the newest value of each block
    std::map<std::uint64_t, std::map<std::uint64_t, KnownBlock>> unflushed;  // by block and version
  };
  void check_disk(const std::string& machine, const std::string& vm, Epoch epoch, bool boot,
                  Vm& state);
  void check_loss(const std::string& machine, const std::string& vm, Epoch epoch,
                  const std::map<std::uint64_t, KnownBlock>& disk, const Vm& state);
  static void begin_from(const std::map<std::uint64_t, KnownBlock>& disk, Vm& state);
  void check_memory(const std::string& machine, const std::string& vm, Epoch epoch,
                    const Vm& state);
  static bool won_by(SwapKind kind, const Vm& state, Epoch epoch);

  bool still_archived(const Archived& archived);

  const Clock& world_;
  Eyes eyes_;
  std::map<std::string, Vm> vms_;
  std::map<std::string, Instant> hurried_;
  std::map<std::string, std::uint64_t> accesses_;
  std::vector<Loss> losses_;
  std::vector<Archived> archived_;
  HoldBook holds_;
  std::vector<Violation> violations_;
};

}  // namespace supercloud
