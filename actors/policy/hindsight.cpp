#include "actors/policy/hindsight.h"

#include <algorithm>

namespace supercloud {
namespace {

constexpr Money nobody{INT64_MAX / 4};

// One more hour. Who comes from elsewhere comes from where it cost least, which is 0.
void add_hour(const std::vector<HindsightPlace>& places, const std::vector<Money>& prices,
              std::vector<Money>& costs) {
  Money least = nobody;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const bool taken = places[i].bid > 0 && prices[i] > Money{places[i].bid};
    costs[i] = taken ? nobody : std::min(costs[i], places[i].move_cost) + prices[i];
    least = std::min(least, costs[i]);
  }
  for (std::size_t i = 0; i < places.size(); ++i)
    costs[i] = std::min(costs[i] - least, places[i].move_cost);
}

}  // namespace

std::vector<Money> hindsight(const std::vector<HindsightPlace>& places) {
  std::vector<Money> costs(places.size()), prices(places.size());
  unsigned hours = 1;
  for (const HindsightPlace& place : places) hours = std::max(hours, place.marks.size());
  // The newest mark is within the hour that ends. Before a place's first price it was as dear as then.
  for (unsigned age = hours - 1; age > 0; --age) {
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& marks = places[i].marks;
      prices[i] =
          marks.size() > 0 ? Money{marks[std::min(age, marks.size() - 1)]} : places[i].price;
    }
    add_hour(places, prices, costs);
  }
  for (std::size_t i = 0; i < places.size(); ++i) prices[i] = places[i].price;
  add_hour(places, prices, costs);
  return costs;
}

}  // namespace supercloud
