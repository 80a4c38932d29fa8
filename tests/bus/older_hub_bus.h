// A bus under a hub of a build that knew no prefixes of what is beyond: what that said in markers and in its heartbeats, made of what this build's says.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/beyond.h"
#include "bus/subscriber.h"
#include "core/event.h"

namespace supercloud {

class OlderHubBus final : public RelayingBus {
 public:
  OlderHubBus(RelayingBus& bus, EventPool& pool) : bus_(bus), pool_(pool) {}

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    bus_.start(receiver, std::move(past));
  }
  void publish(const Event& event) override {
    if (event.origin().ends_with("/hub")) return bus_.publish(older(event));
    Passed& passed = passed_of(std::string(event.origin()), event.incarnation());
    any_prefix(event.topic(), [&](std::string_view prefix) {
      if (!prefix.empty()) passed.prefixes[std::string(prefix)] = event.sequence();
      return false;
    });
    bus_.publish(event);
  }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    bus_.subscribe(std::move(prefix), std::move(reply));
  }
  void unsubscribe(std::string prefix) override { bus_.unsubscribe(std::move(prefix)); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    bus_.request(std::move(to), std::move(bytes), std::move(reply));
  }
  void relay(Beyond& beyond, bool hears_relays) override {
    beyond_.emplace(beyond);
    bus_.relay(*beyond_, hears_relays);
  }
  bool has(std::string_view node) const override { return bus_.has(node); }
  std::vector<std::string> relays() const override { return bus_.relays(); }
  const GapDetector& followed() const override { return bus_.followed(); }
  std::vector<std::string> news() override { return bus_.news(); }
  const Proofs* proofs() const override { return nullptr; }
  void publish_proof(const Event&, std::string_view) override {}

 private:
  class OlderBeyond final : public Beyond {
   public:
    explicit OlderBeyond(Beyond& beyond) : beyond_(beyond) {}
    void want(const std::string& prefix, Reply<Done> reply) override {
      beyond_.want(prefix, std::move(reply));
    }
    void let_go(const std::string& prefix) override { beyond_.let_go(prefix); }
    bool has(std::string_view node) const override { return beyond_.has(node); }
    void request(Address to, std::string bytes, Reply<std::string> reply) override {
      beyond_.request(std::move(to), std::move(bytes), std::move(reply));
    }
    std::vector<OriginTail> standing() const override {
      std::vector<OriginTail> standing = beyond_.standing();
      for (OriginTail& tail : standing) {
        tail.under.clear();
        tail.since = 0;
      }
      return standing;
    }

   private:
    Beyond& beyond_;
  };
  struct Passed {
    std::uint64_t incarnation = 0;
    std::map<std::string, std::uint64_t> prefixes;
  };

  Passed& passed_of(const std::string& origin, std::uint64_t incarnation) {
    Passed& passed = passed_[origin];
    if (passed.incarnation != incarnation) passed = {.incarnation = incarnation, .prefixes = {}};
    return passed;
  }

  // It named the prefixes of what had passed, of one token and more, and not from where on each was followed: that of them all, which is not known
  // here, and may be the beginning.
  Event older(const Event& said) {
    Draft draft = pool_.draft(said.subject());
    auto heartbeat = draft.payload().initNodeHeartbeat();
    const auto tails = said.payload().getNodeHeartbeat().getTails();
    auto made = heartbeat.initTails(tails.size());
    for (unsigned i = 0; i < tails.size(); ++i) {
      const auto tail = tails[i];
      made[i].setOrigin(tail.getOrigin());
      made[i].setIncarnation(tail.getIncarnation());
      made[i].setUnfollowed(tail.getUnfollowed());
      if (tail.getPrefixes().size() == 0) continue;  // its log is lost
      Passed& passed = passed_of(std::string(text(tail.getOrigin())), tail.getIncarnation());
      std::uint64_t newest = std::max(tail.getSequence(), tail.getSince());
      for (const auto prefix : tail.getPrefixes()) {
        if (prefix.getSequence() == 0 || text(prefix.getPrefix()).empty()) continue;
        std::uint64_t& sequence = passed.prefixes[std::string(text(prefix.getPrefix()))];
        sequence = std::max(sequence, prefix.getSequence());
      }
      auto prefixes = made[i].initPrefixes(static_cast<unsigned>(passed.prefixes.size()));
      unsigned at = 0;
      for (const auto& [prefix, sequence] : passed.prefixes) {
        prefixes[at].setPrefix(prefix);
        prefixes[at].setSequence(sequence);
        newest = std::max(newest, sequence);
        ++at;
      }
      made[i].setSequence(newest);
    }
    Envelope envelope{.origin = said.origin(), .incarnation = said.incarnation()};
    for (std::size_t tokens = 0; tokens < 4; ++tokens)
      envelope.previous[tokens] = said.previous(tokens);
    envelope.sequence = said.sequence();
    envelope.time = said.time();
    if (!draft.set_topic().ok()) std::abort();
    return *std::move(draft).seal(envelope);
  }

  RelayingBus& bus_;
  EventPool& pool_;
  std::optional<OlderBeyond> beyond_;
  std::map<std::string, Passed> passed_;  // by origin
};

}  // namespace supercloud
