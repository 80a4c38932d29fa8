#include "hypercall/xen/store_client.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

using xen_wire::Type;

constexpr const char* usual_socket = "/run/xenstored/socket";
constexpr const char* usual_device = "/dev/xen/xenbus";
constexpr std::size_t receive_bytes = std::size_t{64} << 10U;
constexpr std::size_t unanswered_max = 1;
constexpr int listings_max = 8;  // of a directory that changes while it is read in parts
constexpr std::string_view nul("\0", 1);

std::string with_end(std::string_view text) { return std::string(text) + '\0'; }

template <class T>
absl::StatusOr<Done> as_done(const absl::StatusOr<T>& value) {
  if (!value.ok()) return value.status();
  return Done{};
}

}  // namespace

std::string default_xen_store_path() {
  if (const char* path = std::getenv("XENSTORED_PATH")) return path;
  if (const char* folder = std::getenv("XENSTORED_RUNDIR")) return std::string(folder) + "/socket";
  const bool device_alone = ::access(usual_socket, F_OK) != 0 && ::access(usual_device, F_OK) == 0;
  return device_alone ? usual_device : usual_socket;
}

struct XenStoreClient::Listing {
  XenTransactionId in;
  XenPath path;
  Reply<std::vector<std::string>> reply;
  std::vector<std::string> names = {};
  std::string generation = "";
  std::size_t offset = 0;
  int begun = 1;
};

XenStoreClient::XenStoreClient(EventLoop& loop, XenStoreClientOptions options)
    : loop_(loop), options_(std::move(options)), retry_(options_.retry_min) {
  if (options_.path.empty()) options_.path = default_xen_store_path();
}

XenStoreClient::~XenStoreClient() {
  *alive_ = false;
  loop_.cancel(retry_timer_);
  loop_.cancel(silence_timer_);
  if (fd_ < 0) return;
  loop_.unwatch_fd(fd_);
  ::close(fd_);
}

void XenStoreClient::later(Task task) {
  loop_.post([alive = alive_, task = std::move(task)]() mutable {
    if (*alive) std::move(task)();
  });
}

// ---- requests --------------------------------------------------------------------------------------------------------

void XenStoreClient::ask(Type type, XenTransactionId in, std::string_view about,
                         std::string_view body, Answered answered) {
  const auto refuse = [&](absl::Status why) {
    later([answered = std::move(answered), why = std::move(why)]() mutable {
      std::move(answered)(why);
    });
  };
  const std::string_view name = xen_wire::name_of(type);
  if (about.starts_with('@') && type != Type::watch && type != Type::unwatch)
    return refuse(
        xen_error(name, EINVAL, absl::StrCat(absl_view(about), ", which can only be watched")));
  if (body.size() > xen_payload_bytes_max)
    return refuse(xen_error(
        name, E2BIG,
        absl::StrCat(absl_view(about), " with ", body.size(),
                     " bytes, path and value together, of at most ", xen_payload_bytes_max)));
  if (in != 0 && (fd_ < 0 || in >> 32U != connection_))
    return refuse(absl::UnavailableError(
        absl::StrCat(absl_view(name), " ", absl_view(about),
                     ": its transaction ended when the XenStore went away")));
  if (const absl::Status here = connect(); !here.ok()) return refuse(here);
  if (requests_.size() >= options_.requests_max)
    return refuse(absl::ResourceExhaustedError(
        absl::StrCat(absl_view(name), " ", absl_view(about), ": ", requests_.size(),
                     " requests to the XenStore are under way")));
  if (++last_request_ == 0) ++last_request_;  // 0 is of watch events
  requests_.emplace(last_request_, Request{type, std::string(about), loop_.clock().now(), false,
                                           std::move(answered)});
  std::string message;
  xen_wire::encode({type, last_request_, static_cast<std::uint32_t>(in), body}, message);
  waiting_.emplace_back(last_request_, std::move(message));
  send_next();
}

void XenStoreClient::ask_done(Type type, XenTransactionId in, const XenPath& path,
                              std::string_view body, Reply<Done> reply) {
  ask(type, in, path.text(), body,
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        reply(as_done(answer));
      });
}

void XenStoreClient::read(XenTransactionId in, const XenPath& path, Reply<std::string> reply) {
  ask(Type::read, in, path.text(), with_end(path.text()),
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        if (!answer.ok()) return reply(answer.status());
        reply(std::string(*answer));
      });
}

void XenStoreClient::write(XenTransactionId in, const XenPath& path, std::string_view value,
                           Reply<Done> reply) {
  ask_done(Type::write, in, path, with_end(path.text()).append(value), std::move(reply));
}

void XenStoreClient::make(XenTransactionId in, const XenPath& path, Reply<Done> reply) {
  ask_done(Type::make, in, path, with_end(path.text()), std::move(reply));
}

void XenStoreClient::remove(XenTransactionId in, const XenPath& path, Reply<Done> reply) {
  ask_done(Type::remove, in, path, with_end(path.text()), std::move(reply));
}

void XenStoreClient::permissions(XenTransactionId in, const XenPath& path,
                                 Reply<XenPermissions> reply) {
  ask(Type::get_permissions, in, path.text(), with_end(path.text()),
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        if (!answer.ok()) return reply(answer.status());
        reply(xen_wire::decode_permissions(*answer));
      });
}

void XenStoreClient::set_permissions(XenTransactionId in, const XenPath& path,
                                     const XenPermissions& permissions, Reply<Done> reply) {
  ask_done(Type::set_permissions, in, path,
           with_end(path.text()).append(xen_wire::encode_permissions(permissions)),
           std::move(reply));
}

void XenStoreClient::begin(Reply<XenTransactionId> reply) {
  ask(Type::begin, 0, "", nul,
      [this, reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        if (!answer.ok()) return reply(answer.status());
        const auto number = xen_wire::number(*answer);
        if (!number.ok()) return reply(number.status());
        reply(XenTransactionId{connection_} << 32U | *number);
      });
}

void XenStoreClient::end(XenTransactionId transaction, bool commit, Reply<Done> reply) {
  ask(Type::end, transaction, "", with_end(commit ? "T" : "F"),
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        reply(as_done(answer));
      });
}

// A directory that no message holds is read in parts, from its beginning again when it changes meanwhile.
void XenStoreClient::list(XenTransactionId in, const XenPath& path,
                          Reply<std::vector<std::string>> reply) {
  auto listing = std::make_shared<Listing>(Listing{in, path, std::move(reply)});
  ask(Type::directory, in, path.text(), with_end(path.text()),
      [this, listing](const absl::StatusOr<std::string_view>& answer) {
        if (!answer.ok()) {
          const auto failure = xen_failure(answer.status());
          if (failure && failure->error == E2BIG) return list_part(listing);
          return listing->reply(answer.status());
        }
        const auto names = xen_wire::strings(*answer);
        if (!names.ok()) return listing->reply(names.status());
        listing->reply(std::vector<std::string>(names->begin(), names->end()));
      });
}

void XenStoreClient::list_part(std::shared_ptr<Listing> listing) {
  ask(Type::directory_part, listing->in, listing->path.text(),
      with_end(listing->path.text()) + with_end(std::to_string(listing->offset)),
      [this, listing](const absl::StatusOr<std::string_view>& answer) {
        if (!answer.ok()) return listing->reply(answer.status());
        const auto part = xen_wire::decode_directory_part(*answer);
        if (!part.ok()) return listing->reply(part.status());
        if (listing->offset > 0 && part->generation != listing->generation) {
          if (++listing->begun > listings_max)
            return listing->reply(absl::AbortedError(absl::StrCat(
                "XS_DIRECTORY_PART ", listing->path.text(), ": it changes all the time")));
          listing->names.clear();
          listing->offset = 0;
          return list_part(listing);
        }
        listing->generation = part->generation;
        listing->names.insert(listing->names.end(), part->names.begin(), part->names.end());
        listing->offset += part->bytes;
        if (part->last) return listing->reply(std::move(listing->names));
        list_part(listing);
      });
}

// ---- watches ---------------------------------------------------------------------------------------------------------

XenWatchId XenStoreClient::watch(const XenPath& path, Changed changed, Reply<Done> registered) {
  const absl::Status here = connect();  // before it is among those that a new connection registers
  const XenWatchId id = ++last_watch_;
  watches_.emplace(id, Watch{path, std::move(changed)});
  if (here.ok()) {
    register_watch(id, std::move(registered));
  } else {
    connect_later();
    later([registered = std::move(registered), here]() mutable { registered(here); });
  }
  return id;
}

void XenStoreClient::unwatch(XenWatchId watch) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;
  const XenPath path = found->second.path;
  watches_.erase(found);
  if (fd_ < 0) return;
  ask(Type::unwatch, 0, path.text(), with_end(path.text()) + with_end(std::to_string(watch)),
      [](const absl::StatusOr<std::string_view>&) {});
}

void XenStoreClient::register_watch(XenWatchId id, Reply<Done> registered) {
  const std::string& path = watches_.at(id).path.text();
  ask(Type::watch, 0, path, with_end(path) + with_end(std::to_string(id)),
      [this,
       registered = std::move(registered)](const absl::StatusOr<std::string_view>& answer) mutable {
        // One that was there before the connection was lost has nobody to tell: it is tried again.
        if (!answer.ok() && !registered && !absl::IsUnavailable(answer.status()))
          later([this, why = answer.status()] { lose(why); });
        registered(as_done(answer));
      });
}

void XenStoreClient::tell_watches() {
  for (const auto& [id, text] : std::exchange(fired_, {})) {
    const auto found = watches_.find(id);  // one of those told before may have ended it
    if (found == watches_.end()) continue;
    const Changed changed = found->second.changed;  // which may end its own watch
    const auto path = XenPath::parse(text);
    changed(path.ok() ? *path : found->second.path);
  }
}

// ---- the connection --------------------------------------------------------------------------------------------------

absl::Status XenStoreClient::connect() {
  if (fd_ >= 0) return absl::OkStatus();
  if (loop_.clock().now() < next_try_) return trouble_;
  const auto failed = [this](const char* call, int error) {
    trouble_ = xen_absent("XenStore", call, error, options_.path);
    next_try_ = loop_.clock().now() + retry_;
    retry_ = std::min(retry_ * 2, options_.retry_max);
    return trouble_;
  };
  struct stat file = {};
  if (::stat(options_.path.c_str(), &file) != 0) return failed("stat", errno);
  socket_ = !S_ISCHR(file.st_mode);
  int fd = -1;
  if (!socket_) {
    fd = ::open(options_.path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return failed("open", errno);
  } else {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (options_.path.size() >= sizeof address.sun_path) return failed("connect", ENAMETOOLONG);
    std::memcpy(address.sun_path, options_.path.c_str(), options_.path.size() + 1);
    fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed("socket", errno);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      ::close(fd);
      return failed("connect", error);
    }
  }
  const absl::Status watched =
      loop_.watch_fd(fd, EPOLLIN, [this](std::uint32_t events) { on_ready(events); });
  if (!watched.ok()) {
    ::close(fd);
    return failed("epoll_ctl", ENOSPC);
  }
  fd_ = fd;
  ++connection_;
  loop_.cancel(std::exchange(retry_timer_, 0));
  for (const auto& [id, watch] : watches_) register_watch(id, {});
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

void XenStoreClient::lose(const absl::Status& why) {
  if (fd_ < 0) return;
  loop_.unwatch_fd(fd_);
  ::close(std::exchange(fd_, -1));
  loop_.cancel(std::exchange(silence_timer_, 0));
  in_.clear();
  out_.clear();
  waiting_.clear();
  unanswered_ = 0;
  fired_.clear();
  trouble_ = absl::UnavailableError(
      absl::StrCat("the XenStore at ", options_.path, " went away: ", why.message()));
  next_try_ = loop_.clock().now() + retry_;
  retry_ = std::min(retry_ * 2, options_.retry_max);
  for (auto& [number, request] : std::exchange(requests_, {}))
    std::move(request.answered)(absl::UnavailableError(
        absl::StrCat(absl_view(xen_wire::name_of(request.type)), " ", request.about,
                     ": not known whether it took effect; ", trouble_.message())));
  if (!watches_.empty()) connect_later();
}

void XenStoreClient::send_next() {
  while (unanswered_ < unanswered_max && !waiting_.empty()) {
    const auto& [number, message] = waiting_.front();
    Request& request = requests_.at(number);
    request.sent = loop_.clock().now();
    request.on_wire = true;
    out_ += message;
    waiting_.pop_front();
    ++unanswered_;
  }
  if (!out_.empty()) send();
  expect_answers();
}

void XenStoreClient::send() {
  std::size_t sent = 0;
  while (sent < out_.size()) {
    const char* from = out_.data() + sent;
    const std::size_t size = out_.size() - sent;
    const ssize_t count =
        socket_ ? ::send(fd_, from, size, MSG_NOSIGNAL) : ::write(fd_, from, size);
    if (count < 0 && errno == EINTR) continue;
    // An end of the connection shows when it is read from, after what it still has to say.
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  out_.erase(0, sent);
  loop_.change_fd(fd_, out_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void XenStoreClient::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) send();
  if ((events & ~std::uint32_t{EPOLLOUT}) != 0) receive();
}

void XenStoreClient::receive() {
  const std::size_t had = in_.size();
  in_.resize(had + receive_bytes);
  const ssize_t count = ::read(fd_, in_.data() + had, receive_bytes);
  const int error = errno;
  in_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  if (count < 0 && (error == EAGAIN || error == EINTR)) return;
  if (count < 0) return lose(xen_error("read", error));
  if (count == 0) return lose(absl::UnavailableError("it closed the connection"));
  std::string_view bytes = in_;
  while (true) {
    const auto message = xen_wire::decode(bytes);
    if (!message.ok()) return lose(message.status());
    if (!*message) break;
    if (const absl::Status taken = take(**message); !taken.ok()) return lose(taken);
    retry_ = options_.retry_min;
  }
  in_.erase(0, in_.size() - bytes.size());
  send_next();
  tell_watches();
}

absl::Status XenStoreClient::take(const xen_wire::Message& message) {
  if (message.type == Type::watch_event) {
    const auto event = xen_wire::decode_watch_event(message.body);
    if (!event.ok()) return event.status();
    fired_.emplace(event->token, event->path);
    return absl::OkStatus();
  }
  const auto found = requests_.find(message.request);
  if (found == requests_.end() || !found->second.on_wire ||
      (message.type != found->second.type && message.type != Type::error))
    return absl::DataLossError("the XenStore answers nonsense: what nobody asked");
  Request request = std::move(found->second);
  requests_.erase(found);
  --unanswered_;
  if (message.type != Type::error) {
    std::move(request.answered)(message.body);
    return absl::OkStatus();
  }
  const int error = xen_wire::error_number(message.body);
  std::move(request.answered)(
      xen_error(xen_wire::name_of(request.type), error == 0 ? EPROTO : error, request.about));
  return absl::OkStatus();
}

void XenStoreClient::expect_answers() {
  if (silence_timer_ != 0 || requests_.empty()) return;
  silence_timer_ = loop_.at(requests_.begin()->second.sent + options_.silence_max, [this] {
    silence_timer_ = 0;
    if (!requests_.empty() &&
        loop_.clock().now() - requests_.begin()->second.sent >= options_.silence_max)
      return lose(absl::UnavailableError(
          absl::StrCat("no answer for ", absl::FormatDuration(options_.silence_max))));
    expect_answers();
  });
}

}  // namespace supercloud
