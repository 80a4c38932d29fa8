// Synthetic histories: events as the actors of several nodes would have published them.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/event.h"
#include "core/random.h"

namespace supercloud {

class Told {
 public:
  struct About {
    const Event* cause = nullptr;
    const Event* migration = nullptr;  // its proposal
    Epoch epoch = 1;
  };

  // Published by `origin`, so many milliseconds after 14:00:00 UTC.
  Event tell(const std::string& origin, std::int64_t at_ms, const std::string& subject, About about,
             const std::function<void(schema::Payload::Builder)>& fill) {
    Draft draft = pool_.draft(subject);
    fill(draft.payload());
    draft.epoch(about.epoch);
    if (about.migration != nullptr) draft.migration(about.migration->id());
    Envelope envelope;
    envelope.origin = origin;
    envelope.incarnation = 1;
    envelope.sequence = ++sequences_[origin];
    envelope.time = HybridTime::at(start() + absl::Milliseconds(at_ms));
    envelope.cause = about.cause;
    Event event = *std::move(draft).seal(envelope);
    events_.push_back(event);
    return event;
  }

  // 2027-01-15 14:00:00 UTC
  static absl::Time start() { return absl::FromUnixSeconds(1'800'021'600); }

  // In the order of (time, id).
  std::vector<Event> events() const {
    std::vector<Event> sorted = events_;
    std::sort(sorted.begin(), sorted.end(), [](const Event& a, const Event& b) {
      return std::pair(a.time(), a.id()) < std::pair(b.time(), b.id());
    });
    return sorted;
  }

  // ---- what a cluster of two places says

  static constexpr const char* place_a = "aws/us-east-1/us-east-1a/m3.medium/spot";
  static constexpr const char* place_c = "aws/us-east-1/us-east-1c/m3.medium/spot";

  Event joined(const std::string& node, const std::string& place, std::int64_t at_ms) {
    return tell(node + "/agent", at_ms, node, {}, [&](schema::Payload::Builder payload) {
      auto joined = payload.initNodeJoined();
      joined.setNode(node);
      joined.initPlace().setId(place);
      joined.setHypervisor("simulated");
      joined.setCpus(1);
      joined.setMemoryBytes(std::uint64_t{4} << 30U);
    });
  }
  Event price(const std::string& place, std::int64_t nano_usd, std::int64_t at_ms) {
    return tell("node-a/watcher", at_ms, "place", {}, [&](schema::Payload::Builder payload) {
      auto price = payload.initSpotPriceChanged();
      price.initPlace().setId(place);
      price.setPriceNanoUsdPerHour(nano_usd);
      price.setSinceNs(1'440'201'600'000'000'000);  // 2015-08-22 00:00
      price.setSource("trace");
    });
  }
  Event running(const std::string& node, const std::string& vm, std::int64_t at_ms) {
    return tell(node + "/executor", at_ms, vm, {}, [&](schema::Payload::Builder payload) {
      auto started = payload.initVmStarted();
      started.setNode(node);
      started.setWhy("created");
    });
  }
  Event considered(const std::string& vm, std::int64_t at_ms, const std::string& choice,
                   const std::string& reason, const Event* cause) {
    return tell("node-a/policy", at_ms, vm, {.cause = cause},
                [&](schema::Payload::Builder payload) {
                  auto considered = payload.initPolicyConsidered();
                  considered.setPolicy("cheapest");
                  considered.setChoice(choice);
                  considered.setReason(reason);
                  auto list = considered.initCandidates(2);
                  list[0].setPlace(place_a);
                  list[0].setCostNanoUsd(33'100'000);
                  list[1].setPlace(place_c);
                  list[1].setCostNanoUsd(14'100'000);
                  list[1].setGainNanoUsd(19'000'000);
                });
  }
  Event proposed(const std::string& vm, std::int64_t at_ms, const std::string& reason,
                 const Event* cause, const std::vector<const Event*>& evidence) {
    return tell("node-a/policy", at_ms, vm, {.cause = cause},
                [&](schema::Payload::Builder payload) {
                  auto proposed = payload.initMigrationProposed();
                  proposed.setVm(vm);
                  proposed.setTargetPlace(place_c);
                  proposed.setReason(reason);
                  proposed.setGainNanoUsd(19'000'000);
                  proposed.setProposer("policy cheapest");
                  proposed.setSourceNode("node-a");
                  auto ids = proposed.initEvidence(static_cast<unsigned>(evidence.size()));
                  for (unsigned i = 0; i < evidence.size(); ++i) evidence[i]->id().write(ids[i]);
                });
  }
  Event accepted(const Event& proposal, std::int64_t at_ms) {
    return tell("node-a/executor", at_ms, proposal.subject(), {&proposal, &proposal},
                [](schema::Payload::Builder payload) {
                  auto accepted = payload.initMigrationAccepted();
                  accepted.setSource("node-a");
                  accepted.setTarget("node-c");
                  accepted.setDeadlineNs(30'000'000'000);
                });
  }
  // From target_ready to cleaned, as five actors of two nodes tell it.
  void moved(const Event& proposal, const Event& accepted, std::int64_t at_ms) {
    const std::string vm = proposal.subject();
    const auto say = [&](const std::string& origin, std::int64_t after_ms, const Event& cause,
                         Epoch epoch, const std::function<void(schema::Payload::Builder)>& fill) {
      return tell(origin, at_ms + after_ms, vm, {&cause, &proposal, epoch}, fill);
    };
    using P = schema::Payload::Builder;
    const Event ready = say("node-c/executor", 100, accepted, 1,
                            [](P p) { p.initMigrationTargetReady().setNode("node-c"); });
    say("node-c/replicator", 150, accepted, 1,
        [](P p) { p.initStorageReplicaReady().setNode("node-c"); });
    say("node-c/network", 160, accepted, 1,
        [](P p) { p.initNetworkPathReady().setNode("node-c"); });
    const Event started = say("node-a/executor", 200, ready, 1, [](P p) {
      auto copying = p.initMigrationStarted();
      copying.setSource("node-a");
      copying.setTarget("node-c");
      copying.setMemoryBytes(std::uint64_t{512} << 20U);
    });
    const Event paused =
        say("node-a/executor", 1800, started, 1, [](P p) { p.initVmPaused().setNode("node-a"); });
    say("node-a/replicator", 1805, paused, 1, [](P p) { p.initStorageSealed().setNode("node-a"); });
    say("node-c/replicator", 1815, paused, 1,
        [](P p) { p.initStorageVerified().setNode("node-c"); });
    const Event resumed = say("node-c/executor", 1841, paused, 2, [](P p) {
      p.initVmResumed().setNode("node-c");
      p.getVmResumed().setWhy("committed");
    });
    say("node-c/network", 1845, resumed, 2, [](P p) { p.initNetworkSwitched().setNode("node-c"); });
    say("node-a/executor", 1850, resumed, 1, [](P p) { p.initVmReleased().setNode("node-a"); });
    say("node-c/executor", 1860, resumed, 2, [](P p) {
      auto completed = p.initMigrationCompleted();
      completed.setSource("node-a");
      completed.setTarget("node-c");
      completed.setSentBytes(std::uint64_t{600} << 20U);
      completed.setPasses(3);
      completed.setTotalMs(1850);
      completed.setBlackoutMs(41);
    });
    say("node-a/executor", 1900, resumed, 1,
        [](P p) { p.initMigrationCleaned().setNode("node-a"); });
  }
  Event aborted(const Event& proposal, const Event& cause, const std::string& node,
                std::int64_t at_ms, const std::string& at_stage, const std::string& why) {
    return tell(node + "/executor", at_ms, proposal.subject(), {&cause, &proposal},
                [&](schema::Payload::Builder payload) {
                  auto aborted = payload.initMigrationAborted();
                  aborted.setNode(node);
                  aborted.setStage(at_stage);
                  aborted.setWhy(why);
                });
  }
  Event refused(const Event& proposal, std::int64_t at_ms) {
    return tell(
        "node-a/executor", at_ms, proposal.subject(), {&proposal, &proposal},
        [&](schema::Payload::Builder payload) {
          auto refused = payload.initMigrationRefused();
          refused.setNode("node-a");
          refused.setTarget("node-c");
          auto failures = refused.initFailures(2);
          failures[0].setName("memory");
          failures[0].setDetail("the guest needs 512 MiB, 256 MiB are free");
          failures[0].setCure("choose a larger target, or move something away from it");
          failures[1].setName("mtu");
          failures[1].setDetail("the target's network carries 1400 bytes, the guest uses 1450");
          failures[1].setCure("raise the MTU there, or lower the guest's");
        });
  }

 private:
  EventPool pool_;
  std::map<std::string, std::uint64_t> sequences_;
  std::vector<Event> events_;
};

// The same events in another order: of each origin in its own, as the bus promises, and some of them twice.
inline std::vector<Event> shuffled(const std::vector<Event>& events, Random& random) {
  std::map<std::string, std::vector<Event>> streams;
  for (const Event& event : events) streams[std::string(event.origin())].push_back(event);
  std::map<std::string, std::size_t> next;
  std::vector<Event> out;
  while (!streams.empty()) {
    auto stream = streams.begin();
    std::advance(stream, static_cast<std::ptrdiff_t>(random.below(streams.size())));
    std::size_t& at = next[stream->first];
    out.push_back(stream->second[at++]);
    if (random.chance(200'000)) {
      const std::size_t again = random.below(out.size());
      const Event event = out[again];
      out.push_back(event);
    }
    if (at == stream->second.size()) streams.erase(stream);
  }
  return out;
}

}  // namespace supercloud
