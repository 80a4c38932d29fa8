// One ZeroMQ socket on the event loop.
//
// libzmq's descriptor only says "look again": it may stay silent although messages wait, after any call on the socket. So after
// every call the socket asks for its events, and what is left is taken in a later turn.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/event_loop.h"

namespace supercloud {

// A libzmq context. Its sockets keep it, for it cannot end before they do.
class ZmqContext {
 public:
  // For two sockets of every member, and those of one's own.
  static constexpr int sockets_max = 4096;

  explicit ZmqContext(int sockets = sockets_max);
  ~ZmqContext();
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  void* get() const { return context_; }

 private:
  void* context_;
};

struct ZmqSocketOptions {
  int high_water_mark = 1000;
  bool nodrop = false;          // XPUB: say when a subscriber's queue is full
  bool connected_only = false;  // queue nothing for a peer that is not connected
  bool same_user_only = false;  // ipc: other users' processes may not connect
  // A peer that says nothing for so long is dead: its connection is closed, and made anew by who had connected. Zero: never.
  Duration silence_max = absl::ZeroDuration();
  // It is connected again: what was on its way over the connection before may be lost. Runs before anything that came over this
  // one is taken.
  std::function<void()> on_reconnected;
  Duration linger = absl::ZeroDuration();  // at the end, for what was sent to leave
};

// Thread-bound to its loop. Not destroyed from inside its own callback: retire() it.
class ZmqSocket {
 public:
  using Frames = absl::Span<const std::string_view>;
  using OnMessage = std::function<void(Frames frames)>;

  static constexpr std::size_t frames_max = 4;  // of one message; more are cut off
  static constexpr std::size_t messages_per_turn = 128;
  static constexpr std::size_t message_bytes_max = 2 << 20;  // a peer that sends more is cut off

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

  // False: it would have to wait (a queue is full, nobody is connected), and nothing was sent.
  bool send(Frames frames);
  // XPUB: to those whose queue has room.
  void send_lossy(Frames frames);

  // How many messages were taken since there was none to take.
  std::size_t burst() const { return burst_; }

 private:
  ZmqSocket(std::shared_ptr<ZmqContext> context, void* socket, ZmqSocketOptions options,
            EventLoop& loop, OnMessage on_message, std::function<void()> on_writable);
  void ready();
  void look_again();
  int events() const;
  bool receive();
  void watch_connection();
  // Whether it has connected again since the last call.
  bool reconnected();

  std::shared_ptr<ZmqContext> context_;
  EventLoop& loop_;
  OnMessage on_message_;
  std::function<void()> on_writable_;
  std::function<void()> on_reconnected_;
  void* socket_ = nullptr;
  void* monitor_ = nullptr;  // tells of socket_'s connections
  bool connected_ = false;   // once
  int fd_ = -1;
  std::size_t burst_ = 0;
  bool nodrop_ = false;
  bool blocked_ = false;  // on_writable_ is to run
  bool retired_ = false;
  bool looking_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
