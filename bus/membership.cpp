#include "bus/membership.h"

#include <zmq.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/topic.h"

namespace supercloud {
namespace {

absl::Status taken(const std::string& name) {
  return absl::AlreadyExistsError(
      absl::StrCat("a node named \"", name,
                   "\" is already on the bus; give this one another name, or end the other"));
}

// Until a process that does not let in this one is asked again.
constexpr Duration knock_interval = absl::Seconds(2);

bool is_ipc(const std::string& endpoint) { return endpoint.starts_with("ipc://"); }

}  // namespace

Seed Seed::parse(std::string_view text) {
  const std::size_t at = text.find('@');
  if (at == std::string_view::npos || at > text.find("://")) return {"", std::string(text)};
  return {std::string(text.substr(0, at)), std::string(text.substr(at + 1))};
}

absl::Status check_endpoint(const std::string& endpoint, bool keys) {
  if (keys != is_ipc(endpoint)) return absl::OkStatus();
  if (keys) {
    return absl::InvalidArgumentError(absl::StrCat(
        endpoint, " cannot be with keys, which are for tcp: use that, or have no key"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(endpoint,
                   " would be open to everyone who reaches it: give the process a key and a trust "
                   "file (docs/security.md), or use ipc"));
}

absl::Status check_seed(const std::string& seed, bool keys) {
  const Seed parsed = Seed::parse(seed);
  if (absl::Status good = check_endpoint(parsed.endpoint, keys); !good.ok() || !keys) return good;
  if (is_token(parsed.name)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      seed, " does not say whose key is expected there: write \"NAME@", parsed.endpoint, "\""));
}

Membership::Membership(EventLoop& loop, std::shared_ptr<ZmqContext> context,
                       MembershipOptions options, Listener& listener)
    : loop_(loop), context_(std::move(context)), options_(std::move(options)), listener_(listener) {
  for (const std::string& seed : options_.seeds) seeds_.push_back(Seed::parse(seed));
}

Membership::~Membership() { loop_.cancel(timer_); }

void Membership::start() {
  add_seeds();
  tick();
}

void Membership::add_seeds() {
  for (const Seed& seed : seeds_) {
    if (seed.endpoint != options_.self.request_endpoint)
      add_link(seed.endpoint, seed.name, nullptr, Told::seed);
  }
}

void Membership::stop() {
  stopped_ = true;
  loop_.cancel(timer_);
  for (auto& [endpoint, link] : links_) ZmqSocket::retire(std::move(link.socket));
  links_.clear();
}

void Membership::add_link(const std::string& endpoint, const std::string& expected,
                          const PublicKey* key, Told told) {
  if (links_.count(endpoint) > 0 || endpoint.empty()) return;
  const bool seed = told == Told::seed;
  if (told == Told::itself) make_room();
  if (const absl::Status room = this->room(told); !room.ok())
    return listener_.on_bad_frame(expected.empty() ? endpoint : expected, room);
  Link link;
  link.endpoint = endpoint;
  link.since = link.tried = loop_.clock().now();
  if (options_.credentials != nullptr) {
    const auto keys = options_.credentials->trust->keys_of(expected);
    if (keys.empty()) {  // it is tried again when the trust changes
      if (seed)
        listener_.on_bad_frame(
            expected,
            absl::PermissionDeniedError(absl::StrCat(
                "not linked to, for the trust file has no key of it: enrol that of ", endpoint)));
      return;
    }
    link.expected = expected;
    link.key = key == nullptr ? keys.front() : *key;
  }
  auto socket = connect(link);
  if (!socket.ok()) return listener_.on_bad_frame(endpoint, socket.status());
  link.socket = *std::move(socket);
  // A seed stays one, whoever told of it.
  link.seed = seed || std::any_of(seeds_.begin(), seeds_.end(),
                                  [&](const Seed& each) { return each.endpoint == endpoint; });
  links_.emplace(endpoint, std::move(link)).first->second.socket->start();
}

// Who was one, and comes back before it is forgotten, finds its place.
absl::Status Membership::room(Told told) const {
  const auto neighbours = static_cast<std::size_t>(std::ranges::count_if(links_, [&](auto& entry) {
    const Link& link = entry.second;
    return link.alive || (link.awaited && (link.said_hello || told != Told::itself));
  }));
  if (neighbours < options_.neighbours_max && links_.size() < links_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(options_.self.name, " has ", neighbours,
                   " neighbours, and takes no more: divide the cloud, with a hub for each part "
                   "(`supercloud hub`, docs/program.md)"));
}

void Membership::make_room() {
  while (!room(Told::member).ok()) {
    const auto told_of = std::ranges::find_if(links_, [](const auto& entry) {
      const Link& link = entry.second;
      return !link.alive && !link.seed && !link.said_hello && link.member.name.empty();
    });
    if (told_of == links_.end()) return;
    drop_link(std::string(told_of->first));
  }
}

absl::StatusOr<std::unique_ptr<ZmqSocket>> Membership::connect(const Link& link) {
  if (absl::Status good = check_endpoint(link.endpoint, options_.credentials != nullptr);
      !good.ok())
    return good;
  ZmqSocketOptions queue{.high_water_mark = options_.high_water_mark, .connected_only = true};
  if (options_.credentials != nullptr) {
    queue.curve = CurveEnd{options_.credentials->key, link.key.curve()};
    queue.on_shut_out = [this, endpoint = link.endpoint] { take_shut_out(endpoint); };
  }
  auto socket = ZmqSocket::make(
      context_, ZMQ_DEALER, std::move(queue), loop_,
      [this, endpoint = link.endpoint](ZmqSocket::Frames frames) {
        take_frame(endpoint, frames[0]);
      },
      [this, endpoint = link.endpoint] {
        const auto found = links_.find(endpoint);
        if (found != links_.end() && found->second.greet) greet(found->second);
      });
  if (!socket.ok()) return socket;
  if (absl::Status connected = (*socket)->connect(link.endpoint); !connected.ok()) return connected;
  return socket;
}

// Whether it is the other of its keys with which the process that is there now was started.
void Membership::try_next_key(Link& link) {
  const auto keys = options_.credentials->trust->keys_of(link.expected);
  if (keys.size() < 2) return;
  const auto at = std::find(keys.begin(), keys.end(), link.key);
  link.key = at == keys.end() || at + 1 == keys.end() ? keys.front() : *(at + 1);
  renew(link);
}

void Membership::renew(Link& link) {
  link.tried = loop_.clock().now();
  link.shut_out = false;
  auto socket = connect(link);
  if (!socket.ok()) return listener_.on_bad_frame(link.expected, socket.status());
  ZmqSocket::retire(std::exchange(link.socket, *std::move(socket)));
  link.greet = true;
  link.socket->start();
}

void Membership::take_shut_out(const std::string& endpoint) {
  const auto found = links_.find(endpoint);
  if (found == links_.end() || stopped_) return;
  Link& link = found->second;
  link.shut_out = true;
  link.awaited = false;
  link.tried = loop_.clock().now();
  const std::string name = link.expected;
  if (std::exchange(link.alive, false)) listener_.on_down(name);
  listener_.on_shut_out(name, endpoint);
  settle();
}

void Membership::trust_changed() {
  struct Gone {
    std::string endpoint, name;
    bool alive = false;
  };
  std::vector<Gone> gone;
  for (const auto& [endpoint, link] : links_) {
    if (!options_.credentials->trust->has(link.expected, link.key))
      gone.push_back({endpoint, link.member.name, link.alive});
  }
  for (const Gone& each : gone) {
    drop_link(each.endpoint);
    if (each.alive) listener_.on_down(each.name);
    if (!each.name.empty()) listener_.on_forgotten(each.name);
  }
  add_seeds();
  settle();
}

const PublicKey* Membership::key_of(std::string_view name) {
  const Link* link = options_.credentials == nullptr ? nullptr : link_of(name);
  return link == nullptr ? nullptr : &link->key;
}

void Membership::drop_link(const std::string& endpoint) {
  const auto found = links_.find(endpoint);
  if (found == links_.end()) return;
  ZmqSocket::retire(std::move(found->second.socket));
  links_.erase(found);
}

Membership::Link* Membership::link_of(std::string_view name) {
  for (auto& [endpoint, link] : links_) {
    if (link.member.name == name) return &link;
  }
  return nullptr;
}

bool Membership::alive(std::string_view name) const {
  return std::any_of(links_.begin(), links_.end(), [&](const auto& entry) {
    return entry.second.alive && entry.second.member.name == name;
  });
}

void Membership::heard(std::string_view name) {
  Link* link = link_of(name);
  if (link != nullptr && link->alive) link->last_heard = loop_.clock().now();
}

bool Membership::send(std::string_view name, const Control& control) {
  Link* link = link_of(name);
  if (link == nullptr) return false;
  const std::string frame = encode(control);
  const std::string_view frames[] = {frame};
  return link->socket->send(frames);
}

void Membership::greet(Link& link) {
  const std::string frame = encode(Hello{++beat_, options_.self, options_.client});
  const std::string_view frames[] = {frame};
  link.greet = !link.socket->send(frames);
}

std::optional<Control> Membership::take_hello(const Hello& hello, const Trust::Enrolled* user) {
  if (user != nullptr && !hello.client && hello.self.name != user->name) {
    const absl::Status other_name = absl::PermissionDeniedError(
        absl::StrCat("a process with the key of ", user->name, " says hello as ", hello.self.name));
    listener_.on_bad_frame(user->name, other_name);
    return Refusal{other_name};
  }
  Welcome welcome{hello.beat, options_.self, {}};
  for (const auto& [endpoint, link] : links_) {
    if (link.alive && welcome.members.size() < members_max) welcome.members.push_back(link.member);
  }
  const Member& other = hello.self;
  if (other.name == options_.self.name) {
    if (other.nonce == options_.self.nonce) return welcome;
    if (settled_ || options_.self.nonce < other.nonce) return Refusal{taken(other.name)};
    return welcome;  // both have just started, and the other is the elder: it refuses us
  }
  if (hello.client) return welcome;
  Link* link = link_of(other.name);
  if (link == nullptr && !links_.contains(other.request_endpoint)) {
    make_room();
    if (const absl::Status room = this->room(Told::itself); !room.ok()) {
      listener_.on_bad_frame(other.name, room);
      return std::nullopt;
    }
  }
  if (link == nullptr || link->member.nonce == other.nonce) {
    if (link == nullptr) {
      learn(other, user, Told::itself);
    } else if (!link->alive) {
      greet(*link);
    }
    return welcome;
  }
  if (link->alive) {
    if (link->rival_refused && link->rival.nonce == other.nonce) return Refusal{taken(other.name)};
    greet(*link);  // does the one we know still answer?
    if (!link->greet && link->endpoint != other.request_endpoint) {
      if (link->rival.nonce != other.nonce) {
        link->rival = other;
        link->rival_beat = beat_;
        link->rival_refused = false;
      }
      return welcome;
    }
    // its welcome will say who is there
    if (link->endpoint == other.request_endpoint) return welcome;
  }
  // The process that we knew is gone, and its name has a new bearer elsewhere.
  const std::string name = other.name;
  const bool was_alive = link->alive;
  drop_link(std::string(link->endpoint));
  if (was_alive) listener_.on_down(name);
  learn(other, user, Told::itself);
  return welcome;
}

// Says hello to a member that others know of, or that has said so itself and is at that endpoint, whoever was before: with keys `itself` tells who it is.
void Membership::learn(const Member& member, const Trust::Enrolled* itself, Told told) {
  if (member.nonce == options_.self.nonce && member.name == options_.self.name) return;
  const auto there = links_.find(member.request_endpoint);
  if (itself != nullptr && there != links_.end() && !there->second.alive &&
      (there->second.expected != itself->name || there->second.key != itself->key)) {
    drop_link(std::string(member.request_endpoint));
  }
  // Of one name one is awaited, where it says itself that it is: however many others tell of.
  const auto elsewhere = std::ranges::find_if(links_, [&](const auto& entry) {
    const Link& link = entry.second;
    return link.awaited && !link.seed && link.expected == member.name &&
           link.endpoint != member.request_endpoint;
  });
  if (options_.credentials != nullptr && elsewhere != links_.end()) {
    if (told != Told::itself) return;
    drop_link(std::string(elsewhere->first));
  }
  add_link(member.request_endpoint, member.name, itself == nullptr ? nullptr : &itself->key, told);
  if (const auto link = links_.find(member.request_endpoint); link != links_.end()) {
    link->second.vouched = true;
    if (told == Told::itself) link->second.said_hello = true;
  }
}

void Membership::take_frame(const std::string& endpoint, std::string_view frame) {
  absl::StatusOr<Control> control = decode_control(frame);
  const auto found = links_.find(endpoint);
  if (stopped_ || found == links_.end()) return;
  const std::string name = found->second.member.name;
  if (!control.ok())
    return listener_.on_bad_frame(name.empty() ? endpoint : name, control.status());
  if (const Welcome* welcome = std::get_if<Welcome>(&*control)) {
    take_welcome(endpoint, *welcome);
  } else if (const Refusal* refusal = std::get_if<Refusal>(&*control)) {
    // It has no room. Who is a member elsewhere stays one.
    if (absl::IsResourceExhausted(refusal->why))
      return listener_.on_bad_frame(name.empty() ? endpoint : name, refusal->why);
    listener_.on_refused(refusal->why);
  } else if (WireAnswer* answer = std::get_if<WireAnswer>(&*control)) {
    if (!name.empty()) listener_.on_answer(name, std::move(*answer));
  } else {
    listener_.on_bad_frame(name.empty() ? endpoint : name,
                           absl::InvalidArgumentError("an answer that is none"));
  }
}

void Membership::take_welcome(const std::string& endpoint, const Welcome& welcome) {
  Link& link = links_[endpoint];
  const Member& other = welcome.self;
  if (!link.expected.empty() && other.name != link.expected) {
    return listener_.on_bad_frame(
        link.expected,
        absl::PermissionDeniedError(absl::StrCat("it has that key, and answers as ", other.name)));
  }
  if (other.name == options_.self.name) {  // ourselves, or a twin that we refuse
    drop_link(endpoint);
    return settle();
  }
  Link* same = link_of(other.name);
  if (same != nullptr && same != &link) {
    if (same->alive || same->member.nonce == other.nonce) {
      drop_link(endpoint);  // another way to the same process, or a rival for its name
      return settle();
    }
    drop_link(std::string(same->endpoint));
  }
  if (!link.member.name.empty() && link.member.name != other.name && link.alive) {
    link.alive = false;
    listener_.on_down(std::string(link.member.name));
  }
  const bool restarted = link.member.name == other.name && link.member.nonce != other.nonce;
  const bool news = restarted || !link.alive;
  link.member = other;
  link.member.request_endpoint = endpoint;
  link.alive = true;
  link.awaited = false;
  link.last_heard = loop_.clock().now();
  if (!link.rival.name.empty() && welcome.beat >= link.rival_beat) link.rival_refused = true;
  any_heard_ = true;
  note(other.name);
  for (const Member& member : welcome.members) {
    note(member.name);
    if (link_of(member.name) == nullptr) learn(member, nullptr, Told::member);
  }
  if (news) listener_.on_up(Member(link.member));
  settle();
}

void Membership::note(const std::string& name) {
  if (options_.client && told_of_.size() < links_max) told_of_.insert(name);
}

// A seed that is silent is waited for only while no other has answered: one living seed knows which of the others are there, and
// those are waited for.
void Membership::settle() {
  if (settled_ || stopped_) return;
  for (const auto& [endpoint, link] : links_) {
    if (link.awaited && (!link.seed || link.vouched || !any_heard_)) return;
  }
  settled_ = true;
  listener_.on_settled();
}

void Membership::tick() {
  const Instant now = loop_.clock().now();
  timer_ = loop_.at(now + options_.hello_interval, [this] { tick(); });
  // After a pause of our own, what the others said meanwhile still waits to be read: judge them later.
  const bool paused = last_tick_ != Instant{} && now - last_tick_ >= 2 * options_.hello_interval;
  last_tick_ = now;
  std::vector<std::string> lost;
  std::vector<std::string> unknown;
  std::vector<std::pair<std::string, std::string>> gone;  // endpoint, name
  for (auto& [endpoint, link] : links_) {
    if (options_.credentials != nullptr && !link.alive && now - link.tried >= options_.silence_max)
      try_next_key(link);
    if (link.shut_out && now - link.tried >= knock_interval) renew(link);
    greet(link);
    if (paused) {
      link.last_heard =
          std::max(link.last_heard, now - options_.silence_max + options_.hello_interval);
      continue;
    }
    if (link.alive && now - link.last_heard >= options_.silence_max) {
      link.alive = false;
      lost.push_back(link.member.name);
    }
    if (!link.alive && !link.seed && !link.member.name.empty() &&
        now - link.last_heard >= options_.forget_after) {
      gone.emplace_back(endpoint, link.member.name);
    }
    if (link.awaited && now - link.since >= options_.silence_max) {
      link.awaited = false;
      if (!link.seed && link.member.name.empty()) unknown.push_back(endpoint);
    }
  }
  for (const std::string& endpoint : unknown) drop_link(endpoint);
  for (const std::string& name : lost) listener_.on_down(name);
  for (const auto& [endpoint, name] : gone) {
    drop_link(endpoint);
    listener_.on_forgotten(name);
  }
  settle();
}

}  // namespace supercloud
