#include "actors/migration/orphan_watch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/message.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

VmName vm_of(const LeaseRecord& record) { return VmName::of(vm_of_key(record.key)); }

}  // namespace

OrphanWatch::OrphanWatch(Context& context, LeaseTable& leases, const SessionView& session,
                         OrphanWatchOptions options)
    : context_(context),
      leases_(leases),
      options_(std::move(options)),
      role_(context, leases, session, options_.role, {nullptr, nullptr},
            {.retry = options_.interval}) {
  role_.start();
  look();
}

void OrphanWatch::receive(const Event&) {}

void OrphanWatch::look() {
  context_.after(options_.interval, [this] { look(); });
  if (!role_.held()) return orphans_.clear();
  leases_.list({.prefix = vm_keys, .node = ""},
               context_.reply<std::vector<LeaseRecord>>(
                   options_.call_deadline, [this](absl::StatusOr<std::vector<LeaseRecord>> listed) {
                     if (listed.ok()) judge(*listed);
                   }));
}

void OrphanWatch::judge(const std::vector<LeaseRecord>& records) {
  std::map<std::string, Orphan> before = std::exchange(orphans_, {});
  for (const LeaseRecord& record : records) {
    const auto spec = Message<schema::VmSpec>::parse(record.value);
    const bool wanted = spec.ok() && spec->reader().getRunning() && !spec->reader().getPaused() &&
                        !spec->reader().getDestroyed();
    // A mark without an heir, or the record of what its user destroyed.
    const bool open =
        (record.heir && !record.heir_alive) || (spec.ok() && spec->reader().getDestroyed());
    if (record.session_alive || (!wanted && !open)) continue;
    Orphan orphan{.epoch = record.epoch, .since = context_.now()};
    const auto known = before.find(record.key);
    if (known != before.end() && known->second.epoch == record.epoch) orphan = known->second;
    if (context_.now() - orphan.since >= options_.patience) {
      if (open) ask_to_settle(record);
      if (wanted && !std::exchange(orphan.said, true)) say_failed(record);
    }
    orphans_.emplace(record.key, orphan);
  }
}

// An executor that is asked for a VM without a holder looks at it.
void OrphanWatch::ask_to_settle(const LeaseRecord& record) {
  const VmName vm = vm_of(record);
  context_.request({context_.node(), options_.executor},
                   Message<schema::Request>::build(
                       [&](schema::Request::Builder request) { vm.write(request.initShowVm()); }),
                   options_.call_deadline, [](const absl::StatusOr<Message<schema::Response>>&) {});
}

void OrphanWatch::say_failed(const LeaseRecord& record) {
  const VmName vm = vm_of(record);
  Draft event = context_.draft(vm.name, vm.tenant);
  event.epoch(record.epoch);
  auto payload = event.payload().initVmFailed();
  payload.setNode(record.holder);
  payload.setWhy(absl::StrCat("its holder is lost, and nobody may take it over; it starts when ",
                              record.in_sync.size() > 1 ? "one of " : "",
                              absl::StrJoin(record.in_sync, ", "), " is back with its disk"));
  context_.publish(std::move(event));
}

}  // namespace supercloud
