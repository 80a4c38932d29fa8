#include "bus/zmq_socket.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstdint>
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

// Whether the other end of a connection is still there, the kernel finds out. libzmq's own heartbeats do not live beside bounded queues: they end
// a connection whose messages wait to be taken, as silent, and the process with the next one that is taken (an assertion, its issue 3937);
// and where the other end goes while messages wait, the next heartbeat ends the process (another one, "!_io_error"), which makes it a weapon.
// The kernel answers for a process that is slow, and ipc has no peers that vanish.
void have_kernel_ask(void* socket, Duration silence_max) {
  const int interval = std::max(static_cast<int>(absl::ToInt64Seconds(silence_max / 3)), 1);
  set(socket, ZMQ_TCP_KEEPALIVE, 1, "keepalive");
  set(socket, ZMQ_TCP_KEEPALIVE_IDLE, interval, "keepalive idle time");
  set(socket, ZMQ_TCP_KEEPALIVE_INTVL, interval, "keepalive interval");
  set(socket, ZMQ_TCP_KEEPALIVE_CNT, 2, "keepalive probes");
  set(socket, ZMQ_TCP_MAXRT, static_cast<int>(absl::ToInt64Milliseconds(silence_max)),
      "longest retransmission");
}

int type_of(void* socket) {
  int type = 0;
  std::size_t size = sizeof type;
  must(socket != nullptr && zmq_getsockopt(socket, ZMQ_TYPE, &type, &size) == 0, "type");
  return type;
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
      parts_of_many_(type_of(socket) == ZMQ_XPUB),
      nodrop_(options.nodrop),
      blocked_(on_writable_ != nullptr) {
  must(socket_ != nullptr, "socket");
  set(socket_, ZMQ_LINGER, static_cast<int>(absl::ToInt64Milliseconds(options.linger)), "linger");
  set(socket_, ZMQ_SNDHWM, options.high_water_mark, "send high-water mark");
  set(socket_, ZMQ_RCVHWM, options.ahead_max > 0 ? options.ahead_max : options.high_water_mark,
      "receive high-water mark");
  set(socket_, ZMQ_RECONNECT_IVL, 10, "reconnect interval");
  set(socket_, ZMQ_RECONNECT_IVL_MAX, 500, "longest reconnect interval");
  set(socket_, ZMQ_IPV6, 1, "IPv6");
  const std::int64_t largest = parts_of_many_ ? subscription_bytes_max : message_bytes_max;
  must(zmq_setsockopt(socket_, ZMQ_MAXMSGSIZE, &largest, sizeof largest) == 0, "message size");
  if (options.silence_max > absl::ZeroDuration()) have_kernel_ask(socket_, options.silence_max);
  if (options.curve) set_curve(socket_, *options.curve);
  if (options.manual) set(socket_, ZMQ_XPUB_MANUAL, 1, "manual");
  if (options.nodrop) set(socket_, ZMQ_XPUB_NODROP, 1, "no drop");
  if (options.verbose) set(socket_, ZMQ_XPUB_VERBOSE, 1, "verbose");
  if (options.connected_only) set(socket_, ZMQ_IMMEDIATE, 1, "immediate");
  if (options.same_user_only)
    set(socket_, ZMQ_IPC_FILTER_UID, static_cast<int>(::geteuid()), "users");
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

bool ZmqSocket::sender_has(std::string_view topic) const {
  return peers_ != nullptr && peers_->holds(sender_, topic);
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

// No look for more in between, which could let libzmq turn to another connection; ready() is followed by one.
void ZmqSocket::grant(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, topic.data(), topic.size()) == 0, "grant");
}

void ZmqSocket::withdraw(std::string_view topic) {
  must(zmq_setsockopt(socket_, ZMQ_UNSUBSCRIBE, topic.data(), topic.size()) == 0, "withdraw");
}

bool ZmqSocket::send(Frames frames) { return send(frames, nodrop_); }

bool ZmqSocket::send_unlooked(Frames frames) { return send(frames, false); }

bool ZmqSocket::send(Frames frames, bool looks) {
  bool sent = true, looked = !looks;
  for (std::size_t i = 0; i < frames.size() && sent; ++i) {
    const int more = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
    while (zmq_send(socket_, frames[i].data(), frames[i].size(), ZMQ_DONTWAIT | more) < 0) {
      if (zmq_errno() == EINTR) continue;
      if (!std::exchange(looked, true)) {
        events();  // libzmq may not have looked for a millisecond what subscribers have taken
        continue;
      }
      if (on_writable_) blocked_ = true;
      sent = false;  // later frames of a message find room where its first did
      break;
    }
  }
  look_again();
  return sent;
}

void ZmqSocket::send_to(std::string_view peer, std::string bytes,
                        std::shared_ptr<const void> kept) {
  struct Given {
    std::string bytes;
    std::shared_ptr<const void> kept;
  };
  auto given = std::make_unique<Given>(std::move(bytes), std::move(kept));
  const auto end = [](void*, void* hint) { delete static_cast<Given*>(hint); };
  zmq_msg_t message;
  std::string& frame = given->bytes;
  must(zmq_msg_init_data(&message, frame.data(), frame.size(), end, given.get()) == 0, "message");
  static_cast<void>(given.release());
  const auto sent = [](auto&& part) {
    int result = 0;
    while ((result = part()) < 0 && zmq_errno() == EINTR) {
    }
    return result >= 0;
  };
  if (!sent([&] {
        return zmq_send(socket_, peer.data(), peer.size(), ZMQ_DONTWAIT | ZMQ_SNDMORE);
      }) ||
      !sent([&] { return zmq_msg_send(&message, socket_, ZMQ_DONTWAIT); }))
    zmq_msg_close(&message);
  look_again();
}

void ZmqSocket::send_lossy(Frames frames) {
  if (nodrop_) set(socket_, ZMQ_XPUB_NODROP, 0, "drop");
  send(frames);
  if (nodrop_) set(socket_, ZMQ_XPUB_NODROP, 1, "no drop");
}

bool ZmqSocket::had_news() {
  events();
  return std::exchange(news_, false);
}

// Its descriptor is readable while news wait for it.
int ZmqSocket::events() {
  pollfd news{fd_, POLLIN, 0};
  if (nodrop_ && !news_) news_ = ::poll(&news, 1, 0) > 0;
  int events = 0;
  std::size_t size = sizeof events;
  while (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) != 0) {
    must(zmq_errno() == EINTR, "events");
  }
  return events;
}

void ZmqSocket::look_again() {
  if (std::exchange(looking_, true) || retired_) return;
  loop_.at_turn_end([this, alive = std::weak_ptr<char>(alive_)] {
    if (alive.expired() || retired_) return;
    const int state = events();
    if ((state & ZMQ_POLLIN) == 0 && !(blocked_ && (state & ZMQ_POLLOUT) != 0)) {
      looking_ = false;
      return;
    }
    loop_.post([this, alive] {
      if (alive.expired()) return;
      looking_ = false;
      if (!retired_) ready();
    });
  });
}

struct ZmqSocket::Taken {
  static constexpr std::size_t parts_max = 128;

  Taken() = default;
  ~Taken() { clear(); }
  Taken(const Taken&) = delete;
  Taken& operator=(const Taken&) = delete;

  bool has_room() const { return messages < parts_max && parts + frames_max <= parts_max; }
  void clear() {
    for (std::size_t i = 0; i < parts; ++i) zmq_msg_close(&part[i]);
    parts = messages = 0;
  }

  std::array<zmq_msg_t, parts_max> part;
  std::array<std::uint8_t, parts_max> parts_of;  // each message
  std::size_t parts = 0, messages = 0;
  bool emptied = false;  // libzmq had no more
};

// False: the socket is gone, or retired.
bool ZmqSocket::look_at_connections() {
  if (monitor_ == nullptr) return true;
  const std::weak_ptr<char> alive = alive_;
  monitor_->look();
  if (std::exchange(is_shut_out_, false) && on_shut_out_) {
    on_shut_out_();
    if (alive.expired() || retired_) return false;
  }
  if (std::exchange(reconnected_, false) && on_reconnected_) {
    on_reconnected_();
    if (alive.expired() || retired_) return false;
  }
  return true;
}

void ZmqSocket::ready() {
  const std::weak_ptr<char> alive = alive_;
  // Whose connections are known says of each message who sent it; what may be granted to a sender has to be before the next one is taken.
  const std::size_t together = peers_ == nullptr && !manual_ ? Taken::parts_max : 1;
  // The first alone: to find that there are no more takes libzmq longer than all else.
  std::size_t next = 1;
  Taken taken;
  news_ = true;  // it takes note of them while messages are taken
  for (std::size_t given = 0; given < messages_per_turn && !taken.emptied;) {
    take(taken, std::exchange(next, together));
    // After what came was taken: a connection from which it came has been told of by now.
    if ((given == 0 || taken.messages > 0 || peers_ != nullptr) && !look_at_connections()) return;
    std::size_t at = 0;
    for (std::size_t i = 0; i < taken.messages; ++i, ++given) {
      std::array<std::string_view, frames_max> frames;
      const std::size_t count = taken.parts_of[i];
      for (std::size_t part = 0; part < count; ++part) {
        zmq_msg_t& each = taken.part[at + part];
        frames[part] = {static_cast<const char*>(zmq_msg_data(&each)), zmq_msg_size(&each)};
      }
      at += count;
      ++burst_;
      if (!knows(taken.part[at - 1])) continue;
      current_ = &taken.part[at - 1];
      on_message_(Frames(frames.data(), count));
      if (alive.expired()) return;
      current_ = nullptr;
      if (retired_) return;
    }
    taken.clear();
  }
  if (taken.emptied) {
    burst_ = 0;
    if (peers_ != nullptr) peers_->drained();
  }
  if (blocked_) {
    const bool writable = (events() & ZMQ_POLLOUT) != 0;
    look_again();  // what has come since the last was taken, the descriptor tells no more: libzmq has been asked
    if (writable) {
      blocked_ = false;
      on_writable_();
      if (alive.expired() || retired_) return;
    }
  }
  // Where nothing was left the descriptor tells of what comes, unless the socket was used meanwhile, which looks again by itself.
  if (!taken.emptied || peers_ != nullptr) look_again();
}

std::string_view ZmqSocket::user() const {
  const char* user = current_ == nullptr ? nullptr : zmq_msg_gets(current_, "User-Id");
  return user == nullptr ? std::string_view() : std::string_view(user);
}

// The sender of a message. False: nothing can be granted to it any more, for its connection has ended; who has its descriptor by now must not
// get it, and connects again.
bool ZmqSocket::knows(zmq_msg_t& last) {
  if (peers_ == nullptr) return true;
  sender_ = zmq_msg_get(&last, ZMQ_SRCFD);
  if (sender_ < 0) return true;
  const char* user = zmq_msg_gets(&last, "User-Id");
  monitor_->look();
  if (peers_->said(sender_, user == nullptr ? std::string_view() : user) || !manual_) return true;
  peers_->cut(sender_);
  return false;
}

void ZmqSocket::take(Taken& taken, std::size_t messages_max) {
  while (taken.messages < messages_max && taken.has_room()) {
    std::size_t count = 0;
    for (bool more = true; more;) {
      zmq_msg_t beyond;
      zmq_msg_t* part = count < frames_max ? &taken.part[taken.parts] : &beyond;
      zmq_msg_init(part);
      if (zmq_msg_recv(part, socket_, ZMQ_DONTWAIT) < 0) {
        const bool interrupted = zmq_errno() == EINTR;
        zmq_msg_close(part);
        if (interrupted) continue;
        taken.emptied = count == 0;
        break;
      }
      more = !parts_of_many_ && zmq_msg_more(part) != 0;
      if (part == &beyond) {
        zmq_msg_close(part);
      } else {
        ++taken.parts;
        ++count;
      }
    }
    if (count == 0) return;
    taken.parts_of[taken.messages++] = static_cast<std::uint8_t>(count);
  }
}

}  // namespace supercloud
