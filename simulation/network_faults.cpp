// What goes wrong between processes: a part of simulation/fault_injector.h.
#include <utility>

#include "absl/strings/str_cat.h"
#include "simulation/fault_injector.h"

namespace supercloud {

void FaultInjector::partition() {
  std::vector<std::string> group;
  std::string names;
  for (const auto& machine : cluster_.machines())
    if (random_.chance(400'000)) {
      group.push_back(machine->name());
      absl::StrAppend(&names, " ", machine->name());
    }
  for (const auto& hub : cluster_.hubs())
    if (options_.hubs && random_.chance(200'000)) {
      group.push_back(hub->name());
      absl::StrAppend(&names, " ", hub->name());
    }
  if (group.empty()) return;
  tell("partition: apart from the rest:" + names);
  cluster_.networks().partition(group);
  later(span(absl::Milliseconds(300), absl::Seconds(8)), [this] {
    tell("partitions end");
    cluster_.networks().heal();
  });
}

void FaultInjector::one_sided() {
  const std::string from = any_machine().name();
  const std::string to = random_.chance(300'000) ? "site" : any_machine().name();
  if (from == to) return;
  const bool answer_way = random_.chance(500'000);
  const std::string& source = answer_way ? to : from;
  const std::string& target = answer_way ? from : to;
  tell(absl::StrCat("nothing gets from ", source, " to ", target));
  cluster_.networks().block(source, target);
  later(span(absl::Milliseconds(300), absl::Seconds(8)), [this, source, target] {
    tell(absl::StrCat("messages get from ", source, " to ", target, " again"));
    cluster_.networks().unblock(source, target);
  });
}

void FaultInjector::lossy() {
  LinkFaults faults;
  faults.delay_max = span(absl::Milliseconds(1), absl::Milliseconds(200));
  faults.loss_per_million = random_.below(100'000);
  faults.duplicate_per_million = random_.below(50'000);
  faults.reorder_per_million = random_.below(50'000);
  tell(absl::StrCat("the network loses ", faults.loss_per_million / 10'000,
                    " %, doubles, reorders, delays by up to ",
                    absl::FormatDuration(faults.delay_max)));
  cluster_.networks().set_faults(faults);
  later(span(absl::Seconds(1), absl::Seconds(15)), [this] {
    tell("the network is as before");
    cluster_.networks().set_faults(LinkFaults());
  });
}

// Its actors, its answers and its pings go on: only what is published for it waits, until there is no more room.
void FaultInjector::slow_subscriber() {
  const std::string node = any_process();
  tell(node + " takes nothing of what is published");
  cluster_.networks().set_taking(node, false);
  later(span(absl::Milliseconds(300), absl::Seconds(8)), [this, node] {
    tell(node + " takes what is published again");
    cluster_.networks().set_taking(node, true);
  });
}

void FaultInjector::half_open_link() {
  const std::string publisher = any_process();
  const std::string subscriber = any_process();
  if (publisher == subscriber) return;
  using End = SimulatedNetwork::End;
  const End gone = random_.chance(500'000) ? End::publisher : End::subscriber;
  tell(absl::StrCat("of the connection over which ", subscriber, " hears ", publisher, ", ",
                    gone == End::publisher ? publisher : subscriber, "'s end is gone"));
  cluster_.networks().half_open(publisher, subscriber, gone);
}

}  // namespace supercloud
