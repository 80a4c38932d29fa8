// What has happened in the cluster, for actors that need facts of other nodes too: this node's log first, then the log of every
// other node that shows a sign of life, and what archives have kept of nodes that are gone (actors/archive/archive.h). Every node that is
// heard is asked for its archive, too, once: few have one. Facts come more than once and not in the order of time between nodes: whoever
// reads them here applies each once, by its domain key. So what the bus could not give is read from its node's log, too.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/actor.h"
#include "core/hybrid_clock.h"

namespace supercloud {

struct PastOptions {
  std::vector<std::string> patterns;  // read in this order from each node
  // ... and from each archive: what stays true when the node is gone that said so. Empty: archives are not asked.
  std::vector<std::string> archived = {};
  // how long settled() waits for nodes to show themselves
  Duration patience = absl::Milliseconds(4500);
  // If given, it waits no longer than until others have shown themselves and no further one has for so long: for those to whom a
  // decision in time is worth more than the word of one that is slow to be heard.
  std::optional<Duration> quiet = std::nullopt;
  Duration deadline = absl::Seconds(5);  // of one page
  std::uint32_t page_events = 500;
  std::string answered_by = "log";  // the actor of other nodes that reads their log
};

// Thread-bound to its actor, which owns it.
class Past {
 public:
  using Each = std::function<void(const Event&)>;

  Past(Context& context, PastOptions options, Each each);

  // Reads this node's log, then calls `done`; its archive and other nodes' follow as hear() learns of them.
  void read(std::function<void()> done);
  // To be given every event that the actor receives. The actor subscribes "node.joined.>" and "node.capacity.>" for it.
  void hear(const Event& event);
  // Calls `then` once this node's log has been read, others have had the time to show themselves, and every log that could be
  // read has been.
  void settled(std::function<void()> then);

 private:
  enum class State : std::uint8_t { reading, read, failed };
  struct Source {
    std::string node;
    bool archive = false;  // that of the node, not its log
    friend auto operator<=>(const Source&, const Source&) = default;
  };
  void read_own(std::size_t pattern);
  void read_once(const Source& source);
  void read_from(const Source& source, std::size_t pattern, std::uint64_t from);
  // What the bus could not give, of one node.
  struct Missed {
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> behind;  // by origin
    std::set<std::size_t> patterns;
    HybridTime since;  // nothing older is missed of other origins
  };
  void note_missed(const BusGap& gap);
  void look_for(const std::string& node, const Missed& missed, std::size_t pattern,
                std::uint64_t from);
  // The events of a page of a node's log, or an archive's.
  void take(const Source& source, schema::Response::LogPage::Reader page);
  void check();

  Context& context_;
  const PastOptions options_;
  Each each_;
  std::function<void()> done_;
  Instant started_;
  bool own_ = false;
  std::map<Source, State> sources_;
  std::map<std::string, Missed> missed_;  // by node, to be looked for soon
  std::optional<Instant> heard_;          // the newest node of them, for the first time
  std::vector<std::function<void()>> waiting_;
  TimerId timer_ = 0;
};

}  // namespace supercloud
