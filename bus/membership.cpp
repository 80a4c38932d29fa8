#include "bus/membership.h"

#include <zmq.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

absl::Status taken(const std::string& name) {
  return absl::AlreadyExistsError(
      absl::StrCat("a node named \"", name,
                   "\" is already on the bus; give this one another name, or end the other"));
}

}  // namespace

Membership::Membership(EventLoop& loop, std::shared_ptr<ZmqContext> context,
                       MembershipOptions options, Listener& listener)
    : loop_(loop),
      context_(std::move(context)),
      options_(std::move(options)),
      listener_(listener) {}

Membership::~Membership() { loop_.cancel(timer_); }

void Membership::start() {
  for (const std::string& seed : options_.seeds) {
    if (seed != options_.self.request_endpoint) add_link(seed, true);
  }
  tick();
}

void Membership::stop() {
  stopped_ = true;
  loop_.cancel(timer_);
  for (auto& [endpoint, link] : links_) ZmqSocket::retire(std::move(link.socket));
  links_.clear();
}

void Membership::add_link(const std::string& endpoint, bool seed) {
  if (links_.count(endpoint) > 0 || endpoint.empty()) return;
  if (links_.size() >= links_max) {
    return listener_.on_bad_frame(endpoint, absl::ResourceExhaustedError(absl::StrCat(
                                                "not linked to it: ", links_max,
                                                " other processes are; have fewer members")));
  }
  auto socket = ZmqSocket::make(
      context_, ZMQ_DEALER,
      ZmqSocketOptions{.high_water_mark = options_.high_water_mark, .connected_only = true}, loop_,
      [this, endpoint](ZmqSocket::Frames frames) { take_frame(endpoint, frames[0]); },
      [this, endpoint] {
        const auto found = links_.find(endpoint);
        if (found != links_.end() && found->second.greet) greet(found->second);
      });
  if (!socket.ok()) return listener_.on_bad_frame(endpoint, socket.status());
  // A seed stays one, whoever told of it.
  seed = seed ||
         std::find(options_.seeds.begin(), options_.seeds.end(), endpoint) != options_.seeds.end();
  const absl::Status connected = (*socket)->connect(endpoint);
  if (!connected.ok()) return listener_.on_bad_frame(endpoint, connected);
  Link& link = links_[endpoint];
  link.endpoint = endpoint;
  link.seed = seed;
  link.since = loop_.clock().now();
  link.socket = *std::move(socket);
  link.socket->start();
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

Control Membership::take_hello(const Hello& hello) {
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
  if (link == nullptr || link->member.nonce == other.nonce) {
    if (link == nullptr) {
      learn(other);
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
  learn(other);
  return welcome;
}

// Says hello to a member that others know of.
void Membership::learn(const Member& member) {
  if (member.nonce == options_.self.nonce && member.name == options_.self.name) return;
  add_link(member.request_endpoint, false);
  if (const auto link = links_.find(member.request_endpoint); link != links_.end())
    link->second.vouched = true;
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
  for (const Member& member : welcome.members) {
    if (link_of(member.name) == nullptr) learn(member);
  }
  if (news) listener_.on_up(Member(link.member));
  settle();
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
