// What users do while things go wrong: a part of simulation/fault_injector.h.
#include <string>

#include "absl/strings/str_cat.h"
#include "simulation/fault_injector.h"

namespace supercloud {
namespace {

// What a drain's haste cost is seen until so long after its deadline.
constexpr Duration hurry_lasts = absl::Seconds(15);

}  // namespace

void FaultInjector::migrate() {
  const std::string vm = any_vm();
  const std::string target = any_machine().name();
  tell(absl::StrCat("a user wants ", vm, " on ", target));
  cluster_.migrate(holder(vm), vm, target);
}

// Some do not wait for the answer.
void FaultInjector::ask_whether() {
  const std::string vm = any_vm();
  const std::string target = any_machine().name();
  const bool waits = random_.chance(500'000);
  tell(absl::StrCat("a user asks whether ", vm, " could go to ", target,
                    waits ? "" : ", and changes their mind"));
  const auto call = cluster_.ask(
      holder(vm), Message<schema::Request>::build([&](schema::Request::Builder request) {
        auto migrate = request.initMigrateVm();
        migrate.initVm().setName(vm);
        migrate.setTarget(target);
        migrate.setDryRun(true);
      }),
      nullptr, [](const Progress&) {});
  if (!waits)
    later(span(absl::ZeroDuration(), absl::Milliseconds(300)), [call] { call->cancel(); });
}

void FaultInjector::cancel() {
  const std::string vm = any_vm();
  tell("a user cancels the migration of " + vm);
  cluster_.ask(holder(vm), Message<schema::Request>::build([&](schema::Request::Builder request) {
                 auto cancelled = request.initCancelMigration();
                 cancelled.initVm().setName(vm);
                 cancelled.setWhy("a change of mind");
               }));
}

void FaultInjector::change_state() {
  const std::string vm = any_vm();
  const std::uint64_t which = random_.below(2);
  const auto command = [vm](bool first, std::uint64_t kind) {
    return Message<schema::Request>::build([&](schema::Request::Builder request) {
      if (kind == 0)
        (first ? request.initStopVm() : request.initStartVm()).setName(vm);
      else
        (first ? request.initPauseVm() : request.initResumeVm()).setName(vm);
    });
  };
  tell(absl::StrCat("a user ", which == 0 ? "stops " : "pauses ", vm));
  cluster_.ask(holder(vm), command(true, which));
  later(span(absl::Milliseconds(200), absl::Seconds(5)), [this, vm, which, command] {
    tell(absl::StrCat("a user ", which == 0 ? "starts " : "resumes ", vm));
    cluster_.ask(holder(vm), command(false, which));
  });
}

void FaultInjector::create_or_destroy() {
  if (random_.chance(600'000)) {
    // Of two at once of one name, or of one address, the lease table lets one pass.
    const std::string vm = absl::StrCat("new", created_++);
    const std::string rival = created_ % 2 == 0 ? vm : absl::StrCat("rival-of-", vm);
    const std::string one = any_machine().name();
    const std::string other = any_machine().name();
    tell(absl::StrCat("users create ", vm, " on ", one, " and ", rival, " on ", other));
    cluster_.create_vm(one, vm, schema::DiskLoss::SYNC);
    cluster_.create_vm(other, rival, schema::DiskLoss::SYNC, vm);
    return;
  }
  const std::string vm = any_vm();
  tell("a user destroys " + vm);
  cluster_.ask(holder(vm), Message<schema::Request>::build([&](schema::Request::Builder request) {
                 request.initDestroyVm().setName(vm);
               }));
  // Its name is free again as soon as its record is gone, wherever something of it still is.
  if (!random_.chance(500'000)) return;
  const std::string node = any_machine().name();
  later(span(absl::Milliseconds(20), absl::Seconds(4)), [this, vm, node] {
    tell(absl::StrCat("a user creates ", vm, " anew on ", node));
    cluster_.create_vm(node, vm, schema::DiskLoss::SYNC);
  });
}

void FaultInjector::drain() {
  const std::string node = any_machine().name();
  const bool for_ever = random_.below(2) == 0;
  const Duration time = span(absl::Seconds(3), absl::Seconds(30));
  tell(absl::StrCat("a user wants ", node, " empty",
                    for_ever ? "" : absl::StrCat(" within ", absl::FormatDuration(time))));
  if (!for_ever) cluster_.checker().hurried(node, cluster_.scheduler().now() + time + hurry_lasts);
  drained_.insert(node);
  cluster_.ask(node, Message<schema::Request>::build([&](schema::Request::Builder request) {
                 auto drained = request.initDrainNode();
                 drained.setNode(node);
                 drained.setWhy("its user wants it empty");
                 if (!for_ever) drained.setDeadlineNs(absl::ToInt64Nanoseconds(time));
               }));
  later(time + span(absl::Seconds(1), absl::Seconds(20)), [this, node] { undrain(node); });
}

void FaultInjector::undrain(const std::string& node) {
  tell(absl::StrCat("a user lets guests on ", node, " again"));
  cluster_.ask(node, Message<schema::Request>::build([&](schema::Request::Builder request) {
                 auto undrained = request.initUndrainNode();
                 undrained.setNode(node);
                 undrained.setWhy("its user lets guests on it again");
               }));
}

// Until each has heard of it.
void FaultInjector::undrain_all() {
  for (const std::string& node : drained_) {
    const SimulatedMachine* machine = cluster_.machine(node);
    if (machine == nullptr || cluster_.lost(*machine) || cluster_.given_up(*machine)) continue;
    cluster_.ask(node, Message<schema::Request>::build([&](schema::Request::Builder request) {
                   request.initUndrainNode().setNode(node);
                 }),
                 [this, node](const absl::StatusOr<Message<schema::Response>>& told) {
                   if (told.ok()) drained_.erase(node);
                 });
  }
  if (!drained_.empty())
    cluster_.scheduler().at(cluster_.scheduler().now() + absl::Seconds(1),
                            [this] { undrain_all(); });
}

}  // namespace supercloud
