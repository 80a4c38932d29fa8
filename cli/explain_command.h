// `supercloud explain VM|MIGRATION`: why something is where it is, or why it ended so.
#pragma once

#include <ostream>
#include <string>

#include "cli/explain/history.h"
#include "cli/program.h"

namespace supercloud {

struct ExplainArguments {
  std::string what;  // a VM, "tenant/name", or the id of a migration or the beginning of it
  bool full = false;
  bool json = false;
};

// Returns the program's exit code: exit_ok; exit_usage: several are meant, `err` lists them; exit_no_match.
int explain(const History& history, const ExplainArguments& arguments, std::ostream& out,
            std::ostream& err);

void add_explain_command(CLI::App& root, Program& program);

}  // namespace supercloud
