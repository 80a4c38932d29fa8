#include "actors/observer/state_json.h"

#include <nlohmann/json.hpp>

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

std::string when(HybridTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time.wall(), absl::UTCTimeZone());
}

Json fact(const MigrationState::Fact& fact) {
  return {{"time", when(fact.time)}, {"node", fact.node}, {"event", fact.event.to_string()}};
}

Json end_of(const MigrationState::End& end) {
  Json out = fact(end.fact);
  out["as"] = std::string(to_string(end.stage));
  if (end.stage == MigrationStage::aborted) {
    out["while"] = end.at_stage;
    out["why"] = end.why;
  }
  if (end.stage == MigrationStage::refused) {
    out["failures"] = Json::array();
    for (const auto& check : end.failures)
      out["failures"].push_back(
          {{"check", check.name}, {"detail", check.detail}, {"cure", check.cure}});
  }
  if (end.stage == MigrationStage::completed) {
    out["sent_bytes"] = end.sent_bytes;
    out["passes"] = end.passes;
    out["total_ms"] = end.total_ms;
  }
  return out;
}

}  // namespace

std::string to_json(const MigrationState& state) {
  Json out{{"id", state.id.to_string()},
           {"short_id", state.id.short_id()},
           {"vm", state.vm},
           {"stage", std::string(to_string(stage(state)))},
           {"percent", percent(state)},
           {"source", source_of(state)},
           {"target", target_of(state)},
           {"wanted_place", state.wanted_place},
           {"proposer", state.proposer},
           {"reason", state.reason},
           {"gain_nano_usd", state.gain_nano_usd},
           {"cost_nano_usd", state.cost_nano_usd}};
  out["evidence"] = Json::array();
  for (const EventId& id : state.evidence) out["evidence"].push_back(id.to_string());
  out["told"] = Json::object();
  const auto add = [&](const char* name, const std::optional<MigrationState::Fact>& told) {
    if (told) out["told"][name] = fact(*told);
  };
  add("proposed", state.proposed);
  add("accepted", state.accepted);
  add("target_ready", state.target_ready);
  add("replica_ready", state.replica_ready);
  add("path_ready", state.path_ready);
  add("started", state.started);
  add("paused", state.paused);
  add("sealed", state.sealed);
  add("verified", state.verified);
  add("resumed", state.resumed);
  add("switched", state.switched);
  add("released", state.released);
  add("cancel_requested", state.cancel_requested);
  if (!state.cleaned.empty()) {
    out["cleaned"] = Json::array();
    for (const auto& [node, cleaned] : state.cleaned) out["cleaned"].push_back(fact(cleaned));
  }
  if (state.progress)
    out["progress"] = {{"time", when(state.progress->time)},
                       {"pass", state.progress->pass},
                       {"sent_bytes", state.progress->sent_bytes},
                       {"remaining_bytes", state.progress->remaining_bytes},
                       {"bytes_per_second", state.progress->bytes_per_second},
                       {"eta_low_ms", state.progress->eta_low_ms},
                       {"eta_high_ms", state.progress->eta_high_ms}};
  if (const auto paused = blackout(state)) out["blackout_ms"] = absl::ToDoubleMilliseconds(*paused);
  if (state.without_traffic_ms) out["without_traffic_ms"] = *state.without_traffic_ms;
  if (state.end) out["end"] = end_of(*state.end);
  // What actors wrote may be no UTF-8: replaced, not thrown at.
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace supercloud
