#include "actors/node/dirty_rate_watcher.h"

#include <string_view>
#include <utility>

namespace supercloud {

DirtyRateWatcher::DirtyRateWatcher(Context& context, const Hypervisor& hypervisor,
                                   DirtyRateOptions options)
    : context_(context), hypervisor_(hypervisor), options_(options) {
  context_.after(options_.every, [this] { tell(); });
}

void DirtyRateWatcher::tell() {
  for (const GuestStatus& guest : hypervisor_.list()) {
    if (guest.state != GuestStatus::State::running) continue;
    const std::string_view vm = guest.vm;
    const std::size_t slash = vm.find('/');
    const DirtyRate measured = hypervisor_.dirty_rate(guest.vm);
    Draft draft = context_.draft(vm.substr(slash + 1), vm.substr(0, slash));
    draft.epoch(guest.epoch);
    auto rate = draft.payload().initVmDirtyRate();
    rate.setPagesPerSecond(measured.pages_per_second);
    rate.setWorkingSetPages(measured.working_set_pages);
    context_.publish(std::move(draft));
  }
  context_.after(options_.every, [this] { tell(); });
}

}  // namespace supercloud
