// What libzmq tells of one socket's connections, on the event loop.
//
// It comes over a socket of its own, whose descriptor is watched, too: of a connection that is made again the other socket may tell nothing
// until the next message, which may never come.
#pragma once

#include <functional>
#include <memory>

#include "bus/zmq_context.h"
#include "core/event_loop.h"

namespace supercloud {

// Thread-bound to the loop. Gone before the socket it tells of is closed.
class ZmqMonitor {
 public:
  // `event`: ZMQ_EVENT_ACCEPTED, ...; `value`: the descriptor, where it has one.
  using OnEvent = std::function<void(int event, int value)>;

  // Null: out of sockets.
  static std::unique_ptr<ZmqMonitor> make(const std::shared_ptr<ZmqContext>& context, void* socket,
                                          int events, EventLoop& loop, OnEvent on_event);
  ~ZmqMonitor();
  ZmqMonitor(const ZmqMonitor&) = delete;
  ZmqMonitor& operator=(const ZmqMonitor&) = delete;

  // `waiting` runs when there may be something to look() at. Until stop().
  void start(std::function<void()> waiting);
  void stop();
  // Tells of all that has happened until now.
  void look();

 private:
  ZmqMonitor(std::shared_ptr<ZmqContext> context, void* socket, void* end, EventLoop& loop,
             OnEvent on_event);

  std::shared_ptr<ZmqContext> context_;
  void* socket_;
  void* end_;
  EventLoop& loop_;
  OnEvent on_event_;
  int fd_ = -1;
  bool watched_ = false;
};

}  // namespace supercloud
