// A peer that does not use our code.
#pragma once

#include <gtest/gtest.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bus/zmq_socket.h"
#include "core/event_loop.h"
#include "tests/bus/test_keys.h"

namespace supercloud {

// One socket of it, with the key of a name.
class Stranger {
 public:
  // `unread_max`: messages that its libzmq takes before they are heard().
  Stranger(EventLoop& loop, int type, const std::string& key, const std::string& to,
           const std::string& endpoint, int unread_max = 1000)
      : monitor_name_("inproc://stranger-" +
                      std::to_string(reinterpret_cast<std::uintptr_t>(this))),
        context_(zmq_ctx_new()),
        socket_(zmq_socket(context_, type)),
        monitor_(zmq_socket(context_, ZMQ_PAIR)),
        loop_(loop) {
    const CurveEnd end{test_key(key), test_key(to)->public_key().curve()};
    set(ZMQ_CURVE_SECRETKEY, end.own->curve_secret());
    set(ZMQ_CURVE_PUBLICKEY, end.own->public_key().curve());
    set(ZMQ_CURVE_SERVERKEY, *end.server);
    const int none = 0;
    for (void* each : {socket_, monitor_}) zmq_setsockopt(each, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket_, ZMQ_SNDHWM, &none, sizeof none);
    zmq_setsockopt(socket_, ZMQ_RCVHWM, &unread_max, sizeof unread_max);
    EXPECT_EQ(zmq_socket_monitor(socket_, monitor_name_.c_str(), ZMQ_EVENT_ALL), 0);
    EXPECT_EQ(zmq_connect(monitor_, monitor_name_.c_str()), 0);
    EXPECT_EQ(zmq_connect(socket_, endpoint.c_str()), 0);
  }
  ~Stranger() {
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(monitor_);
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  void subscribe(const std::string& topic) {
    zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size());
  }
  void unsubscribe(const std::string& topic) {
    zmq_setsockopt(socket_, ZMQ_UNSUBSCRIBE, topic.data(), topic.size());
  }
  void send(const std::string& frame) { zmq_send(socket_, frame.data(), frame.size(), 0); }
  // First frames of all that came so far.
  const std::vector<std::string>& heard() {
    std::array<char, 4096> bytes;
    bool first = true;
    for (int got = 0; (got = zmq_recv(socket_, bytes.data(), bytes.size(), ZMQ_DONTWAIT)) >= 0;) {
      const std::string frame(bytes.data(), std::min(static_cast<std::size_t>(got), bytes.size()));
      if (first)
        heard_.push_back(frame);
      else
        followed_[heard_.back()] = frame;
      int more = 0;
      std::size_t size = sizeof more;
      zmq_getsockopt(socket_, ZMQ_RCVMORE, &more, &size);
      first = more == 0;
    }
    return heard_;
  }
  // The frame behind the last that began a message so; empty: there is none.
  std::string behind(const std::string& first) {
    heard();
    return followed_[first];
  }
  bool heard_of(const std::string& lead) {
    const auto& all = heard();
    return std::any_of(all.begin(), all.end(),
                       [&](const std::string& topic) { return topic.starts_with(lead); });
  }
  // How often libzmq told of such an event of the connection.
  int times(int event) {
    std::array<unsigned char, 256> what, where;
    while (zmq_recv(monitor_, what.data(), what.size(), ZMQ_DONTWAIT) >= 0) {
      zmq_recv(monitor_, where.data(), where.size(), ZMQ_DONTWAIT);
      ++events_[what[0] + (what[1] << 8)];
    }
    return events_[event];
  }
  bool eventually(const std::function<bool()>& holds, Duration limit = absl::Seconds(20)) {
    // Its sockets wake no loop: look again with each turn.
    const Instant end = loop_.clock().now() + limit;
    while (!holds()) {
      if (loop_.clock().now() > end) return false;
      loop_.run_until([] { return false; }, absl::Milliseconds(5));
    }
    return true;
  }

 private:
  void set(int option, const CurveKey& key) {
    EXPECT_EQ(zmq_setsockopt(socket_, option, key.data(), key.size()), 0);
  }

  std::string monitor_name_;
  void* context_;
  void* socket_;
  void* monitor_;
  EventLoop& loop_;
  std::vector<std::string> heard_;
  std::map<std::string, std::string> followed_;
  std::map<int, int> events_;
};

}  // namespace supercloud
