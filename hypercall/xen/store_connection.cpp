// XenStoreClient's connection: how it is made, lost and made again, and what goes over it.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/xen/store_client.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

using xen_wire::Type;

constexpr std::size_t receive_bytes = std::size_t{64} << 10U;
constexpr std::size_t rounds_max = xen_wire::body_bytes_max / receive_bytes + 2;  // of a message

bool changes(Type type) {
  return type == Type::write || type == Type::make || type == Type::remove ||
         type == Type::set_permissions || type == Type::end;
}

}  // namespace

absl::Status XenStoreClient::connect() {
  if (fd_ >= 0) return absl::OkStatus();
  const Instant now = loop_.clock().now();
  if (now < next_try_) return trouble_;
  path_ = options_.path.empty() ? default_xen_store_path() : options_.path;
  const auto failed = [&](const absl::Status& why) {
    trouble_ = why;
    next_try_ = now + retry_;
    retry_ = std::min(retry_ * 2, options_.retry_max);
    return why;
  };
  const auto absent = [&](const char* call, int error) {
    return failed(xen_absent("XenStore", call, error, path_));
  };
  struct stat file = {};
  if (::stat(path_.c_str(), &file) != 0) return absent("stat", errno);
  socket_ = !S_ISCHR(file.st_mode);
  int fd = -1;
  if (!socket_) {
    fd = ::open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return absent("open", errno);
  } else {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) return absent("connect", ENAMETOOLONG);
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return absent("socket", errno);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      ::close(fd);
      return absent("connect", error);
    }
  }
  errno = 0;
  const absl::Status watched =
      loop_.watch_fd(fd, EPOLLIN, [this](std::uint32_t events) { on_ready(events); });
  if (!watched.ok()) {
    const int error = errno;  // EPERM: a file that never becomes ready, so nothing that answers
    ::close(fd);
    return failed(as_xen_failure(
        absl::UnavailableError(absl::StrCat("no XenStore here: ", path_, ": ", watched.message())),
        "epoll_ctl", error));
  }
  fd_ = fd;
  ++connection_;
  connected_ = now;
  loop_.cancel(std::exchange(retry_timer_, 0));
  for (auto& [id, watch] : watches_) {
    loop_.cancel(std::exchange(watch.timer, 0));
    watch.retry = {};
    register_watch(id, {});
  }
  look_after_device();
  return absl::OkStatus();
}

// Only for watches: who asks connects by asking.
void XenStoreClient::connect_later() {
  if (retry_timer_ != 0 || fd_ >= 0) return;
  retry_timer_ = loop_.at(std::max(next_try_, loop_.clock().now()), [this] {
    retry_timer_ = 0;
    if (!watches_.empty() && !connect().ok()) connect_later();
  });
}

void XenStoreClient::lose(std::string_view call, int error, absl::string_view why) {
  if (fd_ < 0) return;
  loop_.unwatch_fd(fd_);
  ::close(std::exchange(fd_, -1));
  loop_.cancel(std::exchange(silence_timer_, 0));
  loop_.cancel(std::exchange(device_timer_, 0));
  in_.clear();
  out_.clear();
  fired_.clear();
  open_.clear();
  const std::string words = absl::StrCat("the XenStore at ", path_, " went away: ", why);
  trouble_ = as_xen_failure(absl::UnavailableError(words), call, error);
  const Instant now = loop_.clock().now();
  // One that answers and goes, again and again, is no better than none.
  if (now - connected_ >= options_.retry_max) retry_ = options_.retry_min;
  next_try_ = now + retry_;
  retry_ = std::min(retry_ * 2, options_.retry_max);
  const auto tell = [&](Request& request, std::string_view effect) {
    const std::string_view name = xen_wire::name_of(request.type);
    std::move(request.answered)(as_xen_failure(
        absl::UnavailableError(absl::StrCat(absl_view(name), request.about.empty() ? "" : " ",
                                            request.about, absl_view(effect), ": ", words)),
        name, error));
  };
  auto asked = std::exchange(asked_, std::nullopt);
  auto waiting = std::exchange(waiting_, {});
  if (asked) tell(*asked, changes(asked->type) ? ", not known whether it took effect" : "");
  for (Request& request : waiting) tell(request, "");
  if (!watches_.empty()) connect_later();
}

absl::Status XenStoreClient::nonsense(Type type, const XenPath& path, absl::string_view why) {
  const std::string_view name = xen_wire::name_of(type);
  const absl::Status status = as_xen_failure(
      absl::UnavailableError(absl::StrCat(absl_view(name), " ", path.text(), ": ", why)), name,
      EPROTO);
  lose(name, EPROTO, why);
  return status;
}

void XenStoreClient::send_next() {
  while (fd_ >= 0 && !asked_ && !waiting_.empty()) {
    Request next = std::move(waiting_.front());
    waiting_.pop_front();
    // Nobody waits for it any more, and what it would do they have been told is not done.
    if (next.type != Type::end && loop_.clock().now() >= next.deadline) {
      later([name = xen_wire::name_of(next.type), about = std::move(next.about),
             answered = std::move(next.answered)]() mutable {
        std::move(answered)(absl::DeadlineExceededError(
            absl::StrCat(absl_view(name), " ", about, ": not sent before its deadline")));
      });
      continue;
    }
    asked_ = std::move(next);
    asked_at_ = loop_.clock().now();
    out_ = std::exchange(asked_->message, {});
    expect_answer();
    send();
  }
}

void XenStoreClient::send() {
  std::size_t sent = 0;
  while (sent < out_.size()) {
    const char* from = out_.data() + sent;
    const std::size_t size = out_.size() - sent;
    const ssize_t count =
        socket_ ? ::send(fd_, from, size, MSG_NOSIGNAL) : ::write(fd_, from, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) {
      // A socket still has to be read: of what it was sent before. All that is asked is told later, not from inside a call.
      const int error = errno;
      out_.clear();
      later([this, error, of = connection_] {
        for (std::size_t round = 0; round < rounds_max && of == connection_ && receive(); ++round) {
        }
        const char* call = socket_ ? "send" : "write";
        if (of == connection_) lose(call, error, xen_error(call, error).message());
      });
      return;
    }
    sent += static_cast<std::size_t>(count);
  }
  out_.erase(0, sent);
  loop_.change_fd(fd_, out_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void XenStoreClient::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) send();
  if (fd_ >= 0 && (events & ~std::uint32_t{EPOLLOUT}) != 0) receive();
}

// Whether something came, and the connection is still there.
bool XenStoreClient::receive() {
  if (fd_ < 0) return false;
  const std::size_t had = in_.size();
  in_.resize(had + receive_bytes);
  const ssize_t count = ::read(fd_, in_.data() + had, receive_bytes);
  const int error = errno;
  in_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0 && (error == EAGAIN || error == EINTR)) return false;
  if (count < 0) {
    lose("read", error, xen_error("read", error).message());
    return false;
  }
  if (count == 0) {
    lose("read", ECONNRESET, "it closed the connection");
    return false;
  }
  const std::uint32_t of = connection_;
  std::string_view bytes = in_;
  while (true) {
    const auto message = xen_wire::decode(bytes);
    if (!message.ok()) lose("read", EPROTO, message.status().message());
    if (!message.ok() || (*message && !take(**message)) || of != connection_) return false;
    if (!*message) break;
  }
  in_.erase(0, in_.size() - bytes.size());
  send_next();
  tell_watches();
  return fd_ >= 0;
}

// Whether the connection is still there.
bool XenStoreClient::take(const xen_wire::Message& message) {
  if (message.type == Type::watch_event) {
    const auto event = xen_wire::decode_watch_event(message.body);
    if (!event.ok()) {
      lose("read", EPROTO, event.status().message());
      return false;
    }
    fired_.emplace(event->token, event->path);
    return true;
  }
  if (!asked_ || !out_.empty() || message.request != asked_->number ||
      (message.type != asked_->type && message.type != Type::error)) {
    lose("read", EPROTO, "the XenStore answers nonsense: what nobody asked");
    return false;
  }
  Request request = *std::exchange(asked_, std::nullopt);
  if (message.type != Type::error) {
    std::move(request.answered)(message.body);
    return fd_ >= 0;
  }
  const int error = xen_wire::error_number(message.body);
  std::move(request.answered)(
      xen_error(xen_wire::name_of(request.type), error == 0 ? EPROTO : error, request.about));
  return fd_ >= 0;
}

// The silence is the daemon's only if nothing is there to be read: this process may have been the one that stood still.
void XenStoreClient::expect_answer() {
  if (silence_timer_ != 0 || !asked_) return;
  silence_timer_ = loop_.at(asked_at_ + options_.silence_max, [this] {
    silence_timer_ = 0;
    const auto silent = [this] {
      return asked_ && loop_.clock().now() - asked_at_ >= options_.silence_max;
    };
    for (std::size_t round = 0; round < rounds_max && silent() && receive(); ++round) {
    }
    if (silent())
      lose("read", ETIMEDOUT, "no answer for " + absl::FormatDuration(options_.silence_max));
    expect_answer();
  });
}

// Nothing tells the reader of a device that nobody answers behind it any more: it is asked, now and then. That a daemon began anew
// without pause it does not show; the watches of a device are the kernel's, which keeps them.
void XenStoreClient::look_after_device() {
  if (socket_) return;
  device_timer_ = loop_.at(loop_.clock().now() + options_.silence_max, [this] {
    if (!watches_.empty() && !asked_) list(0, XenPath::root(), {});
    look_after_device();
  });
}

}  // namespace supercloud
