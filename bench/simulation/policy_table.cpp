// The table of `make bench`: what smart-spot saves on real prices, with the whole choreography, beside fixed thresholds and what was
// possible; whether it meets three bars; and where moves are too many, what these many moves allow.
//
//   (a)  saves no more than 0.5 points less than the best fixed threshold of 0, 10, 20, 50, 100 % at hour ends
//   (b)  makes at most 1.2 times the clairvoyant's moves, flights included
//   (c)  saves 95 % or more of what was possible
//
// The bars are those of billing by the hour; of billing by the second the share of the possible is told beside.
//
// usage: policy_table [--quick] JSON    quick: only the series of a week. 1: a series could not be replayed, or a VM was caught.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "actors/policy/smart_spot.h"
#include "bench/simulation/real_traces.h"

namespace supercloud {
namespace {

constexpr std::int64_t tight_percent = 200;  // of a move's cost, that a revocation counts as

// smart-spot, more afraid of revocations.
class TightSmartSpot final : public Policy {
 public:
  std::string name() const override { return "tight"; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    SmartSpotOptions options;
    options.flight_percent = tight_percent;
    reply(decide_smart_spot(world.reader(), options));
  }
};

struct Row {
  const RealTrace* trace = nullptr;
  ReplayStrategy smart, threshold, by_second;
  std::optional<ReplayStrategy> tight;  // where (b) is missed
  std::optional<Money> with_allowed;    // likewise
  Possible possible, possible_by_second;

  double saved(Money paid) const {
    const Money all = trace->paid_on_demand();
    return 100 * static_cast<double>((all - paid).nano_usd) / static_cast<double>(all.nano_usd);
  }
  double share() const { return 100 * saved(smart.cost) / saved(possible.least); }
  double share_by_second() const {
    return 100 * saved(by_second.cost) / saved(possible_by_second.least);
  }
  bool meets_a() const { return saved(smart.cost) >= saved(threshold.cost) - 0.5; }
  bool meets_b() const { return smart.moves <= possible.moves_allowed; }
  bool meets_c() const { return share() >= 95; }
};

absl::StatusOr<ReplayStrategy> replayed(const RealTrace& trace, const std::string& policy,
                                        schema::Billing billing = schema::Billing::HOURLY) {
  ReplayOptions options = replay_options(trace, policy, billing);
  options.policies["tight"] = [] { return std::make_unique<TightSmartSpot>(); };
  return replay(options, policy);
}

absl::StatusOr<Row> measure(const RealTrace& trace) {
  Row row;
  row.trace = &trace;
  auto best = possible(trace);
  if (!best.ok()) return best.status();
  row.possible = *best;
  auto smart = replayed(trace, "smart-spot");
  if (!smart.ok()) return smart.status();
  row.smart = *std::move(smart);
  auto best_by_second = possible(trace, schema::Billing::PER_SECOND);
  if (!best_by_second.ok()) return best_by_second.status();
  row.possible_by_second = *best_by_second;
  auto by_second = replayed(trace, "smart-spot", schema::Billing::PER_SECOND);
  if (!by_second.ok()) return by_second.status();
  row.by_second = *std::move(by_second);
  for (const char* name :
       {"cheapest", "threshold-10", "threshold-20", "threshold-50", "threshold-100"}) {
    auto other = replayed(trace, name);
    if (!other.ok()) return other.status();
    if (row.threshold.name.empty() || other->cost < row.threshold.cost)
      row.threshold = *std::move(other);
  }
  if (row.meets_b()) return row;
  auto tight = replayed(trace, "tight");
  if (!tight.ok()) return tight.status();
  row.tight = *std::move(tight);
  const auto least = possible_with(trace, row.possible.moves_allowed);
  if (!least.ok()) return least.status();
  row.with_allowed = *least;
  return row;
}

const char* met(bool yes) { return yes ? "met" : "missed"; }

void print(const Row& row) {
  std::cout << absl::StrFormat(
      "%-23s %6.2f  %6.2f %-13s %6.2f  %6.2f  %3d %3d %3d  %3d %3d  %-6s %-6s %-6s %6.2f %3d\n",
      row.trace->name, row.saved(row.smart.cost), row.saved(row.threshold.cost), row.threshold.name,
      row.saved(row.possible.least), row.share(), row.smart.moves, row.possible.moves,
      row.possible.moves_allowed, row.smart.revocations, row.smart.caught, met(row.meets_a()),
      met(row.meets_b()), met(row.meets_c()), row.share_by_second(), row.by_second.caught);
  if (std::abs((row.threshold.cost - row.trace->best_threshold).nano_usd) > 1'000'000)
    std::cout << "  the best threshold pays " << to_string(row.threshold.cost) << ", not "
              << to_string(row.trace->best_threshold) << " as written in real_traces.cpp\n";
  if (!row.tight) return;
  std::cout << absl::StrFormat(
      "  (b): with %d moves the clairvoyant saves %.2f. Of the %d moves %d are flights, which none "
      "without foresight avoids: %d are of choice.\n"
      "       If a revocation counts as %.1f moves instead of 0.5: %.2f saved with %d moves.\n",
      row.possible.moves_allowed, row.saved(*row.with_allowed), row.smart.moves,
      row.smart.revocations, row.smart.moves - row.smart.revocations, tight_percent / 100.0,
      row.saved(row.tight->cost), row.tight->moves);
}

std::string json(const Row& row) {
  std::string more;
  if (row.tight) {
    more = absl::StrFormat(
        R"(, "clairvoyant_with_moves_allowed_percent": %.3f, "tight_saved_percent": %.3f, "tight_moves": %d)",
        row.saved(*row.with_allowed), row.saved(row.tight->cost), row.tight->moves);
  }
  return absl::StrFormat(
      R"({"trace": "%s", "saved_percent": %.3f, "best_threshold": "%s", "best_threshold_percent": %.3f, )"
      R"("clairvoyant_percent": %.3f, "share_percent": %.3f, "moves": %d, "clairvoyant_moves": %d, "moves_allowed": %d, )"
      R"("revocations": %d, "caught": %d, "a": %s, "b": %s, "c": %s, "share_by_second_percent": %.3f, "caught_by_second": %d%s})",
      row.trace->name, row.saved(row.smart.cost), row.threshold.name, row.saved(row.threshold.cost),
      row.saved(row.possible.least), row.share(), row.smart.moves, row.possible.moves,
      row.possible.moves_allowed, row.smart.revocations, row.smart.caught,
      row.meets_a() ? "true" : "false", row.meets_b() ? "true" : "false",
      row.meets_c() ? "true" : "false", row.share_by_second(), row.by_second.caught, more);
}

int table(bool quick, const std::string& path) {
  if (!std::filesystem::exists(path_of(real_traces().front()))) {
    std::cout << "policy_table: no real prices here; set SUPERCLOUD_DATA to the folder that holds "
                 "them\n";
    return 0;
  }
  std::cout << "                         % saved of on-demand           share  moves        revoc. "
               "                     by the second\n"
               "                        smart  threshold     possible      %    own best max  met "
               "caught (a)    (b)    (c)  share caught\n";
  std::vector<std::string> rows;
  std::vector<double> shares;
  bool good = true;
  for (const RealTrace& trace : real_traces()) {
    if (quick && trace.to - trace.from > 7 * 24 * 3600) continue;
    const auto row = measure(trace);
    if (!row.ok()) {
      std::cout << trace.name << ": " << row.status() << "\n";
      good = false;
      continue;
    }
    print(*row);
    rows.push_back(json(*row));
    shares.push_back(row->share());
    good = good && row->smart.caught == 0 && row->by_second.caught == 0;
  }
  std::sort(shares.begin(), shares.end());
  if (!shares.empty()) {
    const double median = (shares[(shares.size() - 1) / 2] + shares[shares.size() / 2]) / 2;
    std::cout << absl::StrFormat("median share: %.2f %% (98.5: %s)\n", median, met(median >= 98.5));
  }
  std::ofstream file(path);
  file << "[\n" << absl::StrJoin(rows, ",\n") << "\n]\n";
  return good && file.good() ? 0 : 1;
}

}  // namespace
}  // namespace supercloud

int main(int count, char** arguments) {
  const bool quick = count == 3 && std::string_view(arguments[1]) == "--quick";
  if (count != (quick ? 3 : 2)) {
    std::cerr << "usage: policy_table [--quick] JSON\n";
    return 2;
  }
  return supercloud::table(quick, arguments[count - 1]);
}
