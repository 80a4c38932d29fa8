#include "cli/node_config.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "actors/archive/archived_events.h"
#include "actors/ledger/billing.h"
#include "actors/policy/plugin/policy_file.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "bus/membership.h"
#include "cli/etcd_keys.h"
#include "cli/retention_keys.h"
#include "cli/run_directory.h"
#include "cli/toml_table.h"
#include "cli/toml_text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::int64_t mib = 1 << 20;
constexpr std::int64_t archived_machines_max = 16;

PlaceName place_of(TomlTable& table) {
  PlaceName place;
  place.cloud = table.required_text("cloud");
  place.region = table.required_text("region");
  place.zone = table.text("zone", "");
  place.instance_type = table.required_text("type");
  place.spot = table.boolean("spot", false);
  return place;
}

PlaceName place_id(TomlTable& table, std::string_view key) {
  const std::string id = table.required_text(key);
  auto place = PlaceName::parse(id);
  if (place.ok()) return *std::move(place);
  if (!id.empty())
    table.complain(
        key, absl::StrCat("has to be a place, \"cloud/region/zone/type/spot\" or \"…/on-demand\": ",
                          std::string(place.status().message())));
  return {};
}

Money price(TomlTable& table, std::string_view key) {
  const std::string written = table.required_text(key);
  const auto parsed = parse_price(written, price_per_hour_max);
  if (parsed.ok()) return *parsed;
  if (!written.empty())
    table.complain(key, absl::StrCat("has to be USD per hour as a text, such as \"0.175\": ",
                                     std::string(parsed.status().message())));
  return {};
}

MoveRules read_moves(TomlTable& table) {
  MoveRules moves;
  moves.per_day = static_cast<std::uint32_t>(table.integer("per_day", 0, 0, UINT32_MAX));
  moves.at_once = static_cast<std::uint32_t>(table.integer("at_once", 0, 0, UINT32_MAX));
  if (!table.has("egress_per_gib")) return moves;
  const std::string written = table.text("egress_per_gib", "");
  if (const auto egress = parse_price_or_zero(written, price_per_hour_max); egress.ok())
    moves.egress_per_gib = *egress;
  else
    table.complain("egress_per_gib",
                   absl::StrCat("has to be USD for each GiB that a move sends, as a text from "
                                "\"0\" to \"1000\", such as \"0.01\": \"",
                                printable(written), "\" is none"));
  return moves;
}

HostConfig read_host(TomlTable& table, const std::string& toml) {
  HostConfig host;
  host.place = place_of(table);
  host.labels = table.text_map("labels");
  host.instance = table.text("instance", "");
  host.cpus = static_cast<std::uint32_t>(table.integer("cpus", 2, 1, 4096));
  host.memory_bytes =
      static_cast<std::uint64_t>(table.integer("memory_mib", 4096, 1, 1 << 30) * mib);
  host.disk_bytes =
      static_cast<std::uint64_t>(table.integer("disk_mib", 1 << 20, 0, 1 << 30) * mib);
  host.devices = table.texts("devices");
  host.bytes_per_second =
      static_cast<std::uint64_t>(table.integer("stream_mib_per_second", 1024, 1, 1 << 30) * mib);
  if (!table.has("qemu")) return host;
  if (!table.has("stream_mib_per_second")) host.bytes_per_second = 0;
  if (table.has("disk_mib"))
    table.complain("disk_mib", "is of a simulated machine: remove it, or the table [host.qemu]");
  host.disk_bytes = 0;
  TomlTable qemu = table.table("qemu");
  host.qemu = read_qemu(qemu, toml);
  return host;
}

MarketConfig read_market(TomlTable& table) {
  MarketConfig market;
  market.clock.origin = table.time("origin");
  market.clock.start = table.time("start");
  market.clock.speed = table.integer("speed", 1, 1, 1'000'000);
  market.notice_min = table.duration("notice_min", market.notice_min);
  market.launch_min = table.duration("launch_min", market.launch_min);
  market.migration_min = table.duration("migration_min", market.migration_min);
  return market;
}

void check_token(TomlTable& table, std::string_view key, const std::string& node) {
  if (node.empty() || is_token(node)) return;
  table.complain(key,
                 absl::StrCat("has to be 1 to ", token_bytes_max,
                              " of A-Z a-z 0-9 _ -, for it stands in every event's id: write "
                              "\"host1\" or \"host1-example-com\", not \"host1.example.com\""));
}

// What another account has is never heard of in this one.
void check_account(TomlTable& table, const PlaceName& place, const std::string& account) {
  if (place.cloud.empty() || place.cloud == account) return;
  table.complain("place", absl::StrCat("is not of this account: write name = \"", place.cloud,
                                       "\" under [account]"));
}

// One's own hosts: each once, of the account's cloud, and one price for a place, since policies choose among places.
void read_hosts(TomlTable& table, AccountConfig& account) {
  for (const char* key : {"prices", "product", "types", "zone", "instance"})
    if (table.has("host") && table.has(key))
      table.complain(key, "is of a simulated cloud: remove it, or the account's own hosts");
  for (TomlTable& entry : table.tables("host")) {
    FixedHost host;
    host.node = entry.required_text("node");
    check_token(entry, "node", host.node);
    host.place = place_id(entry, "place");
    host.price_per_hour = price(entry, "price");
    host.in_use = entry.boolean("in_use", true);
    check_account(entry, host.place, account.account);
    if (host.place.spot)
      entry.complain("place", "has to end in /on-demand: nobody takes one's own host away");
    for (const FixedHost& other : account.hosts) {
      if (other.node == host.node)
        entry.complain("node", "is in the list already: remove one of the two");
      if (other.place == host.place && other.price_per_hour != host.price_per_hour)
        entry.complain("price", absl::StrCat("differs from that of ", other.node,
                                             ", which is of the same place: give one of them "
                                             "another zone, or both the same price"));
    }
    account.hosts.push_back(std::move(host));
  }
}

// Live prices are a cloud's, and no other source stands beside them.
void read_feed(TomlTable& table, AccountConfig& account) {
  TomlTable feed = table.table("feed");
  account.live = read_live_prices(feed);
  for (const char* key : {"prices", "product", "zone", "host"})
    if (table.has(key))
      table.complain(key, "is of another source of prices: remove it, or [account.feed]");
  if (account.instance_types.empty())
    table.complain("feed",
                   "needs the instance types to ask for: write types = [\"...\"] under [account]");
  account.account = table.text("name", account.live->api);
  if (account.account != account.live->api)
    table.complain("name",
                   absl::StrCat("has to be that of the feed's cloud: \"", account.live->api, "\""));
}

AccountConfig read_account(TomlTable& table, const std::string& toml, const absl::Time origin) {
  AccountConfig account;
  account.account = table.text("name", account.account);
  if (!is_cloud_word(account.account))
    table.complain("name", absl::StrCat("is no cloud's name: ", cloud_word_cure));
  for (const std::string& path : table.texts("prices"))
    account.price_files.push_back(path_beside(toml, path));
  account.product = table.text("product", "");
  account.instance_types = table.texts("types");
  if (table.has("feed")) read_feed(table, account);
  account.prices_from = origin;
  account.keep_initial = table.boolean("keep_initial", true);
  const auto billing = billing_named(table.text("billing", "hourly"));
  if (billing.ok())
    account.billing = *billing;
  else
    table.complain("billing", std::string(billing.status().message()));
  account.generated.seed = static_cast<std::uint64_t>(table.integer("seed", 1, 0, INT64_MAX));
  account.generated.start = origin;
  auto model = market_model(table.text("market", account.generated.model.name));
  if (model.ok())
    account.generated.model = *std::move(model);
  else
    table.complain("market", std::string(model.status().message()));
  for (TomlTable& zone : table.tables("zone")) {
    const PlaceName place = place_id(zone, "place");
    check_account(zone, place, account.account);
    account.generated.zones.push_back({place, price(zone, "on_demand")});
  }
  for (TomlTable& fixed : table.tables("fixed")) {
    const PlaceName place = place_id(fixed, "place");
    check_account(fixed, place, account.account);
    account.fixed.push_back({place, price(fixed, "price"), origin});
  }
  for (TomlTable& label : table.tables("label")) {
    LabelRule rule;
    rule.place_prefix = label.required_text("places");
    rule.name = label.required_text("name");
    rule.value = label.required_text("value");
    account.labels.push_back(std::move(rule));
  }
  for (TomlTable& instance : table.tables("instance")) {
    SimulatedMarketOptions::Initial initial;
    initial.place = place_id(instance, "place");
    check_account(instance, initial.place, account.account);
    initial.node = instance.required_text("node");
    check_token(instance, "node", initial.node);
    for (const SimulatedMarketOptions::Initial& other : account.initial)
      if (other.node == initial.node)
        instance.complain("node", "has an instance already: remove one of the two");
    initial.bid = price(instance, "bid");
    account.initial.push_back(std::move(initial));
  }
  read_hosts(table, account);
  return account;
}

// Live prices say when they came into force by the clock on the wall.
void check_live_clock(TomlTable& file, const MarketClock& clock) {
  TomlTable market = file.table("market");
  if (clock.speed != 1) market.complain("speed", "has to be 1 with live prices");
  if (clock.origin != clock.start)
    market.complain(
        "origin",
        "has to be the same as start with live prices: the market's time is the real one");
}

void read_policies(TomlTable& file, const std::string& toml, NodeConfig& config) {
  const PolicyRegistry built_in = built_in_policies();
  TomlTable table = file.table("policies");
  for (const auto& [name, path] : file.text_map("policies")) {
    if (!is_token(name))
      table.complain(name, absl::StrCat("is no name for a policy: write 1 to ", token_bytes_max,
                                        " of A-Z a-z 0-9 _ -"));
    if (built_in.contains(name))
      table.complain(name, "is the name of a policy that comes with the program: choose another");
    const std::string full = path_beside(toml, path);
    if (const absl::Status there = check_policy_file(full); !there.ok())
      table.complain(name, absl::StrCat("cannot be used: ", std::string(there.message())));
    config.policies[name] = full;
  }
}

ArchiveConfig read_archive(TomlTable& table) {
  ArchiveConfig archive;
  if (table.has("patterns")) archive.patterns = table.texts("patterns");
  if (archive.patterns.empty())
    table.complain("patterns",
                   "is empty: name what is to be kept, such as [\">\"] or [\"migration.>\", "
                   "\"ledger.>\"], or remove the table");
  for (const std::string& pattern : archive.patterns)
    if (const auto parsed = Pattern::parse(pattern); !parsed.ok())
      table.complain("patterns", absl::StrCat("has one that is none: ",
                                              std::string(parsed.status().message())));
  archive.retention = read_retention(table);
  return archive;
}

ArchivedConfig read_archived(TomlTable& file) {
  ArchivedConfig archived;
  TomlTable table = file.table("archived");
  for (const std::string& type : table.keys()) {
    if (table.is_table(type)) {
      table.complain(type, absl::StrCat("has to be in quotes: write \"", type, ".…\" = 1"));
      continue;
    }
    ArchivedTypes types;
    const absl::Status good = add_archived(types, type, 1);
    if (!good.ok()) table.complain(type, std::string(good.message()));
    archived[type] = static_cast<std::uint32_t>(table.integer(type, 1, 1, archived_machines_max));
  }
  return archived;
}

// All of a node's bus is tcp and has keys, or ipc and has none.
void read_bus(TomlTable& file, const std::string& toml, NodeConfig& config) {
  TomlTable bus = file.table("bus");
  config.publish_endpoint = bus.required_text("publish");
  config.request_endpoint = bus.required_text("request");
  for (const auto& [key, path] : {std::pair("key", &config.key), std::pair("trust", &config.trust)})
    if (bus.has(key)) *path = path_beside(toml, bus.required_text(key));
  if (config.key.empty() != config.trust.empty())
    file.complain("bus", config.key.empty()
                             ? "needs the node's own key beside the trust file: `supercloud keys "
                               "new` makes it; write key = \"NAME.key\""
                             : "needs the keys of the others beside its own: write trust = "
                               "\"trust.toml\" (docs/security.md)");
  const bool keys = !config.key.empty();
  for (const char* key : {"publish", "request"})
    if (const absl::Status good = check_endpoint(bus.text(key, ""), keys); !good.ok())
      bus.complain(key, absl::StrCat("is refused: ", std::string(good.message())));
  for (const std::string& seed : config.seeds)
    if (const absl::Status good = check_seed(seed, keys); !good.ok())
      file.complain("seeds",
                    absl::StrCat("has one that is refused: ", std::string(good.message())));
}

std::string toml_price(Money price) {
  return toml_text(
      absl::StrFormat("%d.%09d", price.nano_usd / 1'000'000'000, price.nano_usd % 1'000'000'000));
}

std::string when(absl::Time time) {
  return toml_text(absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone()));
}
std::string span(Duration duration) { return toml_text(absl::FormatDuration(duration)); }

}  // namespace

absl::StatusOr<NodeConfig> parse_node_config(std::string_view content, const std::string& name) {
  auto parsed = TomlTable::parse(content, name);
  if (!parsed.ok()) return parsed.status();
  TomlTable& file = *parsed;
  NodeConfig config;
  config.name = file.required_text("name");
  check_token(file, "name", config.name);
  config.cluster = file.required_text("cluster");
  config.site = file.text("site", config.name);
  config.directory = file.text("directory", (state_root() / config.cluster).string());
  config.seeds = file.texts("seeds");
  read_bus(file, name, config);
  TomlTable links = file.table("links");
  if (file.has("host")) config.link_endpoint = links.required_text("listen");
  TomlTable lease = file.table("lease");
  config.fence.ttl = lease.duration("ttl", config.fence.ttl);
  config.fence.fence_after = lease.duration("fence_after", config.fence.fence_after);
  if (const absl::Status valid = config.fence.validate(); !valid.ok())
    file.complain("lease", std::string(valid.message()));
  if (lease.has("etcd")) {
    TomlTable etcd = lease.table("etcd");
    config.etcd = read_etcd(etcd, name, config.cluster);
    if (file.has("site"))
      file.complain("site", "keeps no leases where etcd does: remove it, or [lease.etcd]");
    config.site.clear();
  } else if (file.has("site")) {
    check_token(file, "site", config.site);
  }
  TomlTable log = file.table("log");
  config.retention = read_retention(log);
  TomlTable moves = file.table("moves");
  config.moves = read_moves(moves);
  if (file.has("host")) {
    TomlTable host = file.table("host");
    config.host = read_host(host, name);
  }
  if (file.has("archive")) {
    TomlTable archive = file.table("archive");
    config.archive = read_archive(archive);
  }
  if (file.has("archived")) config.archived = read_archived(file);
  if (file.has("xen")) config.xen = XenConfig{.store = file.table("xen").text("store", "")};
  if (file.has("market")) {
    TomlTable market = file.table("market");
    config.market = read_market(market);
  }
  if (file.has("account")) {
    TomlTable account = file.table("account");
    config.account = read_account(account, name,
                                  config.market ? config.market->clock.origin : absl::UnixEpoch());
    if (!config.market)
      file.complain("account",
                    "needs the market's clock: add [market] with origin, start and speed");
    if (config.market && config.account->live) check_live_clock(file, config.market->clock);
  }
  if (file.has("policies")) read_policies(file, name, config);
  if (!config.etcd && !config.hosts_leases() && config.seeds.empty())
    file.complain("seeds", absl::StrCat("is missing: name the request endpoint of ", config.site,
                                        ", or of another node that runs"));
  if (const absl::Status status = file.status(); !status.ok()) return status;
  return config;
}

absl::StatusOr<NodeConfig> read_node_config(const std::string& path) {
  std::ifstream input(path);
  if (!input)
    return absl::NotFoundError(absl::StrCat(path, ": no such file, or it may not be read"));
  std::ostringstream content;
  content << input.rdbuf();
  return parse_node_config(content.str(), path);
}

std::string to_toml(const NodeConfig& config) {
  std::string toml =
      absl::StrCat("name = ", toml_text(config.name), "\ncluster = ", toml_text(config.cluster),
                   config.etcd ? "" : "\nsite = " + toml_text(config.site),
                   "\ndirectory = ", toml_text(config.directory.string()), "\n");
  absl::StrAppend(&toml, "seeds = ", toml_texts(config.seeds),
                  "\n\n[bus]\npublish = ", toml_text(config.publish_endpoint),
                  "\nrequest = ", toml_text(config.request_endpoint), "\n");
  if (!config.key.empty())
    absl::StrAppend(&toml, "key = ", toml_text(config.key), "\ntrust = ", toml_text(config.trust),
                    "\n");
  absl::StrAppend(&toml, "\n[lease]\nttl = ", span(config.fence.ttl),
                  "\nfence_after = ", span(config.fence.fence_after), "\n");
  if (config.etcd) absl::StrAppend(&toml, "\n[lease.etcd]\n", to_toml(*config.etcd));
  absl::StrAppend(&toml, "\n[moves]\nper_day = ", config.moves.per_day,
                  "\nat_once = ", config.moves.at_once,
                  "\negress_per_gib = ", toml_price(config.moves.egress_per_gib), "\n");
  if (!config.retention.keeps_all()) absl::StrAppend(&toml, "\n[log]\n", to_toml(config.retention));
  if (!config.policies.empty()) toml += "\n[policies]\n";
  for (const auto& [name, path] : config.policies)
    absl::StrAppend(&toml, toml_text(name), " = ", toml_text(path), "\n");
  if (config.host) {
    const HostConfig& host = *config.host;
    absl::StrAppend(&toml, "\n[links]\nlisten = ", toml_text(config.link_endpoint),
                    "\n\n[host]\ncloud = ", toml_text(host.place.cloud),
                    "\nregion = ", toml_text(host.place.region),
                    "\nzone = ", toml_text(host.place.zone),
                    "\ntype = ", toml_text(host.place.instance_type),
                    "\nspot = ", host.place.spot ? "true" : "false", "\n");
    absl::StrAppend(&toml, "instance = ", toml_text(host.instance), "\ncpus = ", host.cpus,
                    "\nmemory_mib = ", host.memory_bytes / mib,
                    "\ndevices = ", toml_texts(host.devices), "\n");
    if (!host.qemu) absl::StrAppend(&toml, "disk_mib = ", host.disk_bytes / mib, "\n");
    if (host.bytes_per_second > 0)
      absl::StrAppend(&toml, "stream_mib_per_second = ", host.bytes_per_second / mib, "\n");
    toml += "\n[host.labels]\n";
    for (const auto& [name, value] : host.labels)
      absl::StrAppend(&toml, toml_text(name), " = ", toml_text(value), "\n");
    if (host.qemu) toml += to_toml(*host.qemu);
  }
  if (config.archive)
    absl::StrAppend(&toml, "\n[archive]\npatterns = ", toml_texts(config.archive->patterns), "\n",
                    to_toml(config.archive->retention));
  if (!config.archived.empty()) toml += "\n[archived]\n";
  for (const auto& [type, machines] : config.archived)
    absl::StrAppend(&toml, toml_text(type), " = ", machines, "\n");
  if (config.xen) absl::StrAppend(&toml, "\n[xen]\nstore = ", toml_text(config.xen->store), "\n");
  if (config.market) {
    const MarketConfig& market = *config.market;
    absl::StrAppend(&toml, "\n[market]\norigin = ", when(market.clock.origin),
                    "\nstart = ", when(market.clock.start), "\nspeed = ", market.clock.speed,
                    "\nnotice_min = ", span(market.notice_min),
                    "\nlaunch_min = ", span(market.launch_min),
                    "\nmigration_min = ", span(market.migration_min), "\n");
  }
  if (config.account) {
    const AccountConfig& account = *config.account;
    absl::StrAppend(&toml, "\n[account]\nname = ", toml_text(account.account),
                    "\nkeep_initial = ", account.keep_initial ? "true" : "false",
                    "\nbilling = ", toml_text(std::string(name_of(account.billing))),
                    "\nmarket = ", toml_text(account.generated.model.name),
                    "\nseed = ", account.generated.seed, "\n");
    if (account.live) {
      absl::StrAppend(&toml, "types = ", toml_texts(account.instance_types), "\n");
    } else if (account.hosts.empty()) {
      absl::StrAppend(&toml, "prices = ", toml_texts(account.price_files),
                      "\nproduct = ", toml_text(account.product),
                      "\ntypes = ", toml_texts(account.instance_types), "\n");
    }
    if (account.live) {
      const LivePrices& live = *account.live;
      absl::StrAppend(&toml, "\n[account.feed]\napi = ", toml_text(live.api),
                      "\nregion = ", toml_text(live.region), "\nevery = ", span(live.every),
                      "\nendpoint = ", toml_text(live.endpoint),
                      "\nproxy = ", toml_text(live.proxy), "\n");
      if (live.api == "azure")
        absl::StrAppend(&toml, "windows = ", live.windows ? "true" : "false", "\n");
      else
        absl::StrAppend(&toml, "product = ", toml_text(live.product), "\n");
    }
    for (const auto& zone : account.generated.zones)
      absl::StrAppend(&toml, "\n[[account.zone]]\nplace = ", toml_text(zone.place.id()),
                      "\non_demand = ", toml_price(zone.on_demand_per_hour), "\n");
    for (const Price& fixed : account.fixed)
      absl::StrAppend(&toml, "\n[[account.fixed]]\nplace = ", toml_text(fixed.place.id()),
                      "\nprice = ", toml_price(fixed.usd_per_hour), "\n");
    for (const LabelRule& label : account.labels)
      absl::StrAppend(&toml, "\n[[account.label]]\nplaces = ", toml_text(label.place_prefix),
                      "\nname = ", toml_text(label.name), "\nvalue = ", toml_text(label.value),
                      "\n");
    for (const auto& initial : account.initial)
      absl::StrAppend(&toml, "\n[[account.instance]]\nplace = ", toml_text(initial.place.id()),
                      "\nnode = ", toml_text(initial.node), "\nbid = ", toml_price(initial.bid),
                      "\n");
    for (const FixedHost& host : account.hosts)
      absl::StrAppend(&toml, "\n[[account.host]]\nnode = ", toml_text(host.node),
                      "\nplace = ", toml_text(host.place.id()),
                      "\nprice = ", toml_price(host.price_per_hour),
                      "\nin_use = ", host.in_use ? "true" : "false", "\n");
  }
  return toml;
}

}  // namespace supercloud
