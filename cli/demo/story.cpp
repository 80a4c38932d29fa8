#include "cli/demo/story.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"

namespace supercloud {
namespace {

constexpr std::size_t lines_kept = 500;
constexpr std::size_t prices_kept = 400;
constexpr Duration price_matters_for = absl::Seconds(30);

std::string usd(std::int64_t nano) {
  return absl::StrFormat("%.4f", static_cast<double>(nano) / 1e9);
}

// Place ids in sentences of others' are long: here only zones matter.
std::string shortened(std::string sentence, const std::vector<DemoStory::Place>& places) {
  for (const DemoStory::Place& place : places)
    for (std::size_t at = sentence.find(place.id); at != std::string::npos;
         at = sentence.find(place.id, at + place.name.size()))
      sentence.replace(at, place.id.size(), place.name);
  return sentence;
}

}  // namespace

DemoStory::DemoStory(const DemoPlan& plan, MarketClock clock)
    : clock_(clock), on_demand_price_(plan.on_demand_price) {
  const auto add = [&](const PlaceName& name) {
    Place place;
    place.id = name.id();
    place.name = short_place(name);
    place.spot = name.spot;
    for (const LabelRule& rule : plan.account.labels)
      if (place.id.starts_with(rule.place_prefix) && rule.name == "trust")
        place.trusted = rule.value == "high";
    places_.push_back(std::move(place));
  };
  for (const PlaceName& spot : plan.spots) add(spot);
  add(plan.on_demand);
  for (const DemoVm& planned : plan.vms) {
    Vm vm;
    vm.name = planned.name;
    vm.policy = planned.policy;
    if (!planned.requires_trust.empty()) vm.needs = "trust=" + planned.requires_trust;
    vms_.push_back(std::move(vm));
  }
}

DemoStory::Place* DemoStory::place(std::string_view id) {
  for (Place& place : places_)
    if (place.id == id) return &place;
  return nullptr;
}

DemoStory::Vm* DemoStory::vm(const std::string& name) {
  for (Vm& vm : vms_)
    if (vm.name == name) return &vm;
  return nullptr;
}

DemoStory::Move* DemoStory::move(const Event& event) {
  const auto found = moves_.find(event.migration());
  return found == moves_.end() ? nullptr : &found->second;
}

std::string DemoStory::place_of_node(const std::string& node) const {
  const auto found = node_places_.find(node);
  // A place may be a target too, of which no node is known.
  return short_place(found == node_places_.end() ? node : found->second);
}

std::vector<DemoStory::Move> DemoStory::moves_under_way() const {
  std::vector<Move> moves;
  for (const auto& [id, move] : moves_) moves.push_back(move);
  return moves;
}

Money DemoStory::on_demand_cost(absl::Time market) const {
  Money cost;
  for (const auto& [name, since] : started_)
    if (market > since)
      cost.nano_usd += (market - since) / absl::Hours(1) * on_demand_price_.nano_usd;
  return cost;
}

void DemoStory::note(absl::Time market, std::string line, bool step) {
  lines_.push_back({market, std::move(line), step});
  if (lines_.size() > lines_kept) lines_.pop_front();
}

std::string DemoStory::apply(const Event& event) {
  const Vm* of = vm(event.subject());
  const bool was_paused = of != nullptr && of->state == "paused";
  std::string line = tell(event);
  note_reaction(event);
  const bool step = line.empty();
  if (step) line = told_step(event, was_paused);
  if (!line.empty()) note(clock_.at(event.time().wall()), line, step);
  return line;
}

void DemoStory::note_reaction(const Event& event) {
  const absl::Time at = event.time().wall();
  if (event.type() == schema::Payload::SPOT_PRICE_CHANGED) {
    price_events_[event.id()] = at;
    std::erase_if(price_events_,
                  [&](const auto& price) { return price.second < at - price_matters_for; });
    return;
  }
  Move* of = move(event);
  if (event.type() == schema::Payload::MIGRATION_PROPOSED) {
    const auto price = price_events_.find(event.cause());
    if (price != price_events_.end()) moves_[event.id()].price = price->second;
  } else if (event.type() == schema::Payload::MIGRATION_STARTED && of != nullptr &&
             of->price > absl::InfinitePast()) {
    figures_.price_to_memory_ms.push_back(absl::ToDoubleMilliseconds(at - of->price));
    of->price = absl::InfinitePast();
  }
}

void DemoStory::joined(schema::NodeJoined::Reader joined) {
  const std::string id = str(joined.getPlace().getId());
  if (id.empty() || gone_.contains(str(joined.getNode()))) return;
  node_places_[str(joined.getNode())] = id;
  if (Place* at = place(id)) at->nodes.insert(str(joined.getNode()));
}

void DemoStory::gone(const std::string& node) {
  gone_.insert(node);
  for (Place& place : places_) {
    place.nodes.erase(node);
    place.noticed.erase(node);
  }
}

void DemoStory::moved_to(Vm& vm, const std::string& node, absl::Time when) {
  for (auto& [id, instance] : instances_) {
    if (instance.node == vm.node && vm.node != node) {
      const bool another = std::any_of(vms_.begin(), vms_.end(), [&](const Vm& other) {
        return &other != &vm && other.node == vm.node;
      });
      if (!another) instance.carries = false;
      instance.carried_until = when;
    }
    if (instance.node == node) instance.carries = true;
  }
  if (vm.node != node) vm.since = when;
  vm.node = node;
  vm.state = "running";
}

std::string DemoStory::tell(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto change = payload.getSpotPriceChanged();
      Place* at = place(text(change.getPlace().getId()));
      if (at == nullptr) return "";
      const Money price{change.getPriceNanoUsdPerHour()};
      const absl::Time since = absl::FromUnixNanos(change.getSinceNs());
      if (at->known && since <= at->since) return "";
      const bool crosses =
          at->spot && at->known && (at->price > on_demand_price_) != (price > on_demand_price_);
      at->known = true;
      at->price = price;
      at->since = since;
      at->prices.emplace_back(since, price);
      if (at->prices.size() > prices_kept) at->prices.erase(at->prices.begin());
      if (!crosses) return "";
      return absl::StrCat(
          "price of ", at->name,
          price > on_demand_price_ ? " rises above on-demand: " : " is below on-demand again: ",
          usd(price.nano_usd), " USD per hour");
    }
    case schema::Payload::NODE_JOINED:
      joined(payload.getNodeJoined());
      return absl::StrCat(str(payload.getNodeJoined().getNode()), " joined at ",
                          place_of_node(str(payload.getNodeJoined().getNode())));
    case schema::Payload::NODE_CAPACITY: {
      // Of a node whose joining came before this process knew it.
      if (payload.getNodeCapacity().hasJoined()) joined(payload.getNodeCapacity().getJoined());
      return "";
    }
    case schema::Payload::LEDGER_CHARGED: {
      const auto charged = payload.getLedgerCharged();
      if (!charges_.counts(charged)) return "";
      // What a move sent is paid for a VM, whatever is at the place by now.
      if (charged.getSentBytes() > 0) {
        spent_ += Money{charged.getAmountNanoUsd()};
        return "";
      }
      const auto found = instances_.find(str(charged.getInstance()));
      const bool carried = found != instances_.end() &&
                           (found->second.carries ||
                            found->second.carried_until > absl::FromUnixNanos(charged.getFromNs()));
      (carried ? spent_ : idle_) += Money{charged.getAmountNanoUsd()};
      return "";
    }
    case schema::Payload::SPOT_FEED_LOST:
      return absl::StrCat("the price feed is lost: ", str(payload.getSpotFeedLost().getWhy()),
                          "; prices are stale");
    case schema::Payload::SPOT_FEED_RESTORED:
      return "the price feed is back";
    case schema::Payload::BUS_ACTOR_FAILED:
      return absl::StrCat("actor ", str(payload.getBusActorFailed().getActor()),
                          " failed: ", str(payload.getBusActorFailed().getWhy()), "; ",
                          str(payload.getBusActorFailed().getDone()));
    case schema::Payload::POLICY_FAILED:
      return shortened(describe(event), places_);
    case schema::Payload::POLICY_CONSIDERED: {
      if (Vm* of = vm(event.subject()); of != nullptr && of->state == "running")
        of->reason = "stays: " + shortened(str(payload.getPolicyConsidered().getReason()), places_);
      return "";
    }
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
    case schema::Payload::INSTANCE_LAUNCHED:
    case schema::Payload::INSTANCE_REFUSED:
    case schema::Payload::INSTANCE_RETURNED:
    case schema::Payload::INSTANCE_REVOKED:
      return told_instance(event);
    case schema::Payload::VM_STARTED:
    case schema::Payload::VM_PAUSED:
    case schema::Payload::VM_RESUMED:
    case schema::Payload::VM_STOPPED:
    case schema::Payload::VM_FAILED:
      return told_vm(event);
    default:
      return told_migration(event);
  }
}

// What a live view shows by the state of a VM or a move, and who has no view reads.
std::string DemoStory::told_step(const Event& event, bool was_paused) {
  const auto payload = event.payload();
  const std::string name = event.subject();
  switch (event.type()) {
    case schema::Payload::MIGRATION_ACCEPTED: {
      const auto accepted = payload.getMigrationAccepted();
      return absl::StrCat(name, ": ", place_of_node(str(accepted.getSource())),
                          " accepts to hand it to ", place_of_node(str(accepted.getTarget())));
    }
    case schema::Payload::MIGRATION_TARGET_READY:
      return absl::StrCat(name, ": ",
                          place_of_node(str(payload.getMigrationTargetReady().getNode())),
                          " is ready for it");
    case schema::Payload::MIGRATION_STARTED:
      return absl::StrCat(name, ": copying of its memory begins");
    case schema::Payload::VM_PAUSED:
      return absl::StrCat(name, ": paused at ",
                          place_of_node(str(payload.getVmPaused().getNode())));
    case schema::Payload::VM_RESUMED:
      if (!was_paused) return "";  // its start has been told
      return absl::StrCat(name, ": runs at ", place_of_node(str(payload.getVmResumed().getNode())),
                          ", epoch ", event.epoch());
    default:
      return "";
  }
}

std::string DemoStory::told_instance(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_INTERRUPTION_NOTICE: {
      const auto notice = payload.getSpotInterruptionNotice();
      const std::string node = str(notice.getNode());
      if (Place* at = place(text(notice.getPlace()))) at->noticed.insert(node);
      noticed_.insert(node);
      std::string there;
      for (const Vm& vm : vms_)
        if (vm.node == node) absl::StrAppend(&there, there.empty() ? "" : ", ", vm.name);
      if (!there.empty() && interrupted_.insert(str(notice.getInstance())).second)
        ++figures_.interruptions;
      return absl::StrFormat(
          "notice: the cloud takes %s at %s in %.1f s, the price %s exceeds the bid %s%s", node,
          short_place(text(notice.getPlace())), static_cast<double>(notice.getNoticeNs()) / 1e9,
          usd(notice.getPriceNanoUsdPerHour()), usd(notice.getBidNanoUsdPerHour()),
          there.empty() ? "; no VM is there" : "; there: " + there);
    }
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      Instance& instance = instances_[str(launched.getInstance())];
      instance.node = str(launched.getNode());
      instance.place = str(launched.getPlace().getId());
      instance.carried_until = absl::InfinitePast();
      node_places_[instance.node] = instance.place;
      for (const Vm& vm : vms_)
        if (vm.node == instance.node) instance.carries = true;
      return absl::StrCat(str(launched.getInstance()), " launched at ", short_place(instance.place),
                          ", ", usd(launched.getPriceNanoUsdPerHour()), " USD per hour");
    }
    case schema::Payload::INSTANCE_REFUSED:
      return absl::StrCat("the provider refuses an instance at ",
                          short_place(text(payload.getInstanceRefused().getPlace())), ": ",
                          str(payload.getInstanceRefused().getWhy()));
    default: {
      const bool revoked = event.type() == schema::Payload::INSTANCE_REVOKED;
      const auto ended = revoked ? payload.getInstanceRevoked() : payload.getInstanceReturned();
      const auto found = instances_.find(str(ended.getInstance()));
      if (found == instances_.end()) return "";
      const std::string node = found->second.node;
      gone(node);
      std::string there;
      for (Vm& vm : vms_) {
        if (vm.node != node || !revoked) continue;
        vm.state = "lost";
        lost_[vm.name] = node;
        absl::StrAppend(&there, there.empty() ? "" : ", ", vm.name);
      }
      if (!revoked)
        return absl::StrCat(node, " at ", short_place(text(ended.getPlace())),
                            " is given back: no VM needs it");
      return absl::StrCat("the cloud has taken ", node, " at ", short_place(text(ended.getPlace())),
                          " with its disk",
                          there.empty() ? "; no VM was left there" : "; lost there: " + there);
    }
  }
}

std::string DemoStory::told_vm(const Event& event) {
  const auto payload = event.payload();
  const std::string name = event.subject();
  Vm* of = vm(name);
  if (of == nullptr) return "";
  if (event.epoch() < of->epoch) return "";
  of->epoch = event.epoch();
  const absl::Time market = clock_.at(event.time().wall());
  switch (event.type()) {
    case schema::Payload::VM_STARTED: {
      const auto started = payload.getVmStarted();
      const std::string node = str(started.getNode());
      started_.try_emplace(name, market);
      if (lost_.erase(name) > 0) ++figures_.survived;
      moved_to(*of, node, market);
      const std::string why = str(started.getWhy());
      of->reason = why;
      return absl::StrCat(name, " started at ", place_of_node(node), ": ", why,
                          loss_words(started.getSilentNs(), started.getFlushesKept()));
    }
    case schema::Payload::VM_PAUSED:
      of->state = "paused";
      return "";
    case schema::Payload::VM_RESUMED:
      started_.try_emplace(name, market);
      moved_to(*of, str(payload.getVmResumed().getNode()), market);
      return "";
    case schema::Payload::VM_STOPPED:
      of->state = "stopped";
      return absl::StrCat(name, " stopped: ", str(payload.getVmStopped().getWhy()));
    default:
      of->state = "failed";
      of->reason = str(payload.getVmFailed().getWhy());
      return absl::StrCat(name, " failed: ", of->reason);
  }
}

std::string DemoStory::told_migration(const Event& event) {
  const auto payload = event.payload();
  const std::string name = event.subject();
  Vm* of = vm(name);
  switch (event.type()) {
    case schema::Payload::MIGRATION_PROPOSED: {
      const auto proposed = payload.getMigrationProposed();
      Move& begun = moves_[event.id()];
      begun.vm = name;
      begun.from = place_of_node(str(proposed.getSourceNode()));
      begun.to = text(proposed.getTargetPlace()).empty()
                     ? place_of_node(str(proposed.getTargetNode()))
                     : short_place(text(proposed.getTargetPlace()));
      begun.proposer = str(proposed.getProposer());
      begun.reason = shortened(str(proposed.getReason()), places_);
      begun.stage = "proposed";
      const Place* from = nullptr;
      const Place* to = nullptr;
      for (const Place& place : places_) {
        if (place.name == begun.from) from = &place;
        if (place.name == begun.to) to = &place;
      }
      begun.noticed = from != nullptr && from->noticed.contains(str(proposed.getSourceNode()));
      begun.cheaper =
          from != nullptr && to != nullptr && from->known && to->known && to->price < from->price;
      return absl::StrCat(begun.proposer, " proposes: ", name, " from ", begun.from, " to ",
                          begun.to, ", because ", begun.reason);
    }
    case schema::Payload::MIGRATION_ACCEPTED:
      if (Move* under_way = move(event)) {
        under_way->accepted = true;
        under_way->stage = "accepted";
      }
      return "";
    case schema::Payload::MIGRATION_TARGET_READY:
      if (Move* under_way = move(event)) under_way->stage = "target ready";
      return "";
    case schema::Payload::MIGRATION_STARTED:
      if (Move* under_way = move(event)) under_way->stage = "pre-copy";
      return "";
    case schema::Payload::MIGRATION_PROGRESS:
      if (Move* under_way = move(event)) {
        const auto progress = payload.getMigrationProgress();
        under_way->percent = progress.getPercent();
        under_way->stage = absl::StrCat(
            progress.getStage().size() == 0 ? std::string("pre-copy") : str(progress.getStage()),
            ", pass ", progress.getPass());
      }
      return "";
    case schema::Payload::MIGRATION_REFUSED: {
      const auto refused = payload.getMigrationRefused();
      std::string why;
      for (const auto check : refused.getFailures())
        absl::StrAppend(&why, why.empty() ? "" : "; ", str(check.getName()), ": ",
                        shortened(str(check.getDetail()), places_));
      // Who refuses before he looks at targets names none.
      std::string to = place_of_node(str(refused.getTarget()));
      if (const Move* asked = move(event); asked != nullptr && to.empty()) to = asked->to;
      moves_.erase(event.migration());
      ++figures_.refusals;
      return absl::StrCat("refused: ", name, " does not go to ", to, ": ", why);
    }
    case schema::Payload::MIGRATION_COMPLETED: {
      const auto completed = payload.getMigrationCompleted();
      Move done;
      if (const Move* under_way = move(event)) done = *under_way;
      moves_.erase(event.migration());
      // Who learns late how it ended tells it again.
      if (!ended_.insert(event.migration()).second) return "";
      // Also a move that began for another reason just before the notice.
      const bool in_time = done.noticed || noticed_.contains(str(completed.getSource()));
      ++figures_.moves;
      if (done.cheaper && !done.noticed) ++figures_.cheaper;
      if (in_time) ++figures_.survived;
      const std::string to = place_of_node(str(completed.getTarget()));
      if (to == "on-demand" && done.from != "on-demand") ++figures_.to_on_demand;
      figures_.blackout_ms_longest =
          std::max(figures_.blackout_ms_longest, completed.getBlackoutMs());
      if (of != nullptr) {
        of->reason = done.reason;
        ++of->moves;
      }
      return absl::StrFormat("%s moved from %s to %s in %.1f s, %.0f ms without running%s", name,
                             place_of_node(str(completed.getSource())), to,
                             static_cast<double>(completed.getTotalMs()) / 1000.0,
                             completed.getBlackoutMs(),
                             in_time ? ", before the cloud took the instance" : "");
    }
    case schema::Payload::MIGRATION_ABORTED: {
      const auto aborted = payload.getMigrationAborted();
      moves_.erase(event.migration());
      if (!ended_.insert(event.migration()).second) return "";
      ++figures_.aborted;
      return absl::StrCat("aborted: the move of ", name, " at stage ", str(aborted.getStage()),
                          ": ", str(aborted.getWhy()));
    }
    default:
      return "";
  }
}

}  // namespace supercloud
