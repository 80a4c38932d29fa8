// A standby of a simulated host is the room of its VM, and nothing else: here a guest is made at once.
#include "absl/strings/str_cat.h"
#include "hypercall/simulated/host.h"

namespace supercloud {

void SimulatedHost::keep_standby(const Message<schema::VmSpec>& spec, Instant until,
                                 Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  const std::uint64_t needed = spec.reader().getMemoryBytes();
  if (copies_.contains(vm))
    return reply(absl::AlreadyExistsError(
        absl::StrCat("this host has a copy of ", vm, "; no standby is kept beside it")));
  const std::uint64_t room = memory_free_bytes() + standby_bytes(vm);
  standbys_.erase(vm);
  std::erase_if(standbys_, [this](const auto& entry) { return standby_bytes(entry.first) == 0; });
  if (needed > room)
    return reply(absl::ResourceExhaustedError(
        absl::StrCat("a standby of ", vm, " needs ", needed, " bytes of memory, ", room,
                     " are free on this host; move or stop another VM")));
  standbys_[vm] = {needed, until};
  reply(Done{});
}

void SimulatedHost::make_room(std::uint64_t needed) {
  while (!standbys_.empty() && memory_free_bytes() < needed) standbys_.erase(standbys_.begin());
}

std::vector<std::string> SimulatedHost::standbys() const {
  std::vector<std::string> vms;
  for (const auto& [vm, standby] : standbys_)
    if (standby_bytes(vm) > 0) vms.push_back(vm);
  return vms;
}

std::uint64_t SimulatedHost::standby_bytes(const std::string& vm) const {
  const auto found = standbys_.find(vm);
  const bool kept = found != standbys_.end() && scheduler_.clock().now() < found->second.until;
  return kept ? found->second.memory_bytes : 0;
}

}  // namespace supercloud
