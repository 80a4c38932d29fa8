// Two hosts of real QEMUs under real keepers on this machine, in real time. Their guest is cli/measure/guest/guest.cpp.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "core/event_loop.h"
#include "core/socket_link.h"
#include "hypercall/qemu/qemu_hypervisor.h"
#include "tests/hypercall/hypervisor_conformance.h"
#include "tests/hypercall/keeper/guest_guard.h"
#include "tests/hypercall/qemu/stream_relay.h"

namespace supercloud {

// An answer that is waited for after the call. It may come when the test that asked has ended already.
class LateAnswer {
 public:
  Reply<Done> reply() const {
    return {far_future,
            [came = came_](const absl::StatusOr<Done>& done) { *came = done.status(); }};
  }
  bool came() const { return came_->has_value(); }
  // OK: none has come.
  absl::Status status() const { return came_->value_or(absl::OkStatus()); }

 private:
  std::shared_ptr<std::optional<absl::Status>> came_ =
      std::make_shared<std::optional<absl::Status>>();
};

class QemuWorld final : public HypervisorWorld {
 public:
  QemuWorld();
  ~QemuWorld() override;

  std::string missing() override { return missing_; }
  Hypervisor& host(int index) override { return *side(index).hypervisor; }
  std::string endpoint(int index) override { return side(index).network->endpoint(); }
  Instant now() override { return loop.clock().now(); }
  bool wait(Duration limit, const std::function<bool()>& condition) override;
  // A call that is made until it succeeds; its last answer.
  absl::Status until_ok(const std::function<absl::Status()>& call);
  void serve_disk(const std::string&, Epoch) override {}
  void hold_disk(bool) override {}
  std::uint64_t executed(int index, const std::string& vm) override;
  bool memory_intact(const std::string& vm) override;
  void restart_daemon(int index) override;
  void cut_streams() override;
  // They carry nothing more, and nobody is told, until they are cut.
  void hold_streams();
  Duration stop_time() override { return absl::Milliseconds(200); }
  std::uint64_t memory_bytes() override { return 32 << 20; }
  void await_boot(int index, const std::string& vm) override;
  bool has_disk() override { return false; }
  bool measures_dirtying() override { return false; }
  Duration moment() override { return absl::Seconds(1); }
  Duration long_time() override { return absl::Seconds(1); }

  std::string run_folder(int index) const;
  // What the next daemons are given.
  QemuOptions options(int index) const;
  void start_daemon(int index, QemuOptions options);
  // As if it were killed: its guests go on.
  void stop_daemon(int index);
  // Of a guest: its folder, its QEMU and its keeper. 0: its keeper does not say; never to be killed, for that is the test's own group.
  std::string folder(int index, const std::string& vm) const;
  pid_t qemu_process(int index, const std::string& vm);
  pid_t keeper_process(int index, const std::string& vm);
  static bool lives(pid_t process);
  bool cgroup_is_left(int index, const std::string& vm) const;
  // What this copy says is read no more; returns when its console is full of it.
  void leave_console(int index, const std::string& vm);
  QemuGuests guests;

  EventLoop loop;

 private:
  struct Console {
    int fd = -1;
    std::string line;
    std::uint64_t ticks = 0;
    bool broken = false;
    bool left = false;
  };
  struct Side {
    std::unique_ptr<SocketLinkNetwork> network;
    std::unique_ptr<StreamRelay> relay;
    std::unique_ptr<QemuHypervisor> hypervisor;
    std::map<std::string, Console> consoles;
  };
  Side& side(int index) { return sides_[static_cast<std::size_t>(index)]; }
  std::set<std::string> all_guests(int index);
  void read(int index, const std::string& vm);

  std::filesystem::path folder_;
  GuestGuard guard_;
  std::string missing_;
  std::array<Side, 2> sides_;
};

}  // namespace supercloud
