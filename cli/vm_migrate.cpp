#include "cli/vm_migrate.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "cli/interrupt.h"
#include "cli/migration_follower.h"
#include "cli/suggest.h"
#include "cli/vm_client.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration look_interval = absl::Milliseconds(100);
// After so long without a word, the logs are asked what became of it.
constexpr Duration silence_max = absl::Seconds(5);

std::size_t terminal_width() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col - 1U : 79;
}

// Lines and the bar go to stderr, the outcome to stdout.
class Teller {
 public:
  Teller(std::string name, Instant start, bool quiet)
      : name_(std::move(name)), start_(start), quiet_(quiet) {}

  void line(Instant now, const std::string& words) {
    if (quiet_) return;
    clear();
    std::cerr << absl::StrFormat("%8.3f s  %s", absl::ToDoubleSeconds(now - start_), words)
              << std::endl;
    if (shown_) draw();
  }
  void step(Instant now, const MigrationFollower::Step& step) {
    if (quiet_) return;
    if (live_) {
      shown_ = step;
      clear();
      draw();
    } else if (now >= next_line_) {
      next_line_ = now + absl::Seconds(1);
      line(now, progress_bar(name_, step, 79));
    }
  }
  void end() {
    clear();
    shown_.reset();
  }

 private:
  void clear() {
    if (live_ && shown_) std::cerr << "\r\x1b[K" << std::flush;
  }
  void draw() {
    if (live_ && shown_) std::cerr << progress_bar(name_, *shown_, terminal_width()) << std::flush;
  }

  const std::string name_;
  const Instant start_;
  const bool quiet_;
  const bool live_ = isatty(STDERR_FILENO) == 1;
  std::optional<MigrationFollower::Step> shown_;
  Instant next_line_{};
};

int tell_checks(const std::string& vm, const std::string& target,
                const schema::Response::Reader& answer, bool json) {
  const auto checks = answer.getChecks();
  if (json) {
    Json failed = Json::array();
    for (const auto check : checks)
      failed.push_back({{"name", text(check.getName())},
                        {"detail", text(check.getDetail())},
                        {"cure", text(check.getCure())}});
    std::cout << Json({{"vm", vm},
                       {"target", target},
                       {"possible", checks.size() == 0},
                       {"failed", std::move(failed)}})
                     .dump(2)
              << std::endl;
  } else if (checks.size() == 0) {
    std::cout << vm << " could move to " << target << " now: every check passes\n";
  } else {
    std::cout << vm << " could not move to " << target << ":\n";
    for (const auto check : checks) {
      std::cout << "  " << text(check.getName()) << ": " << text(check.getDetail());
      if (check.getCure().size() > 0) std::cout << "; " << text(check.getCure());
      std::cout << "\n";
    }
  }
  return checks.size() == 0 ? exit_ok : exit_failed;
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
    std::cout << Json({{"vm", followed.vm.key()},
                       {"migration", followed.migration.short_id()},
                       {"event", followed.migration.to_string()},
                       {"outcome", outcome ? outcome->how : "not known yet"},
                       {"what", outcome ? outcome->what : ""}})
                     .dump(2, ' ', false, Json::error_handler_t::replace)
              << std::endl;
  } else if (outcome) {
    const std::string what = absl::StrReplaceAll(outcome->what, {{"\n", "\n  "}});
    std::cout << followed.vm.key() << " " << outcome->how
              << (outcome->how == "refused" ? ":\n  " : ": ") << what << "\n"
              << "why: " << commands_after(followed) << std::endl;
  }
  return outcome && outcome->how == "completed" ? exit_ok : exit_failed;
}

int follow(VmClient& vms, const Followed& followed, MigrationFollower& follower, Teller& teller,
           const Instant& heard) {
  const Interrupt interrupt;
  Instant asked = vms.now();
  while (!follower.outcome() && !interrupt.requested()) {
    vms.client().run_until([&] { return follower.outcome() || interrupt.requested(); },
                           vms.now() + look_interval);
    if (follower.outcome() || vms.now() - std::max(heard, asked) < silence_max) continue;
    asked = vms.now();
    const auto history =
        read_history(vms.target(), Pattern::of("migration.>"), vms.client().pool(), &vms.client());
    if (!history.ok()) continue;
    for (const Event& event : *history)
      if (const std::string words = follower.fold(event); !words.empty())
        teller.line(vms.now(), words + " (from the log)");
  }
  teller.end();
  if (follower.outcome()) return tell_outcome(followed, follower);
  std::cerr << "no longer following: the migration goes on\n"
            << "  cancel it:  supercloud vm cancel " << followed.vm.key() << "\n"
            << "  see it:     " << commands_after(followed) << std::endl;
  return exit_interrupted;
}

}  // namespace

int migrate_vm(const MigrateOptions& options, const Program& program) {
  const auto vm = parse_vm_name(options.vm, options.tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), options.vm, nullptr);
  Duration deadline;
  if (!options.deadline.empty() &&
      (!absl::ParseDuration(options.deadline, &deadline) || deadline <= absl::ZeroDuration()))
    return tell_vm_error(absl::InvalidArgumentError(absl::StrCat(
                             "--deadline ", options.deadline, " is no duration: write 60s or 2m")),
                         options.vm, nullptr);
  auto connected = VmClient::connect(program);
  if (!connected.ok()) return tell_vm_error(connected.status(), options.vm, nullptr);
  VmClient& vms = **connected;
  const std::vector<std::string> nodes = vms.nodes();
  if (options.target.find('/') == std::string::npos &&
      std::find(nodes.begin(), nodes.end(), options.target) == nodes.end()) {
    std::cerr << "supercloud: there is no node " << options.target << " in " << vms.target().name
              << "; " << suggest(options.target, nodes, "none of its nodes runs")
              << " (a place has slashes: cloud/region/zone/type/spot)\n";
    return exit_no_match;
  }

  // Listening first: nothing that the proposal brings about is missed. What comes before its id is known waits.
  std::vector<Event> early;
  EventId migration;
  std::optional<MigrationFollower> follower;
  Teller teller(vm->key(), vms.now(), program.json);
  Instant heard = vms.now();
  const auto take = [&](const Event& event) {
    if (!follower) return early.push_back(event);
    heard = vms.now();
    if (const std::string words = follower->fold(event); !words.empty()) teller.line(heard, words);
    if (event.type() == schema::Payload::MIGRATION_PROGRESS && event.migration() == migration)
      teller.step(heard, *follower->step());
  };
  if (options.wait && !options.dry_run)
    for (const char* domain : {"migration.>", "vm.>", "storage.>", "network.>", "instance.>"})
      if (const absl::Status listening = vms.client().subscribe(Pattern::of(domain), take);
          !listening.ok())
        return tell_vm_error(listening, options.vm, &vms);

  const auto answer =
      vms.ask(Message<schema::Request>::build([&](schema::Request::Builder builder) {
        auto request = builder.initMigrateVm();
        vm->write(request.initVm());
        request.setTarget(options.target);
        request.setReason(options.reason);
        request.setDryRun(options.dry_run);
        request.setDeadlineNs(absl::ToInt64Nanoseconds(deadline));
      }));
  if (!answer.ok() && options.dry_run && absl::IsNotFound(answer.status()) &&
      absl::StrContains(answer.status().message(), "rented")) {
    std::cout << vm->key() << ": " << std::string(answer.status().message()) << "\n";
    return exit_ok;
  }
  if (!answer.ok()) return tell_vm_error(answer.status(), vm->key(), &vms);
  if (options.dry_run)
    return tell_checks(vm->key(), options.target, answer->reader(), program.json);

  const Followed followed{*vm, EventId::from(answer->reader().getAccepted().getMigration()),
                          program};
  migration = followed.migration;
  follower.emplace(migration);
  if (!options.wait) {
    if (program.json)
      std::cout << Json({{"vm", vm->key()},
                         {"migration", followed.migration.short_id()},
                         {"event", followed.migration.to_string()},
                         {"outcome", "proposed"}})
                       .dump(2)
                << std::endl;
    else
      std::cout << vm->key() << ": migration " << followed.migration.short_id() << " to "
                << options.target << " is proposed\nwhat became of it: " << commands_after(followed)
                << std::endl;
    return exit_ok;
  }
  teller.line(vms.now(), absl::StrCat("proposed to ",
                                      std::string(text(answer->reader().getAccepted().getNode())),
                                      ": migration ", followed.migration.short_id()));
  for (const Event& event : early) take(event);
  early.clear();
  return follow(vms, followed, *follower, teller, heard);
}

}  // namespace supercloud
