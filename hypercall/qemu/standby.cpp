// A standby is a copy that no migration brings yet: its QEMU waits for a stream, is spoken to, and has its capabilities. What is written down
// about it is that: neither own nor of a migration. A daemon that finds such a record ends it.
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "core/vm_name.h"
#include "hypercall/qemu/state.h"

namespace supercloud {

bool QemuHypervisor::State::is_standby_of(const Guest& guest, schema::VmSpec::Reader spec) const {
  const auto made_of = options.guests.of(spec);
  return made_of.ok() && loop.clock().now() < guest.standby->until && !guest.copy->ends() &&
         guest.copy->record().address == str(spec.getAddress()) &&
         guest.copy->record().post_copy == spec.getPostCopy() &&
         guest.standby->command == command_of(spec, *made_of, /*incoming=*/true);
}

void QemuHypervisor::State::end_standby(const std::string& vm, Reply<Done> reply,
                                        absl::AnyInvocable<void(Reply<Done>) &&> then) {
  guests.at(vm).copy->destroy(Reply<Done>(
      far_future, guarded([reply = std::move(reply),
                           then = std::move(then)](const absl::StatusOr<Done>& destroyed) mutable {
        if (!destroyed.ok()) return reply(destroyed);
        std::move(then)(std::move(reply));
      })));
}

void QemuHypervisor::State::end_late_standby(const std::string& vm) {
  const auto found = guests.find(vm);
  if (found == guests.end() || !found->second.standby) return;
  if (found->second.standby->until <= loop.clock().now()) found->second.copy->destroy({});
}

std::optional<std::string> QemuHypervisor::State::in_the_way(const std::string& vm,
                                                             std::uint64_t needed) const {
  const auto own = guests.find(vm);
  if (own != guests.end() && own->second.standby) return vm;
  if (own != guests.end() || needed <= memory_free_bytes()) return std::nullopt;
  for (const auto& [name, guest] : guests)
    if (guest.standby && guest.copy->doubt().ok()) return name;
  return std::nullopt;
}

void QemuHypervisor::State::prepare(const Message<schema::VmSpec>& spec, Epoch epoch,
                                    const EventId& migration, Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  const auto found = guests.find(vm);
  if (found == guests.end())
    return make(spec, {.epoch = epoch, .migration = migration}, std::move(reply));
  Guest& guest = found->second;
  if (guest.standby) {
    if (!is_standby_of(guest, spec.reader()))
      return end_standby(vm, std::move(reply), [this, spec, epoch, migration](Reply<Done> open) {
        prepare(spec, epoch, migration, std::move(open));
      });
    if (!guest.copy->doubt().ok()) return reply(guest.copy->doubt());
    if (const absl::Status taken = guest.copy->take(epoch, migration); !taken.ok())
      return reply(taken);
    guest.up = std::exchange(guest.standby, std::nullopt)->ready;
  }
  const QemuRecord& record = guest.copy->record();
  if (record.own || record.migration != migration || record.epoch != epoch)
    return reply(absl::AlreadyExistsError(absl::StrCat("this host has another copy of ", vm,
                                                       "; destroy it before migration ",
                                                       migration.to_string(), " brings one")));
  if (!guest.copy->doubt().ok()) return reply(guest.copy->doubt());
  if (guest.up) return reply(Done{});
  guest.preparing.push_back(std::move(reply));
}

void QemuHypervisor::State::keep(const Message<schema::VmSpec>& spec, Instant until,
                                 Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  const auto found = guests.find(vm);
  if (found == guests.end()) {
    make(spec, {.standby_until = until}, std::move(reply));
  } else if (!found->second.standby) {
    return reply(absl::AlreadyExistsError(
        absl::StrCat("this host has a copy of ", vm, "; no standby is kept beside it")));
  } else if (!is_standby_of(found->second, spec.reader())) {
    return end_standby(vm, std::move(reply), [this, spec, until](Reply<Done> open) {
      keep(spec, until, std::move(open));
    });
  } else {
    Guest& guest = found->second;
    guest.standby->until = until;
    if (!guest.copy->doubt().ok())
      reply(guest.copy->doubt());
    else if (guest.standby->ready)
      reply(Done{});
    else
      guest.preparing.push_back(std::move(reply));
  }
  loop.at(until, guarded([this, vm] { end_late_standby(vm); }));
}

// ---- the seam --------------------------------------------------------------------------------------------------------

void QemuHypervisor::keep_standby(Message<schema::VmSpec> spec, Instant until, Reply<Done> reply) {
  state_->keep(spec, until, std::move(reply));
}

std::uint64_t QemuHypervisor::standby_bytes(const std::string& vm) const {
  const auto found = state_->guests.find(vm);
  const bool kept = found != state_->guests.end() && found->second.standby;
  return kept ? found->second.copy->record().memory_bytes : 0;
}

void QemuHypervisor::drop_standbys() {
  for (auto& [vm, guest] : state_->guests) {
    if (!guest.standby) continue;
    guest.standby->until = {};
    state_->end_late_standby(vm);
  }
}

}  // namespace supercloud
