#include "cli/explain/sentence.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "actors/observer/words.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::string_view users_default_reason = "asked for by a user";

// By how much the hour is cheaper at the target, by the prices that were known when the move was proposed.
std::string price_difference(const History& history, const MigrationState& migration) {
  if (!migration.proposed) return "";
  const ClusterFold& fold = history.fold();
  const std::string from = fold.place_of(source_of(migration));
  std::string to = migration.wanted_place;
  if (to.empty()) to = fold.place_of(target_of(migration));
  const PriceFact* here = fold.price_at(from, migration.proposed->time);
  const PriceFact* there = fold.price_at(to, migration.proposed->time);
  if (here == nullptr || there == nullptr || from == to) return "";
  const std::int64_t less = here->nano_usd_per_hour - there->nano_usd_per_hour;
  if (less == 0) return "";
  return absl::StrCat(" (", price_words(less > 0 ? less : -less), less > 0 ? " less)" : " more)");
}

std::string reason(const History& history, const MigrationState& migration) {
  if (!migration.proposed) return "of a proposal that no log has";
  const std::string why = shorten_places(migration.reason);
  if (migration.proposer == "user")
    return migration.reason == users_default_reason || why.empty()
               ? "a user asked for it"
               : absl::StrCat("a user asked for it: ", why);
  if (migration.proposer == "evacuation") return absl::StrCat("its node was to be emptied: ", why);
  return absl::StrCat(why.empty() ? "its policy wanted it" : why,
                      price_difference(history, migration));
}

std::string target_words(const ClusterFold& fold, const MigrationState& migration) {
  const std::string target = target_of(migration);
  return target == migration.wanted_place ? place_words(target) : node_words(fold, target);
}

std::string under_way(const History& history, const MigrationState& migration) {
  const ClusterFold& fold = history.fold();
  const HybridTime since = migration.proposed ? migration.proposed->time : migration.last;
  const MigrationStage now = stage(migration);
  std::string out;
  const bool ended = history.ended();
  if (now == MigrationStage::proposed)
    out = absl::StrCat(
        vm_words(migration.vm), ended ? " was" : " is", " to move to ",
        target_words(fold, migration), " since ", second_words(since, history.dated()),
        ended ? ", and nobody had answered when the log ends," : ", and nobody has answered yet,");
  else
    out = absl::StrCat(
        vm_words(migration.vm), ended ? " was" : " is", " moving from ", source_of(migration),
        " to ", target_words(fold, migration), " since ", second_words(since, history.dated()),
        " (", std::string(to_string(now)),
        now == MigrationStage::copying ? absl::StrCat(", ", percent(migration), " %") : "", ")",
        ended ? " when the log ends," : "");
  return absl::StrCat(out, " because ", reason(history, migration), ".");
}

std::string where_it_runs(const History& history, const VmHistory& vm) {
  const auto* running = running_now(vm);
  if (running == nullptr) return "";
  return absl::StrCat(
      vm_words(vm.vm), history.ended() ? " ran on " : " runs on ",
      node_words(history.fold(), running->node), history.ended() ? " from " : " since ",
      second_words(running->since, history.dated()), history.ended() ? " until the log ends," : "");
}

// The end of a move that had no effect on where the VM is.
std::string failed_move(const History& history, const MigrationState& migration) {
  const ClusterFold& fold = history.fold();
  const auto& end = *migration.end;
  const std::string at = second_words(end.fact.time, history.dated());
  if (end.stage == MigrationStage::refused)
    return absl::StrCat(vm_words(migration.vm), " was not moved to ", target_words(fold, migration),
                        ": ", end.fact.node, " refused at ", at, ", ",
                        count_words(end.failures.size(), "check", "checks"), " failed.");
  return absl::StrCat("The move of ", vm_words(migration.vm), " from ", source_of(migration),
                      " to ", target_words(fold, migration), " ended without effect at ", at,
                      end.at_stage.empty() ? "" : absl::StrCat(" (", end.at_stage, ")"), ": ",
                      shorten_places(end.why), ".");
}

std::string figures(const MigrationState& migration) {
  std::string out;
  if (migration.end && migration.end->total_ms > 0)
    absl::StrAppend(&out, " The move took ",
                    span_words(absl::Milliseconds(migration.end->total_ms)));
  if (const auto paused = blackout(migration))
    absl::StrAppend(&out, out.empty() ? " The guest" : ", and the guest", " was paused for ",
                    span_words(*paused));
  return out.empty() ? "" : out + ".";
}

// What became of a VM that was still on a machine when the cloud took it.
std::string caught(const History& history, const VmHistory& vm, const std::string& node,
                   const Event& revoked) {
  const auto ended = revoked.payload().getInstanceRevoked();
  const std::string why = shorten_places(text(ended.getWhy()));
  std::string out = absl::StrCat(vm_words(vm.vm), " was caught: the cloud took its machine, ", node,
                                 " at ", place_words(text(ended.getPlace())), ", at ",
                                 second_words(revoked.time(), history.dated()),
                                 why.empty() ? "" : absl::StrCat(" (", why, ")"), ".");
  if (vm.halt && vm.halt->what == "failed" && vm.halt->time > revoked.time())
    absl::StrAppend(&out, " At ", second_words(vm.halt->time, history.dated()), " it failed",
                    vm.halt->why.empty() ? "" : absl::StrCat(": ", shorten_places(vm.halt->why)),
                    ".");
  if (const VmHistory* anew = history.started_anew(vm.vm, revoked.time()))
    absl::StrAppend(&out, " It was started anew as ", vm_words(anew->vm), " on ",
                    node_words(history.fold(), anew->running->node), ": see `explain ",
                    vm_words(anew->vm), "`.");
  return out;
}

std::string halted(const History& history, const VmHistory& vm) {
  const auto& halt = *vm.halt;
  const bool ended = history.ended();
  if (halt.what == "failed")
    if (const Event* revoked = history.revoked(halt.node, halt.time))
      return caught(history, vm, halt.node, *revoked);
  const std::string how = halt.what == "paused"      ? ended ? " was paused on " : " is paused on "
                          : halt.what == "destroyed" ? " was destroyed on "
                          : halt.what == "failed"    ? " failed on "
                                                     : " was stopped on ";
  return absl::StrCat(vm_words(vm.vm), how, halt.node, " at ",
                      second_words(halt.time, history.dated()),
                      halt.why.empty() ? "" : absl::StrCat(": ", shorten_places(halt.why)), ".");
}

const MigrationState* latest_move(const History& history, const VmHistory& vm) {
  return vm.moves.empty() ? nullptr : history.fold().migration(vm.moves.rbegin()->second);
}

}  // namespace

std::string vm_words(const std::string& vm) { return vm.starts_with("main/") ? vm.substr(5) : vm; }

std::string node_words(const ClusterFold& fold, const std::string& node) {
  const std::string place = fold.place_of(node);
  return place.empty() ? node : absl::StrCat(node, " at ", place_words(place));
}

std::string sentence(const History& history, const MigrationState& migration) {
  if (!migration.end) return under_way(history, migration);
  if (migration.end->stage != MigrationStage::completed) return failed_move(history, migration);
  const auto vm = history.fold().vms().find(migration.vm);
  const auto* running = vm == history.fold().vms().end() ? nullptr : running_now(vm->second);
  if (running != nullptr && running->migration == migration.id)
    return absl::StrCat(where_it_runs(history, vm->second), " because ", reason(history, migration),
                        ".", figures(migration));
  return absl::StrCat(vm_words(migration.vm), " moved from ", source_of(migration), " to ",
                      node_words(history.fold(), target_of(migration)), " at ",
                      second_words(migration.end->fact.time, history.dated()), " because ",
                      reason(history, migration), ".", figures(migration));
}

std::string sentence(const History& history, const VmHistory& vm) {
  const auto* running = running_now(vm);
  if (running == nullptr)
    return vm.halt
               ? halted(history, vm)
               : absl::StrCat(vm_words(vm.vm),
                              history.ended() ? " was defined, and had not run when the log ends."
                                              : " is defined, and has not run yet.");
  // Until the failure is noticed nobody says that it runs no more.
  if (const Event* revoked = history.revoked(running->node, history.events().back().time());
      revoked != nullptr && revoked->time() > running->since)
    return caught(history, vm, running->node, *revoked);
  const MigrationState* latest = latest_move(history, vm);
  if (latest != nullptr && !latest->end) return under_way(history, *latest);
  std::string out;
  if (const MigrationState* came = history.fold().migration(running->migration);
      came != nullptr && came->end && came->end->stage == MigrationStage::completed) {
    out = sentence(history, *came);
  } else {
    out = where_it_runs(history, vm);
    if (!running->why.empty())
      absl::StrAppend(&out, history.ended() ? " " : ", ", shorten_places(running->why));
    else if (history.ended())
      out.pop_back();
    out += ".";
  }
  if (latest != nullptr && latest->end->stage != MigrationStage::completed) {
    absl::StrAppend(&out, " ", failed_move(history, *latest));
  }
  if (vm.considered && (latest == nullptr || vm.considered->time > latest->last)) {
    const auto& considered = *vm.considered;
    if (considered.choice == "stay")
      absl::StrAppend(&out, history.ended() ? " It stayed because " : " It stays because ",
                      shorten_places(considered.reason), ".");
    else
      absl::StrAppend(
          &out, history.ended() ? " Its policy wanted it at " : " Its policy would have it at ",
          place_words(considered.choice), " because ", shorten_places(considered.reason), ".");
  }
  return out;
}

}  // namespace supercloud
