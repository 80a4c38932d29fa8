#include "cli/replay/run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
#include "actors/policy/decision_check.h"
#include "actors/policy/policy.h"
#include "core/text.h"
#include "core/vm_spec.h"
#include "simulation/replay/clairvoyant.h"
#include "simulation/replay/plain_model.h"

namespace supercloud {
namespace {

using Strategy = absl::StatusOr<ReplayStrategy>;

ReplayOptions with_policy(const ReplayOptions& options, const std::string& policy) {
  ReplayOptions changed = options;
  for (Message<schema::VmSpec>& vm : changed.vms)
    vm = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      copy_spec(vm.reader(), spec);
      spec.setPolicy(policy);
    });
  return changed;
}

// What became of the questions to a policy.
struct Answers {
  std::int64_t taken = 0, failed = 0;
};

// Counts them; one strategy's run is in one thread.
class CountedPolicy final : public Policy {
 public:
  CountedPolicy(std::unique_ptr<Policy> policy, Answers& answers)
      : policy_(std::move(policy)), answers_(answers) {}
  std::string name() const override { return policy_->name(); }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    const Instant deadline = reply.deadline();
    policy_->decide(world,
                    {deadline, [&answers = answers_, world, reply = std::move(reply)](
                                   absl::StatusOr<Message<schema::Decision>> decision) mutable {
                       const bool taken =
                           decision.ok() && check_decision(world.reader(), decision->reader()).ok();
                       // One that is starting has not failed: it is asked again.
                       if (taken)
                         ++answers.taken;
                       else if (!absl::IsFailedPrecondition(decision.status()))
                         ++answers.failed;
                       reply(std::move(decision));
                     }});
  }

 private:
  const std::unique_ptr<Policy> policy_;
  Answers& answers_;
};

ScheduleCosts schedule_costs(const PreparedReplay& prepared) {
  const ReplayModel& model = prepared.options.model;
  ScheduleCosts costs;
  costs.billing = model.billing;
  costs.launch = model.launch_delay;
  costs.migration = model.move_time();
  costs.notice = model.notice;
  costs.transfer_bytes = static_cast<std::int64_t>(model.transfer_bytes());
  costs.egress_per_gib = [price = model.egress_per_gib](const PlaceName&, const PlaceName&) {
    return price;
  };
  return costs;
}

// VMs for which the least is the same: those of one price of downtime that may be at the same places.
struct Kind {
  std::vector<int> places;
  Money downtime_per_hour;
  std::vector<std::string> vms;
};

std::vector<Kind> kinds_of(const PreparedReplay& prepared) {
  std::map<std::pair<std::vector<int>, std::int64_t>, Kind> kinds;
  std::vector<std::pair<std::vector<int>, std::int64_t>> order;
  for (const Message<schema::VmSpec>& vm : prepared.options.vms) {
    std::vector<int> places;
    for (int place = 0; place < prepared.grid->places(); ++place)
      if (why_not_at(vm, prepared.grid->place(place)).empty()) places.push_back(place);
    const auto downtime = static_cast<std::int64_t>(vm.reader().getDowntimeNanoUsdPerHour());
    std::pair key(places, downtime);
    const auto [kind, is_new] = kinds.try_emplace(key, Kind{places, Money{downtime}, {}});
    if (is_new) order.push_back(std::move(key));
    kind->second.vms.push_back(str(vm.reader().getName()));
  }
  std::vector<Kind> result;
  for (const auto& key : order) result.push_back(std::move(kinds.at(key)));
  return result;
}

// So many times the one, and the other beside it.
void add_times(ReplayStrategy& sum, const ReplayStrategy& one, std::int64_t times) {
  for (Money ReplayStrategy::* part : {&ReplayStrategy::cost, &ReplayStrategy::instances,
                                       &ReplayStrategy::transfer, &ReplayStrategy::downtime})
    (sum.*part).nano_usd += (one.*part).nano_usd * times;
  sum.moves += one.moves * times;
  sum.revocations += one.revocations * times;
  sum.down += one.down * times;
  std::map<absl::Time, Money> paid;
  for (const ReplayStrategy* strategy : std::initializer_list<const ReplayStrategy*>{&sum, &one}) {
    Money before;
    for (const auto& [at, until] : strategy->cumulative) {
      paid[at].nano_usd += (until - before).nano_usd * (strategy == &one ? times : 1);
      before = until;
    }
  }
  sum.cumulative.clear();
  Money all;
  for (const auto& [at, amount] : paid) sum.cumulative.emplace_back(at, all += amount);
  sum.stays.insert(sum.stays.end(), one.stays.begin(), one.stays.end());
}

// What a kind of VM may do, and what that costs: with so much downtime for each move. The grid outlives the model.
struct KindMarket {
  PriceGrid grid;
  ScheduleCosts costs;

  absl::StatusOr<ScheduleModel> model() const { return ScheduleModel::create(grid, costs); }
};

KindMarket market_of(const PreparedReplay& prepared, const Kind& kind, absl::Duration blackout) {
  KindMarket market{prepared.grid->with_places(kind.places), schedule_costs(prepared)};
  market.costs.start = market.grid.find(prepared.options.start);
  market.costs.downtime_per_hour = kind.downtime_per_hour;
  market.costs.blackout = blackout;
  return market;
}

// Where its labels leave it nowhere to be at some time, a VM is started anew on demand then, as in a replay.
absl::StatusOr<std::vector<Kind>> possible_kinds(const PreparedReplay& prepared) {
  std::vector<Kind> kinds = kinds_of(prepared);
  for (Kind& kind : kinds) {
    const KindMarket market = market_of(prepared, kind, absl::ZeroDuration());
    const auto model = market.model();
    if (!model.ok()) return model.status();
    const int on_demand = prepared.grid->places() - 1;
    if (!fewest_moves(*model) && kind.places.back() != on_demand) kind.places.push_back(on_demand);
  }
  return kinds;
}

// A budget with which some VM would be taken by the cloud is none.
absl::Status check_budget(const PreparedReplay& prepared) {
  if (!prepared.clairvoyant_moves) return absl::OkStatus();
  const auto kinds = possible_kinds(prepared);
  if (!kinds.ok()) return kinds.status();
  for (const Kind& kind : *kinds) {
    const KindMarket market = market_of(prepared, kind, absl::ZeroDuration());
    const auto model = market.model();
    if (!model.ok()) return model.status();
    const std::optional<int> fewest = fewest_moves(*model);
    if (!fewest || *fewest <= *prepared.clairvoyant_moves) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--clairvoyant-moves ", *prepared.clairvoyant_moves, ": with so few moves the cloud would ",
        "take the instance of ", kind.vms.front(), ", whatever is known beforehand; give it ",
        *fewest, " or more, or begin elsewhere (--start)"));
  }
  return absl::OkStatus();
}

std::string clairvoyant_name(std::optional<int> moves) {
  if (!moves) return "clairvoyant";
  return absl::StrCat("clairvoyant-", *moves, *moves == 1 ? "-move" : "-moves");
}

// Each VM by itself, with at most so many moves: nothing that several share holds it back.
Strategy look_back(const PreparedReplay& prepared, absl::Duration blackout,
                   std::optional<int> moves) {
  ReplayStrategy all;
  all.name = clairvoyant_name(moves);
  const auto kinds = possible_kinds(prepared);
  if (!kinds.ok()) return kinds.status();
  for (const Kind& kind : *kinds) {
    const KindMarket market = market_of(prepared, kind, blackout);
    const auto model = market.model();
    if (!model.ok()) return model.status();
    const auto best = moves ? clairvoyant_with_moves(*model, *moves) : clairvoyant(*model);
    if (!best.ok()) return best.status();
    const Strategy one = model->strategy(best->schedule, all.name, kind.vms.front());
    if (!one.ok()) return one;
    add_times(all, *one, static_cast<std::int64_t>(kind.vms.size()));
  }
  std::ranges::sort(all.stays, {},
                    [](const ReplayStay& stay) { return std::pair(stay.from, stay.vm); });
  return all;
}

// The clairvoyant with a budget, if there is one, then the one without.
absl::StatusOr<std::vector<ReplayStrategy>> look_back(const PreparedReplay& prepared,
                                                      absl::Duration blackout) {
  std::vector<ReplayStrategy> strategies;
  std::vector<std::optional<int>> budgets = {std::nullopt};
  if (prepared.clairvoyant_moves) budgets.insert(budgets.begin(), prepared.clairvoyant_moves);
  for (const std::optional<int>& moves : budgets) {
    Strategy one = look_back(prepared, blackout, moves);
    if (!one.ok()) return one.status();
    strategies.push_back(*std::move(one));
  }
  return strategies;
}

// For how long a VM is down while it moves: the least that was seen, of strategies of which no VM was caught.
absl::Duration blackout_of(const std::vector<ReplayStrategy>& strategies) {
  absl::Duration least = absl::InfiniteDuration();
  for (const ReplayStrategy& strategy : strategies)
    if (strategy.caught == 0 && strategy.moves > 0)
      least = std::min(least, strategy.down / strategy.moves);
  return least == absl::InfiniteDuration() ? absl::ZeroDuration() : least;
}

ReplayResult common(const PreparedReplay& prepared) {
  ReplayResult result;
  result.title = prepared.title;
  result.from = prepared.options.from;
  result.to = prepared.options.to;
  result.vms = static_cast<int>(prepared.options.vms.size());
  result.prices = prepared.grid->changes();
  result.prices_read = prepared.grid->prices_read();
  result.rejected_rows = prepared.grid->rejected_rows();
  result.damage = prepared.grid->damage();
  return result;
}

// The clairvoyant's choice leaves refunds out, and is bound to the grid's steps: a strategy may be cheaper. What one did was possible.
void judge(ReplayResult& result) {
  for (const ReplayStrategy& strategy : result.strategies)
    result.clairvoyant = std::min(result.clairvoyant, strategy.cost);
  const std::int64_t possible = (result.on_demand - result.clairvoyant).nano_usd;
  if (possible <= 0) return;
  result.saving_reached =
      static_cast<double>((result.on_demand - result.strategies.front().cost).nano_usd) /
      static_cast<double>(possible);
}

}  // namespace

absl::StatusOr<ReplayResult> run_strategies(const PreparedReplay& prepared,
                                            const std::vector<std::string>& policies,
                                            const ReplayWatch& watch) {
  if (const absl::Status enough = check_budget(prepared); !enough.ok()) return enough;
  const ReplayOptions& options = prepared.options;
  const std::size_t count = policies.size();
  std::vector<std::optional<Strategy>> done(count);
  std::vector<std::atomic<double>> shares(count);
  std::vector<Answers> answers(count);
  std::atomic<std::size_t> next = 0;
  const auto work = [&](bool tells) {
    for (std::size_t i = next++; i < count; i = next++) {
      ReplayOptions mine = with_policy(options, policies[i]);
      mine.progress = [&, i](absl::Time now) {
        shares[i] = absl::FDivDuration(now - options.from, options.to - options.from);
        if (tells && watch.progress) {
          double sum = 0;
          for (const auto& share : shares) sum += share;
          watch.progress(sum / static_cast<double>(count));
        }
        return !watch.stop || !watch.stop();
      };
      if (i != 0) mine.keep = nullptr;
      auto& factory = mine.policies[policies[i]];
      factory = [make = std::move(factory), &answered = answers[i]] {
        return std::make_unique<CountedPolicy>(make(), answered);
      };
      done[i] = replay(mine, policies[i]);
      if (!done[i]->ok()) continue;
      (*done[i])->answers = answers[i].taken;
      (*done[i])->failures = answers[i].failed;
    }
  };
  std::vector<std::thread> threads;
  const std::size_t most = std::max(1U, std::thread::hardware_concurrency());
  for (std::size_t i = 1; i < std::min(most, count); ++i)
    threads.emplace_back([&work] { work(false); });
  const bool downtime_counts = std::ranges::any_of(
      options.vms, [](const auto& vm) { return vm.reader().getDowntimeNanoUsdPerHour() > 0; });
  // What a move's downtime costs is known once there were some.
  std::optional<absl::StatusOr<std::vector<ReplayStrategy>>> best;
  if (!downtime_counts) best = look_back(prepared, absl::ZeroDuration());
  work(true);
  for (std::thread& thread : threads) thread.join();

  ReplayResult result = common(prepared);
  result.model = options.model.described();
  result.model.insert(result.model.begin(), prepared.facts.begin(), prepared.facts.end());
  result.model.emplace_back("the least that was possible",
                            "the clairvoyant's, who knows the prices but reckons with no refund; "
                            "or what a strategy paid that came out cheaper still");
  if (prepared.clairvoyant_moves)
    result.model.emplace_back(
        clairvoyant_name(prepared.clairvoyant_moves),
        absl::StrCat("the same, and moves each VM ",
                     *prepared.clairvoyant_moves == 1
                         ? "once"
                         : absl::StrCat(*prepared.clairvoyant_moves, " times"),
                     " at most; nothing is measured by it"));
  result.on_demand =
      Money{cost(options.on_demand.usd_per_hour, options.to - options.from).nano_usd * result.vms};
  for (auto& strategy : done) {
    if (!strategy->ok()) return strategy->status();
    result.strategies.push_back(*std::move(*strategy));
  }
  const absl::Duration blackout = blackout_of(result.strategies);
  if (!best) best = look_back(prepared, blackout);
  if (!best->ok()) return best->status();
  for (ReplayStrategy& strategy : **best) {
    strategy.down = blackout * strategy.moves;
    result.strategies.push_back(std::move(strategy));
  }
  result.clairvoyant = result.strategies.back().cost;
  judge(result);
  result.wall = absl::FromChrono(std::chrono::steady_clock::now() - prepared.began);
  return result;
}

absl::StatusOr<ReplayResult> run_plain(const PreparedReplay& prepared, bool at_start) {
  const PriceGrid& grid = *prepared.grid;
  const auto model =
      PlainModel::create(grid, at_start ? PlainBilling::at_start : PlainBilling::by_mean);
  if (!model.ok()) return model.status();
  ReplayResult result = common(prepared);
  result.vms = 1;
  result.model = {{"billing", at_start ? "each hour of the clock, whole, at the price of its start"
                                       : "each hour of the clock at its time-mean"},
                  {"bid", "none: nothing is taken back"},
                  {"moves", "free and instant"}};
  for (std::size_t i = 0; i + 1 < prepared.facts.size(); ++i)  // no VM begins anywhere
    result.model.insert(result.model.begin() + static_cast<std::ptrdiff_t>(i), prepared.facts[i]);
  result.on_demand = model->constant(prepared.options.on_demand.usd_per_hour);
  result.strategies.push_back(model->run("cheapest", move_if_cheaper(0)));
  for (const int percent : {10, 20, 50, 100})
    result.strategies.push_back(
        model->run(absl::StrCat("threshold-", percent), move_if_cheaper(percent)));
  for (int i = 0; i < model->places(); ++i)
    result.strategies.push_back(
        model->run(absl::StrCat("stay ", model->place(i).zone), stay_at(i)));
  result.strategies.push_back(model->clairvoyant());
  result.clairvoyant = result.strategies.back().cost;
  judge(result);
  result.wall = absl::FromChrono(std::chrono::steady_clock::now() - prepared.began);
  return result;
}

}  // namespace supercloud
