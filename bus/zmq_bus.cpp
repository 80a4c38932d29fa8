#include "bus/zmq_bus.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "bus/history.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// libzmq takes over an ipc path whoever has it, so a living owner must be found beforehand.
absl::Status check_free(const std::string& endpoint) {
  constexpr std::string_view scheme = "ipc://";
  if (!endpoint.starts_with(scheme) || endpoint.size() <= scheme.size()) return absl::OkStatus();
  const std::string path = endpoint.substr(scheme.size());
  sockaddr_un address{};
  if (path == "*" || path[0] == '@') return absl::OkStatus();
  if (path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat(endpoint,
                                                   " is longer than a socket's path may be (",
                                                   sizeof address.sun_path - 1, " bytes)"));
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return absl::OkStatus();
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool served = result == 0 || errno == EAGAIN || errno == EINPROGRESS;
  close(fd);
  if (!served) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat("another process serves ", endpoint,
                                               "; is a node of this name running already?"));
}

// Of each bound socket: no more than leaves descriptors for all else.
std::size_t connections_held(std::size_t wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return wanted;
  constexpr rlim_t few = 16;
  return std::min<std::size_t>(wanted, std::max(files.rlim_cur / 4, few));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqBus>> ZmqBus::open(EventLoop& loop, EventPool& pool,
                                                     ZmqBusOptions options) {
  if (!is_token(options.name)) {  // the first half of its events' origin
    return absl::InvalidArgumentError(absl::StrCat("\"", options.name, "\" is no node name: 1 to ",
                                                   token_bytes_max, " of A-Z a-z 0-9 _ -"));
  }
  std::unique_ptr<ZmqBus> bus(new ZmqBus(loop, pool, std::move(options)));
  if (absl::Status good = bus->check(); !good.ok()) return good;
  if (absl::Status bound = bus->bind(pool); !bound.ok()) return bound;
  return bus;
}

ZmqBus::ZmqBus(EventLoop& loop, EventPool& pool, ZmqBusOptions options)
    : loop_(loop),
      options_(std::move(options)),
      credentials_(options_.credentials),
      context_(std::make_shared<ZmqContext>(options_.sockets_max)),
      subscriber_(
          loop, pool, options_.gaps, options_.repair,
          [this](const auto& prefix, const auto& subscription) { changed(prefix, subscription); },
          [this](Address to, std::string bytes, Reply<std::string> reply) {
            if (secured() && to.actor == history_actor && !has(to.node))
              return reply(absl::UnavailableError(absl::StrCat(to.node, " is no member now")));
            request(std::move(to), std::move(bytes), std::move(reply));
          }),
      routes_([this](const std::string& relay, const std::string& node, Reply<std::string> reply) {
        const Instant deadline = reply.deadline();
        add_pending({.to = relay, .node = node, .deadline = deadline, .reply = std::move(reply)});
      }),
      watcher_(loop,
               [this](const std::string& node, std::string question, Reply<std::string> reply) {
                 const Instant deadline = reply.deadline();
                 add_pending({.to = node,
                              .actor = std::string(progress_actor),
                              .bytes = std::move(question),
                              .deadline = deadline,
                              .reply = std::move(reply)});
               }) {
  self_.name = options_.name;
  self_.nonce = options_.nonce != 0
                    ? options_.nonce
                    : static_cast<std::uint64_t>(absl::ToUnixNanos(loop.clock().wall()));
  if (secured()) {
    subscriber_.admit_only(
        [this](std::string_view node, const Event& event) { return admit(node, event); });
    subscriber_.take_proven(
        [this](std::string_view node) { return credentials_.trust->keys_of(node); });
    if (credentials_.trust != nullptr) forget_heard(*credentials_.trust);
    subscriber_.refuse_replays(options_.heard_before);
  }
}

absl::Status ZmqBus::check() const {
  if (secured() != (credentials_.trust != nullptr))
    return absl::InvalidArgumentError("a bus with a key needs a trust file, and with that a key");
  for (const std::string& seed : options_.seeds) {
    if (absl::Status good = check_seed(seed, secured()); !good.ok()) return good;
  }
  if (options_.high_water_mark < 2)
    return absl::InvalidArgumentError(
        "a queue has room for two messages at least: high_water_mark");
  if (options_.client) return absl::OkStatus();
  for (const std::string* endpoint : {&options_.request_bind, &options_.publish_bind}) {
    if (absl::Status good = check_endpoint(*endpoint, secured()); !good.ok()) return good;
  }
  if (!secured()) return absl::OkStatus();
  const std::string own = credentials_.key->public_key().text();
  const std::string* name = credentials_.trust->name_of(own);
  if (name != nullptr && *name == options_.name) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "the key ", own, " is ",
      name == nullptr ? std::string("not enrolled") : absl::StrCat("enrolled as ", *name),
      ", not as ", options_.name,
      ": `supercloud keys enrol` writes it into the trust file, of every node"));
}

absl::Status ZmqBus::bind(EventPool& pool) {
  if (options_.client) return absl::OkStatus();
  if (secured()) {
    auto zap = ZapHandler::make(
        context_, loop_, credentials_,
        [this](std::string from, std::string why) { rejected(std::move(from), std::move(why)); });
    if (!zap.ok()) return zap.status();
    zap_ = *std::move(zap);
  }
  for (const std::string* endpoint : {&options_.request_bind, &options_.publish_bind}) {
    if (absl::Status free = check_free(*endpoint); !free.ok()) return free;
  }
  const std::size_t connections_max = connections_held(options_.connections_max);
  auto server = ZmqServer::bind(context_, loop_, pool, self_.name, credentials_,
                                {.endpoint = options_.request_bind,
                                 .high_water_mark = options_.high_water_mark,
                                 .silence_max = options_.silence_max,
                                 .connections_max = connections_max,
                                 .on_wish = options_.on_wish});
  if (!server.ok()) return server.status();
  server_ = *std::move(server);
  auto publisher = ZmqPublisher::bind(
      context_, loop_, self_, credentials_,
      {.endpoint = options_.publish_bind,
       .high_water_mark = options_.high_water_mark,
       .linger = options_.linger,
       .silence_max = options_.silence_max,
       .connections_max = connections_max,
       .on_slow_subscriber = options_.on_slow_subscriber},
      [this](std::string from, std::string why) { rejected(std::move(from), std::move(why)); });
  if (!publisher.ok()) return publisher.status();
  publisher_ = *std::move(publisher);
  self_.request_endpoint =
      options_.request_advertised.empty() ? server_->endpoint() : options_.request_advertised;
  self_.publish_endpoint =
      options_.publish_advertised.empty() ? publisher_->endpoint() : options_.publish_advertised;
  return absl::OkStatus();
}

ZmqBus::~ZmqBus() {
  loop_.cancel(retry_timer_);
  for (auto& [id, pending] : pending_) loop_.cancel(pending.timer);
}

void ZmqBus::start(BusReceiver& receiver, std::vector<OriginTail> past) {
  receiver_ = &receiver;
  subscriber_.start(receiver);
  MembershipOptions options;
  options.self = self_;
  options.client = options_.client;
  if (secured()) options.credentials = &credentials_;
  options.seeds = options_.seeds;
  options.hello_interval = options_.hello_interval;
  options.silence_max = options_.silence_max;
  options.forget_after = options_.forget_after;
  options.high_water_mark = options_.high_water_mark;
  options.neighbours_max = options_.client ? members_max : options_.neighbours_max;
  Membership::Listener& listener = *this;
  membership_ = std::make_unique<Membership>(loop_, context_, std::move(options), listener);
  if (server_) {
    server_->start(receiver, [this](const Hello& hello, const Trust::Enrolled* user) {
      return membership_->take_hello(hello, user);
    });
  }
  if (publisher_) publisher_->start(std::move(past));
  // Not inside this call: it may settle at once.
  loop_.post(guarded([this] { membership_->start(); }));
}

void ZmqBus::relay(Beyond& beyond, bool hears_relays) {
  hears_relays_ = hears_relays;
  if (!hears_relays) subscriber_.hear_neighbours_only();
  if (publisher_ != nullptr) publisher_->relay(beyond);
  if (server_ != nullptr) server_->relay(beyond);
}

bool ZmqBus::may_relay(std::string_view name) const {
  return !secured() || credentials_.trust->rights.may_relay(name);
}

std::vector<std::string> ZmqBus::relays() const {
  std::vector<std::string> relays = subscriber_.relays();
  std::erase_if(relays, [this](const std::string& name) { return !may_relay(name); });
  return relays;
}

bool ZmqBus::has(std::string_view node) const {
  return membership_ != nullptr && membership_->alive(node);
}

// ---- publishing ----------------------------------------------------------------------------------------------------

void ZmqBus::publish(const Event& event) {
  if (publisher_ != nullptr && !fatal_) publisher_->publish(event);
}

void ZmqBus::publish_proof(const Event& checkpoint, std::string_view prefix) {
  if (publisher_ != nullptr && !fatal_) publisher_->publish_proof(checkpoint, prefix);
}

void ZmqBus::rejected(std::string from, std::string why) {
  if (receiver_ != nullptr && !fatal_) receiver_->on_rejected(std::move(from), std::move(why));
}

// ---- trust ---------------------------------------------------------------------------------------------------------

absl::Status ZmqBus::admit(std::string_view node, const Event& event) {
  // Mostly what was admitted last, by the trust of today.
  if (event.topic() == admitted_.topic && event.origin() == admitted_.origin &&
      node_of(admitted_.origin) == node)
    return absl::OkStatus();
  const Rights& rights = credentials_.trust->rights;
  const std::string_view origin = node_of(event.origin());
  if (origin != node && !(hears_relays_ && rights.may_relay(node))) {
    return absl::PermissionDeniedError(
        absl::StrCat(absl_view(event.topic()), " in the name of ", absl_view(event.origin())));
  }
  if (rights.may_publish(origin, event.topic())) {
    admitted_.origin = event.origin();
    admitted_.topic = event.topic();
    return absl::OkStatus();
  }
  return absl::PermissionDeniedError(absl::StrCat(origin == node ? "it" : absl_view(origin),
                                                  " has no right to publish ",
                                                  absl_view(event.topic())));
}

// What a key has signed that is not its node's any more is not proven any more: how far it came says nothing of what that node says.
void ZmqBus::forget_heard(const Trust& before) {
  if (options_.heard_before == nullptr) return;
  options_.heard_before->forget([&](std::string_view node) {
    const std::vector<PublicKey> keys = before.keys_of(node);
    return keys.empty() || std::ranges::any_of(keys, [&](const PublicKey& key) {
             return !credentials_.trust->has(node, key);
           });
  });
}

void ZmqBus::set_trust(std::shared_ptr<const Trust> trust) {
  if (!secured() || fatal_) return;
  const std::shared_ptr<const Trust> before = std::exchange(credentials_.trust, std::move(trust));
  admitted_ = {};
  subscriber_.forget_proofs();
  forget_heard(*before);
  for (const auto& [name, source] : sources_)
    if (!may_relay(name)) subscriber_.relays(name, false);
  if (publisher_ != nullptr) publisher_->trust_changed(*before);
  if (server_ != nullptr) server_->trust_changed(*before);
  if (membership_ != nullptr) membership_->trust_changed();
}

// ---- members -------------------------------------------------------------------------------------------------------

void ZmqBus::on_up(const Member& member) {
  Source& source = sources_[member.name];
  const bool restarted = source.member.nonce != 0 && source.member.nonce != member.nonce;
  if (restarted) subscriber_.restarted(member.name);
  if (source.member.nonce != member.nonce && subscriber_.is_relay(member.name)) {
    // It does not know what the process before it let pass, nor does this one, if it has forgotten it.
    source.doubtful = true;
    subscriber_.doubt(member.name);
  }
  if (restarted && source.socket != nullptr && source.form != Form::alone) {
    // Another build's perhaps, which sends them alone only.
    for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
      if (!subscription.active()) continue;
      if (source.form == Form::together) source.socket->subscribe(prefix);
      source.socket->unsubscribe(absl::StrCat(absl_view(together_lead), prefix));
    }
    source.form = Form::alone;
  }
  const PublicKey* known = membership_->key_of(member.name);
  const PublicKey key = known == nullptr ? PublicKey() : *known;
  const bool moved = source.member.publish_endpoint != member.publish_endpoint || source.key != key;
  source.member = member;
  source.key = key;
  source.alive = true;
  if (moved) {
    ZmqSocket::retire(std::move(source.socket));
    source.marker.clear();
  }
  if (source.socket != nullptr || attach(source)) {
    subscriber_.expect(member.name);
    place_marker(source);
  }
  receiver_->on_peer(member.name, true);
  release_requests();
}

std::set<std::string> ZmqBus::told_of() const {
  return membership_ == nullptr ? std::set<std::string>() : membership_->told_of();
}

// False: no socket could be made; another try follows.
bool ZmqBus::attach(Source& source) {
  const std::string name = source.member.name;
  if (const absl::Status good = check_endpoint(source.member.publish_endpoint, secured());
      !good.ok()) {
    on_bad_frame(name, good);
    return false;
  }
  ZmqSocketOptions options{.high_water_mark = options_.high_water_mark,
                           .silence_max = options_.silence_max,
                           .on_reconnected = [this, name] { doubt(name); },
                           .on_shut_out = [this, name] { detach(name); }};
  if (secured()) options.curve = CurveEnd{credentials_.key, source.key.curve()};
  auto made =
      ZmqSocket::make(context_, ZMQ_SUB, std::move(options), loop_,
                      [this, name](ZmqSocket::Frames frames) { on_published(name, frames); });
  if (!made.ok()) {
    arm_retry();
    on_bad_frame(name, made.status());
    return false;
  }
  source.socket = *std::move(made);
  source.standing.clear();
  source.form = Form::alone;
  source.proves = secured() && subscriber_.is_relay(name);
  const absl::Status connected = source.socket->connect(source.member.publish_endpoint);
  if (!connected.ok()) on_bad_frame(name, connected);
  source.socket->start();
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    if (subscription.active()) subscribe_at(source, prefix);
  }
  subscriber_.expect(name);
  return true;
}

// Its publisher does not let in this process, or not yet: another try follows, if it is there at all.
void ZmqBus::detach(const std::string& name) {
  const auto found = sources_.find(name);
  if (found == sources_.end()) return;
  ZmqSocket::retire(std::move(found->second.socket));
  found->second.marker.clear();
  found->second.doubtful = true;
  subscriber_.doubt(name);
  arm_retry();
}

void ZmqBus::on_shut_out(const std::string& name, const std::string& endpoint) {
  rejected(name, absl::StrCat("it does not let in this process, whose key ",
                              credentials_.key->public_key().text(), " is not enrolled there"));
  if (options_.on_shut_out) options_.on_shut_out(name, endpoint);
}

void ZmqBus::on_forgotten(const std::string& name) {
  const auto found = sources_.find(name);
  if (found != sources_.end()) {
    ZmqSocket::retire(std::move(found->second.socket));
    sources_.erase(found);
  }
  subscriber_.forget(name);
  // Where it is beyond one of them now, nothing of that was taken as long as it counted as a neighbour.
  for (const std::string& relay : relays()) doubt(relay);
}

void ZmqBus::on_down(const std::string& name) {
  const auto found = sources_.find(name);
  if (found != sources_.end()) found->second.alive = false;
  subscriber_.dismiss(name);
  receiver_->on_peer(name, false);
}

void ZmqBus::on_settled() {
  subscriber_.settle();
  release_requests();
}

void ZmqBus::on_bad_frame(const std::string& from, const absl::Status& why) {
  receiver_->on_rejected(from, std::string(why.message()));
}

void ZmqBus::on_refused(absl::Status why) {
  if (std::exchange(fatal_, true)) return;
  if (server_ != nullptr) server_->stop();
  // The sockets go, so that nobody takes this process for the other.
  loop_.post(guarded([this, why] {
    membership_->stop();
    for (auto& [name, source] : sources_) ZmqSocket::retire(std::move(source.socket));
    sources_.clear();
    publisher_.reset();
    server_.reset();
    std::vector<std::uint64_t> ids;
    for (const auto& [id, pending] : pending_) ids.push_back(id);
    for (const std::uint64_t id : ids) finish(id, why);
    if (options_.on_fatal) options_.on_fatal(why);
  }));
}

}  // namespace supercloud
