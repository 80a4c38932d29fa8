#include "cli/bench/migration/migration_result.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/bench/told.h"
#include "cli/text_table.h"
#include "cli/vm_file.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr double ms = 1e3;

// A difference or a ratio, which is asked alike.
struct Judged {
  double ours = 0, bare = 0;
  double more = 0, low = 0, high = 0;
  std::string_view bar, goal;
};

Judged judge(const MigrationRow& row) {
  if (row.ratio) {
    const Paired paired = pair_up(row.ours, row.bare);
    return {paired.ours,
            paired.floor,
            paired.ratio,
            paired.low,
            paired.high,
            verdict(paired, row.bar),
            verdict(paired, row.goal)};
  }
  const PairedDifference paired = difference_of_pairs(row.ours, row.bare);
  return {paired.ours,
          paired.floor,
          paired.difference,
          paired.low,
          paired.high,
          verdict(paired, row.bar),
          verdict(paired, row.goal)};
}

std::string what_of(const MigrationRow& row) {
  if (row.name == "blackout") return "stands still";
  return row.name == "total" ? "the whole move" : "largest gap heard";
}

Json row_json(const MigrationRow& row) {
  const Judged judged = judge(row);
  const double unit = row.ratio ? 1 : ms;
  const auto in_ms = [](const std::vector<double>& values) {
    Json all = Json::array();
    for (const double value : values) all.push_back(value * ms);
    return all;
  };
  return {{"guest", row.guest},
          {"name", row.name},
          {"supercloud_ms", judged.ours * ms},
          {"bare_ms", judged.bare * ms},
          {row.ratio ? "ratio" : "difference_ms", judged.more * unit},
          {"low", judged.low * unit},
          {"high", judged.high * unit},
          {"bar", row.bar * unit},
          {"bar_verdict", judged.bar},
          {"goal", row.goal * unit},
          {"goal_verdict", judged.goal},
          {"supercloud_pairs_ms", in_ms(row.ours)},
          {"bare_pairs_ms", in_ms(row.bare)}};
}

PairedDifference of_moves(const PriceRow& row) {
  return difference_of_pairs(row.seconds, std::vector<double>(row.seconds.size()));
}

Json price_json(const PriceRow& row) {
  const PairedDifference moves = of_moves(row);
  Json json = {{"prepared", row.prepared},
               {"ms", moves.ours * ms},
               {"low", moves.low * ms},
               {"high", moves.high * ms},
               {"moves_ms", Json::array()}};
  for (const double seconds : row.seconds) json["moves_ms"].push_back(seconds * ms);
  if (!row.prepared) return json;
  json["bar"] = price_bar * ms;
  json["bar_verdict"] = verdict(moves, price_bar);
  json["goal"] = price_goal * ms;
  json["goal_verdict"] = verdict(moves, price_goal);
  return json;
}

std::string price_text(const PriceRow& row) {
  const PairedDifference moves = of_moves(row);
  return absl::StrFormat(
      "from a price until memory moves, %s: %.1f ms (%.1f to %.1f), %d moves%s\n",
      row.prepared ? "a target being ready" : "no target being ready", moves.ours * ms,
      moves.low * ms, moves.high * ms, row.seconds.size(),
      row.prepared
          ? absl::StrFormat("; bar %.0f ms: %s, goal %.0f ms: %s", price_bar * ms,
                            verdict(moves, price_bar), price_goal * ms, verdict(moves, price_goal))
          : "");
}

std::string_view idle_verdict(const IdleCost& idle) {
  return idle.resident_bytes <= idle_resident_goal && idle.cpu <= idle_cpu_goal ? "met" : "missed";
}

std::vector<std::string> row_cells(const MigrationRow& row) {
  const Judged judged = judge(row);
  const auto allowed = [&](double most, std::string_view how) {
    return row.ratio ? absl::StrFormat("%.2f x  %s", most, how)
                     : absl::StrFormat("+%.0f ms  %s", most * ms, how);
  };
  return {absl::StrCat(row.guest, ": ", what_of(row)),
          absl::StrCat(row.ours.size()),
          absl::StrFormat("%.1f ms", judged.ours * ms),
          absl::StrFormat("%.1f ms", judged.bare * ms),
          row.ratio ? absl::StrFormat("%.2f x (%.2f to %.2f)", judged.more, judged.low, judged.high)
                    : absl::StrFormat("%+.1f ms (%+.1f to %+.1f)", judged.more * ms,
                                      judged.low * ms, judged.high * ms),
          allowed(row.bar, judged.bar),
          allowed(row.goal, judged.goal)};
}

}  // namespace

std::string migration_json(const MigrationResult& result) {
  Json json = {{"format", "supercloud bench migration 1"},
               {"started", result.started},
               {"qemu", result.qemu},
               {"accelerator", result.accelerator},
               {"memory_bytes", result.memory_bytes},
               {"pairs", result.pairs},
               {"prepared", result.prepared},
               {"load", result.load},
               {"complete", result.complete},
               {"rows", Json::array()},
               {"steps", Json::array()},
               {"prices", Json::array()}};
  for (const MigrationRow& row : result.rows) json["rows"].push_back(row_json(row));
  for (const MigrationStep& step : result.steps)
    json["steps"].push_back(
        {{"guest", step.guest}, {"way", step.way}, {"name", step.name}, {"ms", step.seconds * ms}});
  for (const PriceRow& row : result.prices) json["prices"].push_back(price_json(row));
  if (const auto& idle = result.idle)
    json["idle"] = {{"guests", idle->guests},
                    {"seconds", idle->seconds},
                    {"resident_bytes", idle->resident_bytes},
                    {"proportional_bytes", idle->proportional_bytes},
                    {"cpu", idle->cpu},
                    {"goal_verdict", idle_verdict(*idle)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

std::string migration_text(const MigrationResult& result) {
  std::string text =
      absl::StrCat("a guest of ", format_bytes(result.memory_bytes), ", QEMU ", result.qemu, " (",
                   result.accelerator, "), load ", absl::StrFormat("%.1f", result.load),
                   result.prepared ? "" : "; no target was ready",
                   result.complete ? "" : "; interrupted: of what was measured until then", "\n\n");
  std::vector<std::vector<std::string>> table = {
      {"guest", "pairs", "supercloud", "QEMU alone", "more (95 %)", "bar", "goal"}};
  for (const MigrationRow& row : result.rows) table.push_back(row_cells(row));
  if (table.size() > 1) absl::StrAppend(&text, text_table(table));
  std::string told;
  for (const MigrationStep& step : result.steps) {
    const std::string of = absl::StrCat(
        step.guest, step.way == "bare" ? ", QEMU alone" : ", supercloud", ", from the request: ");
    absl::StrAppend(&text, of == told ? ", " : absl::StrCat(told.empty() ? "\n" : " ms\n", of),
                    step.name, absl::StrFormat(" %.1f", step.seconds * ms));
    told = of;
  }
  if (!told.empty()) absl::StrAppend(&text, " ms\n");
  if (!result.prices.empty()) absl::StrAppend(&text, "\n");
  for (const PriceRow& row : result.prices) absl::StrAppend(&text, price_text(row));
  if (const auto& idle = result.idle)
    absl::StrAppend(
        &text, "\n",
        absl::StrFormat("a node's daemon with %d guests that do nothing: %.1f MB resident (%.1f MB "
                        "its own share), %.2f %% of a core; goal 40 MB, 1 %%: %s\n",
                        idle->guests, idle->resident_bytes / 1e6, idle->proportional_bytes / 1e6,
                        idle->cpu * 100, idle_verdict(*idle)));
  return text;
}

}  // namespace supercloud
