// The sockets of QEMU's streams: connected here, shown the token, and given away.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/event_loop.h"
#include "core/reply.h"

namespace supercloud {

// Owns a descriptor.
class OwnFd {
 public:
  explicit OwnFd(int fd = -1) : fd_(fd) {}
  OwnFd(OwnFd&& other) noexcept : fd_(other.release()) {}
  OwnFd& operator=(OwnFd&& other) noexcept;
  ~OwnFd();
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

// Listens at "unix:/path" or "tcp:1.2.3.4:port" (port 0: any) for streams, and reads of each the token alone. Thread-bound.
class StreamListener {
 public:
  static constexpr std::size_t unknown_max = 16;  // connections that have not shown a token yet
  using OnStream = absl::AnyInvocable<void(const std::string& token, OwnFd stream)>;

  static absl::StatusOr<std::unique_ptr<StreamListener>> open(EventLoop& loop,
                                                              const std::string& endpoint,
                                                              OnStream on_stream);
  ~StreamListener();
  StreamListener(const StreamListener&) = delete;
  StreamListener& operator=(const StreamListener&) = delete;

  const std::string& endpoint() const { return endpoint_; }

 private:
  struct Unknown;
  StreamListener(EventLoop& loop, OwnFd fd, std::string endpoint, OnStream on_stream);
  void accept();
  void read(int fd);

  EventLoop& loop_;
  OwnFd fd_;
  std::string endpoint_;
  OnStream on_stream_;
  std::map<int, std::shared_ptr<Unknown>> unknown_;
};

// Connects, and shows the token. Errors name the endpoint: Unavailable is what the other end or the network said, DeadlineExceeded that
// nothing did, others are this host's own. What is returned gives it up without a reply, on this thread and while the loop lives.
std::function<void()> connect_stream(EventLoop& loop, const std::string& endpoint,
                                     const std::string& token, Reply<OwnFd> reply);

}  // namespace supercloud
