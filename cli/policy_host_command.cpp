#include "cli/policy_host_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "actors/policy/plugin/policy_host.h"

namespace supercloud {

void add_policy_host_command(CLI::App& root, Program& program) {
  CLI::App* host = root.add_subcommand("policy-host", "Run a policy in a shared object");
  host->group("");
  struct Arguments {
    std::string file, endpoint;
  };
  auto arguments = std::make_shared<Arguments>();
  host->add_option("file", arguments->file, "The shared object")->required();
  host->add_option("endpoint", arguments->endpoint, "The node that asks")->required();
  host->callback([arguments, &program] {
    program.exit_code = complain(host_policy(arguments->file, arguments->endpoint), exit_failed);
  });
}

}  // namespace supercloud
