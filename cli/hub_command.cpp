#include "cli/hub_command.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/hub.h"
#include "bus/zmq_bus.h"
#include "cli/end_signals.h"
#include "cli/hub_config.h"
#include "cli/program.h"
#include "cli/trust_file.h"

namespace supercloud {
namespace {

absl::StatusOr<std::unique_ptr<ZmqBus>> open_end(EventLoop& loop, EventPool& pool,
                                                 const HubConfig& config, const HubConfig::End& end,
                                                 const Credentials& credentials,
                                                 SlowSubscribers::Told on_slow_subscriber,
                                                 std::function<void(absl::Status)> on_fatal) {
  ZmqBusOptions options;
  options.name = config.name;
  options.publish_bind = end.publish_endpoint;
  options.request_bind = end.request_endpoint;
  options.seeds = end.seeds;
  options.credentials = credentials;
  options.gaps = hub_gap_options();
  options.neighbours_max = members_max;
  options.on_fatal = std::move(on_fatal);
  options.on_shut_out = [told = std::set<std::string>()](const std::string& other,
                                                         const std::string& endpoint) mutable {
    if (!told.insert(other).second) return;
    std::cerr << other << " (" << endpoint << ") does not let in this hub: `supercloud keys enrol` "
              << "adds its key to the trust file of " << other << std::endl;
  };
  options.on_slow_subscriber = std::move(on_slow_subscriber);
  return ZmqBus::open(loop, pool, std::move(options));
}

int run_hub(const std::string& path) {
  const auto config = read_hub_config(path);
  if (!config.ok()) return complain(config.status(), exit_usage);
  EventLoop loop;
  const auto signals = EndSignals::open(loop);
  if (!signals.ok()) return complain(signals.status(), exit_failed);
  if (const absl::Status watched = (*signals)->watch([&](int) { loop.stop(); }); !watched.ok())
    return complain(watched, exit_failed);
  int exit_code = exit_ok;
  const auto fatal = [&](const absl::Status& why) {
    exit_code = complain(why, exit_failed);
    loop.stop();
  };
  EventPool pool;
  std::unique_ptr<ZmqBus> cloud, hubs;
  std::unique_ptr<Hub> hub;  // null: not yet
  Credentials credentials;
  std::unique_ptr<TrustWatch> trust_watch;
  if (!config->key.empty()) {
    // Before it is read, so that no change is missed.
    trust_watch =
        std::make_unique<TrustWatch>(loop, config->trust, [&](const absl::StatusOr<Trust>& trust) {
          if (!trust.ok()) {
            complain(trust.status(), exit_failed);  // what was trusted before goes on
            if (hub != nullptr)
              hub->on_rejected("trust file", std::string(trust.status().message()));
            return;
          }
          const auto believed = std::make_shared<const Trust>(*trust);
          for (ZmqBus* bus : {cloud.get(), hubs.get()})
            if (bus != nullptr) bus->set_trust(believed);
        });
    auto read = read_credentials(config->key, config->trust);
    if (!read.ok()) return complain(read.status(), exit_failed);
    credentials = *std::move(read);
  }
  for (const auto& [bus, end] :
       {std::pair(&cloud, &config->cloud), std::pair(&hubs, &config->hubs)}) {
    auto opened = open_end(
        loop, pool, *config, *end, credentials,
        [&hub](const std::string& name, std::uint64_t backlog) {
          if (hub != nullptr) hub->on_slow_subscriber(name, backlog);
        },
        fatal);
    if (!opened.ok()) return complain(opened.status(), exit_failed);
    *bus = *std::move(opened);
  }
  hub = std::make_unique<Hub>(
      loop, pool, *cloud, *hubs,
      HubOptions{.name = config->name,
                 .complain = [](const std::string& from, const std::string& why) {
                   std::cerr << from << ": " << why << std::endl;
                 }});
  std::printf("hub %s joins the cloud at %s with the hubs at %s\n", config->name.c_str(),
              cloud->request_endpoint().c_str(), hubs->request_endpoint().c_str());
  std::fflush(stdout);
  loop.run();
  return exit_code;
}

}  // namespace

void add_hub_command(CLI::App& root, Program& program) {
  CLI::App* hub = root.add_subcommand(
      "hub", "Join the nodes of a cloud with those of others, in the foreground");
  auto path = std::make_shared<std::string>();
  hub->add_option("--config", *path, "What the hub is told, a TOML file")
      ->required()
      ->type_name("FILE.toml");
  hub->footer(
      "One to a cloud. It passes on what is subscribed beyond, and requests for nodes there; "
      "links between clouds\nare those of the hubs. While it is gone the cloud is alone, and "
      "afterwards nothing is missing that a log\nhas. SIGINT or SIGTERM ends it with exit code "
      "0.\n\n"
      "Examples:\n"
      "  supercloud hub --config examples/hub.toml");
  hub->callback([path, &program] { program.exit_code = run_hub(*path); });
}

}  // namespace supercloud
