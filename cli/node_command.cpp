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

}  // namespace

void add_node_command(CLI::App& root, Program& program) {
  CLI::App* node = root.add_subcommand("node", "Run one node of a cluster, in the foreground");
  auto arguments = std::make_shared<NodeArguments>();
  node->add_option("--config", arguments->config, "What the node is told, a TOML file")
      ->required()
      ->type_name("FILE.toml");
  node->add_flag("--exit-with-parent", arguments->exit_with_parent,
                 "End when the process that started it ends");
  node->footer(
      "SIGINT or SIGTERM stops it: it says node.left, and ends; a second one kills it. "
      "Simulated\n"
      "guests end with it; real ones ([host.qemu]) go on until their lease ends, and are frozen "
      "then\n"
      "until the node is started again.\n"
      "\n"
      "Examples:\n"
      "  supercloud node --config examples/node.toml");
  node->callback([arguments, &program] { program.exit_code = run_node(*arguments); });
}

}  // namespace supercloud
