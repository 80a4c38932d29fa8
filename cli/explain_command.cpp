#include "cli/explain_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "cli/cluster_target.h"
#include "cli/explain/sentence.h"
#include "cli/explain/story.h"
#include "cli/suggest.h"

namespace supercloud {
namespace {

int nothing_matches(const History& history, const std::string& what, std::ostream& err) {
  std::vector<std::string> known;
  for (const auto& [key, vm] : history.fold().vms()) known.push_back(vm_words(key));
  for (const auto& [id, migration] : history.fold().migrations()) known.push_back(id.short_id());
  err << "no VM and no migration is called \"" << what << "\"; "
      << suggest(what, known, "the log knows of none yet: see `supercloud events --since start`")
      << "\n";
  return exit_no_match;
}

int several(const std::string& what, const std::vector<std::string>& lines, std::ostream& err) {
  err << "\"" << what << "\" may be any of these; name one of them in full:\n";
  for (const std::string& line : lines) err << "  " << line << "\n";
  return exit_usage;
}

int run_explain(const ExplainArguments& arguments, const Program& program) {
  const auto target = find_cluster(program);
  if (!target.ok()) {
    std::cerr << target.status().message() << "\n";
    return exit_unreachable;
  }
  EventPool pool;
  auto events = read_history(*target, Pattern::of(">"), pool);
  if (!events.ok()) {
    std::cerr << events.status().message() << "\n";
    return exit_unreachable;
  }
  const History history(*std::move(events));
  return explain(history, arguments, std::cout, std::cerr);
}

}  // namespace

int explain(const History& history, const ExplainArguments& arguments, std::ostream& out,
            std::ostream& err) {
  const auto tell = [&](const Story& story) {
    if (arguments.json)
      out << to_json(story) << std::endl;
    else
      out << render(story, arguments.full) << std::flush;
    return exit_ok;
  };
  const auto vms = history.vms_named(arguments.what);
  if (vms.size() == 1) return tell(explain_vm(history, *vms[0]));
  std::vector<std::string> lines;
  for (const VmHistory* vm : vms) lines.push_back(vm->vm);
  if (!lines.empty()) return several(arguments.what, lines, err);
  const auto migrations = history.migrations_like(arguments.what);
  if (migrations.empty()) return nothing_matches(history, arguments.what, err);
  if (migrations.size() == 1) return tell(explain_migration(history, *migrations[0]));
  for (const MigrationState* migration : migrations) lines.push_back(migration_line(*migration));
  return several(arguments.what, lines, err);
}

void add_explain_command(CLI::App& root, Program& program) {
  CLI::App* command = root.add_subcommand(
      "explain", "Say why a VM is where it is, or why a migration ended as it did");
  command->fallthrough();
  auto arguments = std::make_shared<ExplainArguments>();
  command
      ->add_option("what", arguments->what,
                   "A VM, or the id of a migration (its first characters will do)")
      ->required()
      ->type_name("VM|MIGRATION");
  command->add_flag("--full", arguments->full,
                    "The whole tree of causes, with the ids of its events");
  command->footer(
      "One sentence, and below it the tree of causes: which price, which candidates at what cost, "
      "who answered when, and how it\n"
      "ended. Read from the logs of all nodes, of a cluster that runs or of one that has ended. "
      "Times are UTC.\n\n"
      "Examples:\n"
      "  supercloud explain web1\n"
      "  supercloud explain 3f2a91bc --full\n"
      "  supercloud explain tenant-a/web1 --json");
  command->callback([arguments, &program] {
    arguments->json = program.json;
    program.exit_code = run_explain(*arguments, program);
  });
}

}  // namespace supercloud
