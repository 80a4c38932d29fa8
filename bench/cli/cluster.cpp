#include "bench/cli/cluster.h"

#include <stdlib.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/policy.h"

namespace supercloud {
namespace {

constexpr const char* site_name = "site";
constexpr std::uint64_t gib = 1ULL << 30;
constexpr Duration start_deadline = absl::Seconds(20);
constexpr Duration ask_deadline = absl::Seconds(2);

// To the cheapest place that is allowed, at once, whatever is paid already.
class CheapestNow final : public Policy {
 public:
  std::string name() const override { return "cheapest-now"; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    reply(Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
      const auto current = text(world.reader().getCurrentPlace());
      std::optional<schema::World::PlaceView::Reader> best;
      int priced = 0;
      for (const auto place : world.reader().getCandidates()) {
        if (!place.getAllowed() || !place.getPriceKnown()) continue;
        ++priced;
        if (!best || place.getPriceNanoUsdPerHour() < best->getPriceNanoUsdPerHour()) best = place;
      }
      decision.setReason(absl::StrCat("cheapest of ", priced, " places"));
      if (!best || text(best->getPlace().getId()) == current) return;
      decision.setChoice(best->getPlace().getId());
      decision.initEvidence(1).setWithCaveats(0, best->getPriceEvent());
    }));
  }
};

}  // namespace

// ---- the cluster ---------------------------------------------------------------------------------------------------------

const std::string& BenchCluster::node(std::size_t index) {
  static const std::string names[] = {"node-a", "node-b"};
  return names[index];
}

const PlaceName& BenchCluster::place(std::size_t index) {
  static const PlaceName places[] = {{"aws", "us-east-1", "us-east-1a", "r3.large", true},
                                     {"aws", "us-east-1", "us-east-1b", "r3.large", true}};
  return places[index];
}

absl::StatusOr<std::unique_ptr<BenchCluster>> BenchCluster::start(bool hosts) {
  std::unique_ptr<BenchCluster> cluster(new BenchCluster);
  if (const absl::Status opened = cluster->open(hosts); !opened.ok()) return opened;
  return cluster;
}

BenchCluster::~BenchCluster() = default;

absl::Status BenchCluster::open(bool hosts) {
  if (folder().empty()) return absl::UnavailableError("no temporary folder could be made");
  const absl::Time now = absl::Now();
  const auto config_of = [&](const std::string& name) {
    const std::string socket = (folder() / name).string();
    NodeConfig config;
    config.name = name;
    config.cluster = "bench";
    config.site = site_name;
    config.directory = folder() / "run";
    config.publish_endpoint = absl::StrCat("ipc://", socket, ".pub");
    config.request_endpoint = absl::StrCat("ipc://", socket, ".req");
    config.link_endpoint = absl::StrCat("unix:", socket, ".link");
    if (name != site_name)
      config.seeds = {absl::StrCat("ipc://", (folder() / site_name).string(), ".req")};
    // A busy machine may hold a node up for seconds: a fence would be another story than the one that is measured.
    config.fence.ttl = absl::Seconds(60);
    config.fence.fence_after = absl::Seconds(50);
    config.market.emplace();
    config.market->clock = {.origin = now, .start = now, .speed = 1};
    return config;
  };
  const auto adjust = [prices = prices_](NodeActorsOptions& options) {
    options.policies["cheapest-now"] = [] { return std::make_unique<CheapestNow>(); };
    if (options.market) options.market->feed = prices->feed();
  };
  NodeConfig site = config_of(site_name);
  site.account.emplace();
  nodes_.push_back(std::make_unique<NodeThread>(std::move(site), adjust));
  for (std::size_t i = 0; hosts && i < 2; ++i) {
    NodeConfig config = config_of(node(i));
    config.host.emplace();
    config.host->place = place(i);
    config.host->memory_bytes = 4 * gib;
    config.host->bytes_per_second = 6 * gib;
    nodes_.push_back(std::make_unique<NodeThread>(std::move(config), adjust));
  }
  for (const auto& started : nodes_)
    if (const absl::Status status = started->started(); !status.ok()) return status;

  const auto target = load_cluster(folder() / "run");
  if (!target.ok()) return target.status();
  auto client = ClusterClient::connect(*target);
  if (!client.ok()) return client.status();
  client_ = *std::move(client);
  client_->on_gap([this](const BusGap&) { ++gaps_; });
  // A member that answers is one that is known, so its events are subscribed to.
  const auto ping = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { builder.initReadLog().setLimit(1); });
  const Instant end = client_->loop().clock().now() + start_deadline;
  for (const NodeEntry& entry : target->nodes) {
    absl::Status answered = client_->ask({entry.name, "log"}, ping, ask_deadline).status();
    while (absl::IsUnavailable(answered) && client_->loop().clock().now() < end) {
      // Not known yet: once something came in it is asked again.
      int rounds = 0;
      client_->run_until([&rounds] { return ++rounds > 2; }, end);
      answered = client_->ask({entry.name, "log"}, ping, ask_deadline).status();
    }
    if (!answered.ok()) return answered;
  }
  return client_->subscribe(Pattern::of(">"),
                            [this](const Event& event) { heard_.push_back(event); });
}

void BenchCluster::give_price(std::size_t index, Money price) {
  nodes_.front()->post(
      [prices = prices_, given = Price{place(index), price, absl::Now()}] { prices->add(given); });
}

bool BenchCluster::wait(const std::function<bool()>& done, Duration limit) {
  bool good = false;
  client_->run_until([&] { return good = done(); }, client_->loop().clock().now() + limit);
  return good;
}

absl::Status BenchCluster::ask_until(
    const Address& to, const Message<schema::Request>& request,
    const std::function<bool(const Message<schema::Response>&)>& good) {
  const Instant end = client_->loop().clock().now() + start_deadline;
  while (true) {
    const std::size_t before = heard_.size();
    const absl::StatusOr<Message<schema::Response>> answer =
        client_->ask(to, request, ask_deadline);
    if (answer.ok() && good(*answer)) return absl::OkStatus();
    const Duration left = end - client_->loop().clock().now();
    if (left <= absl::ZeroDuration() || !wait([&] { return heard_.size() > before; }, left))
      return answer.ok() ? absl::DeadlineExceededError(absl::StrCat(
                               to.to_string(),
                               " never said what was waited for; at last: ", answer->to_json()))
                         : answer.status();
  }
}

}  // namespace supercloud
