#include "simulation/replay/vm.h"

#include "absl/strings/str_cat.h"
#include "core/vm_spec.h"

namespace supercloud {

Message<schema::VmSpec> replay_vm(const ReplayModel& model, int number, const std::string& policy,
                                  const Message<schema::VmSpec>* described) {
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    if (described != nullptr) copy_spec(described->reader(), spec);
    spec.setName(absl::StrCat("vm", number));
    spec.setTenant("main");
    spec.setAddress(absl::StrCat("10.0.", number / 250, ".", number % 250 + 1));
    spec.setPolicy(policy);
    spec.setMemoryBytes(model.memory_bytes);
    spec.setDiskBytes(std::uint64_t{64} << 20);
    spec.setDiskLoss(schema::DiskLoss::WAIT);
    spec.setReplicas(0);
    spec.initNodes(0);
    spec.initDevices(0);
    spec.initPrepared(0);
    spec.setDirtyPagesPerSecond(0);
    spec.setWritesPerSecond(0);
    spec.setReads("");
    if (spec.getDowntimeNanoUsdPerHour() == 0)
      spec.setDowntimeNanoUsdPerHour(static_cast<std::uint64_t>(model.downtime_per_hour.nano_usd));
  });
}

}  // namespace supercloud
