#include "cli/vm_migrate.h"

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "actors/migration/vm_worker.h"
#include "cli/interrupt.h"
#include "cli/live_lines.h"
#include "cli/migration_follower.h"
#include "cli/suggest.h"
#include "cli/vm_client.h"
#include "cli/vm_places.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration progress_interval = absl::Milliseconds(100);
// After so long without a word, the logs are asked what became of it.
constexpr Duration silence_max = absl::Seconds(5);
// How often it is looked whether the cluster still runs.
constexpr Duration cluster_look = absl::Seconds(1);

// A dry run: yes or no, why, and what would happen first.
int tell_checks(const std::string& vm, const std::string& target, bool would_rent,
                std::vector<Failure> failures, bool json) {
  // What has no cure is no failure, but told.
  std::vector<Failure> told;
  for (const Failure& failure : failures)
    if (failure.cure.empty()) told.push_back(failure);
  std::erase_if(failures, [](const Failure& failure) { return failure.cure.empty(); });
  if (json) {
    Json found = Json::object();
    for (const Failure& one : told) found[one.name] = one.detail;
    Json failed = Json::array();
    for (const Failure& failure : failures)
      failed.push_back(
          {{"name", failure.name}, {"detail", failure.detail}, {"cure", failure.cure}});
    std::cout << Json({{"vm", vm},
                       {"target", target},
                       {"possible", failures.empty()},
                       {"would_rent", would_rent},
                       {"failed", std::move(failed)},
                       {"found", std::move(found)}})
                     .dump(2, ' ', false, Json::error_handler_t::replace)
              << std::endl;
  } else if (failures.empty() && would_rent) {
    std::cout << vm << " could move to " << target
              << ": no node there has room, so an instance would be rented first; every check that "
                 "can be made before passes\n";
  } else if (failures.empty()) {
    std::cout << vm << " could move to " << target << " now: every check passes\n";
    for (const Failure& one : told) std::cout << "  " << one.name << ": " << one.detail << "\n";
  } else {
    std::cout << vm << " could not move to " << target << ":\n";
    for (const Failure& failure : failures)
      std::cout << "  " << failure.name << ": " << failure.detail << "; " << failure.cure << "\n";
  }
  return failures.empty() ? exit_ok : exit_failed;
}

absl::StatusOr<KnownPlaces> known_places(VmClient& vms) {
  KnownPlaces places;
  for (const char* said : {"node.joined.>", "spot.price_changed.>"}) {
    const auto history =
        read_history(vms.target(), Pattern::of(said), vms.client().pool(), &vms.client());
    if (!history.ok()) return history.status();
    for (const Event& event : *history) places.fold(event);
  }
  return places;
}

int tell_dry_run(VmClient& vms, const VmName& vm, const std::string& target,
                 const KnownPlaces& places, schema::Response::Reader answer, bool json) {
  if (!answer.isChecks())
    return tell_vm_error(absl::InternalError(absl::StrCat(
                             "the node that holds ", vm.to_string(),
                             " answered with something else: are both of one version?")),
                         vm.to_string(), &vms);
  std::vector<Failure> failures;
  for (const auto check : answer.getChecks())
    failures.push_back({std::string(text(check.getName())), std::string(text(check.getDetail())),
                        std::string(text(check.getCure()))});
  // Its node knows labels of nodes; those of a place that has none are told with its prices.
  const bool labels_unsaid = std::none_of(
      failures.begin(), failures.end(), [](const Failure& it) { return it.name == "constraints"; });
  if (answer.getWouldRent() && labels_unsaid) {
    const auto facts = vms.show(vm);
    if (!facts.ok()) return tell_vm_error(facts.status(), vm.to_string(), &vms);
    for (Failure& failure : places.failures(facts->spec.reader(), target))
      failures.push_back(std::move(failure));
  }
  return tell_checks(vm.to_string(), target, answer.getWouldRent(), failures, json);
}

struct Followed {
  const VmName& vm;
  EventId migration;
  const Program& program;
};

std::string commands_after(const Followed& followed) {
  const std::string cluster =
      followed.program.cluster.empty() ? "" : absl::StrCat(" --cluster ", followed.program.cluster);
  return absl::StrCat("supercloud explain ", followed.migration.short_id(), cluster);
}

int tell_outcome(const Followed& followed, const MigrationFollower& follower) {
  const auto& outcome = follower.outcome();
  if (followed.program.json) {
    std::cout << Json({{"vm", followed.vm.to_string()},
                       {"migration", followed.migration.short_id()},
                       {"event", followed.migration.to_string()},
                       {"outcome", outcome ? outcome->how : "not known yet"},
                       {"what", outcome ? outcome->what : follower.last()}})
                     .dump(2, ' ', false, Json::error_handler_t::replace)
              << std::endl;
  } else if (outcome) {
    const std::string what = absl::StrReplaceAll(outcome->what, {{"\n", "\n  "}});
    std::cout << followed.vm.to_string() << " " << outcome->how
              << (outcome->how == "refused" ? ":\n  " : ": ") << what << "\n"
              << "why: " << commands_after(followed) << std::endl;
  }
  return outcome && outcome->how == "completed" ? exit_ok : exit_failed;
}

// What the logs know of it.
void ask_logs(VmClient& vms, const ClusterTarget& target, MigrationFollower& follower,
              LiveLines& teller) {
  const auto history = read_history(target, Pattern::of("migration.>"), vms.client().pool(),
                                    target.running ? &vms.client() : nullptr);
  if (!history.ok()) return;
  for (const Event& event : *history)
    if (const std::string words = follower.fold(event); !words.empty())
      teller.line(vms.now(), words + " (from the log)");
}

// Its end has not been heard: what is known is said.
int tell_unended(const Followed& followed, const MigrationFollower& follower,
                 const std::string& why, int code) {
  if (followed.program.json) tell_outcome(followed, follower);
  std::cerr << "supercloud: " << why << "; of migration " << followed.migration.short_id()
            << " no end is known, the last word was: "
            << (follower.last().empty() ? std::string("proposed") : follower.last()) << "\n"
            << "what became of it: " << commands_after(followed) << std::endl;
  return code;
}

int follow(VmClient& vms, const Followed& followed, MigrationFollower& follower, LiveLines& teller,
           const Instant& heard, FollowLimit limit) {
  const Interrupt interrupt;
  Instant asked = vms.now(), looked = vms.now();
  while (!follower.outcome() && !interrupt.requested()) {
    vms.client().run_until([&] { return follower.outcome() || interrupt.requested(); },
                           vms.now() + progress_interval);
    if (follower.outcome() || interrupt.requested()) break;
    limit.look(follower, vms.now());
    if (vms.now() - looked >= cluster_look) {
      looked = vms.now();
      const auto target = load_cluster(vms.target().directory);
      if (target.ok() && !target->running) {
        ask_logs(vms, *target, follower, teller);
        teller.end();
        if (follower.outcome()) return tell_outcome(followed, follower);
        return tell_unended(followed, follower,
                            absl::StrCat("cluster ", target->name, " has ended"), exit_unreachable);
      }
    }
    if (!limit.passed(vms.now()) && vms.now() - std::max(heard, asked) < silence_max) continue;
    asked = vms.now();
    const auto target = load_cluster(vms.target().directory);
    ask_logs(vms, target.ok() ? *target : vms.target(), follower, teller);
    limit.look(follower, vms.now());
    if (!follower.outcome() && limit.passed(vms.now())) {
      teller.end();
      return tell_unended(followed, follower,
                          "its deadline has passed, and the time in which its end is told",
                          exit_failed);
    }
  }
  teller.end();
  if (follower.outcome()) return tell_outcome(followed, follower);
  std::cerr << "no longer following: the migration goes on\n"
            << "  cancel it:  supercloud vm cancel " << followed.vm.to_string() << "\n"
            << "  see it:     " << commands_after(followed) << std::endl;
  return exit_interrupted;
}

}  // namespace

int migrate_vm(const MigrateOptions& options, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  const auto deadline = parse_span("--deadline", options.deadline, "60s or 2m");
  if (!deadline.ok()) return tell_vm_error(deadline.status(), options.vm, nullptr);
  const auto blackout_max = parse_span("--blackout-max", options.blackout_max, "100ms or 1s");
  if (!blackout_max.ok()) return tell_vm_error(blackout_max.status(), options.vm, nullptr);
  auto connected = VmClient::connect(program);
  if (!connected.ok()) return tell_vm_error(connected.status(), options.vm, nullptr);
  VmClient& vms = **connected;
  // A place has slashes, a node has none.
  KnownPlaces places;
  if (options.target.find('/') == std::string::npos) {
    const std::vector<std::string> nodes = vms.nodes();
    // One that runs on another machine is not in the list of this one.
    if (std::find(nodes.begin(), nodes.end(), options.target) == nodes.end() &&
        !vms.hosts_vms(options.target)) {
      std::cerr << "supercloud: there is no node " << options.target << " in " << vms.target().name
                << "; " << suggest(options.target, nodes, "none of its nodes runs")
                << " (a place has slashes: cloud/region/zone/type/spot)\n";
      return exit_no_match;
    }
  } else {
    auto known = known_places(vms);
    if (!known.ok()) return tell_vm_error(known.status(), options.vm, &vms);
    places = *std::move(known);
    if (!places.contains(options.target)) {
      std::cerr << "supercloud: there is no place " << options.target << " in " << vms.target().name
                << "; "
                << suggest(options.target, places.names(), "it has no prices and no nodes yet")
                << "\n";
      return exit_no_match;
    }
  }

  // Listening first: nothing that the proposal brings about is missed. What comes before its id is known waits.
  std::vector<Event> early;
  EventId migration;
  std::optional<MigrationFollower> follower;
  // Lines and the bar go to stderr, the outcome to stdout.
  LiveLines teller(vms.now(), program.json);
  Instant heard = vms.now();
  const auto take = [&](const Event& event) {
    if (!follower) return early.push_back(event);
    heard = vms.now();
    if (const std::string words = follower->fold(event); !words.empty()) teller.line(heard, words);
    if (event.type() == schema::Payload::MIGRATION_PROGRESS && event.migration() == migration)
      teller.status(heard, [name = vm->to_string(), step = *follower->step()](std::size_t width) {
        return progress_bar(name, step, width);
      });
  };
  if (options.wait && !options.dry_run)
    for (const char* domain : {"migration.>", "vm.>", "storage.>", "network.>", "instance.>"})
      if (const absl::Status listening = vms.client().subscribe(Pattern::of(domain), take);
          !listening.ok())
        return tell_vm_error(listening, options.vm, &vms);

  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto migrate = builder.initMigrateVm();
    vm->write(migrate.initVm());
    migrate.setTarget(options.target);
    migrate.setReason(options.reason);
    migrate.setDryRun(options.dry_run);
    migrate.setDeadlineNs(absl::ToInt64Nanoseconds(*deadline));
    migrate.setBlackoutMaxNs(absl::ToInt64Nanoseconds(*blackout_max));
  });
  // What is only proposed is answered at once.
  const auto answer = options.dry_run ? vms.ask_patiently(request) : vms.ask(request);
  if (!answer.ok()) return tell_vm_error(answer.status(), vm->to_string(), &vms);
  if (options.dry_run)
    return tell_dry_run(vms, *vm, options.target, places, answer->reader(), program.json);

  const Followed followed{*vm, EventId::from(answer->reader().getAccepted().getMigration()),
                          program};
  migration = followed.migration;
  follower.emplace(migration);
  if (!options.wait) {
    if (program.json)
      std::cout << Json({{"vm", vm->to_string()},
                         {"migration", followed.migration.short_id()},
                         {"event", followed.migration.to_string()},
                         {"outcome", "proposed"}})
                       .dump(2)
                << std::endl;
    else
      std::cout << vm->to_string() << ": migration " << followed.migration.short_id() << " to "
                << options.target << " is proposed\nwhat became of it: " << commands_after(followed)
                << std::endl;
    return exit_ok;
  }
  teller.line(vms.now(), absl::StrCat("proposed to ",
                                      std::string(text(answer->reader().getAccepted().getNode())),
                                      ": migration ", followed.migration.short_id()));
  for (const Event& event : early) take(event);
  early.clear();
  return follow(vms, followed, *follower, teller, heard,
                FollowLimit(vms.now(), *deadline > absl::ZeroDuration()
                                           ? *deadline
                                           : ExecutorOptions{}.migration_deadline));
}

}  // namespace supercloud
