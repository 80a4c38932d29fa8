#include "actors/observer/describe.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/observer/migration_words.h"
#include "actors/observer/words.h"
#include "core/bus.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// ---- market

std::string words(const Event&, schema::PriceChanged::Reader e) {
  return absl::StrCat(place_words(text(e.getPlace().getId())), " costs ",
                      price_words(e.getPriceNanoUsdPerHour()), " since ",
                      market_words(e.getSinceNs()), " market time");
}
std::string words(const Event&, schema::InterruptionNotice::Reader e) {
  std::string out = absl::StrCat("the cloud takes ", str(e.getInstance()), " at ",
                                 place_words(text(e.getPlace())));
  if (e.getNode().size() > 0) absl::StrAppend(&out, " (", str(e.getNode()), ")");
  absl::StrAppend(&out, " in ", ns_words(e.getNoticeNs()));
  if (e.getPriceNanoUsdPerHour() > e.getBidNanoUsdPerHour())
    absl::StrAppend(&out, ": its price, ", price_words(e.getPriceNanoUsdPerHour()),
                    ", exceeds the bid of ", price_words(e.getBidNanoUsdPerHour()));
  return out;
}
std::string words(const Event&, schema::FeedLost::Reader e) {
  return absl::StrCat("no prices from ", str(e.getSource()), " since ",
                      market_words(e.getSinceNs()), " market time", because(e.getWhy()));
}
std::string words(const Event&, schema::FeedRestored::Reader e) {
  return absl::StrCat("prices from ", str(e.getSource()), " arrive again");
}
std::string words(const Event&, schema::InstanceRequested::Reader e) {
  std::string out =
      absl::StrCat("an instance at ", place_words(text(e.getPlace())), " is asked for");
  if (e.getBidNanoUsdPerHour() > 0 && text(e.getPlace()).ends_with("/spot"))
    absl::StrAppend(&out, ", bid ", price_words(e.getBidNanoUsdPerHour()));
  return absl::StrCat(out, in_parentheses(e.getWhy()));
}
std::string words(const Event&, schema::InstanceLaunched::Reader e) {
  return absl::StrCat(
      str(e.getInstance()), " is rented at ", place_words(text(e.getPlace().getId())), " for ",
      price_words(e.getPriceNanoUsdPerHour()),
      e.getNode().size() > 0 ? absl::StrCat("; it will join as ", str(e.getNode())) : "");
}
std::string words(const Event&, schema::InstanceRefused::Reader e) {
  return absl::StrCat("no instance at ", place_words(text(e.getPlace())), because(e.getWhy()));
}
std::string ended(schema::InstanceEnded::Reader e, std::string_view how) {
  return absl::StrCat(str(e.getInstance()), " at ", place_words(text(e.getPlace())),
                      std::string(how), because(e.getWhy()));
}
std::string words(const Event&, schema::Charged::Reader e) {
  if (e.getSentBytes() > 0) {
    std::string out =
        absl::StrCat(money_words({e.getAmountNanoUsd()}), " for ", bytes_words(e.getSentBytes()));
    if (e.getPlace().size() > 0) absl::StrAppend(&out, " out of ", place_words(text(e.getPlace())));
    if (e.getInstance().size() > 0) absl::StrAppend(&out, " (", str(e.getInstance()), ")");
    return absl::StrCat(out, ", ", money_words({e.getPriceNanoUsdPerHour()}), " per GiB",
                        because(e.getWhy()));
  }
  return absl::StrCat(money_words({e.getAmountNanoUsd()}), " for ", str(e.getInstance()), " at ",
                      place_words(text(e.getPlace())), ", ", market_words(e.getFromNs()), " to ",
                      market_words(e.getToNs()), in_parentheses(e.getWhy()));
}

// ---- nodes

std::string words(const Event&, schema::NodeJoined::Reader e) {
  return absl::StrCat(str(e.getNode()), " joins at ", place_words(text(e.getPlace().getId())), ": ",
                      str(e.getHypervisor()), ", ", count_words(e.getCpus(), "CPU", "CPUs"), ", ",
                      bytes_words(e.getMemoryBytes()));
}
std::string stays_words(capnp::List<schema::Check>::Reader stays) {
  std::string out;
  for (const auto check : stays) {
    absl::StrAppend(&out, "; ", str(check.getName()), " stays", because(check.getDetail()));
    if (check.getCure().size() > 0) absl::StrAppend(&out, " (", str(check.getCure()), ")");
  }
  return out;
}
std::string words(const Event&, schema::Draining::Reader e) {
  std::string out = absl::StrCat(str(e.getNode()), " is to be empty");
  if (e.getDeadlineNs() > 0) absl::StrAppend(&out, " within ", ns_words(e.getDeadlineNs()));
  return absl::StrCat(out, because(e.getWhy()), "; it has ",
                      count_words(e.getGuests(), "guest", "guests"), stays_words(e.getStays()));
}
std::string words(const Event&, schema::Drained::Reader e) {
  return absl::StrCat(str(e.getNode()), " is empty", stays_words(e.getStays()));
}
std::string words(const Event&, schema::Undrained::Reader e) {
  return absl::StrCat(str(e.getNode()), " takes guests again", because(e.getWhy()));
}
std::string words(const Event&, schema::NodeLeft::Reader e) {
  return absl::StrCat(str(e.getNode()), " leaves", because(e.getWhy()));
}
std::string words(const Event&, schema::Heartbeat::Reader e) {
  return absl::StrCat(str(e.getNode()), " is alive, beat ", e.getBeat());
}
std::string words(const Event&, schema::Capacity::Reader e) {
  return absl::StrCat(str(e.getNode()), " runs ", count_words(e.getVms(), "VM", "VMs"), ", ",
                      bytes_words(e.getMemoryFreeBytes()), " are free");
}

// ---- VMs

std::string words(const Event& event, schema::VmDefined::Reader e) {
  const auto spec = e.getSpec();
  return absl::StrCat(event.subject(), " is defined on ", str(e.getNode()), ": ",
                      bytes_words(spec.getMemoryBytes()), " memory, ",
                      bytes_words(spec.getDiskBytes()), " disk, policy ", str(spec.getPolicy()));
}
std::string words(const Event& event, schema::VmStarted::Reader e) {
  return absl::StrCat(event.subject(), " starts on ", str(e.getNode()), in_parentheses(e.getWhy()),
                      loss_words(e.getSilentNs(), e.getFlushesKept()));
}
std::string words(const Event& event, schema::VmStopped::Reader e) {
  return absl::StrCat(event.subject(), " stopped on ", str(e.getNode()),
                      in_parentheses(e.getWhy()));
}
std::string words(const Event& event, schema::VmFailed::Reader e) {
  return absl::StrCat(event.subject(), " failed on ", str(e.getNode()), because(e.getWhy()));
}
std::string words(const Event& event, schema::VmDestroyed::Reader e) {
  return absl::StrCat(event.subject(), " is destroyed on ", str(e.getNode()));
}
std::string words(const Event& event, schema::VmPaused::Reader e) {
  return absl::StrCat(event.subject(), " is paused on ", str(e.getNode()),
                      in_parentheses(e.getWhy()));
}
std::string words(const Event& event, schema::VmResumed::Reader e) {
  return absl::StrCat(event.subject(), " runs on ", str(e.getNode()), " at epoch ", event.epoch(),
                      in_parentheses(e.getWhy()));
}
std::string words(const Event& event, schema::VmReleased::Reader e) {
  return absl::StrCat(str(e.getNode()), " gives up the memory of ", event.subject());
}
std::string words(const Event& event, schema::DirtyRate::Reader e) {
  return absl::StrCat(event.subject(), " dirties ",
                      count_words(e.getPagesPerSecond(), "page", "pages"), "/s of ",
                      count_words(e.getWorkingSetPages(), "page", "pages"));
}
std::string words(const Event&, schema::DomainChanged::Reader e) {
  const auto how = [&]() -> std::string {
    switch (e.getState()) {
      case schema::DomainState::RUNNING:
        return " runs";
      case schema::DomainState::PAUSED:
        return " is paused";
      case schema::DomainState::SUSPENDED:
        return " is suspended";
      case schema::DomainState::SHUT_DOWN:
        return " has shut down";
      case schema::DomainState::CRASHED:
        return " has crashed";
      case schema::DomainState::DYING:
        return " is being taken down";
      case schema::DomainState::GONE:
        return " is gone";
    }
    return " has changed";
  };
  std::string out = absl::StrCat("domain ", e.getDomain(), " of ", str(e.getNode()));
  if (e.getName().size() > 0) absl::StrAppend(&out, ", ", str(e.getName()), ",");
  absl::StrAppend(&out, how());
  if (e.getState() != schema::DomainState::GONE)
    absl::StrAppend(&out, ", with ", bytes_words(e.getMemoryBytes()), " and ",
                    count_words(e.getCpus(), "CPU", "CPUs"));
  return out;
}

// ---- policies

std::string words(const Event& event, schema::PolicyFailed::Reader e) {
  // None under virtual time.
  const std::string took =
      e.getTookNs() == 0 ? ""
                         : absl::StrCat(" after ", span_words(absl::Nanoseconds(e.getTookNs())));
  return absl::StrCat("policy ", str(e.getPolicy()), " failed for ", event.subject(), took,
                      because(e.getWhy()), "; it stays where it is");
}

// ---- storage, network

std::string words(const Event& event, schema::ReplicaLag::Reader e) {
  return absl::StrCat("the copy of ", event.subject(), "'s disk on ", str(e.getNode()), " is ",
                      bytes_words(e.getBytes()), " and ",
                      span_words(absl::Milliseconds(e.getLagMs())), " behind");
}
std::string words(const Event& event, schema::ReplicaReady::Reader e) {
  return absl::StrCat(str(e.getNode()), " has the disk of ", event.subject(), ", version ",
                      e.getVersion());
}
std::string words(const Event& event, schema::Sealed::Reader e) {
  return absl::StrCat(str(e.getNode()), " sealed the disk of ", event.subject(), " at version ",
                      e.getVersion());
}
std::string words(const Event& event, schema::Verified::Reader e) {
  return absl::StrCat(str(e.getNode()), " has the same version ", e.getVersion(),
                      " of the disk of ", event.subject(), " on stable storage");
}
std::string words(const Event& event, schema::PathReady::Reader e) {
  return absl::StrCat(str(e.getNode()), " has the network path for ", event.subject());
}
std::string words(const Event& event, schema::Switched::Reader e) {
  std::string out = absl::StrCat("frames for ", event.subject());
  if (e.getAddress().size() > 0) absl::StrAppend(&out, " (", str(e.getAddress()), ")");
  absl::StrAppend(&out, " go to ", str(e.getNode()));
  if (e.getBy().size() > 0 && text(e.getBy()) != text(e.getNode()))
    absl::StrAppend(&out, ", says ", str(e.getBy()));
  return out;
}
std::string words(const Event& event, schema::BlackoutMeasured::Reader e) {
  return absl::StrFormat("%s was without traffic for %.1f ms", event.subject(),
                         e.getMilliseconds());
}

// ---- the rest

std::string words(const Event&, schema::ResourceAccessed::Reader e) {
  return absl::StrCat(str(e.getVm()), " reads ", bytes_words(e.getBytes()), " of ",
                      str(e.getResource()), " at ", place_words(text(e.getHome())));
}
std::string words(const Event&, schema::LatencyMeasured::Reader e) {
  return absl::StrFormat("%s is %.1f ms from %s", str(e.getClient()), e.getMilliseconds(),
                         place_words(text(e.getPlace())));
}
std::string words(const Event& event, schema::Considered::Reader e) {
  const bool stays = text(e.getChoice()) == "stay";
  std::string out = absl::StrCat(event.subject(), stays ? " stays" : " should be at ",
                                 stays ? "" : place_words(text(e.getChoice())),
                                 because(e.getReason()), " (policy ", str(e.getPolicy()));
  if (e.getUnchangedLooks() > 0)
    absl::StrAppend(&out, "; before, unchanged in ",
                    count_words(e.getUnchangedLooks(), "look", "looks"), ", the last at ",
                    second_words({e.getLastLook()}, need_dates({e.getLastLook()}, event.time())));
  return out + ")";
}
std::string words(const Event&, schema::Gap::Reader e) {
  if (e.getUpTo() == BusGap::unknown)
    return absl::StrCat(str(e.getSubscriber()), " may have missed events after ", e.getAfter(),
                        " of ", str(e.getOrigin()), ", whose log is lost",
                        in_parentheses(e.getDone()));
  return absl::StrCat(str(e.getSubscriber()), " missed events ", e.getAfter() + 1, " to ",
                      e.getUpTo(), " of ", str(e.getOrigin()),
                      e.getPrefix().size() > 0 ? absl::StrCat(" under ", str(e.getPrefix())) : "",
                      in_parentheses(e.getDone()));
}
std::string words(const Event&, schema::SlowSubscriber::Reader e) {
  return absl::StrCat(str(e.getSubscriber()), " is ",
                      count_words(e.getBacklog(), "event", "events"), " behind",
                      in_parentheses(e.getDone()));
}
std::string words(const Event& event, schema::Holding::Reader e) {
  return absl::StrCat("publishers wait for ",
                      count_words(e.getHolds().size(), "subscription", "subscriptions"), " of ",
                      event.subject());
}
std::string words(const Event&, schema::ActorFailed::Reader e) {
  return absl::StrCat("actor ", str(e.getActor()), " failed", because(e.getWhy()),
                      in_parentheses(e.getDone()));
}
std::string words(const Event&, schema::Rejected::Reader e) {
  return absl::StrCat(count_words(e.getCount(), "message", "messages"), " of ", str(e.getFrom()),
                      " not taken", because(e.getWhy()));
}
std::string words(const Event&, schema::SubscriptionPosition::Reader e) {
  return absl::StrCat("subscription ", str(e.getSubscription()), " of ", str(e.getActor()),
                      " has come to ", str(e.getCursor()));
}
std::string words(const Event& event, schema::Checkpoint::Reader e) {
  std::size_t events = 0;
  for (const auto stream : e.getStreams()) events += stream.getSequences().size();
  return absl::StrCat(count_words(events, "event", "events"), " signed by ",
                      absl_view(node_of(event.origin())));
}
std::string words(const Event& event, schema::SwapRequested::Reader e) {
  const auto what = [&]() -> std::string {
    switch (e.getKind()) {
      case schema::SwapKind::DEFINE:
        return "wants to define it";
      case schema::SwapKind::ACCEPT:
        return "names the target as heir";
      case schema::SwapKind::CLEAR_HEIR:
        return "takes the heir's mark away";
      case schema::SwapKind::COMMIT:
        return "wants to take it over from the source";
      case schema::SwapKind::RECLAIM:
        return "wants its paused copy back";
      case schema::SwapKind::RESTART:
        return "wants to restart it";
      case schema::SwapKind::TAKEOVER:
        return "wants to take it over from a lost holder";
      case schema::SwapKind::IN_SYNC:
        return "changes the in-sync set";
      case schema::SwapKind::DESIRE:
        return "changes what its user wants";
      case schema::SwapKind::REMOVE:
        return "removes the record";
    }
    return "swaps its record";
  };
  return absl::StrCat(str(node_of(event.origin())), " asks for the lease of ", event.subject(),
                      " at epoch ", e.getEpoch(), ": it ", what());
}

std::string words_of(const Event& event) {
  const auto p = event.payload();
  switch (p.which()) {
    case schema::Payload::UNKNOWN:
      return "a kind of event that this program does not know";
    case schema::Payload::SPOT_PRICE_CHANGED:
      return words(event, p.getSpotPriceChanged());
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
      return words(event, p.getSpotInterruptionNotice());
    case schema::Payload::SPOT_FEED_LOST:
      return words(event, p.getSpotFeedLost());
    case schema::Payload::SPOT_FEED_RESTORED:
      return words(event, p.getSpotFeedRestored());
    case schema::Payload::INSTANCE_REQUESTED:
      return words(event, p.getInstanceRequested());
    case schema::Payload::INSTANCE_LAUNCHED:
      return words(event, p.getInstanceLaunched());
    case schema::Payload::INSTANCE_REFUSED:
      return words(event, p.getInstanceRefused());
    case schema::Payload::INSTANCE_RETURNED:
      return ended(p.getInstanceReturned(), " is given back");
    case schema::Payload::INSTANCE_REVOKED:
      return ended(p.getInstanceRevoked(), " was taken by the cloud");
    case schema::Payload::LEDGER_CHARGED:
      return words(event, p.getLedgerCharged());
    case schema::Payload::NODE_JOINED:
      return words(event, p.getNodeJoined());
    case schema::Payload::NODE_LEFT:
      return words(event, p.getNodeLeft());
    case schema::Payload::NODE_DRAINING:
      return words(event, p.getNodeDraining());
    case schema::Payload::NODE_DRAINED:
      return words(event, p.getNodeDrained());
    case schema::Payload::NODE_UNDRAINED:
      return words(event, p.getNodeUndrained());
    case schema::Payload::NODE_HEARTBEAT:
      return words(event, p.getNodeHeartbeat());
    case schema::Payload::NODE_CAPACITY:
      return words(event, p.getNodeCapacity());
    case schema::Payload::VM_DEFINED:
      return words(event, p.getVmDefined());
    case schema::Payload::VM_STARTED:
      return words(event, p.getVmStarted());
    case schema::Payload::VM_STOPPED:
      return words(event, p.getVmStopped());
    case schema::Payload::VM_FAILED:
      return words(event, p.getVmFailed());
    case schema::Payload::VM_PAUSED:
      return words(event, p.getVmPaused());
    case schema::Payload::VM_RESUMED:
      return words(event, p.getVmResumed());
    case schema::Payload::VM_RELEASED:
      return words(event, p.getVmReleased());
    case schema::Payload::VM_DIRTY_RATE:
      return words(event, p.getVmDirtyRate());
    case schema::Payload::VM_DESTROYED:
      return words(event, p.getVmDestroyed());
    case schema::Payload::VM_DOMAIN_CHANGED:
      return words(event, p.getVmDomainChanged());
    case schema::Payload::MIGRATION_PROPOSED:
      return words(event, p.getMigrationProposed());
    case schema::Payload::MIGRATION_ACCEPTED:
      return words(event, p.getMigrationAccepted());
    case schema::Payload::MIGRATION_REFUSED:
      return words(event, p.getMigrationRefused());
    case schema::Payload::MIGRATION_TARGET_READY:
      return words(event, p.getMigrationTargetReady());
    case schema::Payload::MIGRATION_STARTED:
      return words(event, p.getMigrationStarted());
    case schema::Payload::MIGRATION_PLANNED:
      return words(event, p.getMigrationPlanned());
    case schema::Payload::MIGRATION_PROGRESS:
      return words(event, p.getMigrationProgress());
    case schema::Payload::MIGRATION_COMPLETED:
      return words(event, p.getMigrationCompleted());
    case schema::Payload::MIGRATION_ABORTED:
      return words(event, p.getMigrationAborted());
    case schema::Payload::MIGRATION_CLEANED:
      return words(event, p.getMigrationCleaned());
    case schema::Payload::MIGRATION_HURRIED:
      return words(event, p.getMigrationHurried());
    case schema::Payload::POLICY_FAILED:
      return words(event, p.getPolicyFailed());
    case schema::Payload::MIGRATION_CANCEL_REQUESTED:
      return words(event, p.getMigrationCancelRequested());
    case schema::Payload::STORAGE_REPLICA_LAG:
      return words(event, p.getStorageReplicaLag());
    case schema::Payload::STORAGE_REPLICA_READY:
      return words(event, p.getStorageReplicaReady());
    case schema::Payload::STORAGE_SEALED:
      return words(event, p.getStorageSealed());
    case schema::Payload::STORAGE_VERIFIED:
      return words(event, p.getStorageVerified());
    case schema::Payload::NETWORK_PATH_READY:
      return words(event, p.getNetworkPathReady());
    case schema::Payload::NETWORK_SWITCHED:
      return words(event, p.getNetworkSwitched());
    case schema::Payload::NETWORK_BLACKOUT_MEASURED:
      return words(event, p.getNetworkBlackoutMeasured());
    case schema::Payload::RESOURCE_ACCESSED:
      return words(event, p.getResourceAccessed());
    case schema::Payload::LATENCY_MEASURED:
      return words(event, p.getLatencyMeasured());
    case schema::Payload::POLICY_CONSIDERED:
      return words(event, p.getPolicyConsidered());
    case schema::Payload::BUS_GAP:
      return words(event, p.getBusGap());
    case schema::Payload::BUS_SLOW_SUBSCRIBER:
      return words(event, p.getBusSlowSubscriber());
    case schema::Payload::BUS_HOLDING:
      return words(event, p.getBusHolding());
    case schema::Payload::BUS_ACTOR_FAILED:
      return words(event, p.getBusActorFailed());
    case schema::Payload::BUS_REJECTED:
      return words(event, p.getBusRejected());
    case schema::Payload::SUBSCRIPTION_POSITION:
      return words(event, p.getSubscriptionPosition());
    case schema::Payload::BUS_CHECKPOINT:
      return words(event, p.getBusCheckpoint());
    case schema::Payload::LEASE_SWAP_REQUESTED:
      return words(event, p.getLeaseSwapRequested());
  }
  return "a kind of event that this program does not know";
}

}  // namespace

std::string describe(const Event& event) {
  std::string out = words_of(event);
  // What others wrote must not steer a terminal.
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  if (event.reader().getReconstructed()) out += " (told again after a crash)";
  return out;
}

std::string event_line(const Event& event, bool dated) {
  return absl::StrCat(clock_words(event.time(), dated), "  ", event.id().short_id(), "  ",
                      std::string(event.topic()), "  ", describe(event));
}

}  // namespace supercloud
