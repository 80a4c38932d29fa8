#include "bus/zmq_socket.h"

#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

// What can only fail through a mistake in this file.
void must(bool held, const char* what) {
  if (!held) ABSL_RAW_LOG(FATAL, "libzmq: %s: %s", what, zmq_strerror(zmq_errno()));
}

absl::Status failed(std::string_view verb, const std::string& endpoint) {
  const int error = zmq_errno();
  const std::string message =
      absl::StrCat("cannot ", std::string(verb), " ", endpoint, ": ", zmq_strerror(error));
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(
        absl::StrCat(message, "; another process has it: end that, or choose another endpoint"));
  }
  return absl::InvalidArgumentError(message);
}

void set(void* socket, int option, int value, const char* what) {
  must(zmq_setsockopt(socket, option, &value, sizeof value) == 0, what);
}

void set_key(void* socket, int option, const CurveKey& key, const char* what) {
  must(zmq_setsockopt(socket, option, key.data(), key.size()) == 0, what);
}

// Whoever is not let in learns it only by this time having passed, and tries again.
constexpr int handshake_ms_max = 5000;

void set_curve(void* socket, const CurveEnd& end) {
  set(socket, ZMQ_HANDSHAKE_IVL, handshake_ms_max, "handshake interval");
  set_key(socket, ZMQ_CURVE_SECRETKEY, end.own->curve_secret(), "secret key");
  if (end.server) {
    set_key(socket, ZMQ_CURVE_PUBLICKEY, end.own->public_key().curve(), "public key");
    set_key(socket, ZMQ_CURVE_SERVERKEY, *end.server, "server key");
    return;
  }
  set(socket, ZMQ_CURVE_SERVER, 1, "CURVE");
  constexpr std::string_view domain = "bus";
  must(zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, domain.data(), domain.size()) == 0, "domain");
}

}  // namespace

ZmqContext::ZmqContext(int sockets) : context_(zmq_ctx_new()) {
  must(context_ != nullptr, "context");
  zmq_ctx_set(context_, ZMQ_BLOCKY, 0);
  const int limit = zmq_ctx_get(context_, ZMQ_SOCKET_LIMIT);
  zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, std::min(sockets, limit));
}
ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
}

absl::StatusOr<std::unique_ptr<ZmqSocket>> ZmqSocket::make(std::shared_ptr<ZmqContext> context,
                                                           int type, ZmqSocketOptions options,
                                                           EventLoop& loop, OnMessage on_message,
                                                           std::function<void()> on_writable) {
  void* socket = zmq_socket(context->get(), type);
  if (socket == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("cannot make a socket: ", zmq_strerror(zmq_errno()),
                     "; raise this process's limit of open files, or have fewer members"));
  }
  const std::size_t connections_max = options.connections_max;
  std::function<void()> on_crowded = std::move(options.on_crowded);
  std::unique_ptr<ZmqSocket> made(new ZmqSocket(std::move(context), socket, std::move(options),
                                                loop, std::move(on_message),
                                                std::move(on_writable)));
  // Who only connects sees by the gaps, if later, what was lost; who may not be cut off must not come in.
  if (!made->watch_connections(connections_max, std::move(on_crowded)) && connections_max > 0) {
    return absl::ResourceExhaustedError(
        "cannot make a socket that tells of connections; raise this process's limit of open files");
  }
  return made;
}

ZmqSocket::ZmqSocket(std::shared_ptr<ZmqContext> context, int type, ZmqSocketOptions options,
                     EventLoop& loop, OnMessage on_message, std::function<void()> on_writable)
    : ZmqSocket(context, zmq_socket(context->get(), type), options, loop, std::move(on_message),
                std::move(on_writable)) {
  watch_connections(options.connections_max, options.on_crowded);
}

ZmqSocket::ZmqSocket(std::shared_ptr<ZmqContext> context, void* socket, ZmqSocketOptions options,
                     EventLoop& loop, OnMessage on_message, std::function<void()> on_writable)
    : context_(std::move(context)),
      loop_(loop),
      on_message_(std::move(on_message)),
      on_writable_(std::move(on_writable)),
      on_reconnected_(std::move(options.on_reconnected)),
      on_shut_out_(std::move(options.on_shut_out)),
      socket_(socket),
      manual_(options.manual),
      nodrop_(options.nodrop),
      blocked_(on_writable_ != nullptr) {
  must(socket_ != nullptr, "socket");
  set(socket_, ZMQ_LINGER, static_cast<int>(absl::ToInt64Milliseconds(options.linger)), "linger");
  set(socket_, ZMQ_SNDHWM, options.high_water_mark, "send high-water mark");
  set(socket_, ZMQ_RCVHWM, options.high_water_mark, "receive high-water mark");
  set(socket_, ZMQ_RECONNECT_IVL, 10, "reconnect interval");
  set(socket_, ZMQ_RECONNECT_IVL_MAX, 500, "longest reconnect interval");
  set(socket_, ZMQ_IPV6, 1, "IPv6");
  const std::int64_t largest = message_bytes_max;
  must(zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0, "message size");
  if (options.curve) set_curve(socket_, *options.curve);
  if (options.manual) set(socket_, ZMQ_XPUB_MANUAL, 1, "manual");
  if (options.nodrop) set(socket_, ZMQ_XPUB_NODROP, 1, "no drop");
  if (options.connected_only) set(socket_, ZMQ_IMMEDIATE, 1, "immediate");
  if (options.same_user_only)
    set(socket_, ZMQ_IPC_FILTER_UID, static_cast<int>(::geteuid()), "users");
  if (options.silence_max > absl::ZeroDuration()) {
    const int silence = static_cast<int>(absl::ToInt64Milliseconds(options.silence_max));
    set(socket_, ZMQ_HEARTBEAT_IVL, std::max(silence / 3, 1), "heartbeat interval");
    set(socket_, ZMQ_HEARTBEAT_TIMEOUT, silence, "heartbeat timeout");
    set(socket_, ZMQ_HEARTBEAT_TTL, silence, "heartbeat time to live");
  }
  std::size_t size = sizeof fd_;
  must(zmq_getsockopt(socket_, ZMQ_FD, &fd_, &size) == 0, "descriptor");
}

ZmqSocket::~ZmqSocket() {
  if (!retired_) loop_.unwatch_fd(fd_);
  monitor_.reset();
  zmq_close(socket_);
}

bool ZmqSocket::watch_connections(std::size_t connections_max, std::function<void()> on_crowded) {
  if (connections_max > 0) {
    peers_ = std::make_unique<ZmqPeers>(connections_max, std::move(on_crowded));
    monitor_ = ZmqMonitor::make(context_, socket_, ZmqPeers::events, loop_,
                                [this](int event, int fd) { peers_->on_event(event, fd); });
  } else if (on_reconnected_ || on_shut_out_) {
    monitor_ =
        ZmqMonitor::make(context_, socket_, ZMQ_EVENT_CONNECTED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH,
                         loop_, [this](int event, int) {
                           if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
                             is_shut_out_ = true;
                           } else if (std::exchange(connected_, true)) {
                             reconnected_ = true;
                           }
                         });
  } else {
    return true;
  }
  return monitor_ != nullptr;
}

void ZmqSocket::cut_sender() {
  if (peers_ != nullptr && sender_ >= 0) peers_->cut(sender_);
}

std::size_t ZmqSocket::sender_holds(std::string_view topic, bool wanted) {
  return peers_ == nullptr ? 0 : peers_->hold(sender_, topic, wanted);
}

bool ZmqSocket::any_meets(std::string_view lead, std::string_view topic) {
  if (peers_ == nullptr) return false;
  monitor_->look();
  return peers_->any_meets(lead, topic);
}

void ZmqSocket::cut_unless(const std::function<bool(std::string_view user)>& stays) {
  if (peers_ == nullptr) return;
  monitor_->look();
  peers_->cut_unless(stays);
}

void ZmqSocket::start() {
  const absl::Status watched = loop_.watch_fd(fd_, EPOLLIN, [this](std::uint32_t) { ready(); });
  if (!watched.ok()) ABSL_RAW_LOG(FATAL, "%s", std::string(watched.message()).c_str());
  if (monitor_ != nullptr) monitor_->start([this] { ready(); });
  look_again();
}

void ZmqSocket::retire(std::unique_ptr<ZmqSocket> socket) {
  if (socket == nullptr) return;
  socket->retired_ = true;
  socket->loop_.unwatch_fd(socket->fd_);
  if (socket->monitor_ != nullptr) socket->monitor_->stop();
  EventLoop& loop = socket->loop_;
  loop.post([socket = std::move(socket)] {});
}

absl::Status ZmqSocket::bind(const std::string& endpoint) {
  if (zmq_bind(socket_, endpoint.c_str()) != 0) return failed("bind to", endpoint);
  if (peers_ != nullptr) peers_->bound(this->endpoint());
  return absl::OkStatus();
}

std::string ZmqSocket::endpoint() const {
  std::array<char, 512> name{};
  std::size_t size = name.size();
  if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, name.data(), &size) != 0) return {};
  return name.data();
}

absl::Status ZmqSocket::connect(const std::string& endpoint) {
  if (zmq_connect(socket_, endpoint.c_str()) != 0) return failed("connect to", endpoint);
  return absl::OkStatus();
}

void ZmqSocket::subscribe(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size()) == 0, "subscribe");
  look_again();
}

void ZmqSocket::unsubscribe(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_UNSUBSCRIBE, topic.data(), topic.size()) == 0, "unsubscribe");
  look_again();
}

// No look for more in between, which could let libzmq turn to another connection; receive() is followed by one.
void ZmqSocket::grant(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size()) == 0, "grant");
}

void ZmqSocket::withdraw(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_UNSUBSCRIBE, topic.data(), topic.size()) == 0, "withdraw");
}

bool ZmqSocket::send(Frames frames) {
  bool sent = true;
  for (std::size_t i = 0; i < frames.size() && sent; ++i) {
    const int more = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
    while (zmq_send(socket_, frames[i].data(), frames[i].size(), ZMQ_DONTWAIT | more) < 0) {
      if (zmq_errno() == EINTR) continue;
      if (on_writable_) blocked_ = true;
      sent = false;  // later frames of a message find room where its first did
      break;
    }
  }
  look_again();
  return sent;
}

void ZmqSocket::send_lossy(Frames frames) {
  if (nodrop_) set(socket_, ZMQ_XPUB_NODROP, 0, "drop");
  send(frames);
  if (nodrop_) set(socket_, ZMQ_XPUB_NODROP, 1, "no drop");
}

int ZmqSocket::events() const {
  int events = 0;
  std::size_t size = sizeof events;
  while (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) != 0) {
    must(zmq_errno() == EINTR, "events");
  }
  return events;
}

void ZmqSocket::look_again() {
  if (looking_ || retired_) return;
  const int state = events();
  if ((state & ZMQ_POLLIN) == 0 && !(blocked_ && (state & ZMQ_POLLOUT) != 0)) return;
  looking_ = true;
  loop_.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired()) return;
    looking_ = false;
    if (!retired_) ready();
  });
}

void ZmqSocket::ready() {
  const std::weak_ptr<char> alive = alive_;
  for (std::size_t i = 0; i < messages_per_turn; ++i) {
    if (monitor_ != nullptr) monitor_->look();
    if (std::exchange(is_shut_out_, false) && on_shut_out_) {
      on_shut_out_();
      if (alive.expired() || retired_) return;
    }
    if (std::exchange(reconnected_, false) && on_reconnected_) {
      on_reconnected_();
      if (alive.expired() || retired_) return;
    }
    if (!receive()) break;
    if (alive.expired() || retired_) return;
  }
  const int state = events();
  if ((state & ZMQ_POLLOUT) != 0 && blocked_) {
    blocked_ = false;
    on_writable_();
    if (alive.expired() || retired_) return;
  }
  look_again();
}

// The sender of a message. False: nothing can be granted to it any more, for its connection has ended; who has its descriptor by now must not
// get it, and connects again.
bool ZmqSocket::knows(const char* user, int descriptor) {
  user_ = user == nullptr ? std::string_view() : std::string_view(user);
  sender_ = descriptor;
  if (peers_ == nullptr || sender_ < 0) return true;
  monitor_->look();
  if (peers_->said(sender_, user_) || !manual_) return true;
  peers_->cut(sender_);
  return false;
}

// False: there was none.
bool ZmqSocket::receive() {
  std::array<zmq_msg_t, frames_max> parts;
  std::array<std::string_view, frames_max> frames;
  std::size_t count = 0;
  bool more = true;
  while (more) {
    zmq_msg_t part;
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, socket_, ZMQ_DONTWAIT) < 0) {
      const bool interrupted = zmq_errno() == EINTR;
      zmq_msg_close(&part);
      if (interrupted) continue;
      break;
    }
    more = !manual_ && zmq_msg_more(&part) != 0;  // there, each part may be another peer's
    if (count == frames_max) {
      zmq_msg_close(&part);
      continue;
    }
    zmq_msg_init(&parts[count]);
    zmq_msg_move(&parts[count], &part);
    zmq_msg_close(&part);
    frames[count] = {static_cast<const char*>(zmq_msg_data(&parts[count])),
                     zmq_msg_size(&parts[count])};
    ++count;
  }
  burst_ = count > 0 ? burst_ + 1 : 0;
  if (count > 0) {
    zmq_msg_t& last = parts[count - 1];
    const int descriptor = peers_ == nullptr ? -1 : zmq_msg_get(&last, ZMQ_SRCFD);
    if (knows(zmq_msg_gets(&last, "User-Id"), descriptor))
      on_message_(Frames(frames.data(), count));
  } else if (peers_ != nullptr) {
    peers_->drained();
  }
  for (std::size_t i = 0; i < count; ++i) zmq_msg_close(&parts[i]);
  return count > 0;
}

}  // namespace supercloud
