#include "core/socket_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

namespace {

// Read per readiness, so that one busy link does not starve the loop.
constexpr std::size_t read_bytes_max = 1 << 20;
// A frame's buffer grows as its bytes come: a peer that only announces much costs little.
constexpr std::size_t grow_bytes = 256 << 10;

void put_length(char* to, std::size_t length) {
  for (unsigned i = 0; i < 4; ++i) to[i] = static_cast<char>((length >> (8 * i)) & 0xffU);
}

std::size_t get_length(const char* from) {
  std::size_t length = 0;
  for (unsigned i = 0; i < 4; ++i) {
    length |= static_cast<std::size_t>(static_cast<unsigned char>(from[i])) << (8 * i);
  }
  return length;
}

}  // namespace

std::shared_ptr<SocketStream> SocketStream::open(EventLoop& loop, int fd, bool connecting) {
  auto stream = std::shared_ptr<SocketStream>(new SocketStream(loop, fd, connecting));
  if (const absl::Status watched = stream->begin_watch(connecting ? std::uint32_t{EPOLLOUT} : 0);
      !watched.ok()) {
    ::close(std::exchange(stream->fd_, -1));
    return failed(loop, watched);
  }
  return stream;
}

absl::Status SocketStream::begin_watch(std::uint32_t events) {
  return loop_.watch_fd(fd_, events, [weak = weak_from_this()](std::uint32_t ready) {
    if (const auto alive = weak.lock()) alive->on_ready(ready);
  });
}

std::shared_ptr<SocketStream> SocketStream::failed(EventLoop& loop, absl::Status why) {
  auto stream = std::shared_ptr<SocketStream>(new SocketStream(loop, -1, false));
  stream->end_later(std::move(why));
  return stream;
}

SocketStream::~SocketStream() { close(); }

void SocketStream::set_handler(Handler handler) {
  handler_ = std::make_shared<Handler>(std::move(handler));
  if (untold_) {
    loop_.post([weak = weak_from_this()] {
      const auto alive = weak.lock();
      if (alive == nullptr || !alive->untold_) return;
      alive->ended_ = false;
      alive->end(*std::exchange(alive->untold_, std::nullopt));
    });
    return;
  }
  if (unwatched_ && fd_ >= 0) {
    unwatched_ = false;
    if (absl::Status watched = begin_watch(EPOLLIN); !watched.ok()) {
      end_later(std::move(watched));
      return;
    }
  }
  watch();
}

void SocketStream::clear_handler() {
  handler_.reset();
  watch();
}

void SocketStream::watch() {
  if (fd_ < 0) return;
  std::uint32_t events = 0;
  if (handler_ != nullptr && !connecting_) events |= EPOLLIN;
  if (connecting_ || !outgoing_.empty()) events |= EPOLLOUT;
  loop_.change_fd(fd_, events);
}

void SocketStream::close() {
  ended_ = true;
  handler_.reset();
  if (fd_ < 0) return;
  loop_.unwatch_fd(fd_);
  ::close(std::exchange(fd_, -1));
}

void SocketStream::finish_writing() {
  finishing_ = true;
  if (fd_ >= 0 && outgoing_.empty()) shutdown(fd_, SHUT_WR);
}

void SocketStream::end(absl::Status why) {
  if (ended_) return;
  const std::shared_ptr<Handler> handler = handler_;
  close();
  if (handler == nullptr) {
    untold_ = std::move(why);
  } else if (handler->on_closed) {
    handler->on_closed(std::move(why));
  }
}

void SocketStream::end_later(absl::Status why) {
  loop_.post([weak = weak_from_this(), why = std::move(why)]() mutable {
    if (const auto alive = weak.lock()) alive->end(std::move(why));
  });
}

void SocketStream::send(std::string frame) {
  if (ended_ || finishing_) return;
  if (frame.size() > frame_max_) {
    end_later(absl::InvalidArgumentError(
        absl::StrCat("a frame of ", frame.size(), " bytes was sent; the limit is ", frame_max_)));
    return;
  }
  Outgoing outgoing{{}, std::move(frame)};
  put_length(outgoing.header, outgoing.frame.size());
  backlog_ += sizeof outgoing.header + outgoing.frame.size();
  outgoing_.push_back(std::move(outgoing));
  if (outgoing_.size() == 1 && !connecting_) write_some();
  watch();
}

void SocketStream::on_ready(std::uint32_t events) {
  const std::shared_ptr<SocketStream> self = shared_from_this();  // the handler may drop the link
  if (connecting_) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) {
      end(absl::ErrnoToStatus(error, "cannot connect"));
      return;
    }
    connecting_ = false;
  }
  if ((events & EPOLLOUT) != 0U) write_some();
  if ((events & EPOLLIN) != 0U && handler_ != nullptr) {
    read_frames();
  } else if ((events & (EPOLLERR | EPOLLHUP)) != 0U && !ended_) {
    if (handler_ != nullptr) {
      end(absl::UnavailableError("the peer has closed the link"));
    } else {
      unwatched_ = true;
      loop_.unwatch_fd(fd_);
    }
  }
  if (!ended_) watch();
}

void SocketStream::read_frames() {
  std::size_t before = 0;
  while (!ended_ && handler_ != nullptr && before < read_bytes_max) {
    if (!read_some()) return;
    if (header_bytes_ < sizeof header_ || frame_bytes_ < frame_.size() ||
        frame_bytes_ < get_length(header_)) {
      continue;
    }
    before += frame_.size() + sizeof header_;
    std::string frame = std::exchange(frame_, {});
    header_bytes_ = frame_bytes_ = 0;
    const std::shared_ptr<Handler> handler = handler_;
    if (handler->on_frame) handler->on_frame(std::move(frame));
  }
}

bool SocketStream::read_some() {
  ssize_t got = 0;
  if (header_bytes_ < sizeof header_) {
    got = recv(fd_, header_ + header_bytes_, sizeof header_ - header_bytes_, 0);
    if (got > 0) header_bytes_ += static_cast<std::size_t>(got);
    if (header_bytes_ == sizeof header_ && get_length(header_) > frame_max_) {
      end(absl::InvalidArgumentError(absl::StrCat("the peer announced a frame of ",
                                                  get_length(header_), " bytes; the limit is ",
                                                  frame_max_)));
      return false;
    }
  } else {
    const std::size_t length = get_length(header_);
    if (frame_bytes_ == frame_.size()) frame_.resize(std::min(length, frame_bytes_ + grow_bytes));
    if (frame_.empty()) return true;  // an empty frame
    got = recv(fd_, frame_.data() + frame_bytes_, frame_.size() - frame_bytes_, 0);
    if (got > 0) frame_bytes_ += static_cast<std::size_t>(got);
  }
  if (got > 0) return true;
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got < 0) {
    end(absl::ErrnoToStatus(errno, "the link broke"));
  } else if (header_bytes_ > 0) {
    end(absl::DataLossError("the peer closed the link inside a frame"));
  } else {
    end(absl::UnavailableError("the peer has closed the link"));
  }
  return false;
}

void SocketStream::write_some() {
  while (fd_ >= 0 && !outgoing_.empty()) {
    std::array<iovec, 64> parts{};
    std::size_t count = 0;
    std::size_t skip = written_;
    for (Outgoing& outgoing : outgoing_) {
      if (count + 2 > parts.size()) break;
      const std::size_t of_header = std::min(skip, sizeof outgoing.header);
      const std::size_t of_frame = skip - of_header;
      if (of_header < sizeof outgoing.header) {
        parts[count++] = {outgoing.header + of_header, sizeof outgoing.header - of_header};
      }
      if (of_frame < outgoing.frame.size()) {
        parts[count++] = {outgoing.frame.data() + of_frame, outgoing.frame.size() - of_frame};
      }
      skip = 0;
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t sent = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      // Said from the loop, never from inside send(). What the peer wrote before is lost with it.
      end_later(absl::ErrnoToStatus(errno, "the link broke"));
      outgoing_.clear();
      backlog_ = written_ = 0;
      return;
    }
    backlog_ -= static_cast<std::size_t>(sent);
    written_ += static_cast<std::size_t>(sent);
    while (!outgoing_.empty() &&
           written_ >= sizeof outgoing_.front().header + outgoing_.front().frame.size()) {
      written_ -= sizeof outgoing_.front().header + outgoing_.front().frame.size();
      outgoing_.pop_front();
    }
  }
  if (finishing_ && fd_ >= 0 && outgoing_.empty()) shutdown(fd_, SHUT_WR);
}

}  // namespace supercloud
