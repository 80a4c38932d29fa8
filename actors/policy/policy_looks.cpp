// What the policies of the VMs here are asked, and what is said of their answers.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/answers.h"
#include "actors/policy/decision_check.h"
#include "actors/policy/move_budget.h"
#include "actors/policy/outlook.h"
#include "actors/policy/policy_actor.h"

namespace supercloud {
namespace {

Message<schema::Decision> stay_because(const std::string& reason) {
  return Message<schema::Decision>::build(
      [&](schema::Decision::Builder decision) { decision.setReason(reason); });
}

bool wants_away(schema::World::Reader world, schema::Decision::Reader decision) {
  const std::string_view choice = text(decision.getChoice());
  return !choice.empty() && choice != text(world.getCurrentPlace());
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

void PolicyActor::look_at_all() {
  for (auto& [key, vm] : vms_) look_soon(key, vm);
}

void PolicyActor::look_soon(const std::string& key, Vm& vm) {
  if (vm.deciding) {
    vm.again = true;
    return;
  }
  look_at(key, vm, context_.now() + options_.coalesce);
}

void PolicyActor::look_at(const std::string& key, Vm& vm, Instant when) {
  if (vm.look != 0 && vm.look_due <= when) return;
  context_.cancel(vm.look);
  vm.look_due = when;
  vm.look = context_.at(when, [this, key] { look(key); });
}

Policy* PolicyActor::policy_of(const std::string& name) {
  const auto made = policies_.find(name);
  if (made != policies_.end()) return made->second.get();
  const auto factory = registry_.find(name);
  if (factory == registry_.end()) return nullptr;
  return policies_.emplace(name, factory->second()).first->second.get();
}

// A flight that has just failed leads elsewhere, if there is another place.
Message<schema::World> PolicyActor::world_of(const Vm& vm) const {
  const auto build = [&](const std::map<std::string, std::string>& closed) {
    return state_.world(vm.spec.reader(), context_.node(), market_.now(), options_.world, closed);
  };
  Message<schema::World> world = build({});
  if (world.reader().getNoticeDeadlineNs() == 0) return world;
  std::map<std::string, std::string> closed;
  for (const auto& [place, until] : vm.moves.held(context_.now(), options_.flight_backoff))
    closed.emplace(place, "a flight there has just failed");
  return closed.empty() ? world : build(closed);
}

void PolicyActor::look(const std::string& key) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  context_.cancel(std::exchange(vm.look, 0));
  if (vm.deciding) {
    vm.again = true;
    return;
  }
  const Message<schema::World> world = world_of(vm);
  const bool leaving = world.reader().getNoticeDeadlineNs() != 0;
  if (!knowing() && (!leaving || vm.arriving)) return;
  if (vm.arriving && !leaving) return;
  const Instant retry =
      leaving ? std::min(vm.retry_at, vm.asked_at + options_.ready_retry) : vm.retry_at;
  if (context_.now() < retry) return look_at(key, vm, retry);
  vm.deciding = true;
  vm.again = false;
  vm.asked_at = context_.now();
  ask(vm, world,
      context_.reply<Message<schema::Decision>>(
          options_.decide_deadline,
          [this, key, world](absl::StatusOr<Message<schema::Decision>> decision) {
            decided(key, world, std::move(decision));
          }));
}

void PolicyActor::ask(Vm& vm, const Message<schema::World>& world,
                      Reply<Message<schema::Decision>> reply) {
  const std::string name(text(vm.spec.reader().getPolicy()));
  if (Policy* policy = policy_of(name)) return policy->decide(world, std::move(reply));
  const std::string known = absl::StrJoin(registry_, ", ", [](std::string* out, const auto& entry) {
    absl::StrAppend(out, entry.first);
  });
  reply(stay_because(absl::StrCat("there is no policy \"", name, "\" (known: ", known,
                                  "); staying until the VM names one of them")));
}

std::optional<PolicyActor::Fault> PolicyActor::fault_of(
    const Vm& vm, Instant asked_at, schema::World::Reader world,
    const absl::StatusOr<Message<schema::Decision>>& decision) const {
  const std::string name(text(vm.spec.reader().getPolicy()));
  if (absl::IsFailedPrecondition(decision.status()))
    return Fault{"not ready", absl::StrCat("policy ", name, " is not ready yet (",
                                           decision.status().message(), ")")};
  if (!decision.ok()) {
    const bool late = absl::IsDeadlineExceeded(decision.status());
    // Not even the policy's own driver has said why.
    if (late && context_.now() - asked_at >= options_.decide_deadline)
      return Fault{"late", absl::StrCat("policy ", name, " did not answer within ",
                                        absl::FormatDuration(options_.decide_deadline))};
    return Fault{late ? "late" : "failed",
                 absl::StrCat("policy ", name, " failed: ", decision.status().message())};
  }
  if (const absl::Status sound = check_decision(world, decision->reader()); !sound.ok())
    return Fault{"nonsense",
                 absl::StrCat("policy ", name, " answered nonsense: ", sound.message())};
  return std::nullopt;
}

void PolicyActor::decided(const std::string& key, const Message<schema::World>& world,
                          absl::StatusOr<Message<schema::Decision>> answer) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  vm.deciding = false;
  const std::optional<Fault> fault = fault_of(vm, vm.asked_at, world.reader(), answer);
  if (!fault) {
    vm.failures = 0;
    vm.retry_at = Instant();
  } else if (fault->kind == "not ready") {
    look_at(key, vm, context_.now() + options_.ready_retry);
    answer = stay_because(fault->why + "; staying");
  } else {
    answer = failed(vm, *fault, vm.asked_at);
    vm.retry_at = context_.now() + std::min(options_.retry_min * (1 << std::min(vm.failures++, 16)),
                                            options_.retry_max);
    look_at(key, vm, vm.retry_at);
  }
  Message<schema::Decision> decision = *std::move(answer);
  bool waits_for_turn = false;
  vm.budget_spent = false;
  if (wants_away(world.reader(), decision.reader())) {
    // Others may have moved while the policy thought.
    const Message<schema::World> now = world_of(vm);
    const bool saves = vm.moves.idle() && only_saves(now.reader());
    // A flight that has had its turn goes elsewhere at once when it fails.
    const bool flees = !only_saves(now.reader()) && !vm.arriving && !vm.moves.under_way() &&
                       vm.moves.flight_to().empty() && !vm.had_turn;
    if (!saves && !flees) vm.turn_at.reset();
    waits_for_turn = (saves || flees) && !its_turn(key, vm, now.reader());
    vm.had_turn = vm.had_turn || (flees && !waits_for_turn);
    const std::string spent = saves && !waits_for_turn ? spent_budget(now.reader()) : "";
    vm.budget_spent = !spent.empty();
    if (vm.budget_spent) decision = held_back(decision.reader(), spent);
  } else {
    vm.turn_at.reset();
    vm.had_turn = false;
  }
  const auto reader = decision.reader();
  vm.place = str(world.reader().getCurrentPlace());
  vm.prices_matter_at = absl::FromUnixNanos(reader.getPricesMatterAtNs());
  vm.price_here_matters_above = {reader.getPriceHereMattersAboveNanoUsd()};
  sleep_until_wake(key, vm, world.reader(), reader);
  if (!waits_for_turn) {
    consider(vm, reader, false);
    propose(key, vm, world.reader(), reader);
  }
  if (vm.again) look_soon(key, vm);
}

void PolicyActor::sleep_until_wake(const std::string& key, Vm& vm, schema::World::Reader world,
                                   schema::Decision::Reader decision) {
  context_.cancel(std::exchange(vm.wake, 0));
  if (decision.getWakeAtNs() <= world.getNowNs()) return;
  const absl::Time soonest = absl::FromUnixNanos(world.getNowNs()) + options_.market_wake_min;
  const Duration wait =
      market_.until(std::max(absl::FromUnixNanos(decision.getWakeAtNs()), soonest));
  vm.wake = context_.after(std::clamp(wait, options_.wake_min, MarketTime::longest), [this, key] {
    const auto woken = vms_.find(key);
    if (woken == vms_.end()) return;
    woken->second.wake = 0;
    woken->second.at_wake = true;
    look(key);
  });
}

// VMs that would move at the same moment do it one after another, so that each sees what the others have proposed.
bool PolicyActor::its_turn(const std::string& key, Vm& vm, schema::World::Reader world) {
  if (!vm.turn_at) {
    // All turns together leave half of the time that a move has before the end of a paid hour, or before the machine goes.
    Duration most = options_.market.cluster_span(options_.world.lead) / 2;
    if (world.getNoticeDeadlineNs() != 0)
      most = options_.market.cluster_span(
          std::max(time_to_spare(world, /*rents=*/true) / 2, absl::ZeroDuration()));
    const bool noticed = world.getNoticeDeadlineNs() != 0;
    const Fleet::Turn turn = state_.fleet().turn_of(vm.spec.reader(), [&](const std::string& node) {
      return !noticed || state_.noticed(node);
    });
    const auto of = static_cast<double>(turn.of);
    vm.turn_at =
        context_.now() + std::min(options_.turn, most / of) * static_cast<double>(turn.before);
  }
  if (context_.now() < *vm.turn_at) {
    look_at(key, vm, *vm.turn_at);
    return false;
  }
  vm.turn_at.reset();
  return true;
}

// Stay, and say why: each kind of failure at once when it is new for the VM, then with its number once in a while.
Message<schema::Decision> PolicyActor::failed(Vm& vm, const Fault& fault, Instant asked_at) {
  const Instant now = context_.now();
  const auto [found, is_new] = vm.failed.try_emplace(fault.kind);
  Failures& failures = found->second;
  if (is_new || now - failures.told >= options_.failure_repeat) {
    Draft draft = context_.draft(vm.name, vm.tenant);
    auto body = draft.payload().initPolicyFailed();
    body.setPolicy(vm.spec.reader().getPolicy());
    body.setWhy(failures.untold == 0 ? fault.why
                                     : absl::StrCat(fault.why, " (and ", failures.untold,
                                                    " more of this kind before)"));
    body.setTookNs(absl::ToInt64Nanoseconds(now - asked_at));
    context_.publish(std::move(draft));
    failures = {now, 0};
  } else {
    ++failures.untold;
  }
  return stay_because(fault.why + "; staying");
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
  if (!asked) {
    vm.at_wake = false;
    vm.published = true;
    vm.choice = choice;
    vm.reason_class = kind;
  }
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

// What would be done, were it looked at now; nothing is.
void PolicyActor::explain(const std::string& key, Vm& vm, Answer answer) {
  const Message<schema::World> world = world_of(vm);
  auto waiting = std::make_shared<Answer>(std::move(answer));
  const auto explained = [this, key, world, waiting, asked_at = context_.now()](
                             absl::StatusOr<Message<schema::Decision>> decision) {
    const auto found = vms_.find(key);
    if (found == vms_.end())
      return (*waiting)(
          error_answer(absl::NotFoundError(absl::StrCat(vm_of_key(key), " has left this node"))));
    Vm& here = found->second;
    if (const auto fault = fault_of(here, asked_at, world.reader(), decision))
      decision = fault->kind == "not ready" ? stay_because(fault->why + "; staying")
                                            : failed(here, *fault, asked_at);
    if (wants_away(world.reader(), decision->reader())) {
      std::string why = obstacle(key, here, world.reader(), decision->reader()).why;
      if (why.empty()) why = spent_budget(world.reader());
      if (!why.empty()) decision = held_back(decision->reader(), why);
    }
    consider(here, decision->reader(), true);
    (*waiting)(Message<schema::Response>::build(
        [&](schema::Response::Builder response) { response.setJson(decision->to_json()); }));
  };
  ask(vm, world, context_.reply<Message<schema::Decision>>(options_.decide_deadline, explained));
}

}  // namespace supercloud
