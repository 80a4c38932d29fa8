#include "actors/node/dirty_rate_watcher.h"

#include <utility>

#include "core/vm_name.h"

namespace supercloud {

DirtyRateWatcher::DirtyRateWatcher(Context& context, const Hypervisor& hypervisor,
                                   DirtyRateOptions options)
    : context_(context), hypervisor_(hypervisor), options_(options) {
  context_.after(options_.every, [this] { tell(); });
}

void DirtyRateWatcher::tell() {
  for (const GuestStatus& guest : hypervisor_.list()) {
    if (guest.state != GuestStatus::State::running) continue;
    const VmName vm = VmName::of(guest.vm);
    const DirtyRate measured = hypervisor_.dirty_rate(guest.vm);
    Draft draft = context_.draft(vm.name, vm.tenant);
    draft.epoch(guest.epoch);
    auto rate = draft.payload().initVmDirtyRate();
    rate.setPagesPerSecond(measured.pages_per_second);
    rate.setWorkingSetPages(measured.working_set_pages);
    context_.publish(std::move(draft));
  }
  context_.after(options_.every, [this] { tell(); });
}

}  // namespace supercloud
