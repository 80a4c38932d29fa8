// Those that hold (core/actor.h, Queueing::Full::hold), as the custodian of a publisher's node knows them: from what their nodes say each
// second (bus.holding), until they say otherwise.
//
//   heard ──▶ each that something waits for is asked (awaitTaken), again and again ──▶ what it has taken waits for it no longer
//     └─▶ it holds that no more │ its node left │ its node was not heard for 15 s │ its node cannot be asked ──▶ released: nothing waits for it
//
// A node that says that it may not be asked, or cannot answer, is asked again when it has begun anew.
//
// Said as bus.slow_subscriber: that an event waits for a holder for 10 s, once until none waits as long; and that it was released while
// something did wait. Of each node at most one such word of each kind in 10 s, whatever it says of its actors: of several that are slow the
// next is named then; of several that were released, the first with their number.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/actor.h"

namespace supercloud {

class ArchivedEvents;  // actors/archive/archived_events.h

struct HolderOptions {
  Duration look_again = absl::Seconds(
      1);  // the two below are counted in these: whoever stood still meanwhile counts none
  Duration silent_max = absl::Seconds(15);
  Duration slow_after = absl::Seconds(10);
  Duration word_interval = absl::Seconds(10);
  Duration deadline = absl::Seconds(5);  // of one question; a node answers within half of it
  // After one that failed, or was in vain: twice as long each time.
  Duration again_min = absl::Milliseconds(250), again_max = absl::Seconds(5);
  std::size_t holds_max = 256;  // of one node; more of them do not count
};

// Thread-bound; a part of the custodian. `events` knows who holds, outlives this, and lets the next one begin with that.
class Holders {
 public:
  Holders(Context& context, ArchivedEvents& events, const HolderOptions& options);

  void heard(const Event& holding);
  void left(const std::string& node);
  // Something may wait that did not.
  void look();

 private:
  struct Holder {
    std::string node, actor;
    bool asked = false;  // and has not answered
    Duration pause;      // after the next answer that is of no use
    TimerId timer = 0;
    // Where the last question ended, and the next begins: what is never taken keeps nothing else from being asked for.
    std::uint64_t up_to = 0;
    bool said = false;         // that it is slow
    std::string trouble;       // of the last answer; empty: none
    std::uint64_t number = 0;  // of this object
  };

  struct Node {
    std::int64_t looks = 0;         // since it was heard
    std::uint64_t incarnation = 0;  // of the last that was heard of it; 0: nothing was
    bool refuses = false;           // to be asked, in that incarnation
  };
  struct Released {           // of one node
    std::string first, why;   // "node/actor"
    std::size_t backlog = 0;  // of all of them
    std::uint64_t count = 0;
  };
  struct Words {  // of one node
    Instant slow_next, released_next;
    Released released;  // not said
  };

  void learn(const std::string& node, const std::map<std::string, std::vector<Pattern>>& holds,
             std::string_view why);
  void ask(const std::string& name, Holder& holder);
  void answered(const std::string& name, const std::vector<std::uint64_t>& asked,
                const absl::StatusOr<Message<schema::Response>>& response);
  void watch();
  void watch_later();
  void name_slow(const std::string& name, Holder& holder);
  void released(const std::string& name, std::string_view why, std::size_t backlog);
  void tell_released(const std::string& node);
  void say(const std::string& name, std::size_t backlog, const std::string& done,
           std::function<void(const absl::Status&)> said);

  Context& context_;
  ArchivedEvents& events_;
  const HolderOptions options_;
  std::map<std::string, Holder> holders_;  // by "node/actor"
  std::map<std::string, Node> nodes_;      // those that hold, or refuse
  std::map<std::string, Words> words_;     // by node
  std::uint64_t last_ = 0;
  TimerId timer_ = 0;
};

}  // namespace supercloud
