// A simulated guest: memory that is a function of what it has executed, a disk workload whose
// acknowledgements it remembers, frames to its peers, and reads of a resource that lives elsewhere.
//
// A tick of the guest writes its clock page and some others, issues disk writes, and a flush after
// every few of them. The value of a write is (boot epoch << 40 | number of the write since that
// boot), so every value is unique and says its order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/message.h"
#include "core/scheduler.h"
#include "hypercall/simulated/dirty_meter.h"
#include "hypercall/simulated/guest_devices.h"
#include "hypercall/simulated/guest_memory.h"

namespace supercloud {

struct GuestOptions {
  std::size_t pages_max = 256;  // pages that stand for the whole memory, however large
  Duration tick = absl::Milliseconds(20);
  std::uint32_t flush_every = 5;  // writes
  std::size_t requests_max = 16;  // disk requests in flight; more wait for the next tick
  Duration retry =
      absl::Milliseconds(200);  // of a disk request that was answered with an error, or dropped
  // Of a resource that lives elsewhere (VmSpec.reads): a part of it each time, by execution.
  Duration read_every = absl::Seconds(5);
  std::uint64_t read_bytes = 1 << 20;
};

inline constexpr unsigned write_number_bits = 40;

// Thread-bound. Destroying it drops its disk requests.
class SimulatedGuest {
 public:
  SimulatedGuest(Scheduler& scheduler, GuestDevices& devices, GuestObserver* observer,
                 const GuestOptions& options, Message<schema::VmSpec> spec);
  ~SimulatedGuest();
  SimulatedGuest(const SimulatedGuest&) = delete;
  SimulatedGuest& operator=(const SimulatedGuest&) = delete;

  const std::string& vm() const { return vm_; }
  schema::VmSpec::Reader spec() const { return spec_.reader(); }
  GuestMemory& memory() { return memory_; }
  // Guest memory that one page of the model stands for.
  std::uint64_t page_bytes() const { return page_bytes_; }

  // Boots, if it never ran and nothing was loaded, or goes on; disk requests that are still open
  // are sent again at this epoch.
  void run(Epoch epoch);
  // The vCPUs stop; disk requests under way are completed into memory.
  void stop();
  // The vCPUs stop and nothing reaches memory any more; open disk requests stay open.
  void freeze();
  // After freeze(): open disk requests are sent again at `epoch`, to drain.
  void thaw_backends(Epoch epoch);
  bool executes() const { return executes_; }
  // So much of its time it does not execute: it writes that much less.
  void throttle(std::uint32_t percent) { throttle_percent_ = percent; }
  // No disk request is under way.
  bool drained() const { return requests_.empty(); }
  // Called whenever the last open request is done.
  void on_drained(std::function<void()> call) { on_drained_ = std::move(call); }

  // Called with a page that it waits for; it executes when that is loaded.
  void on_missing(std::function<void(std::uint32_t page)> call) { on_missing_ = std::move(call); }

  // Registers and devices, for the page stream. Drained guests only.
  std::string device_state() const;
  absl::Status load_device_state(std::string_view bytes);

  // Of its workload, as measured; zeros unless it executes.
  DirtyRate dirty_rate() const;
  GuestProbe probe() const;

 private:
  class Answer;
  struct Request {
    bool flush = false;
    std::uint64_t block = 0;
    std::uint64_t value = 0;
    std::uint64_t covers = 0;   // flush: writes acknowledged when it was issued
    std::uint64_t attempt = 0;  // an answer to an earlier one does not count
  };

  void boot(Epoch epoch);
  void check_memory();
  void tick();
  void dirty_some();
  std::optional<std::uint32_t> waits_for() const;
  void issue(Request request);
  void submit(std::uint64_t id);
  void resubmit_all();
  void retry(std::uint64_t id, std::uint64_t attempt);
  bool writes_to(std::uint64_t block) const;
  void complete(std::uint64_t id, std::uint64_t attempt, absl::StatusOr<std::uint64_t> version);
  Reply<std::uint64_t> answer(std::uint64_t id, std::uint64_t attempt);

  Scheduler& scheduler_;
  GuestDevices& devices_;
  GuestObserver* observer_;
  GuestOptions options_;
  Message<schema::VmSpec> spec_;
  std::string vm_;
  std::uint64_t page_bytes_ = 0;
  std::uint64_t blocks_ = 1;
  std::uint64_t read_ticks_ = 0;  // from one read of its resource to the next; 0: it has none
  GuestMemory memory_;
  DirtyMeter dirty_meter_;

  // Guest state: what travels in device_state().
  Epoch boot_epoch_ = 0;        // 0: not booted
  std::uint64_t workload_ = 0;  // seed of the next random choice
  std::uint64_t ticks_ = 0;
  std::uint64_t dirty_credit_ =
      0;  // in bytes * ns: what is left of the dirty rate after whole pages
  std::uint64_t write_credit_ = 0;  // in writes * ns
  std::uint64_t writes_issued_ = 0;
  std::uint64_t writes_acked_ = 0;
  std::uint64_t writes_flushed_ = 0;
  std::uint64_t version_acked_ = 0;
  std::uint64_t version_flushed_ = 0;

  // Host state.
  Epoch epoch_ = 0;
  bool executes_ = false;
  bool backends_frozen_ = false;
  std::uint32_t throttle_percent_ = 0;
  bool memory_intact_ = true;
  Instant last_executed_;
  TimerId timer_ = 0;
  std::map<std::uint64_t, Request> requests_;  // by id, in the order of issue
  std::uint64_t next_request_ = 1;
  std::uint64_t next_attempt_ = 1;
  std::function<void()> on_drained_;
  std::function<void(std::uint32_t page)> on_missing_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// "tenant/name": how seams call a VM.
std::string vm_name(schema::VmSpec::Reader spec);

}  // namespace supercloud
