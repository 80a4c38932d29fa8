#include "cli/vm_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/policy/policies.h"
#include "cli/cluster_target.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "cli/suggest.h"
#include "cli/text_table.h"
#include "cli/vm_client.h"
#include "cli/vm_console.h"
#include "cli/vm_file.h"
#include "cli/vm_migrate.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration wait_interval = absl::Milliseconds(200);
const std::vector<std::string> states_to_wait_for = {"running", "paused", "stopped", "failed",
                                                     "destroyed"};

struct VmOptions {
  std::string tenant, vm, file, node, state, timeout = "60s", why;
  bool wait = false;
  MigrateOptions migrate;
};

std::string dash(const std::string& words) { return words.empty() ? "-" : words; }

Json to_json(const VmFacts& facts) {
  Json json = {{"name", facts.name},   {"tenant", facts.tenant},  {"node", facts.node},
               {"place", facts.place}, {"state", facts.state},    {"epoch", facts.epoch},
               {"heir", facts.heir},   {"in_sync", facts.in_sync}};
  json["migration"] = facts.migration.empty() ? "" : facts.migration.short_id();
  json["policy"] = std::string(text(facts.spec.reader().getPolicy()));
  json["spec"] = Json::parse(facts.spec.to_json(), nullptr, false);
  return json;
}

void print(const Json& json) {
  std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << std::endl;
}

int list_vms(const VmOptions& options, const Program& program) {
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), "", nullptr);
  const auto vms = (*client)->list();
  if (!vms.ok()) return tell_vm_error(vms.status(), "", client->get());
  std::vector<std::vector<std::string>> rows = {
      {"name", "tenant", "node", "place", "state", "epoch", "policy"}};
  Json json = Json::array();
  std::set<std::string> tenants;
  for (const VmFacts& vm : *vms) {
    tenants.insert(vm.tenant);
    if (!options.tenant.empty() && vm.tenant != options.tenant) continue;
    rows.push_back({vm.name, vm.tenant, dash(vm.node), dash(vm.place), vm.state,
                    absl::StrCat(vm.epoch), std::string(text(vm.spec.reader().getPolicy()))});
    json.push_back(to_json(vm));
  }
  if (rows.size() == 1 && !options.tenant.empty() && !tenants.empty()) {
    std::cerr << "supercloud: the tenant " << options.tenant << " has no VMs; "
              << suggest(options.tenant, {tenants.begin(), tenants.end()}, "") << "\n";
    return exit_no_match;
  }
  if (program.json)
    print(json);
  else if (rows.size() == 1)
    std::cout << "no VMs: `supercloud vm create FILE.toml` makes one\n";
  else
    std::cout << text_table(rows);
  return exit_ok;
}

int show_vm(const VmOptions& options, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), options.vm, nullptr);
  const auto facts = (*client)->show(*vm);
  if (!facts.ok()) return tell_vm_error(facts.status(), vm->to_string(), client->get());
  if (program.json) {
    print(to_json(*facts));
    return exit_ok;
  }
  const auto spec = facts->spec.reader();
  std::vector<std::vector<std::string>> rows = {
      {"name", facts->name},         {"tenant", facts->tenant},
      {"state", facts->state},       {"node", dash(facts->node)},
      {"place", dash(facts->place)}, {"epoch", absl::StrCat(facts->epoch)}};
  if (!facts->heir.empty() && facts->heir != facts->node)
    rows.push_back(
        {"moves to", absl::StrCat(facts->heir, ", migration ", facts->migration.short_id())});
  rows.push_back({"disk also on",
                  facts->in_sync.empty() ? "no other node" : absl::StrJoin(facts->in_sync, ", ")});
  rows.push_back({"policy", std::string(text(spec.getPolicy()))});
  rows.push_back({"memory", format_bytes(spec.getMemoryBytes())});
  rows.push_back({"disk", spec.getDiskBytes() == 0 ? "none" : format_bytes(spec.getDiskBytes())});
  rows.push_back({"cpus", absl::StrCat(spec.getCpus())});
  if (!text(spec.getImage()).empty()) rows.push_back({"image", std::string(text(spec.getImage()))});
  rows.push_back({"address", dash(std::string(text(spec.getAddress())))});
  std::cout << text_table(rows) << "\nits latest move, or why it stayed: supercloud explain "
            << vm->name << "\n";
  return exit_ok;
}

void tell_destroyed(const VmName& vm, const Program& program) {
  if (program.json)
    print({{"name", vm.name}, {"tenant", vm.tenant}, {"state", "destroyed"}});
  else
    std::cout << vm.to_string() << " is destroyed" << std::endl;
}

// Reached, or failed for good; nullopt: not yet. `known`: there was such a VM.
std::optional<absl::Status> reached(const absl::StatusOr<VmFacts>& facts, const VmName& vm,
                                    const std::string& state, bool known) {
  if (absl::IsNotFound(facts.status())) {
    if (state == "destroyed" && known) return absl::OkStatus();
    return facts.status();
  }
  if (!facts.ok()) return std::nullopt;  // its node may be on its way elsewhere
  if (facts->state == state) return absl::OkStatus();
  if (facts->state == "failed")
    return absl::FailedPreconditionError(
        absl::StrCat(vm.to_string(), " has failed: `supercloud explain ", vm.name, "` says why"));
  return std::nullopt;
}

// `known`: there is such a VM, or there was when the command began.
int wait_for(VmClient& client, const VmName& vm, const std::string& state,
             const std::string& timeout, const Program& program, bool known) {
  Duration limit;
  if (!absl::ParseDuration(timeout, &limit) || limit < absl::ZeroDuration())
    return tell_vm_error(absl::InvalidArgumentError(absl::StrCat(
                             "--timeout ", timeout, " is no duration: write 60s or 2m")),
                         vm.to_string(), nullptr);
  const Interrupt interrupt;
  const Instant end = client.now() + limit;
  std::string last = "not known yet";
  while (!interrupt.requested()) {
    const auto facts = client.show(vm);
    known = known || facts.ok() ||
            (state == "destroyed" && absl::IsNotFound(facts.status()) &&
             client.was_there(vm).value_or(false));
    if (const auto end_state = reached(facts, vm, state, known)) {
      if (!end_state->ok()) return tell_vm_error(*end_state, vm.to_string(), &client);
      if (!facts.ok()) {
        tell_destroyed(vm, program);
        return exit_ok;
      }
      if (program.json)
        print(to_json(*facts));
      else
        std::cout << vm.to_string() << " is " << state << " on " << facts->node << std::endl;
      return exit_ok;
    }
    const std::string now =
        facts.ok() ? absl::StrCat(facts->state, " on ", facts->node) : "known to no node right now";
    if (now != std::exchange(last, now) && !program.json)
      std::cerr << vm.to_string() << " is " << now << "; waiting until it is " << state
                << ", at most "
                << absl::FormatDuration(absl::Ceil(end - client.now(), absl::Seconds(1)))
                << std::endl;
    if (client.now() >= end) {
      std::cerr << "supercloud: " << vm.to_string() << " is not " << state << " after " << timeout
                << ", it is " << last << "; `supercloud explain " << vm.name << "` tells why\n";
      return exit_failed;
    }
    client.client().run_until([&] { return interrupt.requested(); },
                              std::min(end, client.now() + wait_interval));
  }
  std::cerr << "no longer waiting: " << vm.to_string() << " is " << last << "\n";
  return exit_interrupted;
}

int wait_vm(const VmOptions& options, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), options.vm, nullptr);
  return wait_for(**client, *vm, options.state, options.timeout, program, false);
}

struct Change {
  const char* command;
  const char* help;
  schema::Request::Which request;
  const char* state;  // that it leads to
};

constexpr Change changes[] = {
    {.command = "start",
     .help = "Start a VM that was stopped",
     .request = schema::Request::START_VM,
     .state = "running"},
    {.command = "stop",
     .help = "Stop a VM: its memory is lost, its disk stays",
     .request = schema::Request::STOP_VM,
     .state = "stopped"},
    {.command = "pause",
     .help = "Hold a VM where it is: it keeps its memory",
     .request = schema::Request::PAUSE_VM,
     .state = "paused"},
    {.command = "resume",
     .help = "Let a paused VM go on",
     .request = schema::Request::RESUME_VM,
     .state = "running"},
    {.command = "destroy",
     .help = "Remove a VM and its disks for good",
     .request = schema::Request::DESTROY_VM,
     .state = "destroyed"},
};

int change_vm(const VmOptions& options, const Change& change, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), options.vm, nullptr);
  const auto answer =
      (*client)->ask(Message<schema::Request>::build([&](schema::Request::Builder builder) {
        switch (change.request) {
          case schema::Request::START_VM:
            return vm->write(builder.initStartVm());
          case schema::Request::STOP_VM:
            return vm->write(builder.initStopVm());
          case schema::Request::PAUSE_VM:
            return vm->write(builder.initPauseVm());
          case schema::Request::RESUME_VM:
            return vm->write(builder.initResumeVm());
          default:
            return vm->write(builder.initDestroyVm());
        }
      }));
  // Once destroyed, twice destroyed: done, for a name that there was.
  if (change.request == schema::Request::DESTROY_VM && absl::IsNotFound(answer.status()) &&
      (*client)->was_there(*vm).value_or(false)) {
    tell_destroyed(*vm, program);
    return exit_ok;
  }
  if (!answer.ok()) return tell_vm_error(answer.status(), vm->to_string(), client->get());
  if (options.wait) return wait_for(**client, *vm, change.state, options.timeout, program, true);
  if (program.json)
    print({{"name", vm->name},
           {"tenant", vm->tenant},
           {"asked", change.command},
           {"state_to_come", change.state}});
  else
    std::cout << vm->to_string() << ": " << change.command << " is asked for; `supercloud vm wait "
              << vm->to_string() << " --state " << change.state << "` waits for it\n";
  return exit_ok;
}

int cancel_migration(const VmOptions& options, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), options.vm, nullptr);
  const auto answer =
      (*client)->ask(Message<schema::Request>::build([&](schema::Request::Builder builder) {
        auto cancel = builder.initCancelMigration();
        vm->write(cancel.initVm());
        cancel.setWhy(options.why);
      }));
  if (!answer.ok()) return tell_vm_error(answer.status(), vm->to_string(), client->get());
  if (program.json)
    print({{"name", vm->name}, {"tenant", vm->tenant}, {"asked", "cancel"}});
  else
    std::cout << vm->to_string()
              << ": its migration is cancelled, if it was not past its commit; `supercloud explain "
              << vm->name << "` tells which\n";
  return exit_ok;
}

// The VM exists: the same description is fine, another one is not.
int tell_existing(const VmOptions& options, const VmFacts& there, schema::VmSpec::Reader wanted,
                  const Program& program) {
  const std::vector<std::string> differences = spec_differences(there.spec.reader(), wanted);
  if (differences.empty() && there.state != "being destroyed") {
    if (program.json)
      print(to_json(there));
    else
      std::cout << there.key() << " exists already, as described: " << there.state << " on "
                << there.node << "\n";
    return exit_ok;
  }
  std::cerr << "supercloud: " << options.file << ": " << there.key() << " exists on " << there.node;
  if (differences.empty())
    std::cerr << " and is being destroyed: `supercloud vm wait " << there.key()
              << " --state destroyed`, then create it\n";
  else
    std::cerr << " with another description; choose another name, or destroy it first\n  "
              << absl::StrJoin(differences, "\n  ") << "\n";
  return exit_failed;
}

// Those that come with the program, and those that the configurations of the cluster's running nodes add.
std::set<std::string> known_policies(const Program& program) {
  std::set<std::string> names;
  for (const auto& [name, policy] : built_in_policies()) names.insert(name);
  if (const auto target = find_cluster(program.cluster, state_root()); target.ok())
    for (const NodeEntry& node : target->nodes)
      if (node.alive) names.insert(node.policies.begin(), node.policies.end());
  return names;
}

int create_vm(const VmOptions& options, const Program& program) {
  VmFileOptions file_options{.policies = {}, .tenant_asked = options.tenant};
  for (const std::string& name : known_policies(program)) file_options.policies.push_back(name);
  const auto spec = read_vm_file(options.file, file_options);
  if (!spec.ok()) return complain(spec.status(), exit_usage);
  const VmName vm = VmName::of(spec->reader());
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), vm.to_string(), nullptr);
  if (const auto there = (*client)->show(vm); there.ok())
    return tell_existing(options, *there, spec->reader(), program);

  std::vector<std::string> nodes = (*client)->nodes();
  if (!options.node.empty()) {
    if (std::find(nodes.begin(), nodes.end(), options.node) == nodes.end()) {
      std::cerr << "supercloud: there is no node " << options.node << "; "
                << suggest(options.node, nodes, "none runs") << "\n";
      return exit_no_match;
    }
    nodes = {options.node};
  }
  // The first node that may and can take it; each one that refuses says why.
  const auto request = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { builder.setCreateVm(spec->reader()); });
  std::vector<std::string> refusals;
  bool answered = false;
  for (const std::string& node : nodes) {
    const auto answer = (*client)->ask_node(node, request);
    if (answer.ok()) {
      if (options.wait) return wait_for(**client, vm, "running", options.timeout, program, true);
      if (program.json)
        print({{"name", vm.name}, {"tenant", vm.tenant}, {"node", node}, {"state", "created"}});
      else
        std::cout << vm.to_string() << " is created on " << node << "\n";
      return exit_ok;
    }
    // Somebody else was faster.
    if (absl::IsAlreadyExists(answer.status()))
      if (const auto there = (*client)->show(vm); there.ok())
        return tell_existing(options, *there, spec->reader(), program);
    // hosts no VMs
    if (absl::IsUnimplemented(answer.status()) || absl::IsNotFound(answer.status())) continue;
    answered = answered || !absl::IsUnavailable(answer.status());
    refusals.push_back(absl::StrCat(node, ": ", std::string(answer.status().message())));
  }
  std::cerr << "supercloud: no node takes " << vm.to_string() << (refusals.empty() ? "" : "\n  ")
            << absl::StrJoin(refusals, "\n  ") << "\n";
  return answered ? exit_failed : exit_unreachable;
}

// A subcommand with the tenant option that all of them share.
CLI::App* subcommand(CLI::App& vm, VmOptions& options, const std::string& name,
                     const std::string& help, const std::string& examples) {
  CLI::App* command = vm.add_subcommand(name, help);
  command->fallthrough();
  command->add_option("--tenant", options.tenant, "The tenant whose VM it is; without it: main");
  command->footer("Examples:\n" + examples);
  return command;
}

void add_wait_options(CLI::App* command, VmOptions& options, const std::string& until) {
  command->add_flag("--wait", options.wait, "Return when it is " + until);
  command->add_option("--timeout", options.timeout, "How long --wait waits")->capture_default_str();
}

}  // namespace

void add_vm_command(CLI::App& root, Program& program) {
  auto options = std::make_shared<VmOptions>();
  CLI::App* vm = root.add_subcommand("vm", "Create, look at, change and move virtual machines");
  vm->fallthrough();
  vm->require_subcommand(1);
  vm->footer(
      "A VM is named by its name, or tenant/name.\n\nExamples:\n  supercloud vm create "
      "examples/vm.toml\n"
      "  supercloud vm list\n  supercloud vm migrate web1 zone-b --dry-run");
  const auto name = [&](CLI::App* command) {
    command->add_option("VM", options->vm, "name or tenant/name")->required();
    return command;
  };

  CLI::App* create = subcommand(*vm, *options, "create",
                                "Make the VM that a file describes; nothing happens if it is there",
                                "  supercloud vm create examples/vm.toml\n  supercloud vm create "
                                "web1.toml --node zone-a --wait");
  create->add_option("FILE", options->file, "TOML; examples/vm.toml has every key")->required();
  create->add_option("--node", options->node,
                     "Where it starts; without it: the first node that takes it");
  add_wait_options(create, *options, "running");
  create->callback([options, &program] { program.exit_code = create_vm(*options, program); });

  CLI::App* list = subcommand(*vm, *options, "list", "All VMs: where they are and what they do",
                              "  supercloud vm list\n  supercloud vm list --tenant shop --json");
  list->get_option("--tenant")->description("Only the VMs of this tenant; without it: of all");
  list->callback([options, &program] { program.exit_code = list_vms(*options, program); });
  name(subcommand(*vm, *options, "show", "One VM",
                  "  supercloud vm show web1\n  supercloud vm show shop/web1 --json"))
      ->callback([options, &program] { program.exit_code = show_vm(*options, program); });

  for (const Change& change : changes) {
    const std::string command = change.command;
    CLI::App* added =
        name(subcommand(*vm, *options, command, change.help,
                        absl::StrCat("  supercloud vm ", command, " web1\n  supercloud vm ",
                                     command, " shop/web1 --wait")));
    add_wait_options(added, *options, change.state);
    added->callback(
        [options, &change, &program] { program.exit_code = change_vm(*options, change, program); });
  }

  CLI::App* migrate = name(subcommand(
      *vm, *options, "migrate", "Propose a move to a node or a place, and follow it",
      "  supercloud vm migrate web1 zone-b\n  supercloud vm migrate web1 zone-b --dry-run\n"
      "  supercloud vm migrate web1 aws/us-east-1/us-east-1a/r3.large/spot --no-wait"));
  migrate
      ->add_option("TARGET", options->migrate.target,
                   "A node, or a place (cloud/region/zone/type/spot)")
      ->required();
  migrate->add_flag("--dry-run", options->migrate.dry_run,
                    "Only say whether it could move there now, and if not, why");
  migrate->add_flag("--wait,!--no-wait", options->migrate.wait,
                    "Follow it to its end (this is so without the flag)");
  migrate->add_option("--reason", options->migrate.reason, "For those who ask why it moved");
  migrate->add_option("--deadline", options->migrate.deadline,
                      "How long it may take, like 60s; without it: the node's own");
  migrate->add_option(
      "--blackout-max", options->migrate.blackout_max,
      "How long it may stand still, like 100ms; without it: as the VM is described");
  migrate->callback([options, &program] {
    options->migrate.vm = options->vm;
    options->migrate.tenant = options->tenant;
    program.exit_code = migrate_vm(options->migrate, program);
  });

  name(subcommand(*vm, *options, "console",
                  "The serial console of a real guest on this machine, wherever here it moves",
                  "  supercloud vm console web1"))
      ->callback([options, &program] {
        program.exit_code = vm_console(options->vm, options->tenant, program);
      });

  CLI::App* cancel =
      name(subcommand(*vm, *options, "cancel",
                      "End the migration of a VM that is under way, if it can still go back",
                      "  supercloud vm cancel web1 --why 'not now'"));
  cancel->add_option("--why", options->why, "For those who ask why it was cancelled");
  cancel->callback(
      [options, &program] { program.exit_code = cancel_migration(*options, program); });

  CLI::App* wait = name(subcommand(
      *vm, *options, "wait", "Return when a VM is in a state",
      "  supercloud vm wait web1\n  supercloud vm wait web1 --state destroyed --timeout 2m"));
  wait->add_option("--state", options->state, "What to wait for")
      ->default_val("running")
      ->check(CLI::IsMember(states_to_wait_for));
  wait->add_option("--timeout", options->timeout, "How long")->capture_default_str();
  wait->callback([options, &program] { program.exit_code = wait_vm(*options, program); });
}

}  // namespace supercloud
