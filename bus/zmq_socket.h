// One ZeroMQ socket on the event loop.
//
// libzmq's descriptor only says "look again": it may stay silent although messages wait, after any call on the socket but one that found none.
// So the socket asks for its events once at the end of each turn in which it was called, however often, and what is left is taken in a later one.
// Each such question, and each look for a message or for news of connections that finds none, is a system call: so what has come is taken together,
// then what has happened to the connection is looked at once, and then the messages are given to who waits for them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "bus/key.h"
#include "bus/zmq_context.h"
#include "bus/zmq_monitor.h"
#include "bus/zmq_peers.h"
#include "core/event_loop.h"

struct zmq_msg_t;  // NOLINT(readability-identifier-naming): libzmq's name

namespace supercloud {

// One end of connections that are encrypted, and made only between the two whose keys they are.
struct CurveEnd {
  std::shared_ptr<const KeyPair> own;
  // Of the one that is connected to. None: this end is bound, and the context's ZAP handler (bus/zap.h) says who may connect; libzmq lets in
  // everybody where there is none.
  std::optional<CurveKey> server;
};

struct ZmqSocketOptions {
  int high_water_mark = 1000;
  int ahead_max = 0;  // messages of one connection that wait to be taken; 0: high_water_mark
  std::optional<CurveEnd> curve;  // none: plain
  bool manual = false;            // XPUB: what is subscribed is only what grant() says
  bool nodrop = false;            // XPUB: say when a subscriber's queue is full
  bool verbose = false;           // XPUB: tell of all that subscribe a topic, not only of the first
  bool connected_only = false;    // queue nothing for a peer that is not connected
  bool same_user_only = false;    // ipc: other users' processes may not connect
  // Whose kernel, asked by ours, says nothing for so long (in whole seconds; tcp alone), or takes nothing of what is sent to it, is half gone:
  // its connection ends, and who had connected makes it anew. Zero: never.
  Duration silence_max = absl::ZeroDuration();
  // It is connected again: what was on its way over the connection before may be lost. Runs before anything that came over this
  // one is taken.
  std::function<void()> on_reconnected;
  // The one it connects to does not let in its key, and says so. libzmq does not try again: a new socket has to.
  std::function<void()> on_shut_out;
  Duration linger = absl::ZeroDuration();  // at the end, for what was sent to leave
  // Of a tcp socket that is bound: who is connected is known, and can be cut off; with so many connections, one that has said nothing goes
  // when another comes, and `on_crowded` runs. 0: without.
  std::size_t connections_max = 0;
  std::function<void()> on_crowded;
};

// Thread-bound to its loop. Not destroyed from inside its own callback: retire() it.
class ZmqSocket {
 public:
  using Frames = absl::Span<const std::string_view>;
  using OnMessage = std::function<void(Frames frames)>;

  static constexpr std::size_t frames_max = 8;  // of one message; more are cut off
  static constexpr std::size_t messages_per_turn = 128;
  static constexpr std::size_t message_bytes_max = 2 << 20;    // a peer that sends more is cut off
  static constexpr std::size_t subscription_bytes_max = 4096;  // to XPUB, likewise

  // `type`: ZMQ_SUB, ... `on_writable`, if given, runs when something may
  // be sent, at first and after a send that failed. ResourceExhausted: out of sockets or descriptors.
  static absl::StatusOr<std::unique_ptr<ZmqSocket>> make(
      std::shared_ptr<ZmqContext> context, int type, ZmqSocketOptions options, EventLoop& loop,
      OnMessage on_message, std::function<void()> on_writable = nullptr);
  // The same, where there must be one.
  ZmqSocket(std::shared_ptr<ZmqContext> context, int type, ZmqSocketOptions options,
            EventLoop& loop, OnMessage on_message, std::function<void()> on_writable = nullptr);
  ~ZmqSocket();
  ZmqSocket(const ZmqSocket&) = delete;
  ZmqSocket& operator=(const ZmqSocket&) = delete;

  // Messages are taken from now on.
  void start();
  // Closes it soon; no further callback.
  static void retire(std::unique_ptr<ZmqSocket> socket);

  absl::Status bind(const std::string& endpoint);
  // What it is bound to, wildcards resolved.
  std::string endpoint() const;
  absl::Status connect(const std::string& endpoint);

  void subscribe(std::string_view topic);
  void unsubscribe(std::string_view topic);

  // Within on_message of a socket that is manual: what the one who sent it is subscribed to.
  void grant(std::string_view topic);
  void withdraw(std::string_view topic);
  // Within on_message: whom the ZAP handler took the sender for; empty: it was not asked.
  std::string_view user() const;
  // Within on_message, of a socket with `connections_max`: its sender has to connect again.
  void cut_sender();
  // The same: how many topics it is subscribed to, with or without this one from now on.
  std::size_t sender_holds(std::string_view topic, bool wanted);
  // The same: whether it is subscribed to that.
  bool sender_has(std::string_view topic) const;
  // Of a socket with `connections_max`: whether anybody connected is subscribed to a topic that begins with `lead`, and is a prefix of `topic`
  // or the other way round.
  bool any_meets(std::string_view lead, std::string_view topic);
  // Everybody has to whose user `stays` does not hold for, and everybody who has said nothing so far.
  void cut_unless(const std::function<bool(std::string_view user)>& stays);

  // False: it would have to wait (a queue is full, nobody is connected), and nothing was sent.
  bool send(Frames frames);
  // The same by what libzmq knew of queues when it last looked, which it does by itself once a millisecond, and within look().
  bool send_unlooked(Frames frames);
  // ROUTER: to one peer; `kept` goes, on any thread, when libzmq has the message no more: it has left, or there is nobody who would take it.
  void send_to(std::string_view peer, std::string bytes, std::shared_ptr<const void> kept);
  // XPUB: whether libzmq has had news of connections since the last call, as that somebody whose queue was full has room. It takes note of them here.
  bool had_news();
  // XPUB: to those whose queue has room.
  void send_lossy(Frames frames);

  // How many messages were taken since there was none to take.
  std::size_t burst() const { return burst_; }

 private:
  bool send(Frames frames, bool looks);
  ZmqSocket(std::shared_ptr<ZmqContext> context, void* socket, ZmqSocketOptions options,
            EventLoop& loop, OnMessage on_message, std::function<void()> on_writable);
  // Messages that were taken from libzmq, and not yet given to who waits for them.
  struct Taken;
  void ready();
  void look_again();
  bool look_at_connections();
  int events();
  void take(Taken& taken, std::size_t messages_max);
  bool knows(zmq_msg_t& last);
  bool watch_connections(std::size_t connections_max, std::function<void()> on_crowded);

  std::shared_ptr<ZmqContext> context_;
  EventLoop& loop_;
  OnMessage on_message_;
  std::function<void()> on_writable_;
  std::function<void()> on_reconnected_;
  std::function<void()> on_shut_out_;
  void* socket_ = nullptr;
  std::unique_ptr<ZmqMonitor> monitor_;  // null: nobody asks
  std::unique_ptr<ZmqPeers> peers_;      // null: it has none, or nobody asks
  bool connected_ = false;               // once
  bool reconnected_ = false;             // which is to be told
  bool is_shut_out_ = false;             // which is to be told
  int fd_ = -1;
  std::size_t burst_ = 0;
  zmq_msg_t* current_ = nullptr;  // the last part of the message that is being given
  int sender_ = -1;               // descriptor; -1: libzmq itself
  bool manual_ = false;
  bool parts_of_many_ = false;  // each part of a message may be another peer's
  bool nodrop_ = false;
  bool news_ = false;     // since had_news()
  bool blocked_ = false;  // on_writable_ is to run
  bool retired_ = false;
  bool looking_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
