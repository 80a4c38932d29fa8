// Who is connected to a bound tcp socket, and how one of them is cut off, which libzmq does not offer.
//
// libzmq tells the descriptor of each connection that it accepts, and of each message it received. A connection is cut off by shutting its
// descriptor down, which stays libzmq's: that finds the connection ended, closes it, and forgets what was to be sent over it.
//
//   connection   accepted ──► silent ── a message ──► of that user ──► ended
//
// A number of a descriptor may have been given to another file meanwhile: only what is connected to the socket's own port is ever touched, so
// the worst is that another peer has to connect again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace supercloud {

class ZmqPeers {
 public:
  // Beyond `connections_max` the one that has been silent for longest is cut off, and `crowded` runs.
  ZmqPeers(std::size_t connections_max, std::function<void()> crowded);

  // The socket is bound there: "tcp://address:port".
  void bound(std::string_view endpoint);
  // What the socket's ZmqMonitor tells of.
  static const int events;
  void on_event(int event, int descriptor);
  // There is a message of that connection. False: it has ended since, and the descriptor may be another's by now.
  bool said(int descriptor, std::string_view user);
  // How many topics it is subscribed to, with or without this one from now on.
  std::size_t hold(int descriptor, std::string_view topic, bool wanted);
  bool holds(int descriptor, std::string_view topic) const;
  // Whether any is subscribed to a topic that begins with `lead`, and is a prefix of `topic` or the other way round.
  bool any_meets(std::string_view lead, std::string_view topic) const;
  // All messages of connections that had ended were taken.
  void drained() { ended_.clear(); }

  void cut(int descriptor);
  // All whose user `stays` does not hold for, and who has been silent so far: whose they are is not known.
  void cut_unless(const std::function<bool(std::string_view user)>& stays);
  std::size_t size() const { return peers_.size(); }

 private:
  struct Peer {
    std::uint64_t order = 0;
    std::string user;  // empty: silent so far
    std::set<std::string, std::less<>> held;
  };

  const std::size_t connections_max_;
  std::function<void()> crowded_;
  std::uint16_t port_ = 0;
  std::uint64_t accepted_ = 0;
  std::map<int, Peer> peers_;  // by descriptor
  std::set<int> ended_;        // of which messages may still wait
};

}  // namespace supercloud
