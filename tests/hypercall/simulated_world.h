// Two simulated hosts over links in virtual time, with a disk that both see.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/memory_link.h"
#include "core/virtual_scheduler.h"
#include "hypercall/simulated/hypervisor.h"
#include "tests/hypercall/hypervisor_conformance.h"

namespace supercloud {

// A disk that takes one epoch's requests, a little later, and holds all others.
class TestDevices final : public GuestDevices {
 public:
  explicit TestDevices(Scheduler& scheduler) : scheduler_(scheduler) {}

  void write(const std::string& vm, Epoch epoch, std::uint64_t block, std::uint64_t value,
             Reply<std::uint64_t> done) override;
  void flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) override;
  void transmit(const std::string& vm, Epoch epoch) override;
  void read_resource(const std::string& vm, Epoch epoch, const std::string& resource,
                     std::uint64_t bytes) override;

  void serve(const std::string& vm, Epoch epoch);
  void hold(bool held);
  void fail_next(int requests) { failing_ = requests; }
  // The replies of the next requests are dropped, every other one of them after it took effect.
  void drop_next(int requests) { dropping_ = requests; }

  std::uint64_t block(const std::string& vm, std::uint64_t block) const;
  // Highest write number acknowledged, of those that booted at this epoch.
  std::uint64_t highest_acked(const std::string& vm, Epoch boot_epoch) const;

  std::map<std::pair<std::string, Epoch>, std::uint64_t> frames;
  std::map<std::pair<std::string, Epoch>, std::uint64_t> bytes_read;  // of any resource

 private:
  struct Request {
    std::string vm;
    Epoch epoch = 0;
    bool flush = false;
    std::uint64_t block = 0;
    std::uint64_t value = 0;
    Reply<std::uint64_t> done;
  };
  void take(Request request);
  void apply(Request request);

  Scheduler& scheduler_;
  bool held_ = false;
  int failing_ = 0;
  int dropping_ = 0;
  std::map<std::string, Epoch> serving_;
  std::map<std::string, std::uint64_t> version_;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> blocks_;
  std::map<std::pair<std::string, Epoch>, std::uint64_t> acked_;
  std::deque<Request> waiting_;
};

class SimulatedWorld final : public HypervisorWorld, public GuestObserver, public HostFaults {
 public:
  explicit SimulatedWorld(std::uint64_t seed = 1, SimulatedHostOptions options = {});
  ~SimulatedWorld() override;

  Hypervisor& host(int index) override {
    return *sides_[static_cast<std::size_t>(index)].hypervisor;
  }
  std::string endpoint(int index) override;
  Instant now() override { return scheduler.now(); }
  bool wait(Duration limit, const std::function<bool()>& condition) override;
  void serve_disk(const std::string& vm, Epoch epoch) override { devices.serve(vm, epoch); }
  void hold_disk(bool held) override { devices.hold(held); }
  std::uint64_t executed(int index, const std::string& vm) override;
  bool memory_intact(const std::string& vm) override;
  void restart_daemon(int index) override;
  void cut_streams() override { hub.reset("a", "b"); }
  Duration stop_time() override { return options_.stop_time_max; }

  void on_first_instruction(const std::string& vm, Epoch epoch) override;
  void on_execute(const std::string& vm, Epoch epoch) override;
  void on_memory_given_up(const std::string&) override {}
  void on_needed_destroyed(const std::string&) override {}
  CallFault on_call(std::string_view call, const std::string& vm) override;

  SimulatedHost& simulated(int index) { return *sides_[static_cast<std::size_t>(index)].host; }
  std::optional<GuestProbe> probe(int index, const std::string& vm);

  VirtualScheduler scheduler;
  MemoryLinkHub hub{scheduler};
  TestDevices devices{scheduler};
  std::map<std::string, CallFault> faults;  // of the next call of that name; taken away by it
  std::vector<std::tuple<std::string, Epoch, Instant>> first_instructions;
  std::map<std::string, Instant> last_execution;

 private:
  struct Side {
    std::unique_ptr<LinkNetwork> network;
    std::unique_ptr<SimulatedHost> host;
    std::unique_ptr<SimulatedHypervisor> hypervisor;
  };
  SimulatedHostOptions options_;
  std::array<Side, 2> sides_;
};

}  // namespace supercloud
