#include "bus/simulated/network.h"

#include <algorithm>

#include "bus/simulated/simulated_bus.h"

namespace supercloud {

void SimulatedNetwork::add(std::string_view name) { up_.try_emplace(std::string(name), true); }

void SimulatedNetwork::set_up(std::string_view name, bool up) {
  bool& state = up_.try_emplace(std::string(name), up).first->second;
  if (state && !up) reset(name);
  state = up;
}

bool SimulatedNetwork::is_up(std::string_view name) const {
  const auto found = up_.find(name);
  return found != up_.end() && found->second;
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

void SimulatedNetwork::calm() {
  heal();
  pair_faults_.clear();
  faults_ = LinkFaults{};
}

void SimulatedNetwork::reset(std::string_view name) {
  ++generations_[std::string(name)];
  const bool heard = std::ranges::any_of(
      buses_, [](const auto& bus) { return bus.second->options_.resets_heard; });
  if (!heard) return;
  // A task of its own: the bus that ends may be at work.
  scheduler_.post([this, name = std::string(name)] {
    for (const auto& [other, bus] : buses_)
      if (other != name) bus->peer_reset(name);
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

const LinkFaults& SimulatedNetwork::faults(const Pair& pair) const {
  const auto found = pair_faults_.find(pair);
  return found == pair_faults_.end() ? faults_ : found->second;
}

std::uint64_t SimulatedNetwork::generation(std::string_view name) const {
  const auto found = generations_.find(name);
  return found == generations_.end() ? 0 : found->second;
}

void SimulatedNetwork::send(std::string_view from, std::string_view to, Delivery delivery) {
  const Pair pair(from, to);
  const LinkFaults& faults = this->faults(pair);
  ++counts_.sent;
  // Drawn for every message, so that a block does not shift the fate of all later ones.
  const bool lost = random_.chance(faults.loss_per_million);
  const bool doubled = random_.chance(faults.duplicate_per_million);
  if (lost || !reachable(from, to)) {
    ++counts_.lost;
    return;
  }
  if (doubled) {
    ++counts_.duplicated;
    carry(pair, faults, delivery);
  }
  carry(pair, faults, std::move(delivery));
}

void SimulatedNetwork::carry(const Pair& pair, const LinkFaults& faults, Delivery delivery) {
  const std::int64_t low = absl::ToInt64Nanoseconds(faults.delay_min);
  const std::int64_t high = std::max(low, absl::ToInt64Nanoseconds(faults.delay_max));
  const std::int64_t delay = random_.between(low, high);
  Instant arrival = scheduler_.clock().now() + absl::Nanoseconds(delay);
  if (random_.chance(faults.reorder_per_million)) {
    ++counts_.reordered;
    const std::int64_t late = absl::ToInt64Nanoseconds(faults.reorder_delay_max);
    arrival = arrival + absl::Nanoseconds(random_.between(0, std::max<std::int64_t>(late, 0)));
  } else {
    Instant& last = last_arrival_.try_emplace(pair, Instant{0}).first->second;
    arrival = std::max(arrival, last);
    last = arrival;
  }
  const std::uint64_t generation = this->generation(pair.second);
  scheduler_.at(arrival, [this, pair, generation, delivery = std::move(delivery)] {
    if (!is_up(pair.second) || this->generation(pair.second) != generation ||
        severed(pair.first, pair.second)) {
      ++counts_.lost;
      return;
    }
    ++counts_.delivered;
    delivery();
  });
}

}  // namespace supercloud
