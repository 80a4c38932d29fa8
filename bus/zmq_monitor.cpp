#include "bus/zmq_monitor.h"

#include <sys/epoll.h>
#include <zmq.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

std::unique_ptr<ZmqMonitor> ZmqMonitor::make(const std::shared_ptr<ZmqContext>& context,
                                             void* socket, int events, EventLoop& loop,
                                             OnEvent on_event) {
  void* end = zmq_socket(context->get(), ZMQ_PAIR);
  if (end == nullptr) return nullptr;
  std::unique_ptr<ZmqMonitor> monitor(
      new ZmqMonitor(context, socket, end, loop, std::move(on_event)));
  const std::string endpoint =
      absl::StrCat("inproc://connections-of-", reinterpret_cast<std::uintptr_t>(socket));
  if (zmq_socket_monitor(socket, endpoint.c_str(), events) != 0) return nullptr;
  if (zmq_connect(end, endpoint.c_str()) != 0) return nullptr;
  return monitor;
}

ZmqMonitor::ZmqMonitor(std::shared_ptr<ZmqContext> context, void* socket, void* end,
                       EventLoop& loop, OnEvent on_event)
    : context_(std::move(context)),
      socket_(socket),
      end_(end),
      loop_(loop),
      on_event_(std::move(on_event)) {
  // Without a limit: libzmq's thread would wait for room.
  const int none = 0;
  zmq_setsockopt(end_, ZMQ_LINGER, &none, sizeof none);
  zmq_setsockopt(end_, ZMQ_RCVHWM, &none, sizeof none);
  std::size_t size = sizeof fd_;
  zmq_getsockopt(end_, ZMQ_FD, &fd_, &size);
}

ZmqMonitor::~ZmqMonitor() {
  stop();
  zmq_socket_monitor(socket_, nullptr, 0);
  zmq_close(end_);
}

void ZmqMonitor::start(std::function<void()> waiting) {
  const absl::Status watched =
      loop_.watch_fd(fd_, EPOLLIN, [waiting = std::move(waiting)](std::uint32_t) { waiting(); });
  if (!watched.ok()) ABSL_RAW_LOG(FATAL, "%s", std::string(watched.message()).c_str());
  watched_ = true;
}

void ZmqMonitor::stop() {
  if (std::exchange(watched_, false)) loop_.unwatch_fd(fd_);
}

// An event is a number of two bytes and a value of four, then the endpoint.
void ZmqMonitor::look() {
  std::array<unsigned char, 6> what{};
  std::array<char, 256> where;
  while (zmq_recv(end_, what.data(), what.size(), ZMQ_DONTWAIT) >= 0) {
    zmq_recv(end_, where.data(), where.size(), ZMQ_DONTWAIT);
    std::uint16_t event = 0;
    std::int32_t value = 0;
    std::memcpy(&event, what.data(), sizeof event);
    std::memcpy(&value, what.data() + sizeof event, sizeof value);
    on_event_(event, value);
  }
}

}  // namespace supercloud
