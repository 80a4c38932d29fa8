#include <unistd.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/program.h"

int main(int argc, char** argv) {
  supercloud::Program program;
  program.terminal = ::isatty(STDOUT_FILENO) == 1;

  CLI::App app("Supercloud moves running virtual machines between clouds, and explains why.\n");
  app.name("supercloud");
  app.fallthrough();
  app.require_subcommand(1);
  app.add_flag("--json", program.json, "Answer in JSON");
  app.add_option("--cluster", program.cluster,
                 "The cluster that is meant; without it the only one that runs, else the log of "
                 "the last run")
      ->envname("SUPERCLOUD_CLUSTER");
  app.footer(
      "Examples:\n"
      "  supercloud demo\n"
      "  supercloud events --since start 'migration.>'\n"
      "  supercloud explain web1\n"
      "\n"
      "Exit codes: 0 done; 1 it did not happen; 2 wrong usage or a wrong file; 3 no such cluster, "
      "or it does not\n"
      "answer; 4 nothing matches.");
  supercloud::add_commands(app, program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked_for_help = app.exit(error) == 0;
    return asked_for_help ? supercloud::exit_ok : supercloud::exit_usage;
  }
  return program.exit_code;
}
