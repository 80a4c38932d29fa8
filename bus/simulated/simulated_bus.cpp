#include "bus/simulated/simulated_bus.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/history.h"
#include "core/topic.h"

namespace supercloud {

SimulatedBus::SimulatedBus(std::string name, SimulatedNetwork& network, Scheduler& scheduler,
                           EventPool& pool, SimulatedBusOptions options)
    : name_(std::move(name)),
      network_(network),
      endpoint_(network.endpoint(name_)),
      scheduler_(scheduler),
      options_(std::move(options)),
      pool_(pool),
      subscriber_(
          scheduler, pool, options_.gaps, options_.repair,
          [this](const auto& prefix, const auto& subscription) { changed(prefix, subscription); },
          [this](Address to, std::string bytes, Reply<std::string> reply) {
            if (options_.keys_of && to.actor == history_actor && !has(to.node))
              return reply(absl::UnavailableError(absl::StrCat(to.node, " is no member now")));
            request(std::move(to), std::move(bytes), std::move(reply));
          }),
      routes_([this](const std::string& relay, const std::string& node, Reply<std::string> reply) {
        request_through(relay, node, "", "", std::move(reply));
      }),
      watcher_(scheduler,
               [this](const std::string& node, std::string question, Reply<std::string> reply) {
                 request_through(node, "", std::string(progress_actor), std::move(question),
                                 std::move(reply));
               }) {
  if (options_.keys_of) subscriber_.take_proven(options_.keys_of);
  subscriber_.refuse_replays(options_.heard_before);
  registered_ = endpoint_.bus == nullptr;
  if (!registered_) return;
  endpoint_.bus = this;
  life_ = ++endpoint_.lives;
}

SimulatedBus::~SimulatedBus() {
  scheduler_.cancel(ping_timer_);
  scheduler_.cancel(retry_timer_);
  scheduler_.cancel(slow_timer_);
  for (auto& [id, pending] : pending_) scheduler_.cancel(pending.timer);
  if (registered_) {
    endpoint_.bus = nullptr;
    network_.lose_under_way(endpoint_);
  }
}

void SimulatedBus::start(BusReceiver& receiver, std::vector<OriginTail> past) {
  receiver_ = &receiver;
  published_ = PublishedTails(std::move(past));
  if (!registered_) {
    scheduler_.post(guarded([this] {
      if (!options_.on_fatal) return;
      options_.on_fatal(absl::AlreadyExistsError(absl::StrCat(
          "a node named \"", name_, "\" is already on the bus; give this one another name")));
    }));
    return;
  }
  for (auto& [name, endpoint] : network_.endpoints_) {
    if (name == name_ || (options_.resets_heard && !endpoint.up)) continue;
    Peer& peer = peer_of(endpoint);
    peer.awaited = true;
    peer.last_heard = scheduler_.clock().now();
    subscriber_.expect(name);
  }
  subscriber_.start(receiver);
  settle();
  ping();
}

// What one bus has to say to another.
class SimulatedBus::Letter final : public SimulatedNetwork::Letter {
 public:
  Letter(SimulatedNetwork& network, Endpoint& from, std::uint64_t life, Endpoint& to, Body body)
      : SimulatedNetwork::Letter(network, from, to, way_of(body)),
        life_(life),
        bearer_(bearer_of(to)),
        body_(std::move(body)) {}

  // As over a connection: the next process of that name does not get what was sent to this one.
  void arrive(std::size_t burst) const override {
    if (to().bus != nullptr && to().bus->life_ == bearer_)
      to().bus->take(from(), life_, body_, burst);
  }
  // As on the wire of the live bus, about.
  std::size_t bytes() const override {
    if (const auto* event = std::get_if<Bytes>(&body_)) return event->bytes->size();
    if (const auto* proof = std::get_if<Proof>(&body_)) return proof->bytes->size();
    if (const auto* answer = std::get_if<InEffect>(&body_)) return bytes_of(answer->tails);
    if (const auto* standing = std::get_if<Standing>(&body_)) return bytes_of(standing->tails);
    if (const auto* request = std::get_if<Request>(&body_)) return request->bytes.size();
    const auto* answer = std::get_if<Answer>(&body_);
    return answer != nullptr && answer->value.ok() ? answer->value->size() : 0;
  }

 private:
  static std::size_t bytes_of(const std::vector<OriginTail>& tails) {
    constexpr std::size_t numbers = 48, numbers_under = 32;
    std::size_t bytes = 0;
    for (const OriginTail& tail : tails) {
      bytes += numbers + tail.origin.size();
      for (const OriginTail::Under& under : tail.under)
        bytes += numbers_under + under.prefix.size();
    }
    return bytes;
  }
  static SimulatedNetwork::Travels way_of(const Body& body) {
    using Travels = SimulatedNetwork::Travels;
    if (const Bytes* event = std::get_if<Bytes>(&body); event != nullptr && event->published)
      return Travels::queued;
    const bool told = std::holds_alternative<InEffect>(body) ||
                      std::holds_alternative<Standing>(body) || std::holds_alternative<Proof>(body);
    return told ? Travels::behind : Travels::beside;
  }
  static std::uint64_t bearer_of(const Endpoint& to) {
    return to.bus == nullptr ? 0 : to.bus->life_;
  }

  const std::uint64_t life_;    // of the sender
  const std::uint64_t bearer_;  // of the receiver's name
  const Body body_;
};

void SimulatedBus::send(Endpoint& to, Body body) {
  network_.send(std::make_shared<const Letter>(network_, endpoint_, life_, to, std::move(body)));
}

void SimulatedBus::send_garbage(SimulatedNetwork& network, std::string_view from,
                                std::string_view to, std::string bytes) {
  Endpoint& sender = network.endpoint(from);
  network.send(std::make_shared<const Letter>(
      network, sender, std::max<std::uint64_t>(sender.lives, 1), network.endpoint(to),
      Bytes{std::make_shared<const std::string>(std::move(bytes)), false, {}}));
}

SimulatedBus::Peer& SimulatedBus::peer_of(Endpoint& endpoint) {
  Peer& peer = peers_[endpoint.name];
  peer.endpoint = &endpoint;
  return peer;
}

void SimulatedBus::take(Endpoint& from, std::uint64_t life, const Body& body, std::size_t burst) {
  if (receiver_ == nullptr) return;
  Peer* const peer = heard(from, life);
  if (peer == nullptr) return;
  // A queue that was full may have lost what came next; as long as it was never found empty, that is at the earliest as many on as it
  // holds. Its publisher tells where that was.
  if (burst > 0 && burst % options_.high_water_mark == 0) may_have_lost(*peer);
  std::visit([&](const auto& message) { took(*peer, message); }, body);
}

SimulatedBus::Peer* SimulatedBus::heard(Endpoint& from, std::uint64_t life) {
  Peer& peer = peer_of(from);
  if (life < peer.life) return nullptr;
  peer.last_heard = scheduler_.clock().now();
  if (life == peer.life && peer.alive) return &peer;
  const bool again = life == peer.life;
  if (!again) {
    if (peer.life != 0) subscriber_.restarted(from.name);
    peer.life = life;
    peer.in = {};
    matched_lead_.clear();
    peer.served.clear();
    peer.served_order.clear();
  }
  peer.alive = true;
  peer.awaited = peer.forgotten = false;
  subscriber_.expect(from.name);
  send(from, Ping{link_of(peer)});
  // What another process of its name had said by its start, that one tells.
  connect(peer);
  // Another process of a relay does not know what the one before it let pass.
  if (again || subscriber_.is_relay(from.name)) doubt(peer);
  if (send_open(peer)) arm_retry();
  for (const std::uint64_t id : std::exchange(peer.unsent, {})) {
    const auto waiting = pending_.find(id);
    if (waiting != pending_.end()) send_request(id, waiting->second, from);
  }
  receiver_->on_peer(from.name, true);
  settle();
  return &peer;
}

void SimulatedBus::took(Peer& peer, const Ping& ping) {
  if (ping.held == link_to(peer)) peer.out.heard = scheduler_.clock().now();
}

void SimulatedBus::took(Peer& peer, const Change& change) {
  if (change.link < peer.in.number || (change.link == peer.in.number && peer.in.gone)) return;
  const bool renewed = change.link > peer.in.number;
  if (renewed) peer.in = {.number = change.link};
  Change& known = peer.in.wanted[change.prefix];
  const bool was_active = known.active;
  if (change.version >= known.version) known = change;
  if (renewed || known.active != was_active) {  // else it repeats what is known
    note_granted(peer, known);
    note_interest();
  }
  if (is_in_effect_beyond(peer, change)) answer_in_effect(peer, change);
}

std::vector<std::string> SimulatedBus::granted(const Peer& peer, const std::string& prefix) const {
  return options_.grant ? options_.grant(peer.endpoint->name, prefix) : std::vector{prefix};
}

bool SimulatedBus::is_granted(const Inward& in, std::string_view prefix) const {
  if (options_.grant) return in.granted.contains(prefix);
  const auto found = in.wanted.find(prefix);
  return found != in.wanted.end() && found->second.active;
}

void SimulatedBus::note_granted(Peer& peer, const Change& change) {
  matched_lead_.clear();
  if (!options_.grant) return;
  if (!change.active) peer.in.granted.clear();
  for (const auto& [prefix, other] : peer.in.wanted) {
    if (!other.active || (change.active && prefix != change.prefix)) continue;
    for (std::string& part : granted(peer, prefix)) peer.in.granted.insert(std::move(part));
  }
}

void SimulatedBus::answer_in_effect(Peer& peer, const Change& change) {
  InEffect answer{change.prefix, change.version, link_of(peer), {}, beyond_ != nullptr};
  if (change.active) answer.tails = tails();
  send(*peer.endpoint, std::move(answer));
}

void SimulatedBus::took(Peer& peer, const InEffect& in_effect) {
  if (in_effect.link != link_to(peer)) return;
  if (in_effect.relays && hears_relays_ && subscriber_.relays(peer.endpoint->name, true))
    doubt(peer);
  std::uint64_t& known = peer.out.in_effect[in_effect.prefix];
  known = std::max(known, in_effect.version);
  subscriber_.in_effect(peer.endpoint->name, in_effect.prefix, in_effect.version, in_effect.tails);
}

void SimulatedBus::took(Peer& peer, const Question& question) {
  const Link link = link_of(peer);
  if (question.link == link.number) send(*peer.endpoint, Standing{link, question.doubt, tails()});
}

void SimulatedBus::took(Peer& peer, const Standing& standing) {
  if (standing.link != link_to(peer) || standing.doubt != peer.out.doubt) return;
  peer.out.doubt = 0;
  const bool again = std::exchange(peer.out.doubt_again, false);
  subscriber_.cleared(peer.endpoint->name, standing.tails);
  if (again) doubt(peer);
}

void SimulatedBus::took(Peer& peer, const Bytes& bytes) {
  const supercloud::Bytes data(reinterpret_cast<const std::byte*>(bytes.bytes->data()),
                               bytes.bytes->size());
  if (!bytes.published) return subscriber_.arrived(peer.endpoint->name, "", data);
  if (bytes.link != link_to(peer)) return;
  if (bytes.after_loss) may_have_lost(peer);
  subscriber_.arrived(peer.endpoint->name, pool_.restore(data));
}

void SimulatedBus::took(Peer& peer, const Proof& proof) {
  if (proof.link == link_to(peer)) subscriber_.proof_arrived(peer.endpoint->name, *proof.bytes);
}

void SimulatedBus::took(Peer& peer, const Request& request) {
  if (!peer.served.insert(request.id).second) return;
  peer.served_order.push_back(request.id);
  if (peer.served_order.size() > served_max) {
    peer.served.erase(peer.served_order.front());
    peer.served_order.pop_front();
  }
  // Of that process of its name.
  const std::string asker = absl::StrCat(peer.endpoint->name, "/", peer.life);
  const bool of_bus = is_history_actor(request.actor) || is_call_actor(request.actor) ||
                      (!request.node.empty() && request.actor.empty());
  std::shared_ptr<Call> call = of_bus ? nullptr : calls_.open(asker, request.id);
  auto answer = [this, alive = std::weak_ptr<char>(alive_), from = peer.endpoint, id = request.id,
                 life = peer.life, asker,
                 kept = call != nullptr](absl::StatusOr<std::string> value) {
    if (alive.expired()) return;
    if (value.ok()) {
      absl::Status size = check_size("the answer", value->size());
      if (!size.ok()) value = std::move(size);
    }
    send(*from, Answer{id, life, std::move(value)});
    if (kept) calls_.close(asker, id);
  };
  Reply<std::string> reply(far_future, std::move(answer), std::move(call));
  if (!request.node.empty()) return take_beyond(request, std::move(reply));
  if (is_call_actor(request.actor))
    return calls_.serve(asker, request.actor, request.bytes, std::move(reply));
  if (is_history_actor(request.actor)) {
    absl::StatusOr<StreamRange> range = decode_question(request.bytes);
    if (!range.ok()) return reply(range.status());
    serve_history(*receiver_, name_, request.actor, *std::move(range), std::move(reply),
                  /*believed=*/true);
  } else {
    receiver_->on_request(request.actor, request.bytes, std::move(reply));
  }
}

void SimulatedBus::took(Peer& peer, const Answer& answer) {
  const auto found = pending_.find(answer.id);
  if (answer.life != life_ || found == pending_.end() || found->second.to != peer.endpoint->name)
    return;
  finish(answer.id, answer.value);
}

void SimulatedBus::publish(const Event& event) {
  if (receiver_ == nullptr || !registered_) return;
  if (beyond_ == nullptr || node_of(event.origin()) == name_) published_.note(event);
  const std::vector<Peer*>& subscribers = subscribers_of(event.topic());
  if (subscribers.empty()) return;
  const auto data = event.bytes();
  const auto bytes =
      std::make_shared<const std::string>(reinterpret_cast<const char*>(data.data()), data.size());
  bool full = false;
  for (Peer* const subscriber : subscribers) {
    Endpoint& to = *subscriber->endpoint;
    if (network_.places(endpoint_, to) < options_.high_water_mark) {
      send(to, Bytes{bytes, true, link_of(*subscriber), std::exchange(subscriber->in.lost, false)});
      continue;
    }
    full = subscriber->in.lost = true;
    ++denied_[to.name];
    if (network_.stuck(endpoint_, to) >= options_.silence_max) cut_off(*subscriber);
  }
  if (!full) return;
  const Duration wait = dropped_++ == 0 ? absl::ZeroDuration() : absl::Seconds(1);
  if (slow_timer_ == 0)
    slow_timer_ = scheduler_.at(scheduler_.clock().now() + wait, [this] { tell_denied(); });
}

// In the order of their names.
const std::vector<SimulatedBus::Peer*>& SimulatedBus::subscribers_of(std::string_view topic) {
  if (!matched_lead_.empty() && topic.starts_with(matched_lead_)) return matched_;
  matched_lead_ = topic_prefix(topic, 3);
  matched_.clear();
  for (auto& [name, peer] : peers_) {
    const bool matches = any_prefix(
        topic, [this, &in = peer.in](std::string_view prefix) { return is_granted(in, prefix); });
    if (matches) matched_.push_back(&peer);
  }
  return matched_;
}

void SimulatedBus::tell_denied() {
  slow_timer_ = 0;
  for (const auto& [name, all] : denied_) {
    const std::uint64_t events = all - std::exchange(denied_told_[name], all);
    if (events > 0 && options_.on_slow_subscriber)
      options_.on_slow_subscriber(name, options_.high_water_mark + events);
  }
}

void SimulatedBus::connect(Peer& peer) {
  ++peer.out.number;
  peer.out.heard = scheduler_.clock().now();
  peer.out.in_effect.clear();
}

void SimulatedBus::may_have_lost(Peer& peer) {
  if (peer.out.doubt == 0) return doubt(peer);
  peer.out.doubt_again = true;
  subscriber_.doubt(peer.endpoint->name);  // the first may have been before anything was in effect
}

void SimulatedBus::doubt(Peer& peer) {
  peer.out.doubt = ++doubts_;
  peer.out.doubt_again = false;
  subscriber_.doubt(peer.endpoint->name);
  arm_retry();
}

// What it subscribes goes with the connection.
void SimulatedBus::cut_off(Peer& peer) {
  peer.in.gone = true;
  peer.in.wanted.clear();
  peer.in.granted.clear();
  matched_lead_.clear();
}

void SimulatedBus::subscriber_gone(std::string_view name) {
  const auto peer = peers_.find(name);
  if (peer != peers_.end()) cut_off(peer->second);
}

void SimulatedBus::publisher_gone(std::string_view name) {
  const auto peer = peers_.find(name);
  if (peer == peers_.end() || !peer->second.alive) return;
  connect(peer->second);
  doubt(peer->second);
  send_open(peer->second);
}

void SimulatedBus::changed(const std::string& prefix,
                           const Subscriber::Subscription& subscription) {
  for (const auto& [name, peer] : peers_) {
    if (peer.alive)
      send(*peer.endpoint, Change{prefix, subscription.version, subscription.active(),
                                  peer.out.number, hears_relays_});
  }
  arm_retry();
}

void SimulatedBus::subscribe(std::string prefix, Reply<Done> reply) {
  subscriber_.subscribe(prefix, std::move(reply));
}

bool SimulatedBus::in_effect(std::string_view node, std::uint64_t life,
                             std::string_view prefix) const {
  const auto peer = peers_.find(node);
  const auto subscription = subscriber_.subscriptions().find(prefix);
  return peer != peers_.end() && peer->second.life == life &&
         subscription != subscriber_.subscriptions().end() && subscription->second.active() &&
         subscriber_.version_at(node, prefix) >= subscription->second.version;
}

bool SimulatedBus::serves(std::string_view node, std::uint64_t life,
                          std::string_view prefix) const {
  const auto peer = peers_.find(node);
  if (peer == peers_.end() || peer->second.life != life) return false;
  const auto wanted = peer->second.in.wanted.find(prefix);
  return wanted != peer->second.in.wanted.end() && wanted->second.active;
}

void SimulatedBus::unsubscribe(std::string prefix) { subscriber_.unsubscribe(prefix); }

// Once those that existed at the start have spoken, or been silent for long enough.
void SimulatedBus::settle() {
  if (subscriber_.settled()) return;
  const bool waits = std::any_of(peers_.begin(), peers_.end(),
                                 [](const auto& entry) { return entry.second.awaited; });
  if (!waits) subscriber_.settle();
}

bool SimulatedBus::send_open(Peer& peer) {
  bool open = false;
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    const auto found = peer.out.in_effect.find(prefix);
    const std::uint64_t known = found == peer.out.in_effect.end() ? 0 : found->second;
    if (known >= subscription.version) continue;
    if (known == 0 && !subscription.active()) continue;  // it never heard of it, or sends in vain
    send(*peer.endpoint, Change{prefix, subscription.version, subscription.active(),
                                peer.out.number, hears_relays_});
    open = true;
  }
  if (open || peer.out.doubt == 0) return open;
  // Once all is in effect: what is published from then on arrives.
  send(*peer.endpoint, Question{peer.out.number, peer.out.doubt});
  return true;
}

void SimulatedBus::arm_retry() {
  if (retry_timer_ != 0 || receiver_ == nullptr) return;
  retry_timer_ =
      scheduler_.at(scheduler_.clock().now() + options_.retry_interval, [this] { retry(); });
}

void SimulatedBus::retry() {
  retry_timer_ = 0;
  bool sent = false;
  for (auto& [name, peer] : peers_) {
    if (peer.alive && send_open(peer)) sent = true;
  }
  if (sent) arm_retry();
}

// Whether it was alive.
bool SimulatedBus::lose(const std::string& name, Peer& peer) {
  const bool was_alive = std::exchange(peer.alive, false);
  peer.awaited = false;
  cut_off(peer);
  subscriber_.dismiss(name);
  for (const std::uint64_t id : std::exchange(peer.unsent, {})) {
    finish(id, absl::UnavailableError(
                   absl::StrCat("no node named \"", name, "\" is reachable from ", name_)));
  }
  return was_alive;
}

void SimulatedBus::peer_reset(std::string_view name) {
  if (!options_.resets_heard) return;
  const auto peer = peers_.find(name);
  if (peer == peers_.end() || receiver_ == nullptr) return;
  const bool was_alive = lose(peer->first, peer->second);
  peers_.erase(peer);
  matched_lead_.clear();
  if (was_alive) receiver_->on_peer(std::string(name), false);
  settle();
}

void SimulatedBus::ping() {
  const Instant now = scheduler_.clock().now();
  ping_timer_ = scheduler_.at(now + options_.ping_interval, [this] { ping(); });
  for (auto& [name, endpoint] : network_.endpoints_) {
    if (&endpoint == &endpoint_ || (!endpoint.up && options_.resets_heard)) continue;
    const auto peer = peers_.find(name);
    send(endpoint, Ping{peer == peers_.end() ? Link{} : link_of(peer->second)});
  }
  note_interest();
  std::vector<std::string> lost;
  for (auto& [name, peer] : peers_) {
    if ((!peer.alive && !peer.awaited) || now - peer.last_heard < options_.silence_max) {
      if (peer.alive && now - peer.out.heard >= options_.silence_max) publisher_gone(name);
      if (!peer.alive && now - peer.last_heard >= options_.forget_after &&
          !std::exchange(peer.forgotten, true))
        subscriber_.forget(name);
      continue;
    }
    if (lose(name, peer)) lost.push_back(name);
  }
  for (const std::string& name : lost) receiver_->on_peer(name, false);
  settle();
}

}  // namespace supercloud
