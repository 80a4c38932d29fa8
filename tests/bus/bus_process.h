// A process on the bus, as the tests see one: it publishes streams as a node does, and remembers what its bus told it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/bus.h"
#include "core/event.h"
#include "core/topic.h"

namespace supercloud {

// Numbers the events of one node's actors.
class TestStreams {
 public:
  explicit TestStreams(std::string node) : node_(std::move(node)) {}

  // vm.dirty_rate about `vm`, by `actor`.
  Event event(EventPool& pool, std::string_view actor, std::string_view vm);
  // vm.started, which is logged.
  Event started(EventPool& pool, std::string_view actor, std::string_view vm,
                const std::string& why = {});
  // bus.checkpoint of these, which are this node's, signed with the test_key() of `signer`.
  Event checkpoint(EventPool& pool, const std::vector<Event>& events, const std::string& signer);
  // migration.progress: another first token.
  Event other(EventPool& pool, std::string_view actor, std::string_view vm);
  Event heartbeat(EventPool& pool);
  // What a log that has all of it says to the next process.
  std::vector<OriginTail> past() const;
  std::uint64_t incarnation = 1;
  std::uint64_t ahead = 0;  // of the time that they bear, which is their number

 private:
  struct Stream {
    std::uint64_t sequence = 0;
    std::map<std::string, std::uint64_t> tails;  // by prefix of one to three tokens
  };
  Event seal(Draft draft, std::string_view actor);

  std::string node_;
  std::map<std::string, Stream> streams_;
};

class BusProcess final : public BusReceiver {
 public:
  BusProcess(std::string process_name, std::unique_ptr<EventPool> event_pool)
      : BusProcess(process_name, std::move(event_pool), TestStreams(process_name)) {}
  // Whose log has `logged`.
  BusProcess(std::string process_name, std::unique_ptr<EventPool> event_pool, TestStreams logged)
      : name(std::move(process_name)), pool(std::move(event_pool)), streams(std::move(logged)) {}
  ~BusProcess() override {
    bus.reset();
    events.clear();
    log.clear();
    checkpoints.clear();
    commit.clear();
  }

  // BusReceiver
  void on_event(Event event) override { events.push_back(std::move(event)); }
  void on_gap(const BusGap& gap) override { gaps.push_back(gap); }
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override;
  // From `log`, in small parts.
  void on_history(StreamRange range, Reply<StreamPart> reply) override;
  void on_rejected(std::string from, std::string why) override {
    rejected.push_back(from + ": " + why);
  }
  void on_peer(std::string node, bool alive) override {
    peers[node] = alive;
    if (alive) ++met[node];
  }

  void publish(std::string_view actor, std::string_view vm) {
    const Event event = streams.event(*pool, actor, vm);
    if (keeps_log) log.push_back(event);
    bus->publish(event);
  }
  // What is noted; the group commit that brings it to the log is under way until end_commit(), or somebody asks for history.
  void publish_started(std::string_view actor, std::string_view vm);
  void end_commit();
  void heartbeat() { bus->publish(streams.heartbeat(*pool)); }

  bool sees(std::string_view peer) const {
    const auto found = peers.find(std::string(peer));
    return found != peers.end() && found->second;
  }
  // Sequences that arrived from an origin, in order of arrival.
  std::vector<std::uint64_t> sequences(std::string_view origin) const;

  std::string name;
  std::unique_ptr<EventPool> pool;
  TestStreams streams;
  bool keeps_log = false;  // else whoever asks is told that there is none
  std::vector<Event> log;
  std::vector<Event> checkpoints;  // that it has of them
  std::vector<Event> commit;       // that is under way
  std::size_t asked = 0;           // how often for what is in it
  std::uint64_t nothing_to = 0;    // up to where it answers first that there is nothing
  std::vector<Event> events;
  std::vector<BusGap> gaps;
  std::vector<std::string> rejected;
  std::map<std::string, bool> peers;
  std::map<std::string, int> met;                  // processes, by the name they bear
  std::map<std::string, int> served;               // requests, by what they say
  std::map<std::string, Reply<std::string>> kept;  // not answered yet, by what they say
  std::map<std::string, int> cancelled;            // how often it was told of one of those
  std::vector<absl::Status> fatal;
  std::map<std::string, std::uint64_t> slow;  // backlogs that it was told of, by whose they are
  std::unique_ptr<Bus> bus;
};

}  // namespace supercloud
