// Wire form. Lengths are little-endian; the connector speaks first.
//
//   connection = hello welcome *frame      ; hello from the connector, welcome from the listener, frames both ways
//   hello      = frame                     ; its body: "supercloud-link/1 " service
//   welcome    = frame                     ; its body: "ok", or the reason of a refusal, after which the listener closes
//   frame      = length body
//   length     = 4OCTET                    ; of the body: at most 4 MiB, in hello and welcome 1024
//   service    = 1*255 printable
//
// The connector may send frames before the welcome. Whoever breaks the grammar is closed with the reason.
#include "core/socket_link.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/lost_peer.h"
#include "core/socket_stream.h"

namespace supercloud {

namespace {

constexpr std::string_view hello_magic = "supercloud-link/1 ";
constexpr std::size_t hello_bytes_max = 1024;
constexpr std::size_t service_bytes_max = 255;
constexpr Duration pause_length =
    absl::Milliseconds(200);  // of accepting, when there is nothing to accept with

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string path;  // unix

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

absl::StatusOr<SocketAddress> resolve(const std::string& endpoint) {
  SocketAddress address;
  if (endpoint.starts_with("unix:")) {
    address.path = endpoint.substr(5);
    sockaddr_un un{};
    if (address.path.empty() || address.path.size() >= sizeof un.sun_path) {
      return absl::InvalidArgumentError(absl::StrCat(endpoint, ": a socket's path has 1 to ",
                                                     sizeof un.sun_path - 1,
                                                     " bytes; use a shorter folder"));
    }
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, address.path.data(), address.path.size());
    std::memcpy(&address.storage, &un, sizeof un);
    address.size = sizeof un;
    return address;
  }
  const std::size_t colon = endpoint.rfind(':');
  sockaddr_in in{};
  in.sin_family = AF_INET;
  std::uint32_t port = 0;
  if (!endpoint.starts_with("tcp:") || colon < 4 ||
      inet_pton(AF_INET, endpoint.substr(4, colon - 4).c_str(), &in.sin_addr) != 1 ||
      !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", endpoint, "\" is no endpoint: write unix:/path or tcp:1.2.3.4:port"));
  }
  in.sin_port = htons(static_cast<std::uint16_t>(port));
  std::memcpy(&address.storage, &in, sizeof in);
  address.size = sizeof in;
  return address;
}

int make_socket(const SocketAddress& address) {
  return socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

// Whether a process listens there. A full queue is a living one's.
bool somebody_listens(const SocketAddress& address) {
  const int fd = make_socket(address);
  if (fd < 0) return false;
  const bool lives = connect(fd, address.get(), address.size) == 0 || errno == EAGAIN;
  close(fd);
  return lives;
}

void hurry(int fd, const SocketAddress& address) {
  const int on = 1;
  if (!address.path.empty()) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  notice_lost_peer(fd);
}

class SocketLink final : public Link {
 public:
  explicit SocketLink(std::shared_ptr<SocketStream> stream) : stream_(std::move(stream)) {}
  ~SocketLink() override { stream_->close(); }

  void set_handler(Handler handler) override {
    stream_->set_handler({std::move(handler.on_frame), std::move(handler.on_closed)});
  }
  void send(std::string frame) override { stream_->send(std::move(frame)); }
  std::size_t backlog() const override { return stream_->backlog(); }

 private:
  std::shared_ptr<SocketStream> stream_;
};

// The connecting end: its first frame is the welcome, which the owner does not see.
class ConnectedLink final : public Link {
 public:
  explicit ConnectedLink(std::shared_ptr<SocketStream> stream) : stream_(std::move(stream)) {}
  ~ConnectedLink() override { stream_->close(); }

  void set_handler(Handler handler) override {
    if (welcomed_) {
      stream_->set_handler({std::move(handler.on_frame), std::move(handler.on_closed)});
      return;
    }
    auto shared = std::make_shared<Handler>(std::move(handler));
    // The stream is this link's: where it calls, the link is alive.
    stream_->set_handler({[this, shared](std::string frame) { on_welcome(frame, shared); },
                          [shared](absl::Status why) {
                            if (shared->on_closed) shared->on_closed(std::move(why));
                          }});
  }
  void send(std::string frame) override { stream_->send(std::move(frame)); }
  std::size_t backlog() const override { return stream_->backlog(); }

 private:
  void on_welcome(const std::string& frame, const std::shared_ptr<Handler>& handler) {
    if (frame == "ok") {
      welcomed_ = true;
      stream_->set_handler({std::move(handler->on_frame), std::move(handler->on_closed)});
      return;
    }
    stream_->close();
    if (handler->on_closed) {
      handler->on_closed(
          absl::UnavailableError(absl::StrCat("refused: ", frame.substr(0, hello_bytes_max))));
    }
  }

  std::shared_ptr<SocketStream> stream_;
  bool welcomed_ = false;
};

}  // namespace

struct SocketLinkNetwork::State : std::enable_shared_from_this<State> {
  explicit State(EventLoop& in) : loop(in) {}

  // Connections whose hello has not come.
  struct Newcomer {
    std::shared_ptr<SocketStream> stream;
    TimerId deadline = 0;
  };

  absl::Status watch();
  void on_acceptable();
  void pause(int error);
  void welcome(int fd);
  void on_hello(std::uint64_t id, const std::string& frame);
  void refuse(std::uint64_t id, const std::string& why);
  void forget(std::uint64_t id);

  EventLoop& loop;
  int fd = -1;
  SocketAddress address;
  std::string endpoint;
  std::map<std::string, absl::AnyInvocable<void(std::unique_ptr<Link>)>> services;
  std::map<std::uint64_t, Newcomer> newcomers;
  std::uint64_t last_newcomer = 0;
  std::vector<std::weak_ptr<SocketStream>> accepted;
  TimerId resume = 0;  // out of descriptors until then
  bool said_exhausted = false;
};

absl::StatusOr<std::unique_ptr<SocketLinkNetwork>> SocketLinkNetwork::open(
    EventLoop& loop, const std::string& endpoint) {
  absl::StatusOr<SocketAddress> address = resolve(endpoint);
  if (!address.ok()) return address.status();
  auto state = std::make_shared<State>(loop);
  auto network = std::unique_ptr<SocketLinkNetwork>(new SocketLinkNetwork(state));
  const int fd = make_socket(*address);
  const auto failed = [&](std::string_view what) {
    return absl::UnavailableError(
        absl::StrCat("cannot ", std::string(what), " ", endpoint, ": ", std::strerror(errno)));
  };
  if (fd < 0) return failed("make a socket for");
  state->fd = fd;
  const int on = 1;
  if (address->path.empty()) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  } else {
    struct stat found{};
    if (stat(address->path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
      if (somebody_listens(*address)) {
        return absl::AlreadyExistsError(absl::StrCat(endpoint, " belongs to a running process"));
      }
      unlink(address->path.c_str());
    }
  }
  if (bind(fd, address->get(), address->size) != 0) return failed("bind");
  state->address = *address;
  if (::listen(fd, 64) != 0) return failed("listen at");
  state->endpoint = endpoint;
  if (address->path.empty()) {
    sockaddr_in bound{};
    socklen_t size = sizeof bound;
    getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
    state->endpoint =
        endpoint.substr(0, endpoint.rfind(':') + 1) + std::to_string(ntohs(bound.sin_port));
  }
  if (absl::Status watched = state->watch(); !watched.ok()) return watched;
  return network;
}

SocketLinkNetwork::SocketLinkNetwork(std::shared_ptr<State> state) : state_(std::move(state)) {}

SocketLinkNetwork::~SocketLinkNetwork() {
  while (!state_->newcomers.empty()) state_->forget(state_->newcomers.begin()->first);
  if (state_->fd < 0) return;
  state_->loop.cancel(state_->resume);
  state_->loop.unwatch_fd(state_->fd);
  close(state_->fd);
  if (!state_->address.path.empty()) unlink(state_->address.path.c_str());
}

std::string SocketLinkNetwork::endpoint() const { return state_->endpoint; }

absl::Status SocketLinkNetwork::listen(
    std::string service, absl::AnyInvocable<void(std::unique_ptr<Link>)> on_connection) {
  if (service.empty() || service.size() > service_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a service's name has 1 to ", service_bytes_max, " bytes"));
  }
  if (!state_->services.emplace(service, std::move(on_connection)).second) {
    return absl::AlreadyExistsError(absl::StrCat("service ", service, " is listened for already"));
  }
  return absl::OkStatus();
}

std::unique_ptr<Link> SocketLinkNetwork::connect(const std::string& endpoint,
                                                 const std::string& service) {
  const auto failed = [this](absl::Status why) {
    return std::make_unique<SocketLink>(SocketStream::failed(state_->loop, std::move(why)));
  };
  const absl::StatusOr<SocketAddress> address = resolve(endpoint);
  if (!address.ok()) return failed(address.status());
  const int fd = make_socket(*address);
  if (fd < 0) return failed(absl::ErrnoToStatus(errno, "cannot make a socket"));
  hurry(fd, *address);
  bool connecting = false;
  if (::connect(fd, address->get(), address->size) != 0) {
    connecting = errno == EINPROGRESS;
    if (!connecting) {
      const int error = errno;
      close(fd);
      return failed(absl::UnavailableError(
          absl::StrCat("cannot connect to ", endpoint, ": ", std::strerror(error))));
    }
  }
  std::shared_ptr<SocketStream> stream = SocketStream::open(state_->loop, fd, connecting);
  stream->send(absl::StrCat(std::string(hello_magic), service));
  return std::make_unique<ConnectedLink>(std::move(stream));
}

// ---- the listening side --------------------------------------------------------------------------------------------

void SocketLinkNetwork::State::on_acceptable() {
  const int accepted_fd = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted_fd < 0) {
    const int error = errno;
    // Otherwise it is gone again.
    if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) pause(error);
    return;
  }
  said_exhausted = false;
  std::erase_if(accepted,
                [](const std::weak_ptr<SocketStream>& stream) { return stream.expired(); });
  hurry(accepted_fd, address);
  const std::shared_ptr<SocketStream> stream = SocketStream::open(loop, accepted_fd, false);
  const std::uint64_t id = ++last_newcomer;
  if (accepted.size() >= 2 * accepted_max) return;  // not even a word
  accepted.push_back(stream);
  stream->limit_frames(hello_bytes_max);
  Newcomer& newcomer = newcomers[id];
  newcomer.stream = stream;
  newcomer.deadline = loop.at(loop.clock().now() + hello_deadline, [this, id] { forget(id); });
  if (accepted.size() > accepted_max) {
    refuse(id, absl::StrCat("more than ", accepted_max, " connections are open"));
    return;
  }
  const std::weak_ptr<State> weak = weak_from_this();
  stream->set_handler({[weak, id](const std::string& frame) {
                         if (const auto alive = weak.lock()) alive->on_hello(id, frame);
                       },
                       [weak, id](const absl::Status&) {
                         if (const auto alive = weak.lock()) alive->forget(id);
                       }});
}

// Who waits stays ready for as long as there is nothing to accept it with: looking all the time would help nobody.
void SocketLinkNetwork::State::pause(int error) {
  if (!std::exchange(said_exhausted, true)) {
    ABSL_RAW_LOG(WARNING, "%s accepts nobody for now: %s; raise this process's limit of open files",
                 endpoint.c_str(), std::strerror(error));
  }
  loop.unwatch_fd(fd);
  resume = loop.at(loop.clock().now() + pause_length, [this] {
    resume = 0;
    if (const absl::Status watched = watch(); !watched.ok()) pause(ENOMEM);
  });
}

absl::Status SocketLinkNetwork::State::watch() {
  return loop.watch_fd(fd, EPOLLIN, [weak = weak_from_this()](std::uint32_t) {
    if (const auto alive = weak.lock()) alive->on_acceptable();
  });
}

void SocketLinkNetwork::State::on_hello(std::uint64_t id, const std::string& frame) {
  const auto found = newcomers.find(id);
  if (found == newcomers.end()) return;
  const std::shared_ptr<SocketStream> stream = found->second.stream;
  if (!frame.starts_with(hello_magic)) {
    refuse(id, "this is a link of supercloud; what was said is not its hello");
    return;
  }
  const auto service = services.find(frame.substr(hello_magic.size()));
  if (service == services.end()) {
    refuse(id, absl::StrCat("nobody here listens for \"", frame.substr(hello_magic.size()), "\""));
    return;
  }
  loop.cancel(found->second.deadline);
  newcomers.erase(found);
  stream->limit_frames(link_frame_bytes_max);
  stream->send("ok");
  stream->clear_handler();
  service->second(std::make_unique<SocketLink>(stream));
}

// Says why, and waits for the peer to close: what it has sent already must not reset the connection before it has read that.
void SocketLinkNetwork::State::refuse(std::uint64_t id, const std::string& why) {
  const std::shared_ptr<SocketStream> stream = newcomers.at(id).stream;
  stream->limit_frames(link_frame_bytes_max);
  stream->send(why);
  stream->finish_writing();
  stream->set_handler({[](const std::string&) {},
                       [weak = weak_from_this(), id](const absl::Status&) {
                         if (const auto alive = weak.lock()) alive->forget(id);
                       }});
}

void SocketLinkNetwork::State::forget(std::uint64_t id) {
  const auto found = newcomers.find(id);
  if (found == newcomers.end()) return;
  loop.cancel(found->second.deadline);
  found->second.stream->close();
  newcomers.erase(found);
}

}  // namespace supercloud
