// What a simulated guest reaches the world through, and who watches it do so. The composition root
// adapts volumes and fabric to GuestDevices, since this folder knows neither.
#pragma once

#include <cstdint>
#include <string>

#include "core/reply.h"
#include "core/units.h"

namespace supercloud {

// The backends of all guests of one host; they outlive the daemon. Thread-bound.
//
// A request whose guest may not do it (a fenced or sealed volume) is held, or its reply is dropped.
// It is not answered with an error, which a guest would take for a broken disk. Where an error
// comes nevertheless, or a reply is dropped, the host asks again after a moment, as an NBD client
// does that has lost its server. Replies may come from inside the call.
class GuestDevices {
 public:
  virtual ~GuestDevices() = default;
  // Replies when the write is acknowledged: with the volume's version of it, 0 if it has none.
  virtual void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
                     Reply<std::uint64_t> done) = 0;
  // Replies when every write acknowledged before is on stable storage, with the newest such
  // version.
  virtual void flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) = 0;
  // One frame to the guest's peers; lost if the port is not open.
  virtual void transmit(const std::string& vm, Epoch epoch) = 0;
  // It reads `bytes` of a resource that does not move with it, VmSpec.reads. Not answered here: a guest that is cut off from it
  // reads at its next time.
  virtual void read_resource(const std::string& vm, Epoch epoch, const std::string& resource,
                             std::uint64_t bytes) = 0;
};

// Told of every step that a guest executes: for checkers.
class GuestObserver {
 public:
  virtual ~GuestObserver() = default;
  // Before the first instruction at an epoch.
  virtual void on_first_instruction(const std::string& vm, Epoch epoch) = 0;
  virtual void on_execute(const std::string& vm, Epoch epoch) = 0;
  // What of a copy's memory was to follow is waited for no more: no stream of it came for too long, or the other side's copy is gone.
  virtual void on_memory_given_up(const std::string& vm) = 0;
  // The daemon destroys a copy whose memory is half way at its target.
  virtual void on_needed_destroyed(const std::string& vm) = 0;
};

// What a checker may ask about a copy, from outside of every seam.
struct GuestProbe {
  std::string vm;
  Epoch epoch = 0;
  bool executes = false;      // its vCPUs run
  bool incoming = false;      // being filled, or arrived and not yet ours
  bool needed = false;        // its target executes with its memory
  bool memory_intact = true;  // no self-check has failed
  std::uint64_t ticks = 0;    // executed since it booted; part of its memory, so it moves along
  Epoch boot_epoch = 0;       // at which it booted from disk
  std::uint64_t writes_issued = 0;  // since it booted
  std::uint64_t writes_acked = 0;
  std::uint64_t writes_flushed = 0;  // acknowledged, and covered by an acknowledged flush
  std::uint64_t version_acked =
      0;  // of the volume: the newest write that the guest knows to be done
  std::uint64_t version_flushed = 0;
  std::size_t requests_in_flight = 0;
  Instant last_executed;
};

}  // namespace supercloud
