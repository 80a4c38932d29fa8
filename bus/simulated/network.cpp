#include "bus/simulated/network.h"

#include <algorithm>
#include <utility>

#include "bus/simulated/simulated_bus.h"

namespace supercloud {

SimulatedNetwork::Endpoint& SimulatedNetwork::endpoint(std::string_view name) {
  const auto found = endpoints_.find(name);
  if (found != endpoints_.end()) return found->second;
  Endpoint& added = endpoints_[std::string(name)];
  added.name = name;
  added.number = endpoints_.size() - 1;
  return added;
}

void SimulatedNetwork::set_up(std::string_view name, bool up) {
  Endpoint& changed = endpoint(name);
  if (std::exchange(changed.up, up) && !up) lose_under_way(changed);
}

bool SimulatedNetwork::is_up(std::string_view name) const {
  const auto found = endpoints_.find(name);
  return found != endpoints_.end() && found->second.up;
}

void SimulatedNetwork::set_faults(std::string_view from, std::string_view to,
                                  const LinkFaults& faults) {
  pair_faults_.insert_or_assign(Pair(from, to), faults);
}

void SimulatedNetwork::block(std::string_view from, std::string_view to) {
  blocked_.emplace(from, to);
}

void SimulatedNetwork::unblock(std::string_view from, std::string_view to) {
  blocked_.erase(Pair(from, to));
}

void SimulatedNetwork::partition(const std::vector<std::string>& group) {
  groups_.emplace_back(group.begin(), group.end());
}

void SimulatedNetwork::heal() {
  blocked_.clear();
  groups_.clear();
}

void SimulatedNetwork::set_taking(std::string_view name, bool taking) {
  Endpoint& changed = endpoint(name);
  if (std::exchange(changed.taking, taking) == taking || !taking) return;
  scheduler_.post([this, &changed] { take_waiting(changed); });
}

void SimulatedNetwork::set_frozen(std::string_view name, bool frozen) {
  Endpoint& changed = endpoint(name);
  if (std::exchange(changed.frozen, frozen) == frozen || frozen) return;
  for (const std::shared_ptr<const Letter>& letter : std::exchange(changed.waiting, {}))
    scheduler_.post([this, letter] { arrived_beside(letter); });
  scheduler_.post([this, &changed] { take_waiting(changed); });
}

void SimulatedNetwork::half_open(std::string_view publisher, std::string_view subscriber,
                                 End gone) {
  SimulatedBus* const bus = endpoint(gone == End::publisher ? publisher : subscriber).bus;
  if (bus == nullptr) return;
  if (gone == End::publisher)
    bus->subscriber_gone(subscriber);
  else
    bus->publisher_gone(publisher);
}

void SimulatedNetwork::calm() {
  heal();
  pair_faults_.clear();
  faults_ = LinkFaults{};
  for (auto& [name, endpoint] : endpoints_) set_taking(name, true);
}

void SimulatedNetwork::lose_under_way(Endpoint& lost) {
  ++lost.generation;
  lost.taking = true;
  counts_.lost += lost.waiting.size();
  lost.waiting.clear();
  for (auto& [name, from] : endpoints_) {
    const auto way = from.ways.find(lost.number);
    if (way == from.ways.end()) continue;
    while (!way->second.door.empty()) {
      leave(way->second, *way->second.door.pop());
      ++counts_.lost;
    }
  }
  const bool heard = std::ranges::any_of(endpoints_, [](const auto& entry) {
    return entry.second.bus != nullptr && entry.second.bus->options_.resets_heard;
  });
  if (!heard) return;
  // A task of its own: the bus that ends may be at work.
  scheduler_.post([this, &lost] {
    for (auto& [name, other] : endpoints_)
      if (other.bus != nullptr && &other != &lost) other.bus->peer_reset(lost.name);
  });
}

bool SimulatedNetwork::severed(std::string_view from, std::string_view to) const {
  if (!blocked_.empty() && blocked_.count(Pair(from, to)) > 0) return true;
  return std::any_of(groups_.begin(), groups_.end(), [&](const auto& group) {
    return (group.find(from) != group.end()) != (group.find(to) != group.end());
  });
}

bool SimulatedNetwork::reachable(std::string_view from, std::string_view to) const {
  return is_up(from) && is_up(to) && !severed(from, to);
}

const LinkFaults& SimulatedNetwork::faults(const Endpoint& from, const Endpoint& to) const {
  if (pair_faults_.empty()) return faults_;
  const auto found = pair_faults_.find(Pair(from.name, to.name));
  return found == pair_faults_.end() ? faults_ : found->second;
}

void SimulatedNetwork::send(std::shared_ptr<const Letter> letter) {
  const Endpoint& from = letter->from();
  const Endpoint& to = letter->to();
  const LinkFaults& faults = this->faults(from, to);
  ++counts_.sent;
  counts_.bytes += letter->bytes();
  // Drawn for every message, so that a block does not shift the fate of all later ones.
  const bool lost = random_.chance(faults.loss_per_million);
  const bool doubled = random_.chance(faults.duplicate_per_million);
  if (lost || !from.up || !to.up || severed(from.name, to.name)) {
    ++counts_.lost;
    return;
  }
  if (doubled) {
    ++counts_.duplicated;
    carry(letter, faults);
  }
  carry(std::move(letter), faults);
}

void SimulatedNetwork::carry(std::shared_ptr<const Letter> letter, const LinkFaults& faults) {
  const std::int64_t low = absl::ToInt64Nanoseconds(faults.delay_min);
  const std::int64_t high = std::max(low, absl::ToInt64Nanoseconds(faults.delay_max));
  const std::int64_t delay = random_.between(low, high);
  Instant arrival = scheduler_.clock().now() + absl::Nanoseconds(delay);
  Way& way = letter->from().ways[letter->to().number];
  if (random_.chance(faults.reorder_per_million)) {
    ++counts_.reordered;
    const std::int64_t late = absl::ToInt64Nanoseconds(faults.reorder_delay_max);
    arrival = arrival + absl::Nanoseconds(random_.between(0, std::max<std::int64_t>(late, 0)));
  } else {
    arrival = std::max(arrival, way.last_arrival);
    way.last_arrival = arrival;
  }
  scheduler_.at(arrival, [letter = std::move(letter)] { letter->network_.arrived(letter); });
}

bool SimulatedNetwork::lost(const Letter& letter) const {
  const Endpoint& to = letter.to();
  return !to.up || to.generation != letter.generation_ || severed(letter.from().name, to.name);
}

void SimulatedNetwork::arrived_beside(const std::shared_ptr<const Letter>& letter) {
  if (lost(*letter)) {
    ++counts_.lost;
  } else if (letter->to().frozen) {
    letter->to().waiting.push_back(letter);
  } else {
    ++counts_.delivered;
    letter->arrive(0);
  }
}

void SimulatedNetwork::arrived(const std::shared_ptr<const Letter>& letter) {
  if (letter->travels_ == Travels::beside) return arrived_beside(letter);
  const Endpoint& to = letter->to();
  Way& way = letter->from().ways[to.number];
  if (lost(*letter) ||
      (letter->travels_ == Travels::behind && way.door.size() >= way.places + behind_max)) {
    ++counts_.lost;
    return;
  }
  if (way.door.empty()) way.burst = 0;
  if (to.taking && !to.frozen && way.door.empty()) return hand_over(way, *letter);
  if (letter->travels_ == Travels::queued && way.places++ == 0)
    way.moved = scheduler_.clock().now();
  way.door.push(letter);  // it waits its turn
}

void SimulatedNetwork::leave(Way& way, const Letter& letter) {
  if (letter.travels_ != Travels::queued) return;
  --way.places;
  way.moved = scheduler_.clock().now();
}

void SimulatedNetwork::hand_over(Way& way, const Letter& letter) {
  ++counts_.delivered;
  letter.arrive(++way.burst);
}

// One after another, each as a task of its own.
void SimulatedNetwork::take_waiting(Endpoint& to) {
  if (!to.taking || to.frozen) return;
  for (auto& [name, from] : endpoints_) {
    const auto way = from.ways.find(to.number);
    if (way == from.ways.end() || way->second.door.empty()) continue;
    const std::shared_ptr<const Letter> letter = way->second.door.pop();
    leave(way->second, *letter);
    hand_over(way->second, *letter);
    return scheduler_.post([this, &to] { take_waiting(to); });
  }
}

std::size_t SimulatedNetwork::places(const Endpoint& from, const Endpoint& to) const {
  const auto way = from.ways.find(to.number);
  return way == from.ways.end() ? 0 : way->second.places;
}

Duration SimulatedNetwork::stuck(const Endpoint& from, const Endpoint& to) const {
  const auto way = from.ways.find(to.number);
  if (way == from.ways.end() || way->second.places == 0) return absl::ZeroDuration();
  return scheduler_.clock().now() - way->second.moved;
}

}  // namespace supercloud
