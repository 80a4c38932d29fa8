#include "actors/policy/policy_actor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "actors/policy/decision_check.h"
#include "actors/policy/move_budget.h"
#include "actors/provider/provider_actor.h"
#include "actors/spot/watcher.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr Duration past_quiet =
    absl::Milliseconds(150);  // three times what an agent takes to greet

Message<schema::Decision> stay_because(const std::string& reason) {
  return Message<schema::Decision>::build(
      [&](schema::Decision::Builder decision) { decision.setReason(reason); });
}

bool ends_move(const Event& event) {
  return event.type() == schema::Payload::MIGRATION_COMPLETED ||
         event.type() == schema::Payload::MIGRATION_ABORTED ||
         event.type() == schema::Payload::MIGRATION_REFUSED;
}

// Whether a flight to that place that begins now arrives before the cloud takes the machine where the VM is.
bool in_time(schema::World::Reader world, std::string_view place) {
  constexpr Duration spare = absl::Seconds(5);
  bool rents = true;
  for (const auto candidate : world.getCandidates())
    if (text(candidate.getPlace().getId()) == place)
      for (const auto instance : candidate.getInstances())
        rents = rents && !instance.getRoomForVm();
  const auto costs = world.getCosts();
  return world.getNowNs() + costs.getMigrationNs() + (rents ? costs.getLaunchNs() : 0) +
             absl::ToInt64Nanoseconds(spare) <=
         world.getNoticeDeadlineNs();
}

bool wants_away(schema::World::Reader world, schema::Decision::Reader decision) {
  const std::string_view choice = text(decision.getChoice());
  return !choice.empty() && choice != text(world.getCurrentPlace());
}

bool excluded(schema::Decision::Reader decision, std::string_view place) {
  for (const auto candidate : decision.getCandidates())
    if (text(candidate.getPlace()) == place) return !text(candidate.getExcluded()).empty();
  return false;
}

}  // namespace

std::string reason_class(std::string_view reason) {
  std::string out;
  for (const char c : reason) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit) {
      out += c;
    } else if (out.empty() || out.back() != '#') {
      out += '#';
    }
  }
  return out;
}

PolicyActor::PolicyActor(Context& context, LeaseTable& leases, PolicyRegistry registry,
                         PolicyActorOptions options)
    : context_(context),
      leases_(leases),
      market_(context, options.market),
      registry_(std::move(registry)),
      options_(options),
      past_(context,
            {.patterns = {"spot.feed_lost.>", "spot.feed_restored.>", "node.joined.>",
                          "node.left.>", "migration.>", "vm.resumed.>"},
             .archived = {"migration.>"},
             .quiet = past_quiet},
            [this](const Event& event) { hear_past(event); }),
      prices_(
          context, leases,
          {.role = absl::StrCat("role/", feed_role),
           .actor = watcher_actor,
           .ask = [](schema::Request::Builder request) { request.setPriceHistory(); },
           .patterns = {"spot.price_changed.>"}},
          options.roles, [this](schema::Response::Reader answer) { return learn_prices(answer); },
          [this](const Event& event) { hear_past(event); }),
      instances_(
          context, leases,
          {.role = absl::StrCat("role/", provider_roles),
           .actor = provider_actor,
           .ask = [](schema::Request::Builder request) { request.setRunningInstances(); },
           .patterns = {"spot.interruption_notice.>", "instance.>"}},
          options.roles,
          [this](schema::Response::Reader answer) { return learn_instances(answer); },
          [this](const Event& event) { hear_past(event); }) {
  options_.world.market = options_.market;
  context_.subscribe(Pattern::of("spot.>"));
  context_.subscribe(Pattern::of("instance.>"));
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.left.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.subscribe(Pattern::of("migration.>"));
  context_.subscribe(Pattern::of("vm.>"), [this] {
    past_.read([this] {
      context_.history(
          Pattern::of("vm.resumed.>"), [this](const Event& event) { hear_resumed(event); },
          [this](const absl::Status& read) {
            if (!read.ok()) return context_.fail(read);
            list_vms();
            past_.settled([this] {
              past_known_ = true;
              look_at_all();
            });
            prices_.ask([this] { look_at_all(); });
            instances_.ask([this] {
              look_at_all();
              list_now();  // what is on its way here concerns this node if that is under notice
            });
          });
    });
  });
}

bool PolicyActor::knowing() const { return past_known_ && prices_.known() && instances_.known(); }

void PolicyActor::hear_past(const Event& event) {
  if (state_.apply(event)) look_at_all();
}

bool PolicyActor::learn_prices(schema::Response::Reader answer) {
  if (!answer.isPrices()) return false;
  for (const auto place : answer.getPrices()) state_.learn(place);
  return true;
}

bool PolicyActor::learn_instances(schema::Response::Reader answer) {
  if (!answer.isLog()) return false;
  for (const auto data : answer.getLog().getEvents()) {
    const auto event =
        context_.pool().parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
    if (event.ok()) hear_past(*event);
  }
  return true;
}

// ---- which VMs are here ------------------------------------------------------------------------------------------------

void PolicyActor::list_vms() {
  list_now();
  context_.after(options_.relist, [this] { list_vms(); });
}

void PolicyActor::list_now() {
  list_again_ = listing_;
  if (std::exchange(listing_, true)) return;
  leases_.list(
      {vm_keys, context_.node()},
      context_.reply<std::vector<LeaseRecord>>(
          options_.lease_deadline, [this](absl::StatusOr<std::vector<LeaseRecord>> records) {
            listing_ = false;
            if (records.ok()) listed(*std::move(records));
            if (list_again_) list_now();
          }));
}

// Of a VM that is here, or on its way here though it cannot stay.
bool PolicyActor::concerns(const LeaseRecord& record) const {
  if (record.holder == context_.node()) return true;
  return record.hand_over_open() && record.heir->node == context_.node() &&
         state_.noticed(context_.node());
}

void PolicyActor::listed(std::vector<LeaseRecord> records) {
  std::map<std::string, bool> here;
  for (const LeaseRecord& record : records) {
    if (!concerns(record)) continue;
    here[record.key] = true;
    host(record);
  }
  std::vector<std::string> gone;
  for (const auto& [key, vm] : vms_) {
    if (!here.contains(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) drop(key);
}

void PolicyActor::refresh(const std::string& key) {
  leases_.read(key,
               context_.reply<LeaseRecord>(
                   options_.lease_deadline, [this, key](const absl::StatusOr<LeaseRecord>& record) {
                     if (record.ok() && concerns(*record)) {
                       host(*record);
                     } else if (record.ok() || absl::IsNotFound(record.status())) {
                       drop(key);
                     }
                   }));
}

void PolicyActor::host(const LeaseRecord& record) {
  absl::StatusOr<Message<schema::VmSpec>> spec = Message<schema::VmSpec>::parse(record.value);
  if (!spec.ok()) return;  // its executor says so
  const auto [found, is_new] = vms_.try_emplace(record.key);
  Vm& vm = found->second;
  const bool arriving = record.holder != context_.node();
  const bool other = is_new || vm.arriving != arriving || vm.spec.bytes() != spec->bytes();
  vm.arriving = arriving;
  vm.spec = *std::move(spec);
  if (is_new || vm.epoch != record.epoch) {
    vm.epoch = record.epoch;
    vm.since = context_.now();
  }
  vm.tenant = std::string(text(vm.spec.reader().getTenant()));
  vm.name = std::string(text(vm.spec.reader().getName()));
  // The record is the law: without an heir no move is under way, whatever event was lost.
  if (!record.heir && vm.moves.under_way() && !vm.moves.waits_for_answer()) {
    context_.cancel(std::exchange(vm.patience, 0));
    vm.moves.settle();
  }
  if (other || !vm.asked.empty()) look_soon(record.key, vm);
}

void PolicyActor::drop(const std::string& key) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  context_.cancel(vm.look);
  context_.cancel(vm.wake);
  context_.cancel(vm.patience);
  for (Answer& answer : vm.asked) {
    answer(error_answer(
        absl::NotFoundError(absl::StrCat(vm.tenant, "/", vm.name, " has left this node"))));
  }
  vms_.erase(found);
}

// ---- what happens --------------------------------------------------------------------------------------------------------

void PolicyActor::receive(const Event& event) {
  past_.hear(event);
  prices_.hear(event);
  instances_.hear(event);
  const bool matters = state_.apply(event);
  const std::string_view domain = topic_token(event.topic(), 0);
  if (domain == "vm") {
    // Hints: the lease table knows.
    if (event.type() == schema::Payload::VM_DIRTY_RATE ||
        event.type() == schema::Payload::VM_PAUSED) {
      return;
    }
    if (event.type() == schema::Payload::VM_RESUMED) hear_resumed(event);
    refresh(key_of_vm(VmName::of(event).to_string()));
  } else if (domain == "migration") {
    hear_move(event);
    if (event.type() == schema::Payload::MIGRATION_ACCEPTED &&
        text(event.payload().getMigrationAccepted().getTarget()) == context_.node() &&
        state_.noticed(context_.node()))
      refresh(key_of_vm(VmName::of(event).to_string()));
  } else if (matters) {
    if (event.type() == schema::Payload::SPOT_INTERRUPTION_NOTICE &&
        state_.noticed(context_.node()))
      list_now();
    changed(event);
  }
}

void PolicyActor::hear_resumed(const Event& event) {
  const std::string key = key_of_vm(VmName::of(event).to_string());
  const auto seen = resumed_.find(key);
  if (seen != resumed_.end() && event.epoch() <= seen->second) return;
  if (text(event.payload().getVmResumed().getNode()) != context_.node()) {
    if (seen != resumed_.end()) resumed_.erase(seen);
    return;
  }
  resumed_[key] = event.epoch();
  if (const auto found = vms_.find(key); found != vms_.end()) look_soon(key, found->second);
}

void PolicyActor::changed(const Event& event) {
  const auto payload = event.payload();
  std::string place;
  Money price;
  bool urgent = false;
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED:
      place = std::string(text(payload.getSpotPriceChanged().getPlace().getId()));
      price = {payload.getSpotPriceChanged().getPriceNanoUsdPerHour()};
      break;
    case schema::Payload::NODE_JOINED:
      place = std::string(text(payload.getNodeJoined().getPlace().getId()));
      break;
    case schema::Payload::NODE_CAPACITY:
      place = std::string(text(payload.getNodeCapacity().getJoined().getPlace().getId()));
      break;
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
      urgent = true;
      break;
    default:
      break;
  }
  for (auto& [key, vm] : vms_) {
    if (urgent)
      vm.moves.all_changed();
    else
      vm.moves.place_changed(place);
    if (event.type() != schema::Payload::SPOT_PRICE_CHANGED || matters(vm, place, price))
      look_soon(key, vm);
  }
}

// Whether a price there may change what was decided.
bool PolicyActor::matters(const Vm& vm, const std::string& place, Money price) const {
  return vm.deciding || (place == vm.place && price > vm.price_here_matters_above) ||
         market_.now() >= vm.prices_matter_at;
}

void PolicyActor::hear_move(const Event& event) {
  // There may be room again for those that had to wait.
  if (ends_move(event))
    for (auto& [key, vm] : vms_)
      if (vm.budget_spent) look_soon(key, vm);
  const std::string key = key_of_vm(VmName::of(event).to_string());
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  // Of the move that brings it here.
  if (vm.arriving && event.migration() != vm.moves.proposed()) return refresh(key);
  switch (vm.moves.hear(event, context_.now())) {
    case VmMoves::Heard::begins:
      return wait_for(key, vm, options_.move_deadline);
    case VmMoves::Heard::goes_on:
      wait_for(key, vm, options_.move_deadline);
      return look_soon(key, vm);
    case VmMoves::Heard::failed:
      context_.cancel(std::exchange(vm.patience, 0));
      return look_soon(key, vm);
    case VmMoves::Heard::completed:
      return refresh(key);
    case VmMoves::Heard::nothing:
      return;
  }
}

// Of what is proposed or under way, to be heard of.
void PolicyActor::wait_for(const std::string& key, Vm& vm, Duration deadline) {
  context_.cancel(vm.patience);
  vm.patience = context_.after(deadline, [this, key] {
    const auto found = vms_.find(key);
    if (found == vms_.end()) return;
    found->second.patience = 0;
    Vm& waiting = found->second;
    waiting.moves.fail(context_.now());
    if (waiting.moves.under_way()) wait_for(key, waiting, options_.move_deadline);
    look_soon(key, waiting);
  });
}

// Whether the VM was not seen running yet, so that it could not move.
bool PolicyActor::starting(const std::string& key, Vm& vm) {
  const auto seen = resumed_.find(key);
  if (seen != resumed_.end() && seen->second >= vm.epoch) return false;
  const Instant until = vm.since + options_.start_patience;
  if (context_.now() >= until) return false;
  look_at(key, vm, until);
  return true;
}

bool PolicyActor::failed_lately(const std::string& key, Vm& vm, const std::string& place) {
  const auto until = vm.moves.held_until(place, context_.now(), options_.backoff);
  if (until) look_at(key, vm, *until);
  return until.has_value();
}

// ---- looks ---------------------------------------------------------------------------------------------------------------

void PolicyActor::look_at_all() {
  for (auto& [key, vm] : vms_) look_soon(key, vm);
}

void PolicyActor::look_soon(const std::string& key, Vm& vm) {
  if (vm.deciding) {
    vm.again = true;
    return;
  }
  context_.cancel(vm.look);  // a later one, after a refusal
  vm.look = context_.after(options_.coalesce, [this, key] { look(key); });
}

void PolicyActor::look_at(const std::string& key, Vm& vm, Instant when) {
  if (vm.look == 0) vm.look = context_.at(when, [this, key] { look(key); });
}

Policy* PolicyActor::policy_of(const std::string& name) {
  const auto made = policies_.find(name);
  if (made != policies_.end()) return made->second.get();
  const auto factory = registry_.find(name);
  if (factory == registry_.end()) return nullptr;
  return policies_.emplace(name, factory->second()).first->second.get();
}

void PolicyActor::look(const std::string& key) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  vm.look = 0;
  if (vm.deciding) {
    vm.again = true;
    return;
  }
  Message<schema::World> world =
      state_.world(vm.spec.reader(), context_.node(), market_.now(), options_.world);
  const bool leaving = world.reader().getNoticeDeadlineNs() != 0;
  if (!knowing() && vm.asked.empty() && (!leaving || vm.arriving)) return;
  if (vm.arriving && !leaving) return;
  vm.deciding = true;
  vm.again = false;
  const std::string name(text(vm.spec.reader().getPolicy()));
  Policy* policy = policy_of(name);
  if (policy == nullptr) {
    const std::string known = absl::StrJoin(
        registry_, ", ",
        [](std::string* out, const auto& entry) { absl::StrAppend(out, entry.first); });
    decided(key, world,
            stay_because(absl::StrCat("there is no policy \"", name, "\" (known: ", known,
                                      "); staying until the VM names one of them")));
    return;
  }
  vm.asked_at = context_.now();
  policy->decide(world, context_.reply<Message<schema::Decision>>(
                            options_.decide_deadline,
                            [this, key, world](absl::StatusOr<Message<schema::Decision>> decision) {
                              decided(key, world, std::move(decision));
                            }));
}

void PolicyActor::decided(const std::string& key, const Message<schema::World>& world,
                          absl::StatusOr<Message<schema::Decision>> decision) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  vm.deciding = false;
  const std::string name(text(vm.spec.reader().getPolicy()));
  if (absl::IsFailedPrecondition(decision.status())) {
    look_at(key, vm, context_.now() + options_.ready_retry);
    decision = stay_because(absl::StrCat("policy ", name, " is not ready yet (",
                                         decision.status().message(), "); staying"));
  } else if (!decision.ok()) {
    const bool late = absl::IsDeadlineExceeded(decision.status());
    // Not even the policy's own driver has said why.
    const bool silent = late && context_.now() - vm.asked_at >= options_.decide_deadline;
    decision =
        failed(key, vm, late ? "late" : "failed",
               silent ? absl::StrCat("policy ", name, " did not answer within ",
                                     absl::FormatDuration(options_.decide_deadline))
                      : absl::StrCat("policy ", name, " failed: ", decision.status().message()));
  } else if (const absl::Status sound = check_decision(world.reader(), decision->reader());
             !sound.ok()) {
    decision = failed(key, vm, "nonsense",
                      absl::StrCat("policy ", name, " answered nonsense: ", sound.message()));
  } else {
    vm.failures = 0;
  }
  const bool saves = vm.moves.idle() && wants_away(world.reader(), decision->reader()) &&
                     only_saves(world.reader());
  const bool turn_comes = saves && !its_turn(key, vm);
  const std::string spent = saves && !turn_comes ? spent_budget(world.reader()) : "";
  vm.budget_spent = !spent.empty();
  if (vm.budget_spent) decision = held_back(decision->reader(), spent);
  if (!saves) vm.turn_at.reset();
  const auto reader = decision->reader();

  vm.place = str(world.reader().getCurrentPlace());
  vm.prices_matter_at = absl::FromUnixNanos(reader.getPricesMatterAtNs());
  vm.price_here_matters_above = {reader.getPriceHereMattersAboveNanoUsd()};
  context_.cancel(std::exchange(vm.wake, 0));
  if (reader.getWakeAtNs() > world.reader().getNowNs()) {
    const Duration wait = market_.until(absl::FromUnixNanos(reader.getWakeAtNs()));
    vm.wake = context_.after(std::clamp(wait, options_.wake_min, MarketTime::longest), [this, key] {
      const auto woken = vms_.find(key);
      if (woken == vms_.end()) return;
      woken->second.wake = 0;
      woken->second.at_wake = true;
      look(key);
    });
  }
  if (!turn_comes || !vm.asked.empty()) consider(vm, reader, !vm.asked.empty());
  for (Answer& answer : std::exchange(vm.asked, {})) {
    answer(Message<schema::Response>::build(
        [&](schema::Response::Builder response) { response.setJson(decision->to_json()); }));
  }
  if (!turn_comes) propose(key, vm, world.reader(), reader);
  if (vm.again) look_soon(key, vm);
}

// VMs that would save at the same moment do it one after another, so that each sees what the others have proposed. False: the look at its
// turn is armed.
bool PolicyActor::its_turn(const std::string& key, Vm& vm) {
  if (!vm.turn_at) {
    // All turns together leave half of the time that a move has before the end of a paid hour.
    const Fleet& fleet = state_.fleet();
    const Duration all = std::min(options_.turn * static_cast<double>(fleet.size()),
                                  options_.market.cluster_span(options_.world.lead) / 2);
    vm.turn_at = context_.now() + all * fleet.turn_of(vm.spec.reader());
  }
  if (context_.now() < *vm.turn_at) {
    look_at(key, vm, *vm.turn_at);
    return false;
  }
  vm.turn_at.reset();
  return true;
}

// Stay, and say why: each kind of failure at once when it is new for the VM, then with its number once in a while.
Message<schema::Decision> PolicyActor::failed(const std::string& key, Vm& vm,
                                              const std::string& kind, const std::string& why) {
  const Instant now = context_.now();
  const auto [found, is_new] = vm.failed.try_emplace(kind);
  Failures& failures = found->second;
  if (is_new || now - failures.told >= options_.failure_repeat) {
    Draft draft = context_.draft(vm.name, vm.tenant);
    auto body = draft.payload().initPolicyFailed();
    body.setPolicy(vm.spec.reader().getPolicy());
    body.setWhy(failures.untold == 0
                    ? why
                    : absl::StrCat(why, " (and ", failures.untold, " more of this kind before)"));
    body.setTookNs(absl::ToInt64Nanoseconds(now - vm.asked_at));
    context_.publish(std::move(draft));
    failures = {now, 0};
  } else {
    ++failures.untold;
  }
  const Duration pause =
      std::min(options_.retry_min * (1 << std::min(vm.failures++, 16)), options_.retry_max);
  look_at(key, vm, now + pause);
  return stay_because(why + "; staying");
}

void PolicyActor::consider(Vm& vm, schema::Decision::Reader decision, bool asked) {
  const std::string choice(text(decision.getChoice()));
  const std::string kind = reason_class(text(decision.getReason()));
  const bool news = !vm.published || choice != vm.choice || kind != vm.reason_class;
  if (!news && !asked && !vm.at_wake) {
    ++vm.unchanged;
    vm.last_look = context_.time();
    return;
  }
  vm.at_wake = false;
  vm.published = true;
  vm.choice = choice;
  vm.reason_class = kind;
  Draft draft = context_.draft(vm.name, vm.tenant);
  auto considered = draft.payload().initPolicyConsidered();
  considered.setPolicy(vm.spec.reader().getPolicy());
  considered.setChoice(choice.empty() ? "stay" : choice);
  considered.setReason(decision.getReason());
  considered.setCandidates(decision.getCandidates());
  considered.setUnchangedLooks(std::exchange(vm.unchanged, 0));
  considered.setLastLook(std::exchange(vm.last_look, {}).value);
  considered.setEvidence(decision.getEvidence());
  considered.setWakeAtNs(decision.getWakeAtNs());
  context_.publish(std::move(draft));
}

void PolicyActor::propose(const std::string& key, Vm& vm, schema::World::Reader world,
                          schema::Decision::Reader decision) {
  if (!wants_away(world, decision)) return;
  const std::string choice(text(decision.getChoice()));
  // What was proposed before the notice gives way, and so does a flight to a place that is no choice any more; but not where there is no
  // time for another: a machine that the cloud takes later than this one is a refuge for a while.
  const bool leaving = world.getNoticeDeadlineNs() != 0;
  const bool time_left = in_time(world, choice);
  const std::string flight = vm.moves.flight_to();
  const bool flees = !flight.empty() && !(excluded(decision, flight) && time_left);
  const bool waits = vm.moves.waits_for_answer() && (!leaving || flees);
  // A move under way does what is wanted, unless its target goes as well.
  const bool moves =
      vm.moves.under_way() && !(leaving && time_left && state_.noticed(vm.moves.target()));
  if (waits || moves) return;
  if (!knowing() && !leaving) return;
  // Stopped or paused by its user: nothing runs that could move.
  if (!vm.spec.reader().getRunning() || vm.spec.reader().getPaused()) return;
  if ((!vm.arriving && starting(key, vm)) || failed_lately(key, vm, choice)) return;
  Draft draft = context_.draft(vm.name, vm.tenant);
  auto proposed = draft.payload().initMigrationProposed();
  proposed.setVm(vm.name);
  proposed.setTargetPlace(choice);
  proposed.setReason(decision.getReason());
  proposed.setGainNanoUsd(decision.getGainNanoUsd());
  proposed.setCostNanoUsd(decision.getCostNanoUsd());
  proposed.setEvidence(decision.getEvidence());
  proposed.setProposer(absl::StrCat("policy ", std::string(text(vm.spec.reader().getPolicy()))));
  proposed.setSourceNode(context_.node());
  proposed.setLeaving(leaving);
  if (leaving) {
    const Duration left = market_.until(absl::FromUnixNanos(world.getNoticeDeadlineNs()));
    proposed.setDeadlineNs(absl::ToInt64Nanoseconds(left));
  }
  const Event event = context_.publish(std::move(draft));
  if (!event) return;
  vm.moves.propose(event.id(), choice, leaving);
  wait_for(key, vm, options_.answer_deadline);
}

void PolicyActor::serve(Message<schema::Request> request, Answer answer) {
  const auto reader = request.reader();
  if (!reader.isExplainPolicy()) {
    Actor::serve(std::move(request), std::move(answer));
    return;
  }
  const auto vm = reader.getExplainPolicy();
  const std::string key = key_of_vm(VmName::of(vm).to_string());
  const auto found = vms_.find(key);
  if (found != vms_.end() && !found->second.arriving) {
    found->second.asked.push_back(std::move(answer));
    look_soon(key, found->second);
    return;
  }
  auto waiting = std::make_shared<Answer>(std::move(answer));
  leases_.read(
      key,
      context_.reply<LeaseRecord>(
          options_.lease_deadline, [this, key, waiting](const absl::StatusOr<LeaseRecord>& record) {
            if (!record.ok()) {
              (*waiting)(error_answer(
                  absl::IsNotFound(record.status())
                      ? absl::NotFoundError(absl::StrCat("there is no VM ", vm_of_key(key)))
                      : record.status()));
            } else if (record->holder != context_.node()) {
              (*waiting)(redirect_answer(vm_of_key(key), record->holder));
            } else {
              host(*record);
              const auto hosted = vms_.find(key);
              if (hosted == vms_.end()) {
                (*waiting)(error_answer(
                    absl::DataLossError(absl::StrCat("the record of ", key, " is damaged"))));
                return;
              }
              hosted->second.asked.push_back(std::move(*waiting));
              look_soon(key, hosted->second);
            }
          }));
}

}  // namespace supercloud
