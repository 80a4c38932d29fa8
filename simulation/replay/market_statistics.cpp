#include "simulation/replay/market_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>

namespace supercloud {
namespace {

using Numbers = std::vector<double>;

double quantile(Numbers& numbers, double share) {
  if (numbers.empty()) return 0;
  const auto index = std::min(
      numbers.size() - 1, static_cast<std::size_t>(share * static_cast<double>(numbers.size())));
  const auto at = numbers.begin() + static_cast<std::ptrdiff_t>(index);
  std::nth_element(numbers.begin(), at, numbers.end());
  return *at;
}

double mean(const Numbers& numbers) {
  double sum = 0;
  for (const double number : numbers) sum += number;
  return numbers.empty() ? 0 : sum / static_cast<double>(numbers.size());
}

// Of a[i] with b[i + lag].
std::optional<double> correlation(const Numbers& a, const Numbers& b, std::size_t lag = 0) {
  if (a.size() <= lag) return std::nullopt;
  const std::size_t count = a.size() - lag;
  double mean_a = 0, mean_b = 0;
  for (std::size_t i = 0; i < count; ++i) {
    mean_a += a[i];
    mean_b += b[i + lag];
  }
  mean_a /= static_cast<double>(count);
  mean_b /= static_cast<double>(count);
  double both = 0, square_a = 0, square_b = 0;
  for (std::size_t i = 0; i < count; ++i) {
    both += (a[i] - mean_a) * (b[i + lag] - mean_b);
    square_a += (a[i] - mean_a) * (a[i] - mean_a);
    square_b += (b[i + lag] - mean_b) * (b[i + lag] - mean_b);
  }
  if (square_a <= 0 || square_b <= 0) return std::nullopt;
  return both / std::sqrt(square_a * square_b);
}

double pairs(const std::vector<Numbers>& zones) {
  Numbers found;
  for (std::size_t a = 0; a < zones.size(); ++a)
    for (std::size_t b = 0; b < a; ++b)
      if (const auto one = correlation(zones[a], zones[b])) found.push_back(*one);
  return mean(found);
}

double persistence(const std::vector<Numbers>& zones, std::size_t lag) {
  Numbers found;
  for (const Numbers& zone : zones)
    if (const auto one = correlation(zone, zone, lag)) found.push_back(*one);
  return mean(found);
}

}  // namespace

MarketStatistics market_statistics(const PriceGrid& grid, Money on_demand) {
  MarketStatistics found;
  found.zones = grid.places();
  const double step_minutes = absl::ToDoubleMinutes(grid.step());
  const auto per_day = static_cast<std::size_t>(absl::Hours(24) / grid.step());
  std::vector<int> steps;
  for (int step = 0; step < grid.steps(); ++step) {
    bool known = true;
    for (int zone = 0; zone < grid.places(); ++zone) known = known && grid.known(zone, step);
    if (known) steps.push_back(step);
  }
  found.days = static_cast<double>(steps.size()) / static_cast<double>(per_day);

  std::vector<Numbers> logs, dear, daily;
  Numbers levels, sizes, minutes, heights;
  std::vector<int> zones_above(steps.size());
  for (int zone = 0; zone < grid.places(); ++zone) {
    Numbers log_prices, is_above, change_in_a_day;
    double highest = 0;
    int length = 0;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const Money price = grid.price(zone, steps[i]);
      const double level =
          static_cast<double>(price.nano_usd) / static_cast<double>(on_demand.nano_usd);
      const bool above = price > on_demand;
      levels.push_back(level);
      log_prices.push_back(std::log(level));
      is_above.push_back(above ? 1 : 0);
      zones_above[i] += above ? 1 : 0;
      if (i > 0 && grid.price(zone, steps[i - 1]) != price)
        sizes.push_back(std::abs(log_prices[i] - log_prices[i - 1]));
      if (i >= per_day && i % (per_day / 8) == 0)
        change_in_a_day.push_back(log_prices[i] - log_prices[i - per_day]);
      if (above) {
        highest = std::max(highest, level);
        ++length;
      }
      if (length > 0 && (!above || i + 1 == steps.size())) {
        minutes.push_back(length * step_minutes);
        heights.push_back(highest);
        highest = 0;
        length = 0;
      }
    }
    logs.push_back(std::move(log_prices));
    dear.push_back(std::move(is_above));
    daily.push_back(std::move(change_in_a_day));
  }

  const double zone_days = found.days * found.zones;
  found.level_5 = quantile(levels, 0.05);
  found.level_25 = quantile(levels, 0.25);
  found.level_50 = quantile(levels, 0.5);
  found.level_75 = quantile(levels, 0.75);
  found.level_90 = quantile(levels, 0.9);
  found.level_95 = quantile(levels, 0.95);
  found.level_mean = mean(levels);
  found.changes_per_day = static_cast<double>(sizes.size()) / zone_days;
  found.change_size = quantile(sizes, 0.5);
  for (const Numbers& zone : dear) found.above += mean(zone) / found.zones;
  found.all_above =
      static_cast<double>(std::count(zones_above.begin(), zones_above.end(), found.zones)) /
      static_cast<double>(steps.size());
  found.spikes_per_day = static_cast<double>(minutes.size()) / zone_days;
  found.spike_minutes_50 = quantile(minutes, 0.5);
  found.spike_minutes_90 = quantile(minutes, 0.9);
  found.spike_minutes_mean = mean(minutes);
  found.spike_height_50 = quantile(heights, 0.5);
  found.spike_height_90 = quantile(heights, 0.9);
  found.persistence_hour = persistence(logs, per_day / 24);
  found.persistence_day = persistence(logs, per_day);
  found.persistence_week = persistence(logs, per_day * 7);
  found.correlation_level = pairs(logs);
  found.correlation_day = pairs(daily);
  found.correlation_above = pairs(dear);
  return found;
}

std::vector<std::pair<std::string, double>> MarketStatistics::named() const {
  return {{"level of 5 % of the time", level_5},
          {"level of 25 %", level_25},
          {"level, median", level_50},
          {"level of 75 %", level_75},
          {"level of 90 %", level_90},
          {"level of 95 %", level_95},
          {"level, mean", level_mean},
          {"changes per zone and day", changes_per_day},
          {"size of a change, median", change_size},
          {"time above on-demand", above},
          {"time all zones are above", all_above},
          {"spikes per zone and day", spikes_per_day},
          {"minutes of a spike, median", spike_minutes_50},
          {"minutes of a spike, 90 %", spike_minutes_90},
          {"minutes of a spike, mean", spike_minutes_mean},
          {"height of a spike, median", spike_height_50},
          {"height of a spike, 90 %", spike_height_90},
          {"persistence, an hour", persistence_hour},
          {"persistence, a day", persistence_day},
          {"persistence, a week", persistence_week},
          {"correlation of level", correlation_level},
          {"correlation of changes in a day", correlation_day},
          {"correlation of being above", correlation_above}};
}

}  // namespace supercloud
