#include "tests/simulation/price_accounting.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

namespace supercloud {
namespace {

constexpr double hour = 3600;
constexpr double never = std::numeric_limits<double>::infinity();

// "0.0219" in nano-dollars.
std::int64_t nano(const std::string& text) {
  const std::size_t point = std::min(text.find('.'), text.size());
  std::string digits = text.substr(0, point) + text.substr(std::min(point + 1, text.size()));
  digits.append(9 - (text.size() - std::min(point + 1, text.size())), '0');
  return std::stoll(digits);
}

}  // namespace

bool PriceAccounting::read(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line) || line.substr(0, 20) != "epoch_s,az,usd_per_h") return false;
  while (std::getline(file, line)) {
    while (!line.empty() && line.back() == '\r') line.pop_back();
    const std::size_t first = line.find(','), second = line.find(',', first + 1);
    if (second == std::string::npos) continue;
    zones_[line.substr(first + 1, second - first - 1)].emplace(std::stod(line.substr(0, first)),
                                                               nano(line.substr(second + 1)));
  }
  return !zones_.empty();
}

std::int64_t PriceAccounting::price(const std::string& place, double at) const {
  const auto zone = zones_.find(place);
  if (zone == zones_.end()) return place == "on-demand" ? rules_.on_demand_nano : 0;
  return std::prev(zone->second.upper_bound(at))->second;
}

double PriceAccounting::next_change(double at, const std::string& only) const {
  double next = never;
  for (const auto& [zone, changes] : zones_) {
    const auto change = changes.upper_bound(at);
    if ((only.empty() || only == zone) && change != changes.end())
      next = std::min(next, change->first);
  }
  return next;
}

// When the price there first exceeds the bid, from `from` on and before `until`; never: it does not.
double PriceAccounting::first_excess(const std::string& place, double from, double until) const {
  for (double at = from; at < until; at = next_change(at, place))
    if (price(place, at) > rules_.on_demand_nano) return at;
  return never;
}

// Of equal prices where it is; else the first by name, on demand (in zone a) before zones.
std::string PriceAccounting::cheapest(double at, const std::string& here, bool here_allowed) const {
  std::string best = "on-demand";
  if (here == "on-demand" && !here_allowed) best = "";
  for (const auto& [zone, changes] : zones_)
    if ((zone != here || here_allowed) && (best.empty() || price(zone, at) < price(best, at)))
      best = zone;
  if (here != "home" && here_allowed && price(here, at) == price(best, at)) best = here;
  return best;
}

// At home every hour of the clock ends a paid one.
std::optional<PriceAccounting::Move> PriceAccounting::next_move(const Rented& rented,
                                                                double from) const {
  double at = from;
  const double noticed = rented.noticed > 0 ? rented.noticed : never;
  while (at < rules_.end) {
    if (at >= noticed) return Move{at, rented.place, cheapest(at, rented.place, false)};
    const double into = std::fmod(at - rented.launched, hour);
    if (into < hour - rules_.lead) {
      at = std::min(at + hour - rules_.lead - into, std::max(noticed, at));
      continue;
    }
    const std::string best = cheapest(at, rented.place, rented.place != "home");
    if (best != rented.place) return Move{at, rented.place, best};
    at = std::min({next_change(at), std::max(noticed, at), at + hour - into});
  }
  return std::nullopt;
}

void PriceAccounting::leave(Rented& rented, double left) const {
  rented.end = never;
  rented.free = false;
  // The looks of the provider's: at hour - lead, and every eighth of it until an eighth before the end.
  double begun = left < never ? std::floor((left - rented.launched) / hour) * hour + rented.launched
                              : rules_.end;
  for (; rented.end == never && begun < rules_.end; begun += hour)
    for (int look = 0; look < 8 && rented.end == never; ++look)
      if (const double at = begun + hour - rules_.lead + look * rules_.lead / 8; at >= left)
        rented.end = at;
  if (rented.noticed == 0 || rented.noticed > rented.end) return;
  rented.end = rented.taken;
  rented.free = true;
}

void PriceAccounting::charge(const Rented& rented) {
  if (rented.place == "home") return;
  if (rented.noticed > 0 && rented.noticed < std::min(rented.end, rules_.end)) ++interruptions;
  for (double from = rented.launched; from < rented.end; from += hour) {
    const double over = std::min(from + hour, rented.end);
    if (over > rules_.end) break;
    const bool free = rented.free && over < from + hour;
    hours.push_back({from, rented.place, free ? 0 : price(rented.place, from), free});
  }
}

void PriceAccounting::run(const AccountingRules& rules) {
  rules_ = rules;
  // in the order of their launch
  std::vector<Rented> all = {{"home", std::floor(rules.start / hour) * hour}};
  std::size_t here = 0;
  double from = rules.start;
  while (const std::optional<Move> move = next_move(all[here], from)) {
    moves.push_back(*move);
    std::size_t there = 0;
    const auto usable = [&](const Rented& rented) {
      return rented.place == move->to && rented.end > move->at &&
             (rented.noticed == 0 || rented.noticed > move->at);
    };
    while (there < all.size() && (there == here || !usable(all[there]))) ++there;
    from = move->at + rules_.move;
    if (there == all.size()) {
      Rented rented{move->to, move->at + rules_.launch};
      const double excess = zones_.contains(rented.place)
                                ? first_excess(rented.place, rented.launched, rules_.end)
                                : never;
      if (excess < never) rented.noticed = excess, rented.taken = excess + rules_.notice;
      all.push_back(rented);
      from += rules_.launch + rules_.join;
    }
    leave(all[here], from);
    here = there;
  }
  leave(all[here], never);
  for (const Rented& rented : all) charge(rented);
}

}  // namespace supercloud
