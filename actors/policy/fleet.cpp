#include "actors/policy/fleet.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/policy/world.h"
#include "core/text.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr Duration proposed_max =
    absl::Minutes(5);                           // without an answer a proposal counts for so long
constexpr Duration begun_max = absl::Hours(1);  // ... and a move without an end

std::string vm_key(const Event& event) {
  return absl::StrCat(event.tenant(), "/", event.subject());
}

}  // namespace

bool Fleet::apply(const Event& event, PlaceOf place_of) {
  using Payload = schema::Payload;
  const auto before_its_end = [&] {
    const HybridTime* end = destroyed_.find(vm_key(event));
    return end != nullptr && event.time() <= *end;
  };
  switch (event.type()) {
    case Payload::VM_DESTROYED:
      if (!before_its_end()) destroyed(event);
      return false;
    case Payload::VM_RESUMED:
    case Payload::VM_STOPPED:
    case Payload::VM_FAILED:
      if (!before_its_end()) seen(event);
      return false;
    case Payload::MIGRATION_PROPOSED:
      if (!before_its_end()) proposed(event, place_of);
      return false;
    case Payload::MIGRATION_ACCEPTED:
    case Payload::MIGRATION_REFUSED:
    case Payload::MIGRATION_COMPLETED:
    case Payload::MIGRATION_ABORTED:
      return !event.migration().empty() && !before_its_end() && moved(event);
    default:
      return false;
  }
}

void Fleet::seen(const Event& event) {
  Vm& vm = vms_[vm_key(event)];
  if (event.epoch() < vm.epoch) return;
  vm.epoch = event.epoch();
  vm.seen = std::max(vm.seen, event.time());
  vm.node = event.type() == schema::Payload::VM_RESUMED
                ? str(event.payload().getVmResumed().getNode())
                : "";
}

void Fleet::destroyed(const Event& event) {
  HybridTime& end = destroyed_[vm_key(event)];
  end = std::max(end, event.time());
  const auto vm = vms_.find(vm_key(event));
  if (vm != vms_.end() && vm->second.seen <= end)
    vms_.erase(vm);  // else it is another of that name
}

Fleet::Move Fleet::take(Vm& vm, const EventId& migration) {
  const auto known = std::ranges::find(vm.moves, migration, &Move::migration);
  if (known == vm.moves.end()) return {};
  Move move = std::move(*known);
  vm.moves.erase(known);
  return move;
}

void Fleet::keep(Vm& vm, Move move) {
  const auto older =
      std::ranges::find_if(vm.moves, [&](const Move& known) { return known.at <= move.at; });
  vm.moves.insert(older, std::move(move));
  if (vm.moves.size() <= moves_max) return;
  const auto idle = std::find_if(vm.moves.rbegin(), vm.moves.rend(),
                                 [](const Move& old) { return old.ended && !old.begun; });
  vm.moves.erase(idle == vm.moves.rend() ? std::prev(vm.moves.end()) : std::prev(idle.base()));
}

void Fleet::proposed(const Event& event, PlaceOf place_of) {
  const auto proposed = event.payload().getMigrationProposed();
  Vm& vm = vms_[vm_key(event)];
  Move move = take(vm, event.id());
  if (!move.proposal_known) {
    move.proposal_known = true;
    move.migration = event.id();
    move.at = event.time().wall();
    move.from = place_of(str(proposed.getSourceNode()));
    move.to = text(proposed.getTargetPlace()).empty() ? place_of(str(proposed.getTargetNode()))
                                                      : str(proposed.getTargetPlace());
    move.reason = str(proposed.getReason());
    move.leaving = proposed.getLeaving();
    count(move);
  }
  keep(vm, std::move(move));
}

void Fleet::count(const Move& move) {
  if (!move.proposal_known || !move.begun || move.leaving) return;
  begun_.try_emplace({move.at, move.migration});
  if (begun_.size() > world_entries_max) begun_.erase(begun_.begin());
}

bool Fleet::moved(const Event& event) {
  const schema::Payload::Which type = event.type();
  Vm& vm = vms_[vm_key(event)];
  Move move = take(vm, event.migration());
  if (move.migration.empty()) {
    move.migration = event.migration();
    move.at = event.time().wall();
  }
  const bool completed = type == schema::Payload::MIGRATION_COMPLETED;
  move.completed = move.completed || completed;
  move.begun = move.begun || completed || type == schema::Payload::MIGRATION_ACCEPTED;
  move.ended = move.ended || type != schema::Payload::MIGRATION_ACCEPTED;
  count(move);
  keep(vm, std::move(move));
  if (completed) measure(event);
  return type != schema::Payload::MIGRATION_REFUSED;
}

void Fleet::measure(const Event& event) {
  if (event.time() < measured_) return;
  const auto completed = event.payload().getMigrationCompleted();
  measured_ = event.time();
  total_ = absl::Milliseconds(static_cast<std::int64_t>(completed.getTotalMs()));
  // Whole microseconds: nothing that a policy sees depends on how a double is printed or rounded.
  blackout_ = absl::Microseconds(static_cast<std::int64_t>(completed.getBlackoutMs() * 1000));
  sent_bytes_ = completed.getSentBytes();
}

void Fleet::fill(schema::VmSpec::Reader spec, absl::Time now, const WorldOptions& options,
                 PlaceOf place_of, schema::World::Builder world) const {
  const std::string vm = VmName::of(spec).to_string();
  fill_moves(vm, options, world);
  fill_candidates(vm, now, options, place_of, world);
  fill_costs(spec, options, world);
}

void Fleet::fill_moves(const std::string& vm, const WorldOptions& options,
                       schema::World::Builder world) const {
  const auto found = vms_.find(vm);
  std::vector<const Move*> moves;
  if (found != vms_.end())
    for (const Move& move : found->second.moves)
      if (move.begun && move.proposal_known) moves.push_back(&move);
  auto recent = world.initRecentMoves(static_cast<unsigned>(moves.size()));
  for (unsigned i = 0; i < moves.size(); ++i) {
    recent[i].setAtNs(absl::ToUnixNanos(options.market.at(moves[i]->at)));
    recent[i].setFrom(moves[i]->from);
    recent[i].setTo(moves[i]->to);
    recent[i].setReason(moves[i]->reason);
    recent[i].setCompleted(moves[i]->completed);
    recent[i].setLeaving(moves[i]->leaving);
  }
}

Fleet::Turn Fleet::turn_of(schema::VmSpec::Reader spec,
                           absl::FunctionRef<bool(const std::string& node)> among) const {
  const std::string own = VmName::of(spec).to_string();
  Turn turn{.before = 0, .of = 0};
  for (const auto& [name, vm] : vms_) {
    if (name != own && !among(vm.node)) continue;
    ++turn.of;
    if (name < own) ++turn.before;
  }
  turn.of = std::max<std::size_t>(turn.of, 1);
  return turn;
}

// What is under way, else what waits for an answer; null: neither.
const Fleet::Move* Fleet::open_move(const Vm& vm, absl::Time now, const WorldOptions& options) {
  const Move* waiting = nullptr;
  for (const Move& move : vm.moves) {
    const Duration counts = move.begun ? begun_max : proposed_max;
    if (move.ended || options.market.at(move.at + counts) <= now) continue;
    if (move.begun) return &move;
    if (waiting == nullptr) waiting = &move;
  }
  return waiting;
}

// Where the others are, and how much they move.
void Fleet::fill_candidates(const std::string& vm, absl::Time now, const WorldOptions& options,
                            PlaceOf place_of, schema::World::Builder world) const {
  std::map<std::string, std::uint32_t> there, arriving;
  std::uint32_t vms = 0, moving = 0, of_day = 0;
  for (const auto& [name, state] : vms_) {
    const std::string place =
        name == vm ? str(world.asReader().getCurrentPlace()) : place_of(state.node);
    if (!place.empty()) ++vms, ++there[place];
    const Move* open = name == vm ? nullptr : open_move(state, now, options);
    if (open == nullptr) continue;
    ++moving;
    if (open->to != place) ++arriving[open->to];  // else it is seen there already
    if (!open->begun && !open->leaving) ++of_day;
  }
  for (auto candidate : world.getCandidates()) {
    const std::string place = str(candidate.asReader().getPlace().getId());
    candidate.setVms(there[place]);
    candidate.setArriving(arriving[place]);
  }
  auto fleet = world.initFleet();
  fleet.setVms(vms);
  fleet.setMoving(moving);
  fleet.setMovingMax(options.moving_max);
  const absl::Time yesterday = now - absl::Hours(24);
  for (auto move = begun_.rbegin();
       move != begun_.rend() && options.market.at(move->first.first) > yesterday; ++move)
    ++of_day;
  fleet.setMovesOfDay(of_day);
  fleet.setMovesPerDay(options.moves_per_day);
}

void Fleet::fill_costs(schema::VmSpec::Reader spec, const WorldOptions& options,
                       schema::World::Builder world) const {
  auto costs = world.initCosts();
  const absl::Duration measured = total_ * options.market.speed;
  costs.setMigrationNs(absl::ToInt64Nanoseconds(std::max(options.migration, measured)));
  costs.setBlackoutNs(absl::ToInt64Nanoseconds(blackout_));
  costs.setLaunchNs(absl::ToInt64Nanoseconds(options.launch));
  costs.setTransferBytes(
      options.transfer_bytes.value_or(sent_bytes_ > 0 ? sent_bytes_ : spec.getMemoryBytes()));
  costs.setEgressNanoUsdPerGib(options.egress_per_gib.nano_usd);
  costs.setDowntimeNanoUsdPerHour(static_cast<std::int64_t>(spec.getDowntimeNanoUsdPerHour()));
}

}  // namespace supercloud
