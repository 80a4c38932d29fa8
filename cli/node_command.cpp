#include "cli/node_command.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/end_signals.h"
#include "cli/node_config.h"
#include "cli/node_drain.h"
#include "cli/node_process.h"

namespace supercloud {
namespace {

constexpr Duration leave_patience = absl::Seconds(2);  // with the event log, for its last word

struct NodeArguments {
  std::string config;
  bool exit_with_parent = false;
};

int run_node(const NodeArguments& arguments) {
  const pid_t parent = ::getppid();
  if (arguments.exit_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    // it was gone before the kernel knew
    if (::getppid() != parent || parent == 1) return exit_failed;
  }
  const auto config = read_node_config(arguments.config);
  if (!config.ok()) return complain(config.status(), exit_usage);

  EventLoop loop;
  const auto signals = EndSignals::open(loop);
  if (!signals.ok()) return complain(signals.status(), exit_failed);

  int exit_code = exit_ok;
  const auto node = NodeProcess::start(loop, *config, [&](const absl::Status& why) {
    exit_code = complain(why, exit_failed);
    loop.stop();
  });
  if (!node.ok()) return complain(node.status(), exit_failed);
  bool leaving = false;
  const absl::Status watched = (*signals)->watch([&](int signal) {
    if (std::exchange(leaving, true))
      ::_exit(exit_failed);  // told twice: as kill -9, which loses nothing
    loop.at(loop.clock().now() + leave_patience, [&] {
      exit_code = complain(absl::DeadlineExceededError(absl::StrCat(
                               "the event log did not take node.left within ",
                               absl::FormatDuration(leave_patience), "; look at its disk")),
                           exit_failed);
      loop.stop();
    });
    (*node)->leave(absl::StrCat("it was told to end (", sigabbrev_np(signal), ")"),
                   [&](const absl::Status& said) {
                     if (!said.ok()) exit_code = complain(said, exit_failed);
                     loop.stop();
                   });
  });
  if (!watched.ok()) return complain(watched, exit_failed);
  std::printf("node %s runs in cluster %s; its log: %s\n", config->name.c_str(),
              config->cluster.c_str(), (config->folder() / "log").c_str());
  std::fflush(stdout);
  loop.run();
  return exit_code;
}

void add_drain_commands(CLI::App& node, Program& program) {
  auto options = std::make_shared<DrainOptions>();
  CLI::App* drain = node.add_subcommand("drain", "Move all guests off a node, and let none on it");
  drain->add_option("NODE", options->node, "Its name")->required();
  drain->add_option("--deadline", options->deadline,
                    "When it has to be empty: who is not done copying by then starts from its disk "
                    "elsewhere (90s, 10m)");
  drain->add_flag("--wait,!--no-wait", options->wait, "Follow it until the node is empty (usual)");
  CLI::App* undrain = node.add_subcommand("undrain", "Let guests on a drained node again");
  undrain->add_option("NODE", options->node, "Its name")->required();
  for (CLI::App* command : {drain, undrain})
    command->add_option("--reason", options->why, "For those who ask why");
  drain->footer(
      "Several guests leave at a time, those first whose standing still costs most for what their "
      "move\n"
      "sends. It lasts, also over a restart of the node, until it is undrained; then moves under "
      "way go on.\n"
      "Stopped VMs stay. Ctrl-C stops following, not the drain.\n"
      "\n"
      "Examples:\n"
      "  supercloud node drain node-b\n"
      "  supercloud node drain node-b --deadline 2m --reason 'new kernel'\n"
      "  supercloud node undrain node-b");
  drain->callback([options, &program] { program.exit_code = drain_node(*options, program); });
  undrain->callback([options, &program] { program.exit_code = undrain_node(*options, program); });
}

}  // namespace

void add_node_command(CLI::App& root, Program& program) {
  CLI::App* node = root.add_subcommand(
      "node", "Run one node of a cluster, in the foreground; drain one that runs");
  auto arguments = std::make_shared<NodeArguments>();
  node->add_option("--config", arguments->config, "What the node is told, a TOML file")
      ->type_name("FILE.toml");
  node->add_flag("--exit-with-parent", arguments->exit_with_parent,
                 "End when the process that started it ends");
  node->require_subcommand(0, 1);
  add_drain_commands(*node, program);
  node->footer(
      "SIGINT or SIGTERM stops it: it says node.left, and ends; a second one kills it. "
      "Simulated\n"
      "guests end with it; real ones ([host.qemu]) go on until their lease ends, and are frozen "
      "then\n"
      "until the node is started again: drain it first.\n"
      "\n"
      "Examples:\n"
      "  supercloud node --config examples/node.toml\n"
      "  supercloud node drain node-b --deadline 2m");
  node->callback([arguments, node, &program] {
    if (!node->get_subcommands().empty()) return;
    if (arguments->config.empty()) throw CLI::RequiredError("--config");
    program.exit_code = run_node(*arguments);
  });
}

}  // namespace supercloud
