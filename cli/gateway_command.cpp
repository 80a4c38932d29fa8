#include "cli/gateway_command.h"

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "actors/gateway/http/server.h"
#include "bus/zmq_bus.h"
#include "cli/client_bus.h"
#include "cli/cluster_target.h"
#include "cli/end_signals.h"
#include "cli/program.h"
#include "cli/trust_file.h"

namespace supercloud {
namespace {

constexpr Duration gateway_join_patience = absl::Seconds(5);

struct GatewayArguments {
  std::string listen = "127.0.0.1:8321";
  std::string tokens;
  std::size_t connections = HttpServerOptions().connections_max;
  std::size_t buffer_kib = HttpServerOptions().stream_bytes_max >> 10;
};

absl::StatusOr<HttpServerOptions> http_options(const GatewayArguments& arguments) {
  HttpServerOptions options;
  options.connections_max = arguments.connections;
  options.stream_bytes_max = arguments.buffer_kib << 10;
  const std::size_t colon = arguments.listen.rfind(':');
  std::uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(arguments.listen.substr(colon + 1), &port) ||
      port > UINT16_MAX)
    return absl::InvalidArgumentError(absl::StrCat(
        "--listen ", arguments.listen, ": write ADDRESS:PORT, as 127.0.0.1:8321 or [::1]:8321"));
  options.port = static_cast<std::uint16_t>(port);
  options.address = arguments.listen.substr(0, colon);
  if (options.address.starts_with('[') && options.address.ends_with(']'))
    options.address = options.address.substr(1, options.address.size() - 2);
  if (arguments.tokens.empty()) return options;
  auto tokens = TokenFile::read(arguments.tokens);
  if (!tokens.ok())
    return absl::Status(tokens.status().code(),
                        absl::StrCat("--tokens ", tokens.status().message()));
  options.tokens = *std::move(tokens);
  return options;
}

absl::StatusOr<std::unique_ptr<ZmqBus>> gateway_bus(EventLoop& loop, EventPool& pool,
                                                    const ClusterTarget& target,
                                                    std::function<void(absl::Status)> on_fatal) {
  auto options = client_options(target, "gateway");
  if (absl::IsUnavailable(options.status()))
    return absl::UnavailableError(absl::StrCat(
        "cluster ", target.name,
        " does not run; start a node of it first, or demo (`supercloud demo --help`)"));
  if (!options.ok()) return options.status();
  options->on_fatal = std::move(on_fatal);
  options->on_shut_out = [target, credentials = options->credentials,
                          told = std::set<std::string>()](const std::string& node,
                                                          const std::string&) mutable {
    if (told.insert(node).second) complain(shut_out(target, credentials, node), exit_failed);
  };
  return ZmqBus::open(loop, pool, *std::move(options));
}

int run_gateway(const GatewayArguments& arguments, const Program& program) {
  auto options = http_options(arguments);
  if (!options.ok()) return complain(options.status(), exit_usage);
  const auto target = find_cluster(program);
  if (!target.ok()) return complain(target.status(), exit_unreachable);

  EventLoop loop;
  const auto signals = EndSignals::open(loop);
  if (!signals.ok()) return complain(signals.status(), exit_failed);
  bool told_to_end = false;
  int exit_code = exit_ok;
  if (const absl::Status watched = (*signals)->watch([&](int) {
        told_to_end = true;
        loop.stop();
      });
      !watched.ok())
    return complain(watched, exit_failed);

  EventPool pool;
  GatewayMetrics metrics;
  const auto bus = gateway_bus(loop, pool, *target, [&](const absl::Status& why) {
    exit_code = complain(why, exit_failed);
    loop.stop();
  });
  if (!bus.ok()) return complain(bus.status(), exit_unreachable);
  const TrustWatch trust_watch(loop, target->trust, [&](absl::StatusOr<Trust> trust) {
    if (trust.ok()) return (*bus)->set_trust(std::make_shared<const Trust>(*std::move(trust)));
    complain(trust.status(), exit_failed);  // what was trusted before goes on
  });
  GatewayHubOptions hub_options;
  hub_options.waiting_bytes_max = options->stream_bytes_max;
  for (const NodeEntry& node : target->nodes) hub_options.nodes.push_back(node.name);
  GatewayHub hub(loop, **bus, pool, metrics, hub_options);
  std::optional<absl::Status> joined;
  hub.start(Reply<Done>(loop.clock().now() + gateway_join_patience,
                        [&](const absl::StatusOr<Done>& done) { joined = done.status(); }));
  loop.run_until([&] { return joined.has_value() || told_to_end; }, gateway_join_patience);
  if (told_to_end) return exit_ok;
  if (!joined || !joined->ok())
    return complain(absl::UnavailableError(
                        absl::StrCat("cluster ", target->name, ": none of its nodes answers")),
                    exit_unreachable);
  const auto server = HttpServer::start(loop, hub, metrics, *std::move(options));
  if (!server.ok())
    return complain(server.status(),
                    absl::IsInvalidArgument(server.status()) ? exit_usage : exit_failed);
  std::printf("gateway of cluster %s: %s/v1/events\n", target->name.c_str(),
              (*server)->url().c_str());
  std::fflush(stdout);
  loop.run();
  return exit_code;
}

}  // namespace

void add_gateway_command(CLI::App& root, Program& program) {
  CLI::App* command =
      root.add_subcommand("gateway", "Give events to others over HTTP, in the foreground");
  command->fallthrough();
  auto arguments = std::make_shared<GatewayArguments>();
  command
      ->add_option("--listen", arguments->listen,
                   "Where; port 0 is one that is free. Others than this machine only with --tokens")
      ->type_name("ADDRESS:PORT")
      ->capture_default_str();
  command
      ->add_option("--tokens", arguments->tokens,
                   "Who may read what: NAME = { sha256 = \"...\", patterns = [\"vm.>\"] }, a line "
                   "each; mode 600")
      ->type_name("FILE.toml");
  command->add_option("--connections", arguments->connections, "At once; more are refused")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command
      ->add_option(
          "--buffer", arguments->buffer_kib,
          "KiB that may wait for one reader; its stream ends beyond that, and goes on when "
          "it asks again")
      ->check(CLI::Range(16, 65536))
      ->capture_default_str();
  command->footer(
      "Events come as server-sent events, each a CloudEvent in JSON; docs/gateway.md. SIGINT or "
      "SIGTERM ends it with exit\n"
      "code 0.\n\n"
      "Examples:\n"
      "  supercloud gateway\n"
      "  curl -N 'http://127.0.0.1:8321/v1/events?pattern=vm.>&since=10m'\n"
      "  supercloud gateway --listen 0.0.0.0:8321 --tokens tokens.toml");
  command->callback(
      [arguments, &program] { program.exit_code = run_gateway(*arguments, program); });
}

}  // namespace supercloud
