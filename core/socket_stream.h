// One connected socket that carries frames: reading, writing, and the end of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "core/event_loop.h"
#include "core/link.h"

namespace supercloud {

// Thread-bound to its loop. Calls its handler only from the loop, and may be destroyed or closed inside such a call.
class SocketStream : public std::enable_shared_from_this<SocketStream> {
 public:
  struct Handler {
    absl::AnyInvocable<void(std::string frame)> on_frame;
    absl::AnyInvocable<void(absl::Status why)> on_closed;
  };

  // Takes `fd`, non-blocking; `connecting`: its connect() is under way.
  static std::shared_ptr<SocketStream> open(EventLoop& loop, int fd, bool connecting);
  // One that never came about: tells its handler so.
  static std::shared_ptr<SocketStream> failed(EventLoop& loop, absl::Status why);
  ~SocketStream();

  // Nothing is read before. Replaces the one before it; also from inside a call of it.
  void set_handler(Handler handler);
  // Nothing more is read until the next one.
  void clear_handler();
  void send(std::string frame);
  std::size_t backlog() const { return backlog_; }
  // Frames above this are refused and close the stream.
  void limit_frames(std::size_t bytes_max) { frame_max_ = bytes_max; }
  // Ends it without a further call. What was sent and not yet taken by the network is lost.
  void close();
  // Sends nothing more once everything is written; the peer sees the end.
  void finish_writing();

 private:
  SocketStream(EventLoop& loop, int fd, bool connecting)
      : loop_(loop), fd_(fd), connecting_(connecting) {}

  void on_ready(std::uint32_t events);
  void read_frames();
  // False: nothing more to read now.
  bool read_some();
  void write_some();
  [[nodiscard]] absl::Status begin_watch(std::uint32_t events);
  void watch();
  void end(absl::Status why);        // with a call, from the loop
  void end_later(absl::Status why);  // from anywhere

  EventLoop& loop_;
  int fd_ = -1;
  bool connecting_ = false;
  bool finishing_ = false;
  bool unwatched_ = false;  // hung up while nobody reads: it would be ready for ever
  bool ended_ = false;
  std::optional<absl::Status> untold_;  // it ended before there was a handler
  std::size_t frame_max_ = link_frame_bytes_max;
  std::shared_ptr<Handler> handler_;

  char header_[4] = {};
  std::size_t header_bytes_ = 0;
  std::string frame_;  // as long as the header says
  std::size_t frame_bytes_ = 0;

  struct Outgoing {
    char header[4];
    std::string frame;
  };
  std::deque<Outgoing> outgoing_;
  std::size_t written_ = 0;  // of the first, header included
  std::size_t backlog_ = 0;
};

}  // namespace supercloud
