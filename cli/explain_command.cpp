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
#include "cli/vm_client.h"

namespace supercloud {
namespace {

int nothing_matches(const History& history, const std::string& what, std::ostream& err) {
  std::vector<std::string> known;
  for (const auto& [key, vm] : history.fold().vms()) known.push_back(vm_words(key));
  for (const auto& [id, migration] : history.fold().migrations()) known.push_back(id.short_id());
  err << "no VM, no instance and no migration is called \"" << what << "\"; "
      << suggest(what, known, "the log knows of none yet: see `supercloud events --since start`")
      << "\n";
  return exit_no_match;
}

int several(const std::string& what, const std::vector<std::string>& lines, std::ostream& err) {
  err << "\"" << what << "\" may be any of these; name one of them in full:\n";
  for (const std::string& line : lines) err << "  " << line << "\n";
  return exit_usage;
}

constexpr Duration policy_deadline = absl::Seconds(1);

// What the policy of the VM that is meant would do now, as of this moment, or how it fails: its holder publishes that when asked. Where
// it does not answer in time, what it has published before stands.
void ask_policy(const ClusterTarget& target, const ExplainArguments& arguments,
                ClusterClient& client, std::vector<Event>& events) {
  std::string node;
  VmName vm;
  {
    const History history(events);
    const auto vms = history.vms_named(arguments.what);
    if (vms.size() != 1) return;
    const auto* running = running_now(*vms[0]);
    const auto name = parse_vm_name(vms[0]->vm, "");
    if (running == nullptr || !name.ok()) return;
    node = running->node;
    vm = *name;
  }
  const auto answer = client.ask(
      {node, "policy"}, Message<schema::Request>::build([&](schema::Request::Builder request) {
        vm.write(request.initExplainPolicy());
      }),
      policy_deadline);
  if (!answer.ok()) return;
  auto fresh = read_history(target, Pattern::of("policy.>"), client.pool(), &client);
  if (!fresh.ok()) return;
  const auto key = [](const Event& event) { return std::pair(event.time(), event.id()); };
  const auto older = [&](const Event& a, const Event& b) { return key(a) < key(b); };
  events.insert(events.end(), std::make_move_iterator(fresh->begin()),
                std::make_move_iterator(fresh->end()));
  std::sort(events.begin(), events.end(), older);
  events.erase(std::unique(events.begin(), events.end(),
                           [](const Event& a, const Event& b) { return a.id() == b.id(); }),
               events.end());
}

int run_explain(const ExplainArguments& arguments, const Program& program) {
  const auto target = find_cluster(program);
  if (!target.ok()) return complain(target.status(), exit_unreachable);
  EventPool pool;
  // Events may be of its pool: it goes after them.
  const std::unique_ptr<ClusterClient> client = connect_to_read(*target);
  std::vector<std::string> forgetful;
  auto events = read_history(*target, Pattern::of(">"), client ? client->pool() : pool,
                             client.get(), &forgetful);
  if (!events.ok()) return complain(events.status(), exit_unreachable);
  std::cerr << begins_later(forgetful);
  if (client) ask_policy(*target, arguments, *client, *events);
  const History history(*std::move(events), !target->running);
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
  if (const auto instance = explain_instance(history, arguments.what)) return tell(*instance);
  const auto migrations = history.migrations_like(arguments.what);
  if (migrations.empty()) return nothing_matches(history, arguments.what, err);
  if (migrations.size() == 1) return tell(explain_migration(history, *migrations[0]));
  for (const MigrationState* migration : migrations)
    lines.push_back(migration_line(*migration, history.dated()));
  return several(arguments.what, lines, err);
}

void add_explain_command(CLI::App& root, Program& program) {
  CLI::App* command = root.add_subcommand(
      "explain",
      "Say why a VM is where it is, why a migration ended as it did, or what an instance cost");
  command->fallthrough();
  auto arguments = std::make_shared<ExplainArguments>();
  command
      ->add_option("what", arguments->what,
                   "A VM, an instance, or the id of a migration (its first characters will do)")
      ->required()
      ->type_name("VM|INSTANCE|MIGRATION");
  command->add_flag("--full", arguments->full,
                    "The whole tree of causes, with the ids of its events");
  command->footer(
      "One sentence, and below it the tree of causes: which price, which candidates at what cost, "
      "who answered when, and how it\n"
      "ended. Read from the logs of all nodes, of a cluster that runs or of one that has ended; of "
      "a "
      "VM that runs, its policy is\n"
      "asked for a fresh look. Times are UTC.\n\n"
      "Examples:\n"
      "  supercloud explain web1\n"
      "  supercloud explain 3f2a91bc --full\n"
      "  supercloud explain i-aws-6\n"
      "  supercloud explain tenant-a/web1 --json");
  command->callback([arguments, &program] {
    arguments->json = program.json;
    program.exit_code = run_explain(*arguments, program);
  });
}

}  // namespace supercloud
