// What goes wrong between clouds: a part of simulation/fault_injector.h.
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/fault_injector.h"

namespace supercloud {

HubMachine& FaultInjector::any_hub() {
  return *cluster_.hubs()[random_.below(cluster_.hubs().size())];
}

void FaultInjector::kill_hub() {
  HubMachine& hub = any_hub();
  if (!hub.runs() || hub.frozen()) return;
  tell("kill -9 of " + hub.name());
  hub.kill();
  later(span(absl::Milliseconds(50), absl::Seconds(10)), [this, &hub] {
    tell(hub.name() + " starts");
    hub.start();
  });
}

void FaultInjector::freeze_hub() {
  HubMachine& hub = any_hub();
  if (!hub.runs() || hub.frozen()) return;
  tell("the machine of " + hub.name() + " freezes as a whole");
  hub.freeze();
  later(span(absl::Milliseconds(100), absl::Seconds(8)), [this, &hub] {
    tell("the machine of " + hub.name() + " thaws");
    hub.thaw();
  });
}

void FaultInjector::cut_clouds() {
  const std::string from = any_hub().name();
  const std::string to = any_hub().name();
  if (from == to) return;
  const bool both = random_.chance(500'000);
  const char* const ways = both ? " and back" : "";
  tell(absl::StrCat("nothing gets from the cloud of ", from, " to that of ", to, ways));
  SimulatedNetwork& wide = cluster_.networks().wide();
  wide.block(from, to);
  if (both) wide.block(to, from);
  later(span(absl::Milliseconds(300), absl::Seconds(10)), [this, &wide, from, to, both, ways] {
    tell(absl::StrCat("messages get from the cloud of ", from, " to that of ", to, ways, " again"));
    wide.unblock(from, to);
    if (both) wide.unblock(to, from);
  });
}

void FaultInjector::lossy_clouds() {
  LinkFaults faults;
  faults.delay_max = span(absl::Milliseconds(1), absl::Milliseconds(400));
  faults.delay_min = faults.delay_max / static_cast<std::int64_t>(random_.between(2, 20));
  faults.loss_per_million = random_.below(100'000);
  faults.duplicate_per_million = random_.below(50'000);
  faults.reorder_per_million = random_.below(50'000);
  tell(absl::StrCat("the way between clouds loses ", faults.loss_per_million / 10'000,
                    " %, doubles, reorders, delays by ", absl::FormatDuration(faults.delay_min),
                    " to ", absl::FormatDuration(faults.delay_max)));
  cluster_.networks().wide().set_faults(faults);
  later(span(absl::Seconds(1), absl::Seconds(15)), [this] {
    tell("the way between clouds is as before");
    cluster_.networks().wide().set_faults(LinkFaults());
  });
}

}  // namespace supercloud
