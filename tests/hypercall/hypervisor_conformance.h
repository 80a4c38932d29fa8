// What every implementation of the hypervisor seam must do. An implementation brings a world of two
// hosts; its instantiation of the suite stands in its own test file.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "hypercall/hypervisor.h"

namespace supercloud {

class HypervisorWorld {
 public:
  virtual ~HypervisorWorld() = default;
  virtual Hypervisor& host(int index) = 0;  // 0 and 1
  virtual std::string endpoint(int index) = 0;
  virtual Instant now() = 0;
  // Lets time go on until the condition holds; false if it does not within `limit`.
  virtual bool wait(Duration limit, const std::function<bool()>& condition) = 0;
  // The VM's disk takes requests of this epoch.
  virtual void serve_disk(const std::string& vm, Epoch epoch) = 0;
  // From now on the disk answers nothing, or everything again.
  virtual void hold_disk(bool held) = 0;
  // Grows whenever the copy on this host executes, and moves along with it.
  virtual std::uint64_t executed(int index, const std::string& vm) = 0;
  // Whether the guest has found its memory as it left it, wherever it ran.
  virtual bool memory_intact(const std::string& vm) = 0;
  virtual void restart_daemon(int index) = 0;
  virtual void cut_streams() = 0;
  // The longest that a guest executes on after its keeper's deadline.
  virtual Duration stop_time() = 0;

  // Why this world is not here, for a skip; empty: it is.
  virtual std::string missing() { return ""; }
  virtual std::uint64_t memory_bytes() { return 1 << 20; }  // of a guest
  // Lets a guest that was resumed come to where it counts.
  virtual void await_boot(int /*index*/, const std::string& /*vm*/) {}
  // Whether guests have a disk that hold_disk() holds, and whether dirty_rate() is measured here.
  virtual bool has_disk() { return true; }
  virtual bool measures_dirtying() { return true; }
  // In which a guest that executes is seen to, and in which anything that would come by itself has come.
  virtual Duration moment() { return absl::Milliseconds(500); }
  virtual Duration long_time() { return absl::Seconds(10); }
};

struct HypervisorWorldFactory {
  std::string name;
  std::function<std::unique_ptr<HypervisorWorld>()> make;
  friend std::ostream& operator<<(std::ostream& out, const HypervisorWorldFactory& factory) {
    return out << factory.name;
  }
};

Message<schema::VmSpec> test_vm(const std::string& name = "web1", std::uint64_t memory = 1 << 20);
EventId test_migration(std::uint64_t number = 1);

// The answer of a call, waited for; nullopt: none came within `limit`.
template <class T, class Call>
std::optional<absl::StatusOr<T>> answer_of(HypervisorWorld& world, Duration limit, Call call) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<T>>>();
  call(Reply<T>(world.now() + limit,
                [answer](absl::StatusOr<T> value) { *answer = std::move(value); }));
  world.wait(limit + absl::Seconds(1), [answer] { return answer->has_value(); });
  return *answer;
}

// As a status; no answer is DeadlineExceeded.
template <class T, class Call>
absl::Status status_of(HypervisorWorld& world, Call call, Duration limit = absl::Seconds(20)) {
  const auto answer = answer_of<T>(world, limit, std::move(call));
  return answer.has_value() ? answer->status() : absl::DeadlineExceededError("no answer");
}

// The calls, waited for.
struct HostCalls {
  HypervisorWorld& world;
  int index;

  Hypervisor& host() const { return world.host(index); }
  absl::Status create(const Message<schema::VmSpec>& spec, Epoch epoch) const;
  absl::Status prepare(const Message<schema::VmSpec>& spec, const EventId& migration,
                       Epoch epoch) const;
  absl::Status keep(const Message<schema::VmSpec>& spec, Duration time = absl::Hours(1)) const;
  absl::Status resume(const std::string& vm, Epoch epoch) const;
  absl::Status pause(const std::string& vm, Duration limit = absl::Seconds(20)) const;
  absl::Status send(const std::string& vm, const EventId& migration,
                    const std::string& endpoint) const;
  absl::Status finish_send(const std::string& vm) const;
  std::optional<GuestStatus::Memory> memory_of(const std::string& vm) const;
  absl::Status stop_send(const std::string& vm) const;
  absl::Status destroy(const std::string& vm) const;
  // Arms for long, serves the disk, resumes.
  absl::Status start(const std::string& vm, Epoch epoch) const;
  std::optional<GuestStatus> status(const std::string& vm) const;
  // False and nullopt also of one that is not listed.
  bool is(const std::string& vm, GuestStatus::State state) const;
  std::optional<EventId> migration_of(const std::string& vm) const;
  bool executes(const std::string& vm) const;  // looks at it for a moment
};

class HypervisorConformance : public ::testing::TestWithParam<HypervisorWorldFactory> {
 protected:
  void SetUp() override {
    if (const std::string why = world_->missing(); !why.empty()) GTEST_SKIP() << why;
  }
  Message<schema::VmSpec> vm_named(const std::string& name) {
    return test_vm(name, world_->memory_bytes());
  }

  // A guest of a is resumed at b, at epoch 2, while most of its memory is still to follow.
  void move_by_post_copy();
  // ... and has arrived, not more.
  void arrive_by_post_copy();
  // All of it is at b.
  bool becomes_whole();

  std::unique_ptr<HypervisorWorld> world_ = GetParam().make();
  HostCalls a_{*world_, 0};
  HostCalls b_{*world_, 1};
  const std::string vm_ = "main/web1";
  const Message<schema::VmSpec> spec_ = vm_named("web1");
  std::vector<TransferProgress> told_;  // of a move by post-copy
};

}  // namespace supercloud
