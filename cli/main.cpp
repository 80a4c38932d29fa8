#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/program.h"
#include "cli/suggest.h"

namespace {

// The command's name and its verb, as far as they were understood, and a word after that which is none: "" if that is not what
// is wrong.
std::string unknown_verb(CLI::App& app) {
  CLI::App* at = &app;
  std::string understood = app.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    understood += " " + at->get_name();
  }
  std::vector<std::string> verbs;
  for (const CLI::App* verb : at->get_subcommands({})) verbs.push_back(verb->get_name());
  const std::vector<std::string> words = app.remaining(true);
  if (verbs.empty() || words.empty() || words.front().starts_with('-')) return "";
  return understood + ": there is no command \"" + words.front() + "\"; " +
         supercloud::suggest(words.front(), verbs, "") + "\n" + understood + " --help lists them";
}

}  // namespace

int main(int argc, char** argv) {
  supercloud::Program program;
  if (argc > 0) program.invoked = argv[0];
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
  app.add_option("--key", program.key, "One's own secret key, where the cluster's bus has keys")
      ->envname("SUPERCLOUD_KEY");
  app.add_option("--trust", program.trust, "The trust file: whose keys are believed")
      ->envname("SUPERCLOUD_TRUST");
  app.footer(
      "Examples:\n"
      "  supercloud demo\n"
      "  supercloud events --since start 'migration.>'\n"
      "  supercloud explain web1\n"
      "\n"
      "Exit codes: 0 done; 1 it did not happen; 2 wrong usage or a wrong file; 3 no such cluster, "
      "or it does not\n"
      "answer; 4 nothing matches; 130 ended by Ctrl-C or SIGTERM before it was done.\n"
      "--json, --cluster, --key and --trust go with every command.");
  supercloud::add_commands(app, program);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (const std::string unknown = unknown_verb(app);
        error.get_exit_code() != 0 && !unknown.empty()) {
      std::cerr << unknown << "\n";
      return supercloud::exit_usage;
    }
    const bool asked_for_help = app.exit(error) == 0;
    return asked_for_help ? supercloud::exit_ok : supercloud::exit_usage;
  }
  return program.exit_code;
}
