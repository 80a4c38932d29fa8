#include "cli/replay/told.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/price_arguments.h"
#include "cli/text_table.h"

namespace supercloud {
namespace {

std::string share(Money part, Money whole) {
  if (whole.nano_usd <= 0) return "-";
  return absl::StrFormat("%.1f %%", 100 * in_usd(part) / in_usd(whole));
}

bool never_answered(const ReplayStrategy& strategy) {
  return strategy.failures > 0 && strategy.answers == 0;
}

}  // namespace

std::string replay_text(const ReplayResult& result) {
  std::string text =
      absl::StrCat(result.title, ", ", minute_text(result.from), " to ", minute_text(result.to),
                   ", ", result.vms, result.vms == 1 ? " VM" : " VMs", ", ", result.prices_read,
                   result.prices_read == 1 ? " price\n\n" : " prices\n\n");
  std::vector<std::vector<std::string>> rows = {
      {"STRATEGY", "USD", "SAVED", "OF POSSIBLE", "MOVES", "REVOCATIONS", "CAUGHT", "DOWN"}};
  const Money possible = result.on_demand - result.clairvoyant;
  for (const ReplayStrategy& strategy : result.strategies) {
    const Money saved = result.on_demand - strategy.cost;
    rows.push_back({strategy.name, absl::StrFormat("%.2f", in_usd(strategy.cost)),
                    share(saved, result.on_demand), share(saved, possible),
                    absl::StrCat(strategy.moves), absl::StrCat(strategy.revocations),
                    absl::StrCat(strategy.caught),
                    absl::StrFormat("%.1f s", absl::ToDoubleSeconds(strategy.down))});
  }
  rows.push_back({"on-demand", absl::StrFormat("%.2f", in_usd(result.on_demand)), "", "", "0", "0",
                  "0", "0.0 s"});
  absl::StrAppend(&text, text_table(rows), "\n");
  std::vector<std::vector<std::string>> model = {{"MODEL", ""}};
  for (const auto& [name, value] : result.model) model.push_back({name, value});
  absl::StrAppend(&text, text_table(model));
  if (possible.nano_usd <= 0)
    text +=
        "\nNothing could be saved: from where the VMs begin, the least that was possible is no "
        "less\n"
        "than what on demand costs.\n";
  if (result.rejected_rows > 0)
    absl::StrAppend(&text, "\n", result.rejected_rows,
                    result.rejected_rows == 1
                        ? " row of the price files is damaged or in doubt\n"
                        : " rows of the price files are damaged or in doubt\n");
  absl::StrAppendFormat(&text, "\n%.2f s\n", absl::ToDoubleSeconds(result.wall));
  return text;
}

std::string failures_text(const ReplayResult& result) {
  std::string text;
  for (const ReplayStrategy& strategy : result.strategies)
    if (strategy.failures > 0)
      absl::StrAppend(
          &text, "policy ", strategy.name, " failed ", strategy.failures, " of ",
          strategy.failures + strategy.answers, " times that it was asked",
          never_answered(strategy) ? ", so that it decided nothing and its VMs stayed" : "",
          "; the first time: ", strategy.failure, "\n");
  return text;
}

std::string damage_text(const ReplayResult& result) {
  std::string text;
  for (const std::string& one : result.damage) absl::StrAppend(&text, one, "\n");
  if (result.rejected_rows > result.damage.size())
    absl::StrAppend(&text, "... and ", result.rejected_rows - result.damage.size(),
                    " more damaged rows\n");
  return text;
}

bool never_answered(const ReplayResult& result) {
  return std::ranges::any_of(result.strategies,
                             [](const ReplayStrategy& one) { return never_answered(one); });
}

std::string replay_json(const ReplayResult& result) {
  using Json = nlohmann::ordered_json;
  Json strategies = Json::array();
  for (const ReplayStrategy& strategy : result.strategies)
    strategies.push_back({{"name", strategy.name},
                          {"cost_usd", in_usd(strategy.cost)},
                          {"instances_usd", in_usd(strategy.instances)},
                          {"transfer_usd", in_usd(strategy.transfer)},
                          {"not_charged_usd", in_usd(strategy.open)},
                          {"downtime_usd", in_usd(strategy.downtime)},
                          {"moves", strategy.moves},
                          {"revocations", strategy.revocations},
                          {"caught", strategy.caught},
                          {"down_s", absl::ToDoubleSeconds(strategy.down)},
                          {"failures", strategy.failures}});
  Json model = Json::object();
  for (const auto& [name, value] : result.model) model[name] = value;
  const Json json = {
      {"title", result.title},
      {"from", absl::FormatTime(result.from, absl::UTCTimeZone())},
      {"to", absl::FormatTime(result.to, absl::UTCTimeZone())},
      {"vms", result.vms},
      {"model", std::move(model)},
      {"strategies", std::move(strategies)},
      {"clairvoyant_usd", in_usd(result.clairvoyant)},
      {"on_demand_usd", in_usd(result.on_demand)},
      {"saving_reached", result.saving_reached ? Json(*result.saving_reached) : Json()},
      {"log", result.log.empty() ? Json() : Json(result.log)},
      {"events", result.strategies.empty() ? 0 : result.strategies.front().events},
      {"prices", result.prices_read},
      {"rejected_rows", result.rejected_rows},
      {"damage", result.damage},
      {"wall_s", absl::ToDoubleSeconds(result.wall)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace supercloud
