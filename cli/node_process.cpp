#include "cli/node_process.h"

#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <iostream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/node_actors.h"
#include "actors/policy/plugin/policy_file.h"
#include "actors/spot/price_files.h"
#include "bus/checkpoint.h"
#include "bus/heard_before.h"
#include "bus/zmq_bus.h"
#include "cli/etcd_keys.h"
#include "cli/machine/node_machine.h"
#include "cli/retention_keys.h"
#include "cli/run_directory.h"
#include "cli/trust_file.h"
#include "core/node.h"
#include "core/text.h"
#include "hypercall/xen/control.h"
#include "hypercall/xen/store_client.h"
#include "storage/etcd/etcd_lease_table.h"
#include "storage/lease_site.h"
#include "storage/remote_lease_table.h"
#include "storage/rocks_event_log.h"
#include "storage/rocks_lease_table.h"

namespace supercloud {
namespace {

constexpr Duration session_interval = absl::Seconds(1);  // at the session
constexpr std::string_view heard_file = "heard";         // in the node's folder: HeardBefore
constexpr Duration keep_interval = absl::Seconds(10);

// Cluster time that decisions and moves may take, where an hour of the market is short.
void pace(NodeActorsOptions& actors, const MarketConfig& market) {
  WorldOptions& world = actors.policy.world;
  world.notice = market.at_least(world.notice, market.notice_min);
  world.launch = market.at_least(world.launch, market.launch_min);
  world.migration = market.at_least(world.migration, market.migration_min);
  world.lead = std::max(world.lead, world.migration + world.launch);
  actors.policy.market = market.clock;
  const Duration hour = market.clock.cluster_span(absl::Hours(1));
  VmMoves::Backoff& backoff = actors.policy.backoff;
  backoff.failed = std::clamp(hour * 4, absl::Seconds(2), backoff.failed);
  backoff.changed = std::clamp(hour, absl::Seconds(1), backoff.changed);
  actors.policy.answer_deadline =
      std::clamp(hour * 2, absl::Seconds(5), actors.policy.answer_deadline);
  actors.policy.move_deadline =
      std::clamp(hour * 20, absl::Seconds(45), actors.policy.move_deadline);
  actors.policy.relist = std::clamp(hour, absl::Seconds(2), actors.policy.relist);
  actors.executor.migration_deadline =
      std::clamp(hour * 10, absl::Seconds(15), actors.executor.migration_deadline);
}

// What a process that is no member may have said by a node: observations. All else tells what a node itself did or decided, and its actors
// recover from that.
absl::Status check_open_to_others(std::string_view topic) {
  for (const std::string_view prefix : {"resource.", "latency."})
    if (topic.starts_with(prefix)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(absl_view(topic),
                   " is said by nodes only; others may have published what they observe: "
                   "resource.>, latency.>"));
}

// Files are read from end to end as they are opened: the first time before any actor waits for this thread.
absl::StatusOr<FeedFactory> feed_factory(const AccountConfig& account) {
  if (account.price_files.empty())
    return FeedFactory(
        [market = account.generated] { return std::make_unique<GeneratedFeed>(market); });
  PriceFileOptions options;
  options.cloud = account.account;
  options.instance_types = account.instance_types;
  if (!account.product.empty()) options.products = {account.product};
  options.from = account.prices_from;
  auto first = open_price_files(account.price_files, options);
  if (!first.ok())
    return absl::Status(first.status().code(),
                        absl::StrCat("account.prices: ", first.status().message()));
  return FeedFactory([paths = account.price_files, options,
                      opened = std::make_shared<std::unique_ptr<PriceFeed>>(
                          *std::move(first))]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
    if (*opened) return std::move(*opened);
    return open_price_files(paths, options);
  });
}

// False: it could not be.
bool write_heard(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path next = path.string() + ".next";
  std::ofstream file(next, std::ios::trunc);
  file << text;
  file.close();
  std::error_code error;
  if (file) std::filesystem::rename(next, path, error);
  return file && !error;
}

}  // namespace

struct NodeProcess::Parts {
  Parts(EventLoop& of, NodeConfig with, std::function<void(absl::Status)> fatal)
      : loop(of),
        config(std::move(with)),
        on_fatal(std::move(fatal)),
        session(of.clock(), config.fence) {}
  ~Parts() {
    loop.cancel(watch);
    if (keeping.valid()) keeping.wait();
    keep_heard();
    if (keeping.valid()) keeping.wait();
    loop.cancel(keep_timer);
  }

  absl::Status open();
  void spawn(const std::function<void(NodeActorsOptions&)>& adjust);
  void watch_session();
  void remember_heard();
  void keep_heard();
  void had_session();
  void believe(absl::StatusOr<Trust> trust);
  void fail(absl::Status why) {
    if (on_fatal) std::exchange(on_fatal, nullptr)(std::move(why));
  }
  NodeActorsOptions actor_options();
  void open_market(const AccountConfig& account, NodeActorsOptions::Market& roles);
  void open_hosts(const AccountConfig& account, NodeActorsOptions::Market& roles);

  EventLoop& loop;
  const NodeConfig config;
  std::function<void(absl::Status)> on_fatal;
  EventPool pool;
  std::unique_ptr<RocksEventLog> log;
  std::unique_ptr<RocksEventLog> archive;  // null: it keeps only its own
  std::unique_ptr<Notary> notary;          // null: the bus has no keys
  std::shared_ptr<const Trust> trust;      // in force; null: the bus has no keys
  std::optional<ArchivedEvents> archived;
  std::unique_ptr<ZmqBus> bus;
  std::unique_ptr<LeaseTable> leases;
  std::unique_ptr<NodeMachine> machine;       // null: a node without one
  std::unique_ptr<XenStoreClient> xen_store;  // null, both: it is no Xen host
  std::unique_ptr<XenControl> xen;
  std::unique_ptr<Provider> provider;  // null: it drives no account
  FeedFactory feed;                    // empty: it drives no account, or one of hosts
  PolicyRegistry policies = built_in_policies();

  NodeSession session;
  bool session_noted = false;
  bool session_failed = false;              // and the user was told
  std::unique_ptr<Node> node;               // first to go
  std::unique_ptr<TrustWatch> trust_watch;  // null: the bus has no keys
  TimerId watch = 0;
  std::shared_ptr<HeardBefore> heard;  // null: the bus has no keys
  TimerId keep_timer = 0;
  std::future<bool> keeping;  // in another thread; waited for at the end
  bool keep_failed = false;   // and the user was told
  bool full_told = false;
};

absl::Status NodeProcess::Parts::open() {
  for (const auto& [name, file] : config.policies) {
    auto factory = policy_from_file(loop, {.name = name, .file = file});
    if (!factory.ok()) return factory.status();
    policies[name] = *std::move(factory);
  }
  const auto seed = static_cast<std::uint64_t>(absl::ToUnixNanos(loop.clock().wall()));
  if (config.account && config.account->hosts.empty()) {
    const AccountConfig& account = *config.account;
    auto prices = account.live ? live_feed_factory(loop, *account.live, account.instance_types,
                                                   Random(seed).fork())
                               : feed_factory(account);
    if (!prices.ok()) return prices.status();
    feed = *std::move(prices);
  }
  std::error_code error;
  std::filesystem::create_directories(config.folder(), error);
  if (error)
    return absl::UnavailableError(
        absl::StrCat("making ", config.folder().string(), ": ", error.message()));
  RocksEventLogOptions log_options;
  log_options.path = (config.folder() / "log").string();
  log_options.node = config.name;
  log_options.retention = config.retention;
  auto opened = RocksEventLog::open(loop, pool, log_options);
  if (!opened.ok()) return opened.status();
  log = *std::move(opened);
  if (config.archive) {
    log_options.path = (config.folder() / archive_folder).string();
    log_options.retention = config.archive->retention;
    auto archive_opened = RocksEventLog::open(loop, pool, log_options);
    if (!archive_opened.ok()) return archive_opened.status();
    archive = *std::move(archive_opened);
  }

  ZmqBusOptions bus_options;
  bus_options.name = config.name;
  bus_options.publish_bind = config.publish_endpoint;
  bus_options.request_bind = config.request_endpoint;
  bus_options.seeds = config.seeds;
  if (!config.key.empty()) {
    // Before it is read, so that no change is missed.
    trust_watch = std::make_unique<TrustWatch>(
        loop, config.trust, [this](absl::StatusOr<Trust> trust) { believe(std::move(trust)); });
    auto credentials = read_credentials(config.key, config.trust);
    if (!credentials.ok()) return credentials.status();
    bus_options.credentials = *std::move(credentials);
    remember_heard();
    bus_options.heard_before = heard;
  }
  bus_options.on_fatal = [this](absl::Status why) { fail(std::move(why)); };
  bus_options.on_shut_out = [told = std::set<std::string>()](const std::string& other,
                                                             const std::string& endpoint) mutable {
    if (!told.insert(other).second) return;
    std::cerr << other << " (" << endpoint
              << ") does not let in this node: `supercloud keys enrol` "
              << "adds its key to the trust file of " << other << std::endl;
  };
  bus_options.on_slow_subscriber = [this](const std::string& name, std::uint64_t backlog) {
    if (node != nullptr) node->on_slow_subscriber(name, backlog);
  };
  bus_options.on_wish = [this](const std::string& publisher, Draft draft, Reply<Event> reply) {
    if (node == nullptr) return reply(absl::UnavailableError(config.name + " is starting"));
    if (const absl::Status open = check_open_to_others(draft.topic()); !open.ok())
      return reply(open);
    node->publish_for(publisher, std::move(draft), std::move(reply));
  };
  auto made = ZmqBus::open(loop, pool, bus_options);
  if (!made.ok()) return made.status();
  bus = *std::move(made);

  if (config.etcd) {
    if (const absl::Status readable = check_readable(*config.etcd); !readable.ok()) return readable;
    auto table =
        remembered_table(config.folder(), [this](absl::Status why) { fail(std::move(why)); });
    if (!table.ok()) return table.status();
    leases = make_etcd_lease_table(loop, *config.etcd, config.fence.ttl, *std::move(table));
  } else if (config.hosts_leases()) {
    RocksLeaseTableOptions table;
    table.path = (config.folder() / "leases").string();
    table.cluster = config.cluster;
    table.table.ttl = config.fence.ttl;
    auto table_opened = open_rocks_lease_table(loop, table);
    if (!table_opened.ok()) return table_opened.status();
    leases = *std::move(table_opened);
  } else {
    leases = std::make_unique<RemoteLeaseTable>(loop, *bus, config.site);
  }

  if (config.host) {
    auto machine_opened =
        open_machine({.loop = loop,
                      .bus = *bus,
                      .config = config,
                      .random = Random(seed),
                      .on_fatal = [this](absl::Status why) { fail(std::move(why)); }});
    if (!machine_opened.ok()) return machine_opened.status();
    machine = *std::move(machine_opened);
    session.watch([this] { had_session(); });
  }
  if (config.xen) {
    auto control = XenControl::open();
    if (!control.ok())
      return absl::FailedPreconditionError(
          absl::StrCat("[xen]: ", control.status().message(),
                       absl::IsPermissionDenied(control.status())
                           ? "; start the node as root, or remove the table"
                           : "; remove the table, or start the node in a control domain of Xen"));
    xen = *std::move(control);
    xen_store =
        std::make_unique<XenStoreClient>(loop, XenStoreClientOptions{.path = config.xen->store});
  }
  NodeOptions node_options;
  node_options.name = config.name;
  node_options.random_seed = seed;
  node_options.complain = [](const std::string& line) { std::cerr << line << std::endl; };
  if (const auto key = bus_options.credentials.key; key != nullptr)
    notary = std::make_unique<KeyNotary>(pool, config.name, key);
  auto archived_by_type = archived_types(config.archived);
  if (!archived_by_type.ok()) return archived_by_type.status();
  trust = bus_options.credentials.trust;
  archived.emplace(
      ArchivedOptions{.types = *std::move(archived_by_type),
                      .may_hear = [this](std::string_view name, std::string_view topic) {
                        return trust == nullptr || name == config.name ||
                               !trust->rights.allowed(name, std::string(topic) + ".").empty();
                      }});
  node = std::make_unique<Node>(NodeSeams{.scheduler = loop,
                                          .bus = *bus,
                                          .log = *log,
                                          .pool = pool,
                                          .archive = archive.get(),
                                          .notary = notary.get(),
                                          .custody = &*archived},
                                node_options);
  return absl::OkStatus();
}

NodeActorsOptions NodeProcess::Parts::actor_options() {
  NodeActorsOptions actors;
  if (config.host) actors.observer.emplace();
  actors.fence = config.fence;
  actors.policies = policies;
  actors.session.identity = log->identity();
  actors.session.fresh = !machine || machine->facts().fresh;
  if (machine) actors.executor.make_deadline = machine->facts().make_deadline;
  if (config.archive) {
    actors.archive.patterns = config.archive->patterns;
    // Without it nobody who has keys takes from it what others said.
    if (notary != nullptr) actors.archive.patterns.emplace_back("bus.checkpoint.>");
  }
  actors.policy.world.moves_per_day = config.moves.per_day;
  actors.policy.world.moving_max = config.moves.at_once;
  actors.policy.world.egress_per_gib = config.moves.egress_per_gib;
  if (config.market) pace(actors, *config.market);
  if (!config.account) return actors;

  const AccountConfig& account = *config.account;
  const MarketClock& clock = config.market->clock;
  NodeActorsOptions::Market roles;
  roles.watcher.market = clock;
  roles.watcher.fixed = account.fixed;
  roles.watcher.labels = account.labels;
  roles.provider.market = clock;
  roles.provider.labels = account.labels;
  roles.provider.keep_initial = account.keep_initial;
  roles.provider.return_lead =
      std::max(absl::Minutes(3), config.market->clock.speed * absl::Milliseconds(200));
  roles.provider.return_lead_min =
      std::min(absl::Seconds(3), clock.cluster_span(absl::Minutes(10)));
  roles.ledger.market = clock;
  roles.ledger.egress_per_gib = config.moves.egress_per_gib;
  if (!config.retention.keeps_all() || (config.archive && !config.archive->retention.keeps_all()))
    roles.ledger.charges_kept = kept_surely;
  if (account.hosts.empty()) {
    roles.feed = feed;
    if (account.live) roles.watcher.silence = account.live->silence();
    open_market(account, roles);
  } else {
    open_hosts(account, roles);
  }
  actors.market = std::move(roles);
  return actors;
}

void NodeProcess::Parts::open_market(const AccountConfig& account,
                                     NodeActorsOptions::Market& roles) {
  SimulatedMarketOptions options;
  options.account = account.account;
  options.market = config.market->clock;
  options.launch_delay_min = config.market->launch_min;
  options.notice_min = config.market->notice_min;
  options.initial = account.initial;
  options.billing = account.billing;
  auto market = std::make_unique<SimulatedMarket>(loop, std::move(options));
  roles.provider.adopt = [raw = market.get()](const Instance& instance) {
    raw->adopt(instance);
    return true;
  };
  provider = std::move(market);
}

// Their prices are fixed: there is no feed that could be lost.
void NodeProcess::Parts::open_hosts(const AccountConfig& account,
                                    NodeActorsOptions::Market& roles) {
  const MarketClock& clock = config.market->clock;
  for (const FixedHost& host : account.hosts)
    roles.watcher.fixed.push_back({host.place, host.price_per_hour, clock.origin});
  auto hosts =
      std::make_unique<FixedHosts>(loop, clock, account.account, account.hosts, account.billing);
  roles.provider.adopt = [raw = hosts.get()](const Instance& instance) {
    return raw->adopt(instance);
  };
  provider = std::move(hosts);
}

void NodeProcess::Parts::spawn(const std::function<void(NodeActorsOptions&)>& adjust) {
  if (config.hosts_leases())
    node->spawn(std::string(lease_site_actor),
                [this](Context&) { return std::make_unique<LeaseSite>(*leases); });
  NodeActorsOptions actors = actor_options();
  if (adjust) adjust(actors);
  NodeDescription description;
  std::optional<GuestSeams> guests;
  if (config.host) {
    description.place = config.host->place;
    description.labels = config.host->labels;
    description.devices = config.host->devices;
    description.instance = config.host->instance;
    description.cpus = config.host->cpus;
    description.memory_bytes = config.host->memory_bytes;
    description.data_endpoint = machine->facts().data_endpoint;
    description.cpu_model = machine->facts().cpu_model;
    guests.emplace(machine->guests());
  }
  std::optional<DomainSeams> domains;
  if (xen) domains.emplace(DomainSeams{*xen_store, *xen});
  spawn_node_actors(*node,
                    {.leases = *leases,
                     .log = *log,
                     .session = session,
                     .guests = guests,
                     .provider = provider.get(),
                     .domains = domains,
                     .archive = archive.get(),
                     .archived = &*archived},
                    description, actors);
}

// What is wrong is told, and changes nothing: whom a slip of the pen let in or out would be found out too late.
void NodeProcess::Parts::believe(absl::StatusOr<Trust> trust) {
  if (trust.ok()) {
    this->trust = std::make_shared<const Trust>(*std::move(trust));
    bus->set_trust(this->trust);
    return;
  }
  const std::string why = absl::StrCat("what was trusted before goes on, for the file is wrong: ",
                                       trust.status().message());
  std::cerr << why << std::endl;
  node->on_rejected("trust file", why);
}

void NodeProcess::Parts::had_session() {
  if (!session.ever_confirmed() || std::exchange(session_noted, true)) return;
  if (const absl::Status noted = machine->had_session(); !noted.ok()) fail(noted);
}

void NodeProcess::Parts::remember_heard() {
  const std::filesystem::path path = config.folder() / heard_file;
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  auto before = decode_heard(text.str());
  if (!before.ok())
    std::cerr << path.string() << ": " << before.status().message()
              << "; it is begun anew, and replays of what was heard before are not known as such"
              << std::endl;
  heard =
      std::make_shared<HeardBefore>(before.ok() ? *std::move(before) : HeardBefore::Positions());
  keep_heard();
}

// If there is news. Not synced: what power takes away of it are some seconds, or all, and costs no event.
void NodeProcess::Parts::keep_heard() {
  if (heard == nullptr) return;
  loop.cancel(keep_timer);
  keep_timer = loop.at(loop.clock().now() + keep_interval, [this] { keep_heard(); });
  const std::filesystem::path path = config.folder() / heard_file;
  if (keeping.valid()) {
    if (keeping.wait_for(std::chrono::seconds(0)) == std::future_status::timeout) return;
    const bool failed = !keeping.get();
    if (failed && !keep_failed)
      std::cerr
          << path.string()
          << " cannot be written: after a restart a hub may tell again what was heard until now"
          << std::endl;
    keep_failed = failed;
  }
  if (heard->full() && !std::exchange(full_told, true))
    std::cerr << path.string()
              << " is full: of the origins that were heard longest ago a hub may tell "
              << "again what was heard, after a restart" << std::endl;
  if (!heard->take_changed()) return;
  // A megabyte at most: not on the loop that renews leases, if there is a thread to be had.
  keeping = std::async(std::launch::async | std::launch::deferred, write_heard, path,
                       encode(heard->newest()));
}

void NodeProcess::Parts::watch_session() {
  if (!session.refused().ok()) return fail(session.refused());
  // Once for each time that it is out of reach.
  const bool failed = !session.failed().ok();
  if (failed != std::exchange(session_failed, failed))
    std::cerr << (failed ? absl::StrCat("the lease table does not answer: ",
                                        session.failed().message())
                         : "the lease table answers again")
              << std::endl;
  watch = loop.at(loop.clock().now() + session_interval, [this] { watch_session(); });
}

NodeProcess::NodeProcess(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
NodeProcess::~NodeProcess() = default;

absl::StatusOr<std::unique_ptr<NodeProcess>> NodeProcess::start(
    EventLoop& loop, const NodeConfig& config, std::function<void(absl::Status)> on_fatal,
    const std::function<void(NodeActorsOptions&)>& adjust) {
  auto parts = std::make_unique<Parts>(loop, config, std::move(on_fatal));
  if (const absl::Status opened = parts->open(); !opened.ok()) return opened;
  NodeEntry entry;
  entry.name = config.name;
  entry.pid = static_cast<int>(::getpid());
  entry.started_ticks = started_ticks(entry.pid);
  entry.request_endpoint = parts->bus->request_endpoint();
  entry.log = config.folder() / "log";
  for (const auto& [name, file] : config.policies) entry.policies.push_back(name);
  if (parts->machine) entry.guests = parts->machine->facts().guests;
  const absl::Status registered = change_cluster_file(config.directory, [&](ClusterFile& cluster) {
    cluster.name = config.cluster;
    cluster.site = config.site;
    if (cluster.created.empty())
      cluster.created =
          absl::FormatTime(absl::RFC3339_full, loop.clock().wall(), absl::UTCTimeZone());
    if (config.market) {
      cluster.market_origin =
          absl::FormatTime(absl::RFC3339_full, config.market->clock.origin, absl::UTCTimeZone());
      cluster.market_start =
          absl::FormatTime(absl::RFC3339_full, config.market->clock.start, absl::UTCTimeZone());
      cluster.market_speed = config.market->clock.speed;
    }
    std::erase_if(cluster.nodes, [&](const NodeEntry& known) { return known.name == entry.name; });
    cluster.nodes.push_back(entry);
  });
  if (!registered.ok()) return registered;
  parts->spawn(adjust);
  parts->watch_session();
  return std::unique_ptr<NodeProcess>(new NodeProcess(std::move(parts)));
}

void NodeProcess::leave(std::string why, std::function<void(absl::Status)> ended) {
  parts_->node->leave(std::move(why), std::move(ended));
}

}  // namespace supercloud
