#include "simulation/convergence.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "actors/inventory/domain_inventory.h"
#include "actors/migration/node_directory.h"
#include "core/text.h"
#include "core/vm_name.h"
#include "simulation/charges.h"

namespace supercloud {
namespace {

constexpr const char* migrations_end = "4: every migration ends and leaves nothing behind";
constexpr const char* proposals_answered = "4: every proposal is accepted or refused";
constexpr const char* accesses_recorded =
    "5: an access to a resource that was answered is in a log";
constexpr const char* losses_said = "2: what a takeover loses is said";
constexpr const char* domains_told = "what was last said of a Xen host's domains is how they are";
constexpr const char* archives_keep =
    "an archive has what nodes have logged, once and in their order";
constexpr const char* followers_have =
    "a follower has what nodes have logged, once and in their order, or is told what it lacks";
constexpr const char* charges_right = "each hour, and what each move sends, is charged once";
constexpr const char* drained_stays_empty =
    "a node that says it is empty takes no guest until it is undrained";
constexpr const char* standbys_wanted =
    "a target is kept ready for VMs that want one there, and for no other";
constexpr const char* listeners_have =
    "a listener with a queue of its own is given what its node was, or is told what its queue let "
    "go";
constexpr const char* no_silent_loss = "5: no event is lost in silence";

// Time enough for what is lost at the end of a stream to be noticed by a heartbeat, waited for, and announced.
constexpr Duration gap_time = absl::Seconds(5);

// Time enough for another to take the ledger's role over, and to hear of what was before.
constexpr Duration charge_time = absl::Seconds(20);

// Time enough for an archive to hear of a node, and to read its log to the end.
constexpr Duration archive_time = absl::Seconds(4);

// Time enough for a follower that starts to come live, and to look again for what it missed.
constexpr Duration follow_time = absl::Seconds(5);

// Between a takeover's swap as its node sends it, when it looks at what it lacks, and the table's; and what was under way then.
constexpr Duration telling_max = absl::Seconds(2);

// Whether a VM whose holder is gone for good may stay down: nobody has its disk, or its user chose to wait.
bool may_stay_down(SimulatedCluster& cluster, const LeaseRecord& record,
                   schema::VmSpec::Reader spec) {
  SimulatedMachine* holder = cluster.machine(record.holder);
  if (holder != nullptr && !cluster.lost(*holder)) return false;
  if (spec.getDiskLoss() == schema::DiskLoss::WAIT) return true;
  for (const auto& machine : cluster.machines()) {
    if (cluster.lost(*machine)) continue;
    // Who has not heard of the holder for longer than the bound does not take it over either.
    bool named = record.loss_allowed && spec.getLossBoundNs() == 0;
    for (const std::string& node : record.in_sync) named = named || node == machine->name();
    const auto volume = machine->disk().volumes().find(vm_of_key(record.key));
    if (named && volume != machine->disk().volumes().end() && volume->second.state().complete)
      return false;
  }
  return true;
}

bool anybody_left(const SimulatedCluster& cluster) {
  return std::ranges::any_of(cluster.machines(),
                             [&](const auto& machine) { return !cluster.lost(*machine); });
}

void check_migrations(SimulatedCluster& cluster, const std::vector<Event>& history) {
  std::map<EventId, std::string> open;
  std::set<EventId> ended, completed, aborted;
  for (const Event& event : history) {
    if (event.type() == schema::Payload::MIGRATION_ACCEPTED)
      open[event.migration()] = absl::StrCat(event.tenant(), "/", event.subject());
    if (event.type() == schema::Payload::MIGRATION_COMPLETED) completed.insert(event.migration());
    // Of who committed and was lost nobody else knows whether it had said so (choreography, rule 6).
    const auto stage = event.payload().isMigrationAborted()
                           ? text(event.payload().getMigrationAborted().getStage())
                           : std::string_view();
    if (event.type() == schema::Payload::MIGRATION_ABORTED) ended.insert(event.migration());
    if (!stage.empty() && stage != "committed" && stage != "not known")
      aborted.insert(event.migration());
  }
  for (const EventId& migration : completed) {
    ended.insert(migration);
    if (!open.contains(migration))
      cluster.checker().violated(migrations_end,
                                 absl::StrCat("migration ", migration.short_id(),
                                              " was said to have completed, and never accepted"));
    if (aborted.contains(migration))
      cluster.checker().violated(migrations_end,
                                 absl::StrCat("migration ", migration.short_id(),
                                              " was said to have completed, and to have aborted"));
  }
  for (const auto& [migration, vm] : open) {
    if (!ended.contains(migration) && anybody_left(cluster))
      cluster.checker().violated(migrations_end,
                                 absl::StrCat("migration ", migration.short_id(), " of ", vm,
                                              " was accepted and never ended"));
  }
}

// Whether the executor that has to answer a proposal may have gone down with it: its machine is lost, or its daemon ended
// between the proposal (by clocks that stand a little off) and the last moment for an answer.
bool answer_may_be_lost(const SimulatedCluster& cluster, const SimulatedMachine* source,
                        Instant proposed) {
  if (source == nullptr || cluster.lost(*source)) return true;
  return std::ranges::any_of(source->daemon_ends(), [&](Instant ended) {
    return ended > proposed - absl::Seconds(1) &&
           ended < proposed + cluster.options().executor.migration_deadline;
  });
}

void check_proposals(SimulatedCluster& cluster, const std::vector<Event>& history) {
  std::set<EventId> answered;
  for (const Event& event : history)
    if (event.type() == schema::Payload::MIGRATION_ACCEPTED ||
        event.type() == schema::Payload::MIGRATION_REFUSED ||
        event.type() == schema::Payload::MIGRATION_COMPLETED ||
        event.type() == schema::Payload::MIGRATION_ABORTED)
      answered.insert(event.migration());  // an end says that it was accepted
  const absl::Time start = cluster.scheduler().wall() - (cluster.scheduler().now() - Instant());
  for (const Event& event : history) {
    if (event.type() != schema::Payload::MIGRATION_PROPOSED || answered.contains(event.id()))
      continue;
    const std::string source(text(event.payload().getMigrationProposed().getSourceNode()));
    if (answer_may_be_lost(cluster, cluster.machine(source),
                           Instant() + (event.time().wall() - start)))
      continue;
    cluster.checker().violated(
        proposals_answered,
        absl::StrCat("migration ", event.id().short_id(), " of ", event.tenant(), "/",
                     event.subject(), " was proposed by ", std::string(event.origin()), ", and ",
                     source, " did not answer"));
  }
}

void check_deliveries(SimulatedCluster& cluster) {
  cluster.deliveries().judge(cluster.scheduler().now() - gap_time, [&](std::string what) {
    cluster.checker().violated(no_silent_loss, std::move(what));
  });
}

// A takeover that loses something says so, and since when.
void check_losses(SimulatedCluster& cluster, const std::vector<Event>& history) {
  for (const Checker::Loss& loss : cluster.checker().losses()) {
    for (const Event& event : history) {
      if (event.type() != schema::Payload::VM_STARTED || event.epoch() != loss.epoch ||
          loss.vm != absl::StrCat(event.tenant(), "/", event.subject()))
        continue;
      const auto started = event.payload().getVmStarted();
      const bool all = started.getSilentNs() < 0 ||
                       absl::Nanoseconds(started.getSilentNs()) + telling_max >= loss.age;
      if (all && !started.getFlushesKept()) continue;
      cluster.checker().violated(
          losses_said,
          absl::StrCat(loss.vm, " lost at epoch ", loss.epoch, " what had been promised ",
                       absl::FormatDuration(loss.age), " before, and vm.started says ",
                       started.getFlushesKept()
                           ? "that what was flushed is kept"
                           : absl::FormatDuration(absl::Nanoseconds(started.getSilentNs()))));
    }
  }
}

bool said_failed(const std::vector<Event>& history, const LeaseRecord& record) {
  return std::ranges::any_of(history, [&](const Event& event) {
    return event.type() == schema::Payload::VM_FAILED && event.epoch() == record.epoch &&
           record.key == key_of_vm(VmName::of(event).to_string());
  });
}

// A crash may take the noted event from its log; then it is said again.
bool said_resumed(const std::vector<Event>& history, const LeaseRecord& record) {
  return std::ranges::any_of(history, [&](const Event& event) {
    return event.type() == schema::Payload::VM_RESUMED && event.epoch() == record.epoch &&
           text(event.payload().getVmResumed().getNode()) == record.holder &&
           record.key == key_of_vm(VmName::of(event).to_string());
  });
}

void check_vm(SimulatedCluster& cluster, const LeaseRecord& record,
              const std::vector<Event>& history) {
  const std::string vm = vm_of_key(record.key);
  const auto spec = Message<schema::VmSpec>::parse(record.value);
  if (!spec.ok()) {
    cluster.checker().violated(migrations_end, absl::StrCat(vm, ": its description is damaged"));
    return;
  }
  const auto said = [&](const std::string& what) {
    cluster.checker().violated(migrations_end, absl::StrCat(vm, " (held by ", record.holder, " at ",
                                                            record.epoch, ") ", what));
  };
  if (spec->reader().getDestroyed()) said("is still being destroyed");
  const bool wanted = spec->reader().getRunning() && !spec->reader().getPaused();
  const bool down = may_stay_down(cluster, record, spec->reader());
  if (down && wanted && anybody_left(cluster) && !said_failed(history, record))
    said("is down, and nobody said so");
  if (record.heir && anybody_left(cluster))
    said(absl::StrCat("still has the mark of migration ", record.heir->migration.short_id()));
  for (const auto& machine : cluster.machines()) {
    const bool holds = machine->name() == record.holder;
    bool there = false;
    for (const GuestProbe& probe : machine->probes()) {
      if (probe.vm != vm) continue;
      there = true;
      if (!holds) said(absl::StrCat("has a copy left on ", machine->name()));
      if (probe.executes != wanted)
        said(absl::StrCat(wanted ? "does not execute on " : "executes on ", machine->name()));
      if (wanted && probe.executes && probe.epoch != record.epoch)
        said(absl::StrCat("executes at epoch ", probe.epoch));
      if (holds && probe.executes && probe.epoch == record.epoch && !said_resumed(history, record))
        said("executes, and no log says so");
    }
    if (holds && wanted && !there && !down) said("has no copy where it is held");
    const auto port = machine->open_port(vm);
    if (port && !holds) said(absl::StrCat("has an open port on ", machine->name()));
    if (holds && wanted && there && port != record.epoch)
      said("cannot speak: its port is not open at its epoch");
  }
}

void check_accesses(SimulatedCluster& cluster, const std::vector<Event>& history) {
  std::map<std::string, std::uint64_t> recorded;
  for (const Event& event : history)
    if (event.type() == schema::Payload::RESOURCE_ACCESSED)
      ++recorded[absl::StrCat(event.tenant(), "/", event.subject())];
  for (const auto& [vm, answered] : cluster.checker().accesses())
    if (recorded[vm] < answered)
      cluster.checker().violated(accesses_recorded,
                                 absl::StrCat(vm, " was answered ", answered, " times, of which ",
                                              recorded[vm], " are in a log"));
}

std::string domain_words(const DomainStatus& status, schema::DomainState state,
                         const std::string& name) {
  return absl::StrCat(name, " ", status.uuid, " state ", static_cast<int>(state), " ",
                      status.memory_bytes, " bytes ", status.cpus, " CPUs");
}

// All that was said of a domain, put together as by anybody who listens; against the machine itself.
void check_domains(SimulatedCluster& cluster, const std::vector<Event>& history) {
  for (const auto& machine : cluster.machines()) {
    if (cluster.lost(*machine) || machine->xen() == nullptr) continue;
    std::map<DomainId, std::string> told;
    for (const Event& event : history) {
      if (event.type() != schema::Payload::VM_DOMAIN_CHANGED) continue;
      const auto changed = event.payload().getVmDomainChanged();
      if (text(changed.getNode()) != machine->name()) continue;
      if (changed.getState() == schema::DomainState::GONE) {
        told.erase(changed.getDomain());
        continue;
      }
      told[changed.getDomain()] = domain_words({.uuid = str(changed.getUuid()),
                                                .memory_bytes = changed.getMemoryBytes(),
                                                .cpus = changed.getCpus()},
                                               changed.getState(), str(changed.getName()));
    }
    std::map<DomainId, std::string> there;
    const std::vector<DomainStatus> domains = *machine->xen()->list();
    for (const DomainStatus& status : domains) {
      const XenTree::Node* name =
          machine->xen()->tree().find(XenPath::domain(status.id).text() + "/name");
      if (status.id != 0)
        there[status.id] =
            domain_words(status, to_schema(status.state), name == nullptr ? "" : name->value);
    }
    if (told == there) continue;
    std::string what = absl::StrCat(machine->name(), " has");
    for (const auto& [id, words] : there) absl::StrAppend(&what, " [", id, " ", words, "]");
    absl::StrAppend(&what, "; said was");
    for (const auto& [id, words] : told) absl::StrAppend(&what, " [", id, " ", words, "]");
    cluster.checker().violated(domains_told, what);
  }
}

// Of each node what an archive has is the beginning of the node's log, byte for byte and without a hole; of a node that is there, all but the
// newest, and for what its log has forgotten. So nothing is in it twice, nothing is in another order, and whatever a lost node's disk had taken along
// is its end.
void check_archive(SimulatedCluster& cluster, const std::string& keeper,
                   const MemoryLogDisk& archive) {
  const auto wanted = [&](std::string_view topic) {
    const std::vector<std::string>& patterns = cluster.options().archive->patterns;
    return std::ranges::any_of(
        patterns, [&](const std::string& each) { return Pattern::of(each).matches(topic); });
  };
  std::map<std::string, std::vector<std::uint64_t>> kept;  // positions, by node
  for (const auto& [origin, places] : archive.by_origin)
    for (const MemoryLogDisk::Place& place : places)
      kept[std::string(node_of(origin))].push_back(place.position);
  const absl::Time settled = cluster.scheduler().wall() - archive_time;
  for (const SimulatedCluster::NodeLog& log : cluster.node_logs()) {
    std::vector<std::uint64_t>& positions = kept[log.node];
    std::ranges::sort(positions);
    std::size_t next = 0;
    const MemoryLogDisk::Stored* absent = nullptr;
    const auto said = [&](std::string_view what, std::string_view topic) {
      cluster.checker().violated(
          archives_keep, absl::StrCat("the archive of ", keeper, " ", std::string(what), " of ",
                                      log.node, " (", std::string(topic), ")"));
    };
    std::uint64_t position = 0;
    for (const MemoryLogDisk::Stored& stored : log.disk->events) {
      const bool forgotten = ++position < log.disk->past.begins();
      if (!wanted(stored.topic)) continue;
      const bool more = next < positions.size();
      if (more && archive.events[positions[next] - 1].bytes == stored.bytes) {
        ++next;
      } else if (forgotten) {
        continue;  // perhaps before the archive could read it
      } else if (more) {
        return said("lacks, doubles or misplaces an event", stored.topic);
      } else {
        absent = &stored;
        break;
      }
    }
    if (absent == nullptr && next < positions.size())
      return said("has more than the log", archive.events[positions[next] - 1].topic);
    if (absent != nullptr && !log.lost && absent->time.wall() < settled)
      return said("has no more, long after it was said,", absent->topic);
  }
}

// What lost disks took along may be in no archive either.
void check_followers(SimulatedCluster& cluster) {
  const absl::Time settled = cluster.scheduler().wall() - follow_time;
  for (const auto& machine : cluster.machines()) {
    if (!machine->options().follower || cluster.lost(*machine)) continue;
    const auto said = [&](const std::string& what) {
      cluster.checker().violated(followers_have,
                                 absl::StrCat("the follower of ", machine->name(), ": ", what));
    };
    for (const std::string& what : machine->followed().wrong()) said(what);
    for (const SimulatedCluster::NodeLog& log : cluster.node_logs())
      if (!log.lost) machine->followed().judge(*log.disk, settled, cluster.pool(), said);
  }
}

void check_charges(SimulatedCluster& cluster, const std::vector<Event>& history) {
  const bool kept = cluster.options().market && anybody_left(cluster);
  const absl::Time settled = kept ? cluster.scheduler().wall() - charge_time : absl::InfinitePast();
  for (std::string& fault : charge_faults(history, settled))
    cluster.checker().violated(charges_right, std::move(fault));
}

// By the words of each node's executor, in their order.
void check_drains(SimulatedCluster& cluster, const std::vector<Event>& history) {
  std::map<std::string, std::vector<const Event*>> said;  // by origin
  for (const Event& event : history) said[std::string(event.origin())].push_back(&event);
  for (auto& [origin, events] : said) {
    std::ranges::sort(events, {}, [](const Event* event) {
      return std::pair(event->incarnation(), event->sequence());
    });
    enum class State : std::uint8_t { open, draining, drained } state = State::open;
    for (const Event* event : events) {
      const bool drained = event->type() == schema::Payload::NODE_DRAINED;
      if ((drained && state == State::open) ||
          (event->type() == schema::Payload::MIGRATION_TARGET_READY && state == State::drained))
        cluster.checker().violated(drained_stays_empty, absl::StrCat(event->id().short_id(), ", ",
                                                                     std::string(event->topic())));
      if (event->type() == schema::Payload::NODE_DRAINING) state = State::draining;
      if (drained) state = State::drained;
      if (event->type() == schema::Payload::NODE_UNDRAINED) state = State::open;
    }
  }
}

// Each node knows all that hold, and what; only of its own cloud where a hub lies.
void check_holders(SimulatedCluster& cluster) {
  constexpr Duration settled = absl::Seconds(20);
  const auto holding = cluster.checker().holds().who_holds(settled);
  for (const auto& machine : cluster.machines()) {
    const auto known = machine->known_holders(settled);
    if (!known) continue;
    for (const auto& [holder, patterns] : holding) {
      if (cluster.options().hub_lies && cluster.networks().cloud_of(machine->name()) !=
                                            cluster.networks().cloud_of(str(node_of(holder))))
        continue;
      const auto found = known->find(holder);
      for (const Pattern& pattern : patterns)
        if (found == known->end() ||
            std::ranges::find(found->second, pattern) == found->second.end())
          cluster.checker().violated("who holds is known",
                                     absl::StrCat(machine->name(), " does not know that ", holder,
                                                  " holds ", pattern.text()));
    }
  }
}

// Whoever waits for those that hold is told when nothing is wrong any more.
void check_held(SimulatedCluster& cluster) {
  constexpr Duration waits_max = absl::Seconds(45);  // HeldEvents::unseen_max, and some questions
  for (const auto& machine : cluster.machines())
    for (const Event& event : machine->held())
      if (cluster.scheduler().wall() - event.time().wall() > waits_max)
        cluster.checker().violated(
            "nothing is waited for for ever",
            absl::StrCat(event.id().to_string(), ", ", std::string(event.topic())));
}

}  // namespace

void check_listeners(SimulatedCluster& cluster) {
  for (const auto& machine : cluster.machines()) {
    if (cluster.lost(*machine)) continue;
    for (const ListenerBook& book : machine->listened())
      book.judge(cluster.scheduler().now() - gap_time, [&](const std::string& what) {
        cluster.checker().violated(listeners_have,
                                   absl::StrCat(machine->name(), "/", book.actor(), ": ", what));
      });
  }
}

// Their time is over for VMs that are gone, stopped, or there.
void check_standbys(SimulatedCluster& cluster) {
  std::map<std::string, LeaseRecord> records;
  for (const auto& [key, stored] : cluster.leases().leases)
    if (key.starts_with(vm_keys)) records.emplace(vm_of_key(key), stored.record);
  for (const auto& machine : cluster.machines()) {
    const std::vector<std::string> kept = machine->standbys();
    for (const std::string& vm : kept) {
      const auto record = records.find(vm);
      const auto spec = record == records.end()
                            ? absl::StatusOr<Message<schema::VmSpec>>(absl::NotFoundError(""))
                            : Message<schema::VmSpec>::parse(record->second.value);
      if (!spec.ok() || !spec->reader().getRunning() || record->second.holder == machine->name() ||
          !is_prepared(spec->reader(), machine->name()))
        cluster.checker().violated(
            standbys_wanted, absl::StrCat("a target for ", vm, " is kept on ", machine->name()));
    }
  }
}

void demand_convergence(SimulatedCluster& cluster, const std::vector<Event>& history) {
  check_migrations(cluster, history);
  check_proposals(cluster, history);
  check_drains(cluster, history);
  check_deliveries(cluster);
  check_accesses(cluster, history);
  check_losses(cluster, history);
  check_domains(cluster, history);
  check_charges(cluster, history);
  check_followers(cluster);
  check_listeners(cluster);
  check_standbys(cluster);
  for (const auto& [keeper, archive] : cluster.archives()) check_archive(cluster, keeper, *archive);
  cluster.checker().check_archived();
  check_held(cluster);
  check_holders(cluster);
  std::set<std::string> known;
  for (const auto& [key, stored] : cluster.leases().leases) {
    if (!key.starts_with(vm_keys)) continue;
    known.insert(vm_of_key(key));
    check_vm(cluster, stored.record, history);
  }
  for (const auto& machine : cluster.machines())
    for (const GuestProbe& probe : machine->probes())
      if (!known.contains(probe.vm))
        cluster.checker().violated(
            migrations_end,
            absl::StrCat(probe.vm, " has no lease, and a copy on ", machine->name()));
  for (const auto& machine : cluster.machines())
    for (const auto& [vm, volume] : machine->disk().volumes())
      if (!cluster.lost(*machine) && !known.contains(vm))
        cluster.checker().violated(
            migrations_end, absl::StrCat(vm, " has no lease, and a disk on ", machine->name()));
}

}  // namespace supercloud
