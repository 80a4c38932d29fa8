// What a node is told by its TOML file. examples/node.toml is one with every key explained.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/ledger/billing.h"
#include "actors/provider/fixed_hosts.h"
#include "actors/provider/simulated_market.h"
#include "actors/spot/generated_feed.h"
#include "actors/spot/place.h"
#include "cli/live_prices.h"
#include "cli/qemu_config.h"
#include "core/schema/event.capnp.h"
#include "core/time.h"
#include "hypercall/keeper.h"
#include "storage/etcd/etcd_config.h"
#include "storage/retention.h"

namespace supercloud {

// The machine under this node.
struct HostConfig {
  PlaceName place;
  std::map<std::string, std::string> labels;
  std::vector<std::string> devices;  // that VMs may ask for
  std::string instance;              // that a provider rented; empty: one's own machine
  std::uint32_t cpus = 2;
  std::uint64_t memory_bytes = 0;
  std::uint64_t disk_bytes = 1ULL << 40;
  std::uint64_t bytes_per_second = 1ULL << 30;  // of a page stream; 0: no cap, of real guests alone
  std::optional<QemuConfig> qemu;               // its guests are real; empty: simulated
};

// The same in every process of a cluster.
struct MarketConfig {
  MarketClock clock;
  // Work needs its time also where the market is fast: cluster time, at least.
  Duration notice_min = absl::Seconds(3);
  Duration launch_min = absl::Milliseconds(500);
  Duration migration_min = absl::Seconds(1);

  // As much market time as the least, where that is more.
  absl::Duration at_least(absl::Duration market, Duration least) const {
    return std::max(market, least * clock.speed);
  }
};

// Of the node that drives an account (a simulated cloud's, or a list of hosts), feeds prices and keeps the ledger.
struct AccountConfig {
  std::string account = "aws";
  std::optional<LivePrices> live;        // in place of a file or a generated market
  std::vector<std::string> price_files;  // in any form; none: a generated market
  std::string product;                   // of the files, where they have several
  absl::Time prices_from = absl::InfinitePast();
  std::vector<std::string> instance_types;  // of the file, empty: all; or of the live prices
  GeneratedMarket generated;
  std::vector<Price> fixed;  // on-demand
  std::vector<LabelRule> labels;
  std::vector<SimulatedMarketOptions::Initial> initial;
  bool keep_initial = true;
  schema::Billing billing = schema::Billing::HOURLY;
  // One's own, in place of a simulated market with its feed: all places of the account are theirs.
  std::vector<FixedHost> hosts;
};

// The same in every node of a cluster.
struct MoveRules {
  // Of all VMs, to save money; 0: no limit.
  std::uint32_t per_day = 0;  // in 24 hours of market time
  std::uint32_t at_once = 0;
  Money egress_per_gib =
      usual_egress_per_gib;  // policies reckon with it, and the ledger charges it
};

// It keeps copies of what all nodes log, for the time when they are gone.
struct ArchiveConfig {
  std::vector<std::string> patterns = {">"};  // of topics
  Retention retention;
};

// What its publishers wait for: types of events, or "DOMAIN.*", whose completion waits for the archives of so many other machines
// (actors/archive/archived_events.h).
using ArchivedConfig = std::map<std::string, std::uint32_t>;

// The machine is a Xen host: its domains are told of.
struct XenConfig {
  std::string store;  // path of its XenStore; empty: the usual one
};

struct NodeConfig {
  std::string name;
  std::string cluster;
  std::string site;  // the node that hosts the lease table; empty: etcd has it
  std::optional<EtcdConfig> etcd;
  std::filesystem::path directory;  // of the run; the node's own folder is below it
  std::string publish_endpoint, request_endpoint, link_endpoint;
  std::string key, trust;  // files; both or none: then the bus is ipc alone
  std::vector<std::string> seeds;
  FencePolicy fence;
  MoveRules moves;
  std::optional<HostConfig> host;
  Retention retention;  // of its own log
  std::optional<ArchiveConfig> archive;
  ArchivedConfig archived;
  std::optional<XenConfig> xen;
  std::optional<MarketConfig> market;
  std::optional<AccountConfig> account;  // needs `market`
  // Of the user's own: a program or a shared object by the name that VMs give (actors/policy/plugin/policy_file.h).
  std::map<std::string, std::string> policies;

  std::filesystem::path folder() const { return directory / name; }
  bool hosts_leases() const { return name == site; }
};

// InvalidArgument with file, line, key and cure; NotFound. Paths of policies, keys and prices are relative to the file's folder.
absl::StatusOr<NodeConfig> read_node_config(const std::string& path);
absl::StatusOr<NodeConfig> parse_node_config(std::string_view content, const std::string& name);
// As TOML that reads as the same.
std::string to_toml(const NodeConfig& config);

}  // namespace supercloud
