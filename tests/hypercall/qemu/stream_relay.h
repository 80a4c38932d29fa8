// Stands between a source's stream and its target, so that a test can cut it.
#pragma once

#include <atomic>
#include <string>
#include <thread>

namespace supercloud {

// Listens at a unix socket, and connects each connection there to another one. One thread. Thread-safe.
class StreamRelay {
 public:
  StreamRelay(std::string from, std::string to);
  ~StreamRelay();
  StreamRelay(const StreamRelay&) = delete;
  StreamRelay& operator=(const StreamRelay&) = delete;

  // Ends all connections; when it returns, they have ended.
  void cut();
  // Carries nothing more, and says nothing, until cut().
  void hold();

 private:
  enum Order : char { cut_all = 'c', hold_all = 'h', end = 'e' };
  void run();
  void tell(Order order);

  const std::string from_;
  const std::string to_;
  int listener_ = -1;
  int orders_[2] = {-1, -1};  // a socket pair: orders, and their answers
  std::thread thread_;
};

}  // namespace supercloud
