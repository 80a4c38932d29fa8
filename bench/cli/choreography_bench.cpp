// From a price to the move it causes, and each hop of the blackout: the whole choreography over the parts that run live.

#include <benchmark/benchmark.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bench/cli/cluster.h"

namespace supercloud {
namespace {

using Payload = schema::Payload;

constexpr const char* vm_name = "web1";
constexpr std::uint64_t mib = 1ULL << 20;
constexpr Money first_price{1'000'000'000};
constexpr std::int64_t price_step = 1000;

void refer(schema::Request::VmRef::Builder vm) { vm.setName(vm_name); }

// One VM that follows the price between two zones.
class Move {
 public:
  absl::Status prepare();
  // Makes the place where the VM is not the cheaper one, and waits until the VM has moved there and all is as before.
  absl::Status run();
  // Seconds, of the last move.
  const std::map<std::string, double>& spans() const { return spans_; }
  double price_to_accepted() const { return price_to_accepted_; }

 private:
  std::size_t other() const { return 1 - at_; }
  const Event* find(Payload::Which type, const std::function<bool(const Event&)>& is) const;
  absl::Status check(const Event& accepted);
  absl::Status settled();
  absl::Status measure(const Event& price, const Event& accepted);

  std::unique_ptr<BenchCluster> cluster_;
  std::size_t at_ = 0;  // index of the VM's node
  Epoch epoch_ = 0;
  Money price_ = first_price;  // at the VM's place
  std::map<std::string, double> spans_;
  double price_to_accepted_ = 0;
};

absl::Status Move::prepare() {
  auto cluster = BenchCluster::start(true);
  if (!cluster.ok()) return cluster.status();
  cluster_ = *std::move(cluster);
  cluster_->give_price(0, price_);
  cluster_->give_price(1, Money{2 * price_.nano_usd});
  const auto create = Message<schema::Request>::build([](schema::Request::Builder builder) {
    auto spec = builder.initCreateVm();
    spec.setName(vm_name);
    spec.setMemoryBytes(64 * mib);
    spec.setDiskBytes(64 * mib);
    spec.setAddress("10.0.0.1");
    spec.setPolicy("cheapest-now");
    spec.setDiskLoss(schema::DiskLoss::SYNC);
    spec.setReplicas(1);
  });
  if (const absl::Status created =
          cluster_->ask_until({BenchCluster::node(0), "executor"}, create,
                              [](const Message<schema::Response>&) { return true; });
      !created.ok())
    return created;
  return settled();
}

// Runs at its node, has its replica at the other, which would take it, and the policy there knows both prices.
absl::Status Move::settled() {
  const auto migrate = Message<schema::Request>::build([this](schema::Request::Builder builder) {
    auto dry = builder.initMigrateVm();
    refer(dry.initVm());
    dry.setTarget(BenchCluster::node(other()));
    dry.setDryRun(true);
  });
  const auto show = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { refer(builder.initShowVm()); });
  const auto explain = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { refer(builder.initExplainPolicy()); });
  const Address executor{BenchCluster::node(at_), "executor"};
  absl::Status status =
      cluster_->ask_until(executor, show, [this](const Message<schema::Response>& response) {
        if (!response.reader().isVms() || response.reader().getVms().size() != 1) return false;
        const auto vm = response.reader().getVms()[0];
        if (text(vm.getState()) != "running" || text(vm.getNode()) != BenchCluster::node(at_) ||
            vm.getInSync().size() != 2 || (epoch_ != 0 && vm.getEpoch() != epoch_))
          return false;
        epoch_ = vm.getEpoch();
        return true;
      });
  if (!status.ok()) return status;
  status = cluster_->ask_until(executor, migrate, [](const Message<schema::Response>& response) {
    if (!response.reader().isChecks()) return false;
    for (const auto check : response.reader().getChecks())
      if (check.getCure().size() > 0) return false;  // what has no cure is told, not failed
    return true;
  });
  if (!status.ok()) return status;
  return cluster_->ask_until(
      {BenchCluster::node(at_), "policy"}, explain, [](const Message<schema::Response>& response) {
        return response.reader().isJson() &&
               text(response.reader().getJson()).find("cheapest of 2 places") !=
                   std::string_view::npos;
      });
}

const Event* Move::find(Payload::Which type, const std::function<bool(const Event&)>& is) const {
  for (const Event& event : cluster_->heard())
    if (event.type() == type && is(event)) return &event;
  return nullptr;
}

absl::Status Move::run() {
  cluster_->forget();
  price_.nano_usd -= price_step;
  cluster_->give_price(other(), price_);
  const auto any = [](const Event&) { return true; };
  const auto has = [&](Payload::Which type) { return find(type, any) != nullptr; };
  const auto completed = [&] {
    const Event* accepted = find(Payload::MIGRATION_ACCEPTED, any);
    return accepted != nullptr && find(Payload::MIGRATION_COMPLETED, [&](const Event& event) {
                                    return event.migration() == accepted->migration();
                                  }) != nullptr;
  };
  const auto switched = [&](std::size_t by) {
    return find(Payload::NETWORK_SWITCHED, [by](const Event& event) {
      return text(event.payload().getNetworkSwitched().getBy()) == BenchCluster::node(by);
    });
  };
  // Not migration.cleaned: its source may say it long after its copy is gone. Whether the next move can begin is asked below.
  const bool ended = cluster_->wait([&] {
    return (completed() && has(Payload::VM_RELEASED) && switched(0) && switched(1)) ||
           has(Payload::MIGRATION_REFUSED) || has(Payload::MIGRATION_ABORTED);
  });
  const Event* price = find(Payload::SPOT_PRICE_CHANGED, any);
  const Event* accepted = find(Payload::MIGRATION_ACCEPTED, any);
  if (!ended || price == nullptr || accepted == nullptr) {
    std::string seen;
    for (const Event& event : cluster_->heard())
      absl::StrAppend(&seen, " ", std::string(event.topic()));
    return absl::DeadlineExceededError(absl::StrCat("a price led to no move:", seen));
  }
  if (absl::Status measured = measure(Event(*price), Event(*accepted)); !measured.ok())
    return measured;
  at_ = other();
  ++epoch_;
  if (absl::Status good = settled(); !good.ok()) return good;
  return check(Event(*find(Payload::MIGRATION_ACCEPTED, any)));
}

// One price, one proposal that rests on it, one move, by one swap of the epoch.
absl::Status Move::check(const Event& accepted) {
  if (cluster_->gaps() > 0) return absl::DataLossError("the benchmark itself missed events");
  std::map<Payload::Which, int> count;
  for (const Event& event : cluster_->heard()) ++count[event.type()];
  for (const Payload::Which type :
       {Payload::SPOT_PRICE_CHANGED, Payload::MIGRATION_PROPOSED, Payload::MIGRATION_ACCEPTED,
        Payload::VM_PAUSED, Payload::VM_RESUMED})
    if (count[type] != 1)
      return absl::InternalError(absl::StrCat("events of type ", static_cast<int>(type), ": ",
                                              count[type], " instead of one per price"));
  const auto any = [](const Event&) { return true; };
  const Event* price = find(Payload::SPOT_PRICE_CHANGED, any);
  const Event* proposed = find(Payload::MIGRATION_PROPOSED, any);
  const auto evidence = proposed->payload().getMigrationProposed().getEvidence();
  if (evidence.size() != 1 || EventId::from(evidence[0]) != price->id() ||
      accepted.migration() != proposed->id())
    return absl::InternalError("the move that was accepted does not rest on the price");
  return absl::OkStatus();
}

absl::Status Move::measure(const Event& price, const Event& accepted) {
  const EventId migration = accepted.migration();
  const auto time_of = [&](Payload::Which type, Epoch epoch,
                           const std::string& by = "") -> std::optional<absl::Time> {
    const Event* event = find(type, [&](const Event& heard) {
      return heard.epoch() == epoch &&
             (by.empty() || text(heard.payload().getNetworkSwitched().getBy()) == by);
    });
    if (event == nullptr) return std::nullopt;
    return event->time().wall();
  };
  const Event* completed = find(Payload::MIGRATION_COMPLETED,
                                [&](const Event& heard) { return heard.migration() == migration; });
  const auto paused = time_of(Payload::VM_PAUSED, epoch_);
  const auto sealed = time_of(Payload::STORAGE_SEALED, epoch_);
  const auto verified = time_of(Payload::STORAGE_VERIFIED, epoch_);
  const auto resumed = time_of(Payload::VM_RESUMED, epoch_ + 1);
  const auto switched = time_of(Payload::NETWORK_SWITCHED, epoch_ + 1, BenchCluster::node(at_));
  if (completed == nullptr || !paused || !sealed || !verified || !resumed || !switched)
    return absl::InternalError(
        absl::StrCat("of this migration one of paused, sealed, verified, resumed, switched, "
                     "completed is missing "
                     "at epoch ",
                     epoch_));
  const absl::Time begin = price.time().wall(), taken = accepted.time().wall();
  price_to_accepted_ = absl::ToDoubleSeconds(taken - begin);
  spans_["accepted_to_paused"] = absl::ToDoubleSeconds(*paused - taken);
  spans_["blackout"] = absl::ToDoubleSeconds(*resumed - *paused);
  spans_["paused_to_sealed"] = absl::ToDoubleSeconds(*sealed - *paused);
  spans_["sealed_to_verified"] = absl::ToDoubleSeconds(*verified - *sealed);
  spans_["verified_to_resumed"] = absl::ToDoubleSeconds(*resumed - *verified);
  spans_["resumed_to_switched"] = absl::ToDoubleSeconds(*switched - *resumed);
  spans_["total"] = absl::ToDoubleSeconds(completed->time().wall() - begin);
  return absl::OkStatus();
}

void choreography(benchmark::State& state) {
  Move move;
  if (const absl::Status ready = move.prepare(); !ready.ok()) {
    state.SkipWithError(std::string(ready.message()).c_str());
    return;
  }
  std::map<std::string, double> sums;
  for (auto unused : state) {
    (void)unused;
    if (const absl::Status moved = move.run(); !moved.ok()) {
      state.SkipWithError(std::string(moved.message()).c_str());
      break;
    }
    state.SetIterationTime(move.price_to_accepted());
    for (const auto& [name, seconds] : move.spans()) sums[name] += seconds;
  }
  for (const auto& [name, seconds] : sums)
    state.counters[name] = benchmark::Counter(seconds, benchmark::Counter::kAvgIterations);
}
BENCHMARK(choreography)->UseManualTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace supercloud
