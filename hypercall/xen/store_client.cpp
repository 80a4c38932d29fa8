#include "hypercall/xen/store_client.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

using xen_wire::Type;

constexpr const char* usual_socket = "/run/xenstored/socket";
constexpr const char* usual_device = "/dev/xen/xenbus";
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
    : loop_(loop),
      options_(std::move(options)),
      path_(options_.path.empty() ? default_xen_store_path() : options_.path),
      retry_(options_.retry_min) {}

XenStoreClient::~XenStoreClient() {
  *alive_ = false;
  for (const TimerId timer : {retry_timer_, silence_timer_, device_timer_}) loop_.cancel(timer);
  for (const auto& [id, watch] : watches_) loop_.cancel(watch.timer);
  if (fd_ >= 0) {
    loop_.unwatch_fd(fd_);
    ::close(std::exchange(fd_, -1));
  }
  // What goes with a reply may ask for something as it goes: it is not taken any more.
  const auto asked = std::exchange(asked_, std::nullopt);
  const auto waiting = std::exchange(waiting_, {});
  const auto tasks = std::exchange(tasks_, {});
}

void XenStoreClient::later(Task task) {
  tasks_.push_back(std::move(task));
  loop_.post([this, alive = alive_] {
    if (!*alive) return;
    Task next = std::move(tasks_.front());
    tasks_.pop_front();
    std::move(next)();
  });
}

// ---- requests --------------------------------------------------------------------------------------------------------

void XenStoreClient::ask(Type type, XenTransactionId in, std::string_view about,
                         std::string_view body, Instant deadline, Answered answered) {
  if (!*alive_) return;
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
    return refuse(xen_error(name, ENOTCONN,
                            absl::StrCat(absl_view(about), about.empty() ? "" : " ",
                                         "in a transaction that ended as the XenStore went away")));
  if (in != 0 && !open_.contains(in))
    return refuse(xen_error(name, ENOENT,
                            absl::StrCat(absl_view(about), about.empty() ? "" : " ",
                                         "in a transaction that has ended")));
  if (type == Type::end) open_.erase(in);
  if (const absl::Status here = connect(); !here.ok()) return refuse(here);
  const bool always = type == Type::end || type == Type::unwatch || type == Type::watch;
  if (!always && waiting_.size() + (asked_ ? 1 : 0) >= options_.requests_max)
    return refuse(xen_error(
        name, ENOBUFS,
        absl::StrCat(absl_view(about), " with ", options_.requests_max, " requests under way")));
  if (++last_request_ == 0) ++last_request_;  // 0 is of watch events
  Request request{type, last_request_, std::string(about), deadline, "", std::move(answered)};
  xen_wire::encode({type, last_request_, static_cast<std::uint32_t>(in), body}, request.message);
  waiting_.push_back(std::move(request));
  send_next();
}

void XenStoreClient::ask_done(Type type, XenTransactionId in, const XenPath& path,
                              std::string_view body, Reply<Done> reply) {
  const Instant deadline = reply.deadline();
  ask(type, in, path.text(), body, deadline,
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        reply(as_done(answer));
      });
}

void XenStoreClient::read(XenTransactionId in, const XenPath& path, Reply<std::string> reply) {
  const Instant deadline = reply.deadline();
  ask(Type::read, in, path.text(), with_end(path.text()), deadline,
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
  // The daemons do not agree; none means it well.
  if (path == XenPath::root())
    return later([reply = std::move(reply)]() mutable {
      reply(xen_error(xen_wire::name_of(Type::remove), EINVAL, "/"));
    });
  ask_done(Type::remove, in, path, with_end(path.text()), std::move(reply));
}

void XenStoreClient::permissions(XenTransactionId in, const XenPath& path,
                                 Reply<XenPermissions> reply) {
  const Instant deadline = reply.deadline();
  ask(Type::get_permissions, in, path.text(), with_end(path.text()), deadline,
      [this, path,
       reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        if (!answer.ok()) return reply(answer.status());
        auto permissions = xen_wire::decode_permissions(*answer);
        if (!permissions.ok())
          return reply(nonsense(Type::get_permissions, path, permissions.status().message()));
        reply(*std::move(permissions));
      });
}

void XenStoreClient::set_permissions(XenTransactionId in, const XenPath& path,
                                     const XenPermissions& permissions, Reply<Done> reply) {
  ask_done(Type::set_permissions, in, path,
           with_end(path.text()).append(xen_wire::encode_permissions(permissions)),
           std::move(reply));
}

void XenStoreClient::begin(Reply<XenTransactionId> reply) {
  const Instant deadline = reply.deadline();
  ask(Type::begin, 0, "", nul, deadline,
      [this, reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        if (!answer.ok()) return reply(answer.status());
        const auto number = xen_wire::number(*answer);
        // 0 is what requests say that are of no transaction.
        if (!number.ok() || *number == 0)
          return reply(nonsense(Type::begin, XenPath::root(), "a transaction without a number"));
        const XenTransactionId id = XenTransactionId{connection_} << 32U | *number;
        open_.insert(id);
        reply(id);
      });
}

void XenStoreClient::end(XenTransactionId transaction, bool commit, Reply<Done> reply) {
  const Instant deadline = reply.deadline();
  ask(Type::end, transaction, "", with_end(commit ? "T" : "F"), deadline,
      [reply = std::move(reply)](const absl::StatusOr<std::string_view>& answer) mutable {
        reply(as_done(answer));
      });
}

// A directory that no message holds is read in parts, from its beginning again when it changes meanwhile.
void XenStoreClient::list(XenTransactionId in, const XenPath& path,
                          Reply<std::vector<std::string>> reply) {
  auto listing = std::make_shared<Listing>(Listing{in, path, std::move(reply)});
  ask(Type::directory, in, path.text(), with_end(path.text()), listing->reply.deadline(),
      [this, listing](const absl::StatusOr<std::string_view>& answer) {
        if (!answer.ok()) {
          const auto failure = xen_failure(answer.status());
          if (failure && failure->error == E2BIG) return list_part(listing);
          return listing->reply(answer.status());
        }
        const auto names = xen_wire::strings(*answer);
        if (!names.ok())
          return listing->reply(nonsense(Type::directory, listing->path, names.status().message()));
        listing->reply(std::vector<std::string>(names->begin(), names->end()));
      });
}

void XenStoreClient::list_part(std::shared_ptr<Listing> listing) {
  ask(Type::directory_part, listing->in, listing->path.text(),
      with_end(listing->path.text()) + with_end(std::to_string(listing->offset)),
      listing->reply.deadline(), [this, listing](const absl::StatusOr<std::string_view>& answer) {
        if (!answer.ok()) return listing->reply(answer.status());
        const auto part = xen_wire::decode_directory_part(*answer);
        if (!part.ok())
          return listing->reply(
              nonsense(Type::directory_part, listing->path, part.status().message()));
        if (listing->offset > 0 && part->generation != listing->generation) {
          if (++listing->begun > listings_max)
            return listing->reply(
                xen_error(xen_wire::name_of(Type::directory_part), EAGAIN,
                          absl::StrCat(listing->path.text(), ", which changes all the time")));
          listing->names.clear();
          listing->offset = 0;
          return list_part(listing);
        }
        listing->generation = part->generation;
        listing->names.insert(listing->names.end(), part->names.begin(), part->names.end());
        listing->offset += part->bytes;
        if (part->last) return listing->reply(std::move(listing->names));
        if (listing->offset > options_.listing_bytes_max)
          return listing->reply(xen_error(
              xen_wire::name_of(Type::directory_part), ENOBUFS,
              absl::StrCat(listing->path.text(), " after ", listing->offset, " bytes of names")));
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
  loop_.cancel(found->second.timer);
  watches_.erase(found);
  if (fd_ < 0) return;
  ask(Type::unwatch, 0, path.text(), with_end(path.text()) + with_end(std::to_string(watch)),
      far_future, [](const absl::StatusOr<std::string_view>&) {});
}

void XenStoreClient::register_watch(XenWatchId id, Reply<Done> registered) {
  const std::string& path = watches_.at(id).path.text();
  ask(Type::watch, 0, path, with_end(path) + with_end(std::to_string(id)), far_future,
      [this, id, of = connection_,
       registered = std::move(registered)](const absl::StatusOr<std::string_view>& answer) mutable {
        // Whoever is there after a loss registers them all.
        if (!answer.ok() && fd_ >= 0 && of == connection_) retry_watch(id);
        registered(as_done(answer));
      });
}

// One that was refused, alone: all else goes on.
void XenStoreClient::retry_watch(XenWatchId id) {
  const auto found = watches_.find(id);
  if (found == watches_.end() || found->second.timer != 0) return;
  Watch& watch = found->second;
  watch.retry = std::min(std::max(watch.retry * 2, options_.retry_min), options_.retry_max);
  watch.timer = loop_.at(loop_.clock().now() + watch.retry, [this, id] {
    watches_.at(id).timer = 0;
    if (fd_ >= 0) register_watch(id, {});
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

}  // namespace supercloud
