#include "cli/demo/cluster.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/run_directory.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr const char* site_name = "site";
constexpr const char* run_prefix = "demo-";
constexpr std::size_t runs_kept = 5;
// For the site process to come up. Whoever takes a market's role first has no past to wait for: it tells prices at once.
constexpr Duration market_opens_after = absl::Milliseconds(500);
constexpr Duration start_deadline = absl::Seconds(15);
constexpr int start_look_ms = 20;
constexpr Duration process_interval = absl::Milliseconds(200);
constexpr Duration ask_deadline = absl::Seconds(2);
constexpr Duration catch_up_after[] = {absl::Milliseconds(1500), absl::Seconds(4)};
constexpr std::size_t heard_kept = 20'000;
constexpr std::uint64_t gib = 1ULL << 30;

// Sockets of a run whose processes are gone, left by a demo that was killed.
void remove_dead_sockets(const files::path& root) {
  for (const files::path& directory : run_directories(root)) {
    const auto cluster = read_cluster_file(directory);
    if (!cluster.ok() || cluster->sockets.find("/supercloud-") == std::string::npos) continue;
    bool alive = false;
    for (const NodeEntry& node : cluster->nodes) alive = alive || node.alive;
    std::error_code error;
    if (!alive) files::remove_all(cluster->sockets, error);
  }
}

absl::StatusOr<files::path> make_sockets() {
  const char* runtime = ::getenv("XDG_RUNTIME_DIR");
  // A socket's path has room for 107 bytes.
  std::string path = runtime != nullptr && *runtime == '/' &&
                             std::string_view(runtime).size() < 40 && ::access(runtime, W_OK) == 0
                         ? absl::StrCat(runtime, "/supercloud-XXXXXX")
                         : std::string("/tmp/supercloud-XXXXXX");
  if (::mkdtemp(path.data()) == nullptr)
    return absl::UnavailableError(absl::StrCat("making a folder for sockets, ", path, ", failed"));
  return files::path(path);
}

}  // namespace

DemoCluster::DemoCluster(DemoPlan plan, files::path directory, files::path sockets,
                         std::function<void(const DemoStory::Line&)> line)
    : plan_(std::move(plan)),
      directory_(std::move(directory)),
      sockets_(std::move(sockets)),
      line_(std::move(line)),
      story_(plan_, plan_.market.clock),
      processes_(directory_) {}

DemoCluster::~DemoCluster() {
  if (guests_ != nullptr) guests_->stop_listening();
  client_.reset();
  stop();
  guests_.reset();
  std::error_code error;
  files::remove_all(sockets_, error);
}

absl::StatusOr<std::unique_ptr<DemoCluster>> DemoCluster::start(
    const DemoPlan& plan, std::function<void(const DemoStory::Line&)> line) {
  remove_dead_sockets(state_root());
  const absl::Time now = absl::Now();
  const files::path directory = new_run_directory(run_prefix, runs_kept, now);
  const auto sockets = make_sockets();
  if (!sockets.ok()) return sockets.status();
  DemoPlan timed = plan;
  timed.market.clock.start = now + market_opens_after;
  std::unique_ptr<DemoCluster> cluster(
      new DemoCluster(std::move(timed), directory, *sockets, std::move(line)));
  if (plan.qemu) {
    auto guests = DemoGuests::open(*plan.qemu, *sockets);
    if (!guests.ok()) return guests.status();
    cluster->guests_ = *std::move(guests);
  }
  const absl::Status made = change_cluster_file(directory, [&](ClusterFile& file) {
    file.name = directory.filename().string();
    file.created = absl::FormatTime(absl::RFC3339_full, now, absl::UTCTimeZone());
    file.site = site_name;
    file.sockets = sockets->string();
  });
  if (!made.ok()) return made;
  if (const absl::Status linked = point_latest_to(directory); !linked.ok()) return linked;
  for (const std::string& note : plan.notes) cluster->say(note);
  if (const absl::Status started = cluster->start_site(); !started.ok()) return started;
  return cluster;
}

NodeConfig DemoCluster::config_of(const std::string& node) const {
  NodeConfig config;
  config.name = node;
  config.cluster = directory_.filename().string();
  config.site = site_name;
  config.directory = directory_;
  config.publish_endpoint = absl::StrCat("ipc://", (sockets_ / node).string(), ".pub");
  config.request_endpoint = absl::StrCat("ipc://", (sockets_ / node).string(), ".req");
  config.link_endpoint = absl::StrCat("unix:", (sockets_ / node).string(), ".link");
  if (node != site_name)
    config.seeds = {absl::StrCat("ipc://", (sockets_ / site_name).string(), ".req")};
  config.market = plan_.market;
  config.policies = plan_.policies;
  return config;
}

absl::Status DemoCluster::start_site() {
  NodeConfig config = config_of(site_name);
  config.account = plan_.account;
  config.archive.emplace();  // it stays, and the machines of the cloud take their logs along
  if (const absl::Status started = processes_.start(site_name, to_toml(config)); !started.ok())
    return started;
  const absl::Time deadline = absl::Now() + start_deadline;
  while (true) {
    if (!processes_.reap().empty() || absl::Now() > deadline)
      return absl::UnavailableError(
          absl::StrCat("the site process did not come up: ", processes_.last_words(site_name)));
    const auto target = load_cluster(directory_);
    if (target.ok() && target->running) {
      auto client = ClusterClient::connect(*target);
      if (client.ok()) {
        client_ = *std::move(client);
        break;
      }
    }
    ::poll(nullptr, 0, start_look_ms);
  }
  if (guests_ != nullptr)
    if (const absl::Status heard = guests_->listen(client_->loop()); !heard.ok()) return heard;
  client_->on_gap([this](const BusGap& gap) { gaps_.push_back(gap); });
  const absl::Status listening =
      client_->subscribe(Pattern::of(">"), [this](const Event& event) { heard_or_read(event); });
  if (!listening.ok()) return listening;
  // On a slow machine the market has opened before this process could listen: what was missed stands in the site's log.
  const auto target = load_cluster(directory_);
  if (!target.ok()) return target.status();
  const auto missed = read_history(*target, Pattern::of(">"), client_->pool(), client_.get());
  if (!missed.ok()) return missed.status();
  for (const Event& event : *missed) heard_or_read(event);
  return absl::OkStatus();
}

absl::Status DemoCluster::start_node(schema::InstanceLaunched::Reader launched) {
  const std::string node(text(launched.getNode()));
  const std::string instance(text(launched.getInstance()));
  if (!node_of_instance_.emplace(instance, node).second || processes_.running(node))
    return absl::OkStatus();
  NodeConfig config = config_of(node);
  HostConfig host;
  const auto place = PlaceName::parse(text(launched.getPlace().getId()));
  if (!place.ok()) return place.status();
  host.place = *place;
  for (const LabelRule& rule : plan_.account.labels)
    if (place->id().starts_with(rule.place_prefix)) host.labels[rule.name] = rule.value;
  host.instance = instance;
  host.cpus = 2;
  host.memory_bytes = 15 * gib;
  host.bytes_per_second = 6 * gib;
  if (guests_ != nullptr) guests_->write(host, node);
  config.host = host;
  return processes_.start(node, to_toml(config));
}

void DemoCluster::say(const std::string& line) {
  story_.note(market_now(), line);
  line_(story_.lines().back());
}

void DemoCluster::heard_or_read(const Event& event) {
  if (!heard_.insert(event.id()).second) return;
  heard_order_.push_back(event.id());
  if (heard_order_.size() > heard_kept) {
    heard_.erase(heard_order_.front());
    heard_order_.pop_front();
  }
  heard(event);
}

void DemoCluster::read_log(const std::function<bool(const std::string& node)>& whose,
                           const std::function<bool(const Event&)>& which) {
  auto target = load_cluster(directory_);
  if (!target.ok()) return;
  std::erase_if(target->nodes, [&](const NodeEntry& node) { return !whose(node.name); });
  if (target->nodes.empty()) return;
  const auto events = read_history(*target, Pattern::of(">"), client_->pool(), client_.get());
  if (!events.ok()) return;
  for (const Event& event : *events)
    if (which(event)) heard_or_read(event);
}

void DemoCluster::fill_gaps() {
  const std::vector<BusGap> gaps = std::exchange(gaps_, {});
  if (!gaps.empty())
    read_log(
        [&](const std::string& node) {
          return std::any_of(gaps.begin(), gaps.end(),
                             [&](const BusGap& gap) { return gap.origin.starts_with(node + "/"); });
        },
        [&](const Event& event) {
          return std::any_of(gaps.begin(), gaps.end(), [&](const BusGap& gap) {
            return event.origin() == gap.origin && event.incarnation() == gap.incarnation &&
                   event.sequence() > gap.after && event.sequence() <= gap.up_to;
          });
        });
  // What a node says in its first moments, before it is connected with this process, stands in its log alone.
  std::set<std::string> nodes;
  std::erase_if(catch_up_, [&](const std::pair<Instant, std::string>& due) {
    if (due.first > client_->loop().clock().now()) return false;
    nodes.insert(due.second);
    return true;
  });
  if (!nodes.empty())
    read_log([&](const std::string& node) { return nodes.contains(node); },
             [](const Event&) { return true; });
}

void DemoCluster::heard(const Event& event) {
  if (guests_ != nullptr) guests_->heard(event);
  const std::string line = story_.apply(event);
  if (!line.empty()) line_(story_.lines().back());
  switch (event.type()) {
    case schema::Payload::INSTANCE_LAUNCHED:
      if (const absl::Status started = start_node(event.payload().getInstanceLaunched());
          !started.ok())
        say(std::string(started.message()));
      for (const Duration after : catch_up_after)
        catch_up_.emplace_back(client_->loop().clock().now() + after,
                               std::string(text(event.payload().getInstanceLaunched().getNode())));
      return;
    case schema::Payload::INSTANCE_REVOKED:
      // The cloud does not wait: the machine is gone at any instruction, with its disk.
      if (const auto node = node_of_instance_.find(
              std::string(text(event.payload().getInstanceRevoked().getInstance())));
          node != node_of_instance_.end()) {
        processes_.kill(node->second);
        if (guests_ != nullptr) guests_->taken(node->second);
      }
      return;
    case schema::Payload::INSTANCE_RETURNED:
      if (const auto node = node_of_instance_.find(
              std::string(text(event.payload().getInstanceReturned().getInstance())));
          node != node_of_instance_.end())
        processes_.stop(node->second);
      return;
    default:
      return;
  }
}

void DemoCluster::run(Duration span, const std::function<bool()>& stop) {
  EventLoop& loop = client_->loop();
  const Instant end = loop.clock().now() + span;
  while (loop.clock().now() < end && !stop()) {
    const Instant next = std::min(end, loop.clock().now() + process_interval);
    client_->run_until([] { return false; }, next);
    look();
  }
}

void DemoCluster::look() {
  for (const auto& [node, how] : processes_.reap()) {
    story_.node_ended(node);
    say(absl::StrCat("the process of ", node, " ended, ", how,
                     ": whoever has its VMs' disks takes them over"));
  }
  fill_gaps();
  if (guests_ != nullptr)
    for (const std::string& told : guests_->look()) say(told);
  if (until_market() > absl::ZeroDuration()) return;
  create_vms();
  ask_the_impossible();
}

void DemoCluster::create_vms() {
  for (std::size_t i = 0; i < plan_.vms.size(); ++i) {
    const DemoVm& vm = plan_.vms[i];
    if (created_.contains(vm.name) || creating_.contains(vm.name)) continue;
    std::string node;
    for (const DemoStory::Place& place : story_.places())
      if (place.id == vm.start.id() && !place.nodes.empty()) node = *place.nodes.begin();
    // Where its place is too dear to have an instance, it begins wherever it may.
    if (node.empty() && absl::Now() - market().start > absl::Seconds(5))
      for (const DemoStory::Place& place : story_.places())
        if (node.empty() && !place.nodes.empty() && (vm.requires_trust.empty() || place.trusted))
          node = *place.nodes.begin();
    if (node.empty()) continue;
    creating_.insert(vm.name);
    const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
      auto spec = builder.initCreateVm();
      spec.setName(vm.name);
      spec.setMemoryBytes(vm.memory_bytes);
      spec.setDiskBytes(gib / 4);
      spec.setAddress(absl::StrCat("10.0.0.", i + 1));
      spec.setPolicy(vm.policy);
      spec.setDiskLoss(schema::DiskLoss::SYNC);
      spec.setReplicas(1);
      spec.setRunning(true);
      if (guests_ != nullptr) DemoGuests::write(spec);
      if (!vm.requires_trust.empty()) {
        auto label = spec.initRequires(1)[0];
        label.setName("trust");
        label.setValue(vm.requires_trust);
      }
    });
    client_->send({node, "executor"}, request, ask_deadline,
                  [this, name = vm.name](const absl::StatusOr<Message<schema::Response>>& answer) {
                    creating_.erase(name);
                    if (answer.ok()) created_.insert(name);
                  });
  }
}

void DemoCluster::ask_the_impossible() {
  if (asked_ || asking_ || plan_.refused_vm.empty() ||
      absl::Now() - market().start < plan_.refused_after)
    return;
  for (const DemoStory::Move& move : story_.moves_under_way())
    if (move.vm == plan_.refused_vm) return;
  std::string node;
  for (const DemoStory::Vm& vm : story_.vms())
    if (vm.name == plan_.refused_vm && vm.state == "running") node = vm.node;
  // A node that stays, at a place that lacks what the VM requires. Asked for by the node, it is refused at once; for a place
  // an instance might be rented first.
  std::string target;
  for (const DemoStory::Place& place : story_.places())
    for (const std::string& there : place.nodes)
      if (!place.trusted && !place.noticed.contains(there)) target = there;
  if (node.empty() || target.empty()) return;
  asking_ = true;
  say(absl::StrCat("a scripted user asks: move ", plan_.refused_vm, " to ",
                   story_.place_of_node(target)));
  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto migrate = builder.initMigrateVm();
    migrate.initVm().setName(plan_.refused_vm);
    migrate.setTarget(target);
    migrate.setReason("a scripted user of the demo wants it there");
  });
  client_->send({node, "executor"}, request, ask_deadline,
                [this](const absl::StatusOr<Message<schema::Response>>& answer) {
                  asking_ = false;
                  asked_ = answer.ok() && !answer->reader().isRedirect();
                });
}

void DemoCluster::stop() {
  processes_.stop_all();
  if (guests_ != nullptr) guests_->end();
}

}  // namespace supercloud
