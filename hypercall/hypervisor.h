// The hypervisor seam, with its keeper: the copies of VMs on one node.
//
// A copy is named by its VM; a node has at most one. An incoming copy is being filled by a migration and has never run here;
// an own copy has been started, or came to be ours by a swap. Every first instruction is a resume() at a new epoch, under an
// armed keeper (choreography, rules 2, 3, 7).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/event.h"
#include "core/message.h"
#include "core/reply.h"
#include "core/units.h"

namespace supercloud {

struct GuestStatus {
  enum class State : std::uint8_t {
    incoming,  // being filled; not complete
    arrived,   // complete incoming copy, stopped
    stopped,   // own copy, created or paused; nothing of it touches memory, disk or network
    running,
    frozen,  // by its keeper: the deadline passed
  };
  std::string vm;  // "tenant/name"
  State state = State::stopped;
  Epoch epoch = 0;      // own: the epoch it last ran at or was created for; incoming: the source's
  EventId migration;    // incoming, and of an own copy that is being sent
  std::string address;  // the guest's own
  // Whether its memory is here, after a move by post-copy.
  enum class Memory : std::uint8_t {
    whole,
    following,  // at the target, arrived or own: the rest is on its way
    waiting,    // likewise, for another stream: its own was lost
    needed,     // at the source: the target needs it until it has all. It cannot be resumed
    broken,     // at the source, likewise: its stream was lost, and another is tried
    unknown,  // at a source whose daemon was restarted: whether it is needed, or whole, its QEMU has not said yet
    lost,  // the rest does not come any more, or is not taken: this copy can only be destroyed
  };
  Memory memory = Memory::whole;
  std::string memory_why;  // waiting, broken, lost
};

inline constexpr std::uint64_t guest_page_bytes = 4096;

// How a guest writes its memory, as measured where it runs, in pages.
struct DirtyRate {
  std::uint64_t pages_per_second = 0;
  std::uint64_t working_set_pages = 0;  // different ones, of the whole window
};
inline constexpr std::uint64_t dirty_rate_seconds = 10;  // the window, in seconds of execution

struct TransferProgress {
  std::uint32_t percent = 0;  // of memory; monotonic
  std::uint32_t pass = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t remaining_bytes = 0;
  std::uint64_t bytes_per_second = 0;
  std::uint64_t dirty_pages_per_second = 0;
  Duration eta_low, eta_high;
  bool converged =
      false;  // what remains fits into the blackout budget, or may follow: time to pause
  bool can_follow = false;  // start_post_copy() would be obeyed
};

struct TransferOptions {
  EventId migration;
  std::string endpoint;                    // of the target's link network
  std::uint64_t bytes_per_second_max = 0;  // 0: no cap
  Duration blackout_budget = absl::Milliseconds(300);
  static constexpr std::uint32_t passes_unlimited = ~std::uint32_t{0};
  std::uint32_t passes_max = 30;  // then it counts as converged, whatever the blackout will be
  bool post_copy = false;         // allowed, should the target be able to
};

// What the way of memory to another host is like, as it was tried.
struct Way {
  Duration round_trip;
  std::uint64_t bytes_per_second = 0;  // 0: not known
  // ... for it had not come up to its speed, or the hosts were slower: nothing says that it does not carry more.
  bool at_least = false;
};
// What a way is tried with: so much, or for so long, whichever is less.
inline constexpr std::uint64_t way_bytes_max = 4 << 20;
inline constexpr Duration way_time_max = absl::Milliseconds(100);

// Thread-bound. Copies and keepers outlive the daemon, and its Hypervisor object; the calls are idempotent where noted.
class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  virtual std::string description() const = 0;  // "simulated", "qemu 10.0.2 (tcg)"
  virtual std::uint64_t memory_free_bytes() const = 0;
  virtual std::vector<GuestStatus> list() const = 0;  // by vm
  // What speaks against a copy of this VM here, whatever room there is, with its cure; OK: nothing.
  virtual absl::Status check(schema::VmSpec::Reader spec) const = 0;

  // A stopped own copy that boots from its disk at the first resume. AlreadyExists if there is a copy.
  virtual void create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) = 0;
  // An incoming copy that accepts the stream of this migration only, out of a standby of this description if there is one. Idempotent for
  // one migration.
  virtual void prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                                Reply<Done> reply) = 0;

  // A standby: what prepare_incoming() of this description needs, made ready ahead of it, until that time or, where it is asked for again,
  // the later one. It executes nothing, is in no list, and ends with destroy(), and at the latest as the next daemon starts: what a daemon that was killed
  // leaves of it stays until then. The room of its memory is its VM's; a create() that finds no other takes it. Replies when it is ready. AlreadyExists: there is a copy of the VM. ResourceExhausted: no room.
  virtual void keep_standby(Message<schema::VmSpec> spec, Instant until, Reply<Done> reply) = 0;
  // Its part of what is not free; 0: there is none.
  virtual std::uint64_t standby_bytes(const std::string& vm) const = 0;
  virtual void drop_standbys() = 0;

  // Whether memory could go from here to the host with that endpoint of its link network; with `measure` also what the way carries, if it lets
  // that be tried just now. Unavailable: which place others say is not reached. Unimplemented: it tells nothing. Else it was not found out.
  virtual void try_way(std::string endpoint, bool measure, Reply<Way> reply) = 0;
  // At most so much of the memory of a guest here is other than when it began; 0: not known.
  virtual std::uint64_t touched_bytes(const std::string& vm) const = 0;

  // Pre-copy: sends memory, pass after pass, while the guest runs; `progress` is called about once a second and at every pass.
  // Replies when converged (the guest still runs), or with the error that ended it. Memory goes on being sent until pause().
  virtual void send(std::string vm, TransferOptions options,
                    std::function<void(const TransferProgress&)> progress,
                    Reply<TransferProgress> converged) = 0;
  // Of a guest that is being sent: it executes less and less until it has converged, or its transfer has ended. Nothing else ends that;
  // where none is sent, nothing happens. Idempotent.
  virtual void slow_down(const std::string& vm) = 0;
  // Of a guest that is being sent: what of its memory has not been sent by the pause follows while it executes at the target. So it counts as
  // converged. Where that is not possible, nothing happens. Idempotent.
  virtual void start_post_copy(const std::string& vm) = 0;
  // Stops the vCPUs and drains: when it replies, no backend touches guest memory and no disk request is under way. Idempotent.
  virtual void pause(std::string vm, Reply<Done> reply) = 0;
  // The rest of memory and the device state of a paused guest. Replies when the target has confirmed all of it; by post-copy, as much as
  // executing takes: this copy is `needed` then, and progress goes on being told until the target has the rest.
  virtual void finish_send(std::string vm, Reply<TransferProgress> reply) = 0;
  // Ends a transfer, whatever its stage; the own copy stays as it is. Idempotent.
  virtual void stop_send(std::string vm, Reply<Done> reply) = 0;
  // Lets the guest execute at `epoch`: an own stopped or frozen copy, or an arrived one, which becomes own. FailedPrecondition
  // unless the keeper's deadline lies ahead when it takes effect, however late that is, and has not passed since it was called:
  // a freeze beats every resume that is still on its way (rule 7).
  virtual void resume(std::string vm, Epoch epoch, Reply<Done> reply) = 0;
  // Idempotent.
  virtual void destroy(std::string vm, Reply<Done> reply) = 0;

  // The keeper's deadline for this guest: when it passes, the guest is frozen from outside, whatever else goes on. Moves it in
  // either direction; takes effect before it returns. A deadline in the past freezes at once.
  virtual void arm(const std::string& vm, Instant deadline) = 0;

  // "Look at this VM": it was frozen, died, arrived, lost its stream. Coalesced.
  virtual void watch(std::function<void(const std::string& vm)> look) = 0;

  // Measured at all times, over the last dirty_rate_seconds that the guest has executed here, or over as many as there are. Zeros
  // unless it is running.
  virtual DirtyRate dirty_rate(const std::string& vm) const = 0;
};

}  // namespace supercloud
