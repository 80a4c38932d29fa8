#include "simulation/replay/replay.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include "absl/strings/str_cat.h"
#include "actors/spot/place.h"
#include "core/text.h"
#include "core/topic.h"
#include "core/vm_name.h"
#include "core/vm_spec.h"
#include "simulation/cluster.h"
#include "simulation/replay/account.h"

namespace supercloud {
namespace {

constexpr Duration seldom = absl::Hours(1);       // what is measured, which costs nothing here
constexpr Duration settling = absl::Seconds(20);  // sessions, roles and first prices
constexpr Duration spare = absl::Seconds(510);    // of a move's deadline
constexpr Duration answer_spare = absl::Minutes(2);

// What all moves share. Of a move's bytes a simulated machine sends the memory only, in the time of all of them.
std::shared_ptr<SharedLine> line_of(const ReplayModel& model) {
  if (model.bandwidth == 0) return nullptr;
  const double memory_part =
      static_cast<double>(model.memory_bytes) /
      static_cast<double>(std::max<std::uint64_t>(model.transfer_bytes(), 1));
  return std::make_shared<SharedLine>(std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(model.bandwidth) * memory_part)));
}

void furnish(MachineOptions& machine, const ReplayModel& model, std::size_t vms,
             const std::shared_ptr<SharedLine>& line) {
  // A target is rented within the deadline of a move, too. Who waits for one waits longer than it may take.
  const Duration all = model.move_time() * (line == nullptr ? 1 : static_cast<double>(vms));
  const Duration move = model.launch_delay + all + spare;
  machine.actors.executor.migration_deadline = move;
  machine.actors.policy.move_deadline = move;
  machine.actors.policy.answer_deadline = model.launch_delay + answer_spare;
  machine.actors.dirty_rate.every = seldom;
  machine.actors.latency.every = seldom;
  machine.actors.observer.reset();
  WorldOptions& world = machine.actors.policy.world;
  world.notice = model.notice;
  world.lead = model.lead_time();
  world.migration = model.move_time();
  world.launch = model.launch_delay;
  world.egress_per_gib = model.egress_per_gib;
  world.bid = model.bid;
  world.transfer_bytes = model.transfer_bytes();
  world.moves_per_day = model.moves_per_day;
  world.moving_max = model.moving_max;
  machine.host.guest.tick = seldom;
  machine.host.line = line;
  machine.host.bytes_per_second = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(static_cast<double>(model.memory_bytes) /
                                    std::max(absl::ToDoubleSeconds(model.migration), 0.001)));
}

// Machines take their logs along, and with them what a budget of a day counts. No policy that comes with the project decides by moves of
// long ago but for that: without a budget there is no archive, which takes less time.
std::optional<ArchiveOptions> archive_of(const ReplayOptions& options) {
  const bool budget = options.model.moves_per_day > 0 ||
                      std::ranges::any_of(options.vms, [](const Message<schema::VmSpec>& vm) {
                        return vm.reader().getMovesPerDay() > 0;
                      });
  if (!budget) return std::nullopt;
  return ArchiveOptions{
      .patterns = {"migration.proposed.>", "migration.accepted.>", "migration.refused.>",
                   "migration.aborted.>", "migration.completed.>"},
      .look_interval = absl::InfiniteDuration()};
}

ClusterOptions cluster_options(const ReplayOptions& options) {
  const ReplayModel& model = options.model;
  ClusterOptions cluster;
  cluster.start = options.from;
  cluster.market_speed = 1;
  cluster.places.assign(options.vms.size(), options.start);
  cluster.memory_bytes = model.memory_bytes;
  cluster.nothing_fails = true;
  cluster.archive = archive_of(options);
  cluster.prices.origin = options.from;
  cluster.prices.on_demand = options.on_demand.place;
  cluster.prices.on_demand_per_hour = options.on_demand.usd_per_hour;
  cluster.prices.bid = model.bid;
  cluster.prices.feed = options.feed;
  cluster.prices.lead = model.lead_time();
  cluster.prices.account = {};
  cluster.prices.account.account = options.on_demand.place.cloud;
  cluster.prices.account.billing = model.billing;
  cluster.prices.account.notice = model.notice;
  cluster.prices.account.launch_delay = model.launch_delay;
  cluster.adjust = [&model, &options, line = line_of(model)](MachineOptions& machine) {
    furnish(machine, model, options.vms.size(), line);
    machine.actors.policies = options.policies;
  };
  cluster.adjust_market = [&model](NodeActorsOptions::Market& market) {
    // Guests that do nothing send less than the model says.
    market.ledger.egress_per_gib = model.egress_per_gib;
    market.ledger.transfer_bytes = model.transfer_bytes();
    // What was there from the start is given back like any other once nobody is on it.
    market.provider.keep_initial = false;
    market.watcher.silence = absl::Hours(24 * 365);
  };
  return cluster;
}

class Run {
 public:
  Run(const ReplayOptions& options, std::string name)
      : options_(options), cluster_(cluster_options(options)) {
    strategy_.name = std::move(name);
  }

  absl::StatusOr<ReplayStrategy> run() {
    cluster_.run_for(settling);
    for (std::size_t i = 0; i < options_.vms.size(); ++i)
      cluster_.create_vm(absl::StrCat("node-", i), options_.vms[i]);
    cluster_.run_for(settling);
    if (absl::Status run = all_run(); !run.ok()) return run;
    absl::Time now = options_.from + 2 * settling;
    while (now < options_.to) {
      const absl::Duration span = std::min(ReplayModel::rescue_look, options_.to - now);
      cluster_.run_for(span);
      now += span;
      rescue();
      if (options_.progress && !options_.progress(now))
        return absl::CancelledError("the replay was cancelled");
    }
    if (!cluster_.checker().violations().empty()) {
      const Violation& violation = cluster_.checker().violations().front();
      return absl::InternalError(absl::StrCat(
          "an invariant broke, which is a bug: ", violation.rule, ": ", violation.what));
    }
    Account account(options_.to, options_.model, options_.vms, restarted_);
    for (const Event& event : cluster_.history(Account::counts)) account.add(event);
    account.finish(strategy_, prices_of(account.unsettled()));
    strategy_.events = cluster_.logged();
    if (options_.keep)
      if (absl::Status kept = options_.keep(cluster_.log_image()); !kept.ok()) return kept;
    return std::move(strategy_);
  }

 private:
  // What never began would look like a great saving.
  absl::Status all_run() {
    std::set<std::string> running;
    for (const Event& event : cluster_.history(Account::counts))
      if (event.type() == schema::Payload::VM_RESUMED) running.insert(std::string(event.subject()));
    for (const Message<schema::VmSpec>& vm : options_.vms)
      if (const std::string name = str(vm.reader().getName()); !running.contains(name))
        return absl::FailedPreconditionError(
            absl::StrCat(name, " did not begin to run at ", options_.start.id(), " within ",
                         absl::FormatDuration(settling),
                         ": what it demands is not there in a replay; leave it out of its file"));
    return absl::OkStatus();
  }

  // As the cluster heard of them.
  std::map<std::string, PriceHistory> prices_of(const std::set<std::string>& places) {
    std::map<std::string, PriceHistory> prices;
    std::set<std::string, std::less<>> subjects;
    for (const std::string& place : places) subjects.insert(encode_token(place_subject(place)));
    const auto wanted = [&](std::string_view topic) {
      return !Account::counts(topic) && subjects.contains(topic_token(topic, 3));
    };
    if (subjects.empty()) return prices;
    for (const Event& event : cluster_.history(wanted)) {
      const auto change = event.payload().getSpotPriceChanged();
      prices[str(change.getPlace().getId())].add(absl::FromUnixNanos(change.getSinceNs()),
                                                 Money{change.getPriceNanoUsdPerHour()});
    }
    return prices;
  }

  // A VM whose machine is gone: its user starts it anew on demand.
  void rescue() {
    for (const auto& [key, stored] : cluster_.leases().leases) {
      if (!key.starts_with(vm_keys) || rescued_.contains(key)) continue;
      const SimulatedMachine* holder = cluster_.machine(stored.record.holder);
      if (holder == nullptr || !cluster_.lost(*holder)) continue;
      rescued_.insert(key);
      const auto spec = Message<schema::VmSpec>::parse(stored.record.value);
      if (!spec.ok()) continue;
      const std::string token = absl::StrCat("rescue-", rescued_.size());
      waiting_.emplace(token, renamed(*spec));
      cluster_.ask(Address{SimulatedCluster::site_node, "provider"},
                   Message<schema::Request>::build([&](auto builder) {
                     auto rent = builder.initRent();
                     rent.setPlace(options_.on_demand.place.id());
                     rent.setClientToken(token);
                     rent.setWhy("a VM was caught by the end of its instance");
                   }));
    }
    for (const auto& [id, instance] : cluster_.rented()) {
      const auto spec = waiting_.find(instance.client_token);
      if (spec == waiting_.end() || cluster_.machine(instance.node) == nullptr) continue;
      cluster_.create_vm(instance.node, spec->second);
      waiting_.erase(spec);
    }
  }

  // "web1", then "web1-again1", "web1-again2"
  Message<schema::VmSpec> renamed(const Message<schema::VmSpec>& spec) {
    return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
      copy_spec(spec.reader(), builder);
      const std::string name = str(spec.reader().getName());
      const auto before = restarted_.find(name);
      const std::string began = before == restarted_.end() ? name : before->second;
      const std::string anew = absl::StrCat(began, "-again", rescued_.size());
      restarted_[anew] = began;
      builder.setAddress(absl::StrCat("10.1.", rescued_.size() / 250, ".", rescued_.size() % 250));
      builder.setName(anew);
    });
  }

  const ReplayOptions& options_;
  SimulatedCluster cluster_;
  ReplayStrategy strategy_;
  std::set<std::string> rescued_;  // lease keys
  std::map<std::string, std::string, std::less<>>
      restarted_;                                           // VMs started anew: which they began as
  std::map<std::string, Message<schema::VmSpec>> waiting_;  // for their instance, by client token
};

}  // namespace

absl::StatusOr<ReplayStrategy> replay(const ReplayOptions& options, std::string name) {
  return Run(options, std::move(name)).run();
}

}  // namespace supercloud
