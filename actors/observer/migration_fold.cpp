#include "actors/observer/migration_fold.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/topic.h"

namespace supercloud {
namespace {

using Fact = MigrationState::Fact;

Fact fact_of(const Event& event, capnp::Text::Reader node) {
  return {event.time(), event.id(), str(node)};
}

// True: this event is the earliest that tells it, so its details count.
bool earliest(std::optional<Fact>& known, Fact fact) {
  if (known && *known <= fact) return false;
  known = std::move(fact);
  return true;
}

// What several events tell alike, and only the executors know.
void name_nodes(MigrationState& state, capnp::Text::Reader source, capnp::Text::Reader target) {
  if (state.source.empty()) state.source = str(source);
  if (state.target.empty()) state.target = str(target);
}

void end_with(MigrationState& state, MigrationState::End end) {
  if (!state.end || end.fact < state.end->fact) state.end = std::move(end);
}

void fold_proposed(MigrationState& state, const Event& event, schema::Proposed::Reader e) {
  if (!earliest(state.proposed, fact_of(event, e.getSourceNode()))) return;
  state.wanted_place = str(e.getTargetPlace());
  state.wanted_node = str(e.getTargetNode());
  state.reason = str(e.getReason());
  state.proposer = str(e.getProposer());
  state.proposed_source = str(e.getSourceNode());
  state.gain_nano_usd = e.getGainNanoUsd();
  state.cost_nano_usd = e.getCostNanoUsd();
  state.evidence.clear();
  for (const auto id : e.getEvidence()) state.evidence.push_back(EventId::from(id));
}

void fold_refused(MigrationState& state, const Event& event, schema::Refused::Reader e) {
  MigrationState::End end{.fact = fact_of(event, e.getNode()), .stage = MigrationStage::refused};
  for (const auto check : e.getFailures())
    end.failures.push_back({str(check.getName()), str(check.getDetail()), str(check.getCure())});
  name_nodes(state, e.getNode(), e.getTarget());
  end_with(state, std::move(end));
}

void fold_completed(MigrationState& state, const Event& event, schema::Completed::Reader e) {
  name_nodes(state, e.getSource(), e.getTarget());
  end_with(state, {.fact = fact_of(event, e.getTarget()),
                   .stage = MigrationStage::completed,
                   .sent_bytes = e.getSentBytes(),
                   .total_ms = e.getTotalMs(),
                   .passes = e.getPasses(),
                   .blackout_ms = e.getBlackoutMs()});
}

void fold_aborted(MigrationState& state, const Event& event, schema::Aborted::Reader e) {
  end_with(state, {.fact = fact_of(event, e.getNode()),
                   .stage = MigrationStage::aborted,
                   .at_stage = str(e.getStage()),
                   .why = str(e.getWhy())});
}

void fold_progress(MigrationState& state, const Event& event, schema::Progress::Reader e) {
  MigrationState::Progress progress{.time = event.time(),
                                    .percent = e.getPercent(),
                                    .pass = e.getPass(),
                                    .sent_bytes = e.getSentBytes(),
                                    .remaining_bytes = e.getRemainingBytes(),
                                    .bytes_per_second = e.getBytesPerSecond(),
                                    .eta_low_ms = e.getEtaLowMs(),
                                    .eta_high_ms = e.getEtaHighMs(),
                                    .stage = str(e.getStage())};
  if (!state.progress || *state.progress < progress) state.progress = std::move(progress);
}

void fold_cleaned(MigrationState& state, const Event& event, schema::Cleaned::Reader e) {
  const Fact fact = fact_of(event, e.getNode());
  const auto [known, is_new] = state.cleaned.try_emplace(fact.node, fact);
  if (!is_new && fact < known->second) known->second = fact;
}

}  // namespace

std::string_view to_string(MigrationStage stage) {
  switch (stage) {
    case MigrationStage::proposed:
      return "proposed";
    case MigrationStage::accepted:
      return "accepted";
    case MigrationStage::preparing:
      return "preparing";
    case MigrationStage::copying:
      return "copying";
    case MigrationStage::paused:
      return "paused";
    case MigrationStage::switching_over:
      return "switching over";
    case MigrationStage::resumed:
      return "resumed";
    case MigrationStage::completed:
      return "completed";
    case MigrationStage::aborted:
      return "aborted";
    case MigrationStage::refused:
      return "refused";
  }
  return "";
}

EventId migration_of(const Event& event) {
  if (event.type() == schema::Payload::MIGRATION_PROPOSED) return event.id();
  EventId id = event.migration();
  if (id.empty() && event.type() == schema::Payload::MIGRATION_CANCEL_REQUESTED)
    id = EventId::from(event.payload().getMigrationCancelRequested().getMigration());
  return id;
}

MigrationState fold(MigrationState state, const Event& event) {
  const EventId id = migration_of(event);
  if (id.empty() || (!state.id.empty() && state.id != id)) return state;
  state.id = id;
  if (state.vm.empty()) state.vm = absl::StrCat(event.tenant(), "/", event.subject());
  state.last = std::max(state.last, event.time());
  const auto p = event.payload();
  switch (p.which()) {
    case schema::Payload::MIGRATION_PROPOSED:
      fold_proposed(state, event, p.getMigrationProposed());
      break;
    case schema::Payload::MIGRATION_ACCEPTED:
      name_nodes(state, p.getMigrationAccepted().getSource(), p.getMigrationAccepted().getTarget());
      earliest(state.accepted, fact_of(event, p.getMigrationAccepted().getSource()));
      break;
    case schema::Payload::MIGRATION_REFUSED:
      fold_refused(state, event, p.getMigrationRefused());
      break;
    case schema::Payload::MIGRATION_TARGET_READY:
      earliest(state.target_ready, fact_of(event, p.getMigrationTargetReady().getNode()));
      break;
    case schema::Payload::MIGRATION_STARTED:
      name_nodes(state, p.getMigrationStarted().getSource(), p.getMigrationStarted().getTarget());
      if (earliest(state.started, fact_of(event, p.getMigrationStarted().getSource())))
        state.memory_bytes = p.getMigrationStarted().getMemoryBytes();
      break;
    case schema::Payload::MIGRATION_PROGRESS:
      fold_progress(state, event, p.getMigrationProgress());
      break;
    case schema::Payload::MIGRATION_COMPLETED:
      fold_completed(state, event, p.getMigrationCompleted());
      break;
    case schema::Payload::MIGRATION_ABORTED:
      fold_aborted(state, event, p.getMigrationAborted());
      break;
    case schema::Payload::MIGRATION_CLEANED:
      fold_cleaned(state, event, p.getMigrationCleaned());
      break;
    case schema::Payload::MIGRATION_CANCEL_REQUESTED: {
      const std::string node(node_of(event.origin()));
      if (earliest(state.cancel_requested, {event.time(), event.id(), node}))
        state.cancel_why = str(p.getMigrationCancelRequested().getWhy());
      break;
    }
    case schema::Payload::STORAGE_REPLICA_READY:
      earliest(state.replica_ready, fact_of(event, p.getStorageReplicaReady().getNode()));
      break;
    case schema::Payload::STORAGE_SEALED:
      earliest(state.sealed, fact_of(event, p.getStorageSealed().getNode()));
      break;
    case schema::Payload::STORAGE_VERIFIED:
      earliest(state.verified, fact_of(event, p.getStorageVerified().getNode()));
      break;
    case schema::Payload::NETWORK_PATH_READY:
      earliest(state.path_ready, fact_of(event, p.getNetworkPathReady().getNode()));
      break;
    case schema::Payload::NETWORK_SWITCHED:
      earliest(state.switched, fact_of(event, p.getNetworkSwitched().getNode()));
      break;
    case schema::Payload::NETWORK_BLACKOUT_MEASURED: {
      // Every peer measures for itself; the longest is what the guest's worst partner saw.
      const double ms = p.getNetworkBlackoutMeasured().getMilliseconds();
      state.without_traffic_ms = std::max(state.without_traffic_ms.value_or(0), ms);
      break;
    }
    case schema::Payload::VM_PAUSED:
      earliest(state.paused, fact_of(event, p.getVmPaused().getNode()));
      break;
    case schema::Payload::VM_RESUMED:
      earliest(state.resumed, fact_of(event, p.getVmResumed().getNode()));
      break;
    case schema::Payload::VM_RELEASED:
      earliest(state.released, fact_of(event, p.getVmReleased().getNode()));
      break;
    default:
      break;
  }
  return state;
}

MigrationStage stage(const MigrationState& state) {
  if (state.end) return state.end->stage;
  // A source that took its machine back has not moved it: the abort is still to be told.
  if (state.resumed && state.resumed->node != source_of(state)) return MigrationStage::resumed;
  if (state.resumed || state.sealed || state.verified) return MigrationStage::switching_over;
  if (state.paused) return MigrationStage::paused;
  if (state.started || state.progress) return MigrationStage::copying;
  if (state.target_ready || state.replica_ready || state.path_ready)
    return MigrationStage::preparing;
  return state.accepted ? MigrationStage::accepted : MigrationStage::proposed;
}

bool ended(const MigrationState& state) { return state.end.has_value(); }

std::string source_of(const MigrationState& state) {
  return state.source.empty() ? state.proposed_source : state.source;
}

std::string target_of(const MigrationState& state) {
  if (!state.target.empty()) return state.target;
  return state.wanted_node.empty() ? state.wanted_place : state.wanted_node;
}

std::optional<Duration> blackout(const MigrationState& state) {
  if (state.paused && state.resumed && state.resumed->time > state.paused->time)
    return state.resumed->time.wall() - state.paused->time.wall();
  if (state.end && state.end->blackout_ms > 0) return absl::Milliseconds(state.end->blackout_ms);
  return std::nullopt;
}

std::uint32_t percent(const MigrationState& state) {
  switch (stage(state)) {
    case MigrationStage::completed:
      return 100;
    case MigrationStage::paused:
    case MigrationStage::switching_over:
    case MigrationStage::resumed:
      return 99;
    default:
      break;
  }
  return state.progress ? std::min<std::uint32_t>(state.progress->percent, 98) : 0;
}

}  // namespace supercloud
