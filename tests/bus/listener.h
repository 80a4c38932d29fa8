// Somebody else's subscriber: a bare SUB socket. It wakes no loop.
#pragma once

#include <gtest/gtest.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

namespace supercloud {

class Listener {
 public:
  explicit Listener(const std::string& endpoint) {
    const int none = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof none);
    EXPECT_EQ(zmq_connect(socket_, endpoint.c_str()), 0);
  }
  ~Listener() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  void subscribe(const std::string& topic) { set(ZMQ_SUBSCRIBE, topic); }
  void unsubscribe(const std::string& topic) { set(ZMQ_UNSUBSCRIBE, topic); }

  // Topic and body of all that came so far.
  const std::vector<std::pair<std::string, std::string>>& heard() {
    std::array<char, 65536> bytes;
    for (int got = 0; (got = zmq_recv(socket_, bytes.data(), bytes.size(), ZMQ_DONTWAIT)) >= 0;) {
      const std::string topic(bytes.data(), static_cast<std::size_t>(got));
      got = zmq_recv(socket_, bytes.data(), bytes.size(), ZMQ_DONTWAIT);
      heard_.emplace_back(topic, std::string(bytes.data(), static_cast<std::size_t>(got)));
    }
    return heard_;
  }
  bool has(const std::string& topic) {
    const auto& all = heard();
    return std::any_of(all.begin(), all.end(),
                       [&](const auto& message) { return message.first == topic; });
  }
  // What came last under a topic; empty: nothing.
  std::string last(const std::string& topic) {
    std::string found;
    for (const auto& [of, body] : heard())
      if (of == topic) found = body;
    return found;
  }

 private:
  void set(int option, const std::string& topic) {
    EXPECT_EQ(zmq_setsockopt(socket_, option, topic.data(), topic.size()), 0);
  }

  void* context_ = zmq_ctx_new();
  void* socket_ = zmq_socket(context_, ZMQ_SUB);
  std::vector<std::pair<std::string, std::string>> heard_;
};

}  // namespace supercloud
