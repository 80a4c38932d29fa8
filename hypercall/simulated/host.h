// A simulated host: guests, their keepers and page streams. It outlives the daemon that drives it
// through SimulatedHypervisor, as QEMU processes outlive theirs; destroying it is losing the
// machine's power.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/link.h"
#include "core/random.h"
#include "core/scheduler.h"
#include "hypercall/hypervisor.h"
#include "hypercall/keeper.h"
#include "hypercall/simulated/guest.h"
#include "hypercall/simulated/guest_devices.h"
#include "hypercall/simulated/page_receiver.h"
#include "hypercall/simulated/page_sender.h"

namespace supercloud {

// What goes wrong with one hypervisor call.
struct CallFault {
  Duration delay;            // until it takes effect; later calls for the same VM wait behind it
  absl::Status error;        // it has no effect and answers this
  bool answer_lost = false;  // it takes effect, and nobody hears of it
};

class HostFaults {
 public:
  virtual ~HostFaults() = default;
  // `call` is the name of a Hypervisor member function that takes a Reply.
  virtual CallFault on_call(std::string_view call, const std::string& vm) = 0;
};

class SimulatedHost;

// A line between places that the page streams of several hosts share evenly, besides each host's own.
class SharedLine {
 public:
  explicit SharedLine(std::uint64_t bytes_per_second) : bytes_per_second_(bytes_per_second) {}
  void add(const SimulatedHost* host) { hosts_.push_back(host); }
  void remove(const SimulatedHost* host) { std::erase(hosts_, host); }
  // Of one page stream.
  std::uint64_t share() const;

 private:
  std::uint64_t bytes_per_second_;
  std::vector<const SimulatedHost*> hosts_;
};

struct SimulatedHostOptions {
  std::uint64_t memory_bytes = 64ULL << 30;
  std::uint64_t bytes_per_second = 1ULL << 30;  // of its link: page streams share it evenly
  std::shared_ptr<SharedLine> line;             // null: none but its own
  Duration call_time = absl::Milliseconds(1);   // of a call without a fault
  Duration stop_time_max = absl::Milliseconds(
      200);            // delta: a guest still executes for up to this when its keeper stops it
  bool keeper = true;  // false makes a broken host, for showing that the checkers see it
  GuestOptions guest;
};

// Thread-bound. `faults` and `observer` may be null; everything given outlives the host.
class SimulatedHost {
 public:
  SimulatedHost(Scheduler& scheduler, LinkNetwork& network, Random random, GuestDevices& devices,
                SimulatedHostOptions options, HostFaults* faults = nullptr,
                GuestObserver* observer = nullptr);
  ~SimulatedHost();
  SimulatedHost(const SimulatedHost&) = delete;
  SimulatedHost& operator=(const SimulatedHost&) = delete;

  // Listens for page streams. Once; before it, nothing can arrive here.
  absl::Status start();
  std::uint64_t page_streams() const;  // that are under way from here

  // Outside of every seam: for checkers and faults.
  std::vector<GuestProbe> probes() const;     // by vm
  void kill_guest(const std::string& vm);     // it dies by itself; "look" follows
  std::vector<std::string> standbys() const;  // by vm
  // Ends the page streams from and to this host, as a network does.
  void cut_streams();

  const SimulatedHostOptions& options() const { return options_; }

 private:
  friend class SimulatedHypervisor;

  struct Copy {
    std::unique_ptr<SimulatedGuest> guest;
    GuestStatus::State state = GuestStatus::State::stopped;
    Epoch epoch = 0;
    EventId migration;                                        // incoming, arrived
    EventId brought;                                          // own: by this migration
    GuestStatus::Memory memory = GuestStatus::Memory::whole;  // of a target's
    std::string memory_why;
    std::uint64_t waiting = 0;  // for the rest of its memory: grows with each time
    std::uint64_t stream = 0;   // the receiver that fills it; 0: none
    TimerId stopping = 0;       // frozen, but until this fires it executes on
    std::vector<Reply<Done>> pausers;
    std::unique_ptr<PageSender> sender;  // before the guest is gone, it is
  };
  struct Standby {
    std::uint64_t memory_bytes = 0;
    Instant until{};
  };
  struct WayTry {
    std::unique_ptr<Link> link;
    Instant begun{};
    Reply<Way> reply;
  };
  using Effect = absl::AnyInvocable<void() &&>;

  // Calls for one VM take effect in their order, each when its time has come.
  template <class T>
  void call(std::string_view name, const std::string& vm, Reply<T> reply,
            absl::AnyInvocable<void(Reply<T>) &&> effect);
  void at(Instant when, Task task);  // unless the host is gone by then

  void create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply);
  void prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                        Reply<Done> reply);
  void keep_standby(const Message<schema::VmSpec>& spec, Instant until, Reply<Done> reply);
  void drop_standbys() { standbys_.clear(); }
  std::uint64_t standby_bytes(const std::string& vm) const;
  void send(const std::string& vm, TransferOptions options, PageSender::Progress progress,
            Reply<TransferProgress> converged);
  void pause(const std::string& vm, Reply<Done> reply);
  void finish_send(const std::string& vm, Reply<TransferProgress> reply);
  void stop_send(const std::string& vm, Reply<Done> reply);
  void resume(const std::string& vm, Epoch epoch, std::uint64_t freezes, Reply<Done> reply);
  void destroy(const std::string& vm, Reply<Done> reply);
  void arm(const std::string& vm, Instant deadline);

  void try_way(const std::string& endpoint, bool measure, Reply<Way> reply);

  std::vector<GuestStatus> list() const;
  std::uint64_t memory_free_bytes() const;
  std::uint64_t memory_bytes(const std::string& vm) const;  // 0: it has no copy here
  DirtyRate dirty_rate(const std::string& vm) const;
  void watch(std::function<void(const std::string& vm)> look) { look_ = std::move(look); }

  absl::Status make_copy(Message<schema::VmSpec> spec, GuestStatus::State state, Epoch epoch,
                         EventId migration);
  void freeze(const std::string& vm);
  void drained(const std::string& vm);
  void pause_expired(const std::string& vm);
  std::uint64_t link_share() const;  // of one page stream
  void slow_down(const std::string& vm);
  void start_post_copy(const std::string& vm);
  void drop_sender(Copy& copy, const absl::Status& why);
  void remove(const std::string& vm, const absl::Status& why);
  void look(const std::string& vm);
  // Standbys give way until so much is free, as far as there are any.
  void make_room(std::uint64_t needed);

  void connected(std::unique_ptr<Link> link);
  void way_tried(std::uint64_t number, absl::StatusOr<Way> way);
  absl::StatusOr<SimulatedGuest*> admit(std::uint64_t stream, const transfer::Hello& hello);
  absl::StatusOr<SimulatedGuest*> admit_again(std::uint64_t stream, const transfer::Hello& hello);
  void stream_ended(std::uint64_t stream, const std::string& vm);
  void wait_for_rest(const std::string& vm);
  void give_up_rest(const std::string& vm, std::uint64_t waiting);
  static GuestStatus::Memory memory_of(const Copy& copy);

  Scheduler& scheduler_;
  LinkNetwork& network_;
  Random random_;
  GuestDevices& devices_;
  SimulatedHostOptions options_;
  HostFaults* faults_;
  GuestObserver* observer_;
  std::function<void(const std::string&)> look_;
  std::set<std::string> looks_;  // due, not yet told
  std::map<std::string, Instant> busy_until_;
  // by vm: a resume called before the last one has no effect
  std::map<std::string, std::uint64_t> freezes_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Keeper keeper_;
  std::map<std::string, Copy> copies_;
  std::map<std::string, Standby> standbys_;  // also those whose time has come
  std::map<std::uint64_t, std::unique_ptr<PageReceiver>> streams_;
  std::map<std::uint64_t, WayTry> ways_;  // that are being tried
  std::uint64_t next_way_ = 1;
  std::uint64_t next_stream_ = 1;
};

template <class T>
void SimulatedHost::call(std::string_view name, const std::string& vm, Reply<T> reply,
                         absl::AnyInvocable<void(Reply<T>) &&> effect) {
  CallFault fault;
  if (faults_ != nullptr) fault = faults_->on_call(name, vm);
  Instant& busy = busy_until_[vm];
  busy = std::max(busy, scheduler_.clock().now()) + options_.call_time + fault.delay;
  at(busy,
     [fault = std::move(fault), reply = std::move(reply), effect = std::move(effect)]() mutable {
       if (!fault.error.ok()) return reply(fault.error);
       if (fault.answer_lost) reply = Reply<T>();
       std::move(effect)(std::move(reply));
     });
}

}  // namespace supercloud
