#include "cli/replay/run.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"
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

ScheduleCosts schedule_costs(const PreparedReplay& prepared) {
  const ReplayModel& model = prepared.options.model;
  ScheduleCosts costs;
  costs.billing = model.billing;
  costs.launch = model.launch_delay;
  costs.migration = model.migration;
  costs.notice = model.notice;
  costs.downtime_per_hour = model.downtime_per_hour;
  costs.transfer_bytes = static_cast<std::int64_t>(model.transfer_bytes());
  costs.egress_per_gib = [price = model.egress_per_gib](const PlaceName&, const PlaceName&) {
    return price;
  };
  costs.start = prepared.grid->find(prepared.options.start);
  return costs;
}

Strategy look_back(const PreparedReplay& prepared) {
  const auto model = ScheduleModel::create(*prepared.grid, schedule_costs(prepared));
  if (!model.ok()) return model.status();
  const auto best = clairvoyant(*model);
  if (!best.ok()) return best.status();
  auto strategy = model->strategy(best->schedule, "clairvoyant", "vm1");
  if (!strategy.ok()) return strategy;
  // Each VM by itself: nothing that several share holds it back.
  const auto vms = static_cast<std::int64_t>(prepared.options.vms.size());
  strategy->cost.nano_usd *= vms;
  strategy->moves *= vms;
  strategy->down *= vms;
  for (auto& [at, paid] : strategy->cumulative) paid.nano_usd *= vms;
  return strategy;
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
  return result;
}

void judge(ReplayResult& result) {
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
  const auto began = std::chrono::steady_clock::now();
  const ReplayOptions& options = prepared.options;
  const std::size_t count = policies.size();
  std::vector<std::optional<Strategy>> done(count);
  std::vector<std::atomic<double>> shares(count);
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
      done[i] = replay(mine, policies[i]);
    }
  };
  std::vector<std::thread> threads;
  const std::size_t most = std::max(1U, std::thread::hardware_concurrency());
  for (std::size_t i = 1; i < std::min(most, count); ++i)
    threads.emplace_back([&work] { work(false); });
  Strategy best = look_back(prepared);
  work(true);
  for (std::thread& thread : threads) thread.join();

  ReplayResult result = common(prepared);
  result.model = options.model.described();
  result.on_demand =
      Money{cost(options.on_demand.usd_per_hour, options.to - options.from).nano_usd * result.vms};
  for (auto& strategy : done) {
    if (!strategy->ok()) return strategy->status();
    result.strategies.push_back(*std::move(*strategy));
  }
  if (!best.ok()) return best.status();
  result.clairvoyant = best->cost;
  result.strategies.push_back(*std::move(best));
  judge(result);
  result.wall = absl::FromChrono(std::chrono::steady_clock::now() - began);
  return result;
}

absl::StatusOr<ReplayResult> run_plain(const PreparedReplay& prepared, bool at_start) {
  const auto began = std::chrono::steady_clock::now();
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
  result.wall = absl::FromChrono(std::chrono::steady_clock::now() - began);
  return result;
}

}  // namespace supercloud
