#include "simulation/checker.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/message.h"
#include "hypercall/keeper.h"

namespace supercloud {
namespace {

constexpr const char* one_effective = "1: at most one copy is effective";
constexpr const char* writes_survive = "2: acknowledged writes survive";
constexpr const char* memory_survives =
    "2: a guest goes on with its memory, unless a fault took it";
constexpr const char* one_port = "3: an address is owned by one port";
constexpr const char* one_address = "3: an address is one VM's";

// What a keeper takes to stop a guest, at most.
constexpr Duration stop_time = absl::Milliseconds(200);  // SimulatedHostOptions::stop_time_max

// What a block is under way to a replica, at most, when the replica hears that it has everything.
constexpr Duration delivery_max = absl::Milliseconds(500);

constexpr std::size_t violations_max = 100;  // what is broken once is soon broken in every step

}  // namespace

// ---- what publishers were told of archives -------------------------------------------------------------------------

void Checker::told_archived(Archived archived) {
  if (still_archived(archived)) archived_.push_back(std::move(archived));
}

void Checker::check_archived() {
  for (const Archived& archived : archived_) still_archived(archived);
}

bool Checker::still_archived(const Archived& archived) {
  const std::map<std::string, std::uint64_t> now = eyes_.archive_disks();
  std::uint32_t machines = 0;
  for (const auto& [machine, disk] : archived.disks) {
    const auto found = now.find(machine);
    const bool lost = found == now.end() || found->second != disk;
    if (machine != archived.machine && lost) ++machines;
  }
  for (const auto& [machine, disk] : now) {
    const auto then = archived.disks.find(machine);
    const bool lost = then != archived.disks.end() && then->second != disk;
    if (machine != archived.machine && !lost && eyes_.in_archive(machine, archived.event))
      ++machines;
  }
  if (machines >= archived.machines) return true;
  violated("an event that its publisher was told is archived is in archives",
           absl::StrCat(archived.event.to_string(), " has to be in those of ", archived.machines,
                        " other machines, and is in ", machines));
  return false;
}

void Checker::violated(std::string rule, std::string what) {
  if (violations_.size() < violations_max)
    violations_.push_back({world_.now(), std::move(rule), std::move(what)});
}

void Checker::lease_changed(const std::string& vm, const LeaseRecord* record) {
  Vm& state = vms_[vm];
  if (record == nullptr) {
    vms_.erase(vm);
    return;
  }
  if (record->epoch < state.epoch)
    violated(one_effective, absl::StrCat(vm, ": the record's epoch went from ", state.epoch,
                                         " back to ", record->epoch));
  if (record->epoch > state.epoch) {
    if (record->swap_kind == SwapKind::TAKEOVER &&
        std::ranges::find(state.in_sync, record->holder) == state.in_sync.end())
      state.out_of_sync = state.out_of_sync.value_or(world_.now());
    state.winners[record->epoch] = record->holder;
    state.kinds[record->epoch] = record->swap_kind;
    state.epoch_since = world_.now();
  }
  state.epoch = record->epoch;
  state.holder = record->holder;
  state.session = record->session;
  state.committed = record->heir && record->heir->node == record->holder;
  state.loss_allowed = record->loss_allowed;
  state.in_sync = record->in_sync;
  const auto spec = Message<schema::VmSpec>::parse(record->value);
  if (spec.ok() && spec->reader().getLossBoundNs() > 0)
    state.loss_bound = absl::Nanoseconds(spec->reader().getLossBoundNs());
  if (spec.ok() && state.address.empty()) {
    state.address = text(spec->reader().getAddress());
    for (const auto& [other, known] : vms_)
      if (other != vm && known.address == state.address)
        violated(one_address, absl::StrCat(vm, " and ", other, " both have ", state.address));
  }
  state.unwanted = spec.ok() && (!spec->reader().getRunning() || spec->reader().getDestroyed());
  state.stopped = state.stopped || state.unwanted;
}

void Checker::first_instruction(const std::string& machine, const std::string& vm, Epoch epoch,
                                bool boot) {
  Vm& state = vms_[vm];
  const auto winner = state.winners.find(epoch);
  if (winner == state.winners.end() || winner->second != machine)
    violated(one_effective,
             absl::StrCat(vm, " executes on ", machine, " at epoch ", epoch, ", which ",
                          winner == state.winners.end() ? "nobody has" : winner->second + " has",
                          " won"));
  if (!state.began.emplace(epoch, machine).second)
    violated(one_effective, absl::StrCat(vm, " began to execute twice at epoch ", epoch, ": on ",
                                         state.began[epoch], " and on ", machine));
  if (boot) check_memory(machine, vm, epoch, state);
  if (boot) state.memory_given_up = false;
  check_disk(machine, vm, epoch, boot, state);
  state.executed = std::max(state.executed, epoch);
  state.stopped = state.unwanted;
  state.out_of_sync.reset();
  executed(machine, vm, epoch);
}

// Whether this epoch, or one since the last that executed, was won by such a swap.
bool Checker::won_by(SwapKind kind, const Vm& state, Epoch epoch) {
  for (auto won = state.kinds.upper_bound(state.executed);
       won != state.kinds.end() && won->first <= epoch; ++won)
    if (won->second == kind) return true;
  return false;
}

// A boot is right for a new VM, one that its user stopped, one whose holder was lost, one whose memory a fault took, and one that
// had to leave in haste. Else somebody threw away the only copy.
void Checker::check_memory(const std::string& machine, const std::string& vm, Epoch epoch,
                           const Vm& state) {
  if (state.executed == 0 || state.stopped || state.memory_lost || state.memory_given_up ||
      won_by(SwapKind::TAKEOVER, state, epoch))
    return;
  const std::string& before = state.began.at(state.executed);
  const auto haste = hurried_.find(before);
  if (haste != hurried_.end() && world_.now() < haste->second &&
      won_by(SwapKind::COMMIT, state, epoch))
    return;
  violated(memory_survives, absl::StrCat(vm, " boots on ", machine, " at epoch ", epoch,
                                         ", and it executed at epoch ", state.executed, " on ",
                                         before, ", where no fault ended it"));
}

namespace {

// Whether the disk has the block's content, or that of a later write over it: values say their order.
bool has_block(const std::map<std::uint64_t, KnownBlock>& disk, std::uint64_t block,
               const KnownBlock& content) {
  const auto found = disk.find(block);
  return found != disk.end() && found->second.value >= content.value;
}

}  // namespace

// What the disk must hold where the guest begins: everything acknowledged if its memory came along, everything flushed if it boots.
void Checker::check_disk(const std::string& machine, const std::string& vm, Epoch epoch, bool boot,
                         Vm& state) {
  const auto disk = eyes_.disk(machine, vm);
  const auto& expected = boot ? state.flushed : state.acknowledged;
  if (boot && state.out_of_sync && state.loss_allowed) {
    check_loss(machine, vm, epoch, disk, state);
  } else {
    for (const auto& [block, content] : expected) {
      const auto issued = state.issued.find(block);
      if (boot && issued != state.issued.end() && issued->second != content.value) continue;
      if (has_block(disk, block, content)) continue;
      const auto found = disk.find(block);
      violated(writes_survive,
               absl::StrCat(vm, " begins on ", machine, " at epoch ", epoch,
                            boot ? " from disk" : " with its memory", ", and block ", block,
                            " lacks ", boot ? "flushed" : "acknowledged", " version ",
                            content.version, " of epoch ", content.epoch, " (it has ",
                            found == disk.end() ? "nothing"
                                                : absl::StrCat("version ", found->second.version),
                            ")"));
      break;
    }
  }
  if (boot) begin_from(disk, state);
}

// By a node that was not in sync: it may lose what it had not heard of, no more of it than the VM declared.
void Checker::check_loss(const std::string& machine, const std::string& vm, Epoch epoch,
                         const std::map<std::uint64_t, KnownBlock>& disk, const Vm& state) {
  Instant oldest = far_future;
  for (const auto& [block, content] : state.flushed)
    if (!has_block(disk, block, content)) oldest = std::min(oldest, state.promised.at(block));
  if (oldest == far_future) return;
  losses_.push_back({vm, epoch, *state.out_of_sync - oldest});
  // Who takes over measures the bound by its own clock, which may be slow.
  const Duration drift = state.loss_bound * FencePolicy{}.drift_ppm / 1'000'000;
  if (state.last_promise - oldest > state.loss_bound + drift + delivery_max)
    violated(writes_survive, absl::StrCat(vm, " begins on ", machine, " at epoch ", epoch,
                                          " without what was promised ",
                                          absl::FormatDuration(state.last_promise - oldest),
                                          " before its holder was lost; it declared ",
                                          absl::FormatDuration(state.loss_bound)));
}

// What the guest finds is what it goes by from here on. Of that only what was flushed before is known to be stable: a guest that
// died on a living host boots from what may still be in a cache.
void Checker::begin_from(const std::map<std::uint64_t, KnownBlock>& disk, Vm& state) {
  const auto flushed = std::exchange(state.flushed, {});
  state.acknowledged = disk;
  state.unflushed.clear();
  state.issued.clear();
  const auto promised = std::exchange(state.promised, {});
  for (const auto& [block, content] : disk) {
    const auto before = flushed.find(block);
    if (before != flushed.end() && before->second.value == content.value) {
      state.flushed[block] = content;
      state.promised[block] = promised.at(block);
    } else {
      state.unflushed[block][content.version] = content;
    }
  }
}

void Checker::executed(const std::string& machine, const std::string& vm, Epoch epoch) {
  Vm& state = vms_[vm];
  if (eyes_.excused(machine)) return;
  if (epoch == state.epoch) state.memory_lost = false;  // of the copy that executes, nothing is
  if (epoch == state.epoch && !eyes_.session_alive(state.session))
    violated(one_effective, absl::StrCat(vm, " executes on ", machine, " at epoch ", epoch,
                                         " after the end of the session ", state.session,
                                         ", under which that was won"));
  // A node that goes on by itself may win its next epoch while its keeper is still stopping the guest, which reaches nothing.
  const bool stopping = state.holder == machine && world_.now() - state.epoch_since <= stop_time;
  if (epoch < state.epoch && !stopping)
    violated(one_effective, absl::StrCat(vm, " executes on ", machine, " at epoch ", epoch,
                                         " while ", state.holder, " holds it at ", state.epoch));
  for (const std::string& other : eyes_.executing(vm))
    if (other != machine && !eyes_.excused(other))
      violated(one_effective, absl::StrCat(vm, " executes on ", machine, " and on ", other));
}

void Checker::memory_lost(const std::string& vm) { vms_[vm].memory_lost = true; }

void Checker::needed_destroyed(const std::string& machine, const std::string& vm) {
  Vm& state = vms_[vm];
  if (state.committed && state.holder != machine)
    violated(memory_survives,
             absl::StrCat(machine, " destroys its copy of ", vm, ", whose memory ", state.holder,
                          " needs, which executes with it at epoch ", state.epoch));
  state.memory_given_up = true;
}

void Checker::memory_broken(const std::string& machine, const std::string& vm) {
  violated(one_effective,
           absl::StrCat("the memory of ", vm, " on ", machine, " is not what it was"));
}

void Checker::write_issued(const std::string& vm, std::uint64_t block, std::uint64_t value) {
  vms_[vm].issued[block] = value;
}

void Checker::write_acknowledged(const std::string& machine, const std::string& vm, Epoch epoch,
                                 std::uint64_t block, const KnownBlock& content) {
  Vm& state = vms_[vm];
  const auto winner = state.winners.find(epoch);
  if (epoch < state.written || winner == state.winners.end() || winner->second != machine)
    violated(one_effective,
             absl::StrCat("a write of ", vm, " on ", machine, " was acknowledged at epoch ", epoch,
                          "; the highest with an effect is ", state.written));
  state.written = std::max(state.written, epoch);
  state.acknowledged[block] = content;
  state.unflushed[block][content.version] = content;
}

void Checker::flush_acknowledged(const std::string& vm, std::uint64_t version) {
  Vm& state = vms_[vm];
  state.last_promise = world_.now();
  for (auto& [block, versions] : state.unflushed) {
    const auto end = versions.upper_bound(version);
    if (end == versions.begin()) continue;
    state.flushed[block] = std::prev(end)->second;
    state.promised[block] = world_.now();
    versions.erase(versions.begin(), end);
  }
}

void Checker::frame_delivered(const std::string& machine, const std::string& vm, Epoch epoch) {
  Vm& state = vms_[vm];
  const auto winner = state.winners.find(epoch);
  if (epoch < state.delivered || winner == state.winners.end() || winner->second != machine)
    violated(one_port, absl::StrCat("a frame of ", vm, " on ", machine, " was delivered at epoch ",
                                    epoch, "; the highest with an effect is ", state.delivered));
  state.delivered = std::max(state.delivered, epoch);
}

}  // namespace supercloud
