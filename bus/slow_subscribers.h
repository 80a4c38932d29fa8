// Whose queue it is that is full, which libzmq does not say.
//
// Each subscriber has a marker (bus/zmq_wire.h) that nobody else has, and leaves the one that was answered last subscribed. Of a topic for
// whose subscribers there is no room libzmq says so (XPUB with NODROP; seen with 4.3.4): so an empty message to each marker finds those that
// are full, and them alone. Whoever subscribes everything has all markers: when one of those is full, it is let miss one such message, after
// which libzmq leaves it out, and remains without a name. Connections are emptied by other threads: when that finds nobody, there may be room
// again for what was denied.
//
// Who was let miss something is left out until libzmq has found that it has room. Nothing says of whom that is: so whoever has lost something is
// told of it whenever there was such news, into the void perhaps, until it asks.
//
// The answer to a marker may have found no room once anybody's queue was full, which libzmq does not always say, and an empty message in its place
// is nonsense to an older build. Then the marker before it is looked at, if there is one, until that is let go, for which its subscriber waits for
// the answer, or until the new one has stayed for a second: who has no answer lets it go, and asks anew, sooner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/event_loop.h"

namespace supercloud {

// Of a marker, which process's it is: NAME "/" NONCE "/".
std::string_view claim_of(std::string_view marker);

// Thread-bound to the loop.
class SlowSubscribers {
 public:
  static constexpr std::size_t subscribers_max = 4096;  // further ones remain without names
  static constexpr std::size_t of_one_name_max = 16;
  static constexpr Duration sure_after = absl::Seconds(1);
  // Each costs a message: so many in a second, and then all that is denied is of those who were full when that was last looked at.
  static constexpr std::size_t messages_max = 2 * subscribers_max;
  // So long whoever has lost something is told so, if it never asks.
  static constexpr Duration told_for = absl::Minutes(5);

  struct Socket {
    // False: one who subscribes the topic has no room, and nobody got it.
    std::function<bool(std::string_view topic, std::string_view message)> send;
    // To those that have room. Those that have none miss what is sent until had_news() finds that they have.
    std::function<void(std::string_view topic, std::string_view message)> send_lossy;
    // Whether somebody may have found room since the last call.
    std::function<bool()> had_news;
  };
  // `name`: empty for those that have none; `backlog`: the `queue` messages of a queue that is full, and the events since the last call for
  // which there was no room; without a name the events alone. At most once a second for each.
  using Told = std::function<void(const std::string& name, std::uint64_t backlog)>;
  SlowSubscribers(EventLoop& loop, std::uint64_t queue, Socket socket, Told told);
  ~SlowSubscribers();
  SlowSubscribers(const SlowSubscribers&) = delete;
  SlowSubscribers& operator=(const SlowSubscribers&) = delete;

  // Who is authenticated as `user`, or claims its name where nobody is and `user` is empty, has subscribed a marker, which was answered if there
  // was room.
  void answered(std::string_view marker, std::string_view user);
  // It has let it go; `user` empty: or it is gone.
  void let_go(std::string_view marker, std::string_view user);

  // A message of so many events found the queue of somebody full. Before it is sent to those that have room. False: nobody is found whose
  // queue is full by now, and nothing is counted: it may be sent again.
  bool denied(std::uint64_t events);
  // So many more were lost, and whose they are was not found: of those who lost something and have not asked yet, if there are any.
  void lost(std::uint64_t events);

  // To be called before anything is sent: whoever has lost something is told so (loss_sign), so that it doubts what follows. False: somebody was, and
  // what is sent next is to find no room that this did not find.
  bool tell_losers() { return !losers_ || look_for_losers(); }

 private:
  struct Subscriber {
    std::string name;
    std::string marker;   // the newest that was answered
    std::string earlier;  // the one before, if it has not been let go; empty: none
    Instant sure_at;      // that it has been answered
    bool full = false;    // when it was last looked at
    Instant
        told_until;  // that it has lost something, unless it has asked by another marker and has its answer
    std::uint64_t denied = 0;  // events, not yet told

    // The newest marker of which it has an answer; empty: of none.
    const std::string& known(Instant now) const { return now >= sure_at ? marker : earlier; }
  };
  bool may_look();
  bool look();
  bool look_for_losers();
  void count();
  void tell_soon();
  void tell();

  EventLoop& loop_;
  const std::uint64_t queue_;
  const Socket socket_;
  const Told told_;
  std::map<std::string, Subscriber, std::less<>> subscribers_;  // by name, claim and nonce
  bool denied_ = false;                                         // ever
  bool nameless_full_ = false;                                  // when it was last looked at
  std::uint64_t nameless_ = 0;                                  // events, not yet told
  std::uint64_t uncounted_ = 0;  // events, of those who were full then
  std::size_t messages_ = 0;     // since `since_`
  Instant since_;
  bool losers_ = false;  // somebody may be told so
  bool has_told_ = false;
  TimerId timer_ = 0;
};

}  // namespace supercloud
