#include "tests/hypercall/simulated_world.h"

#include <algorithm>
#include <utility>

namespace supercloud {

void TestDevices::write(const std::string& vm, Epoch epoch, std::uint64_t block,
                        std::uint64_t value, Reply<std::uint64_t> done) {
  take({vm, epoch, false, block, value, std::move(done)});
}

void TestDevices::flush(const std::string& vm, Epoch epoch, Reply<std::uint64_t> done) {
  take({vm, epoch, true, 0, 0, std::move(done)});
}

void TestDevices::transmit(const std::string& vm, Epoch epoch) { ++frames[{vm, epoch}]; }

void TestDevices::read_resource(const std::string& vm, Epoch epoch, const std::string& resource,
                                std::uint64_t bytes) {
  EXPECT_EQ(resource, "a/genome");
  bytes_read[{vm, epoch}] += bytes;
}

void TestDevices::take(Request request) {
  if (failing_ > 0) {
    --failing_;
    return request.done(absl::UnavailableError("the disk stumbled"));
  }
  if (dropping_ > 0) {
    if (--dropping_ % 2 == 0) return;
    request.done = Reply<std::uint64_t>();
  }
  const Instant when = scheduler_.clock().now() + absl::Milliseconds(3);
  scheduler_.at(when,
                [this, request = std::move(request)]() mutable { apply(std::move(request)); });
}

void TestDevices::apply(Request request) {
  if (held_ || serving_[request.vm] != request.epoch) {
    waiting_.push_back(std::move(request));
    return;
  }
  if (!request.flush) {
    blocks_[{request.vm, request.block}] = request.value;
    std::uint64_t& acked = acked_[{request.vm, request.value >> write_number_bits}];
    acked = std::max(acked, request.value & ((std::uint64_t{1} << write_number_bits) - 1));
    ++version_[request.vm];
  }
  request.done(version_[request.vm]);
}

void TestDevices::serve(const std::string& vm, Epoch epoch) {
  serving_[vm] = epoch;
  hold(held_);
}

void TestDevices::hold(bool held) {
  held_ = held;
  std::deque<Request> again;
  again.swap(waiting_);
  for (Request& request : again) apply(std::move(request));
}

std::uint64_t TestDevices::block(const std::string& vm, std::uint64_t block) const {
  const auto found = blocks_.find({vm, block});
  return found == blocks_.end() ? 0 : found->second;
}

std::uint64_t TestDevices::highest_acked(const std::string& vm, Epoch boot_epoch) const {
  const auto found = acked_.find({vm, boot_epoch});
  return found == acked_.end() ? 0 : found->second;
}

SimulatedWorld::SimulatedWorld(std::uint64_t seed, SimulatedHostOptions options)
    : options_(options) {
  Random random(seed);
  for (std::size_t i = 0; i < sides_.size(); ++i) {
    Side& side = sides_[i];
    side.network = hub.network(i == 0 ? "a" : "b", scheduler);
    side.host = std::make_unique<SimulatedHost>(scheduler, *side.network, random.fork(), devices,
                                                options_, this, this);
    EXPECT_TRUE(side.host->start().ok());
    side.hypervisor = std::make_unique<SimulatedHypervisor>(*side.host);
  }
}

SimulatedWorld::~SimulatedWorld() {
  for (Side& side : sides_) {
    side.hypervisor.reset();
    side.host.reset();
    side.network.reset();
  }
}

std::string SimulatedWorld::endpoint(int index) {
  return sides_[static_cast<std::size_t>(index)].network->endpoint();
}

bool SimulatedWorld::wait(Duration limit, const std::function<bool()>& condition) {
  const Instant end = scheduler.now() + limit;
  while (!condition()) {
    const auto due = scheduler.next_due();
    if (!due.has_value() || *due > end) {
      scheduler.run_until(end);
      return condition();
    }
    scheduler.step();
  }
  return true;
}

std::optional<GuestProbe> SimulatedWorld::probe(int index, const std::string& vm) {
  for (const GuestProbe& probe : simulated(index).probes()) {
    if (probe.vm == vm) return probe;
  }
  return std::nullopt;
}

std::uint64_t SimulatedWorld::executed(int index, const std::string& vm) {
  const auto found = probe(index, vm);
  return found.has_value() ? found->ticks : 0;
}

bool SimulatedWorld::memory_intact(const std::string& vm) {
  for (int index = 0; index < 2; ++index) {
    const auto found = probe(index, vm);
    if (found.has_value() && !found->memory_intact) return false;
  }
  return true;
}

void SimulatedWorld::restart_daemon(int index) {
  Side& side = sides_[static_cast<std::size_t>(index)];
  side.hypervisor.reset();
  side.hypervisor = std::make_unique<SimulatedHypervisor>(*side.host);
}

void SimulatedWorld::on_first_instruction(const std::string& vm, Epoch epoch) {
  first_instructions.emplace_back(vm, epoch, scheduler.now());
}

void SimulatedWorld::on_execute(const std::string& vm, Epoch) {
  last_execution[vm] = scheduler.now();
}

CallFault SimulatedWorld::on_call(std::string_view call, const std::string&) {
  const auto found = faults.find(std::string(call));
  if (found == faults.end()) return {};
  CallFault fault = found->second;
  faults.erase(found);
  return fault;
}

}  // namespace supercloud
