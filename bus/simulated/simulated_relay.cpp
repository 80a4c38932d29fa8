// The half of the simulated bus that has to do with relays: what one does for its members, and how these ask through it.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/simulated/simulated_bus.h"

namespace supercloud {

void SimulatedBus::relay(Beyond& beyond, bool hears_relays) {
  beyond_ = &beyond;
  hears_relays_ = hears_relays;
  if (!hears_relays) subscriber_.hear_neighbours_only();
  interest_ = std::make_unique<Interest>(
      beyond, [this](const std::string& prefix) { in_effect_beyond(prefix); });
}

bool SimulatedBus::has(std::string_view node) const {
  const auto peer = peers_.find(node);
  return peer != peers_.end() && peer->second.alive;
}

std::vector<OriginTail> SimulatedBus::tails() const {
  std::vector<OriginTail> tails = published_.all();
  if (beyond_ == nullptr) return tails;
  for (OriginTail& tail : beyond_->standing()) tails.push_back(std::move(tail));
  return tails;
}

void SimulatedBus::publish_proof(const Event& checkpoint, std::string_view prefix) {
  if (receiver_ == nullptr || !registered_) return;
  const auto data = checkpoint.bytes();
  const auto bytes =
      std::make_shared<const std::string>(reinterpret_cast<const char*>(data.data()), data.size());
  for (Peer* const subscriber : subscribers_of(prefix))
    send(*subscriber->endpoint, Proof{bytes, link_of(*subscriber)});
}

void SimulatedBus::note_interest() {
  if (interest_ == nullptr) return;
  Interest::Prefixes wanted;
  for (const auto& [name, peer] : peers_) {
    wanted.insert(peer.in.granted.begin(), peer.in.granted.end());
    if (options_.grant) continue;
    for (const auto& [prefix, change] : peer.in.wanted)
      if (change.active) wanted.insert(prefix);
  }
  interest_->set(wanted);
}

// What is not, or is asked for again, is answered when it is.
bool SimulatedBus::is_in_effect_beyond(const Peer& peer, const Change& change) const {
  if (!change.active || !change.beyond || interest_ == nullptr) return true;
  const std::vector<std::string> parts = granted(peer, change.prefix);
  return std::ranges::all_of(parts,
                             [&](const std::string& part) { return interest_->in_effect(part); });
}

void SimulatedBus::in_effect_beyond(const std::string& prefix) {
  for (auto& [name, peer] : peers_) {
    if (peer.in.gone || !is_granted(peer.in, prefix)) continue;
    for (const auto& [wanted, change] : peer.in.wanted)
      if (change.active && prefix.starts_with(wanted) &&
          std::ranges::count(granted(peer, wanted), prefix) > 0 &&
          is_in_effect_beyond(peer, change))
        answer_in_effect(peer, change);
  }
}

// A member's request for a node beyond.
void SimulatedBus::take_beyond(const Request& request, Reply<std::string> reply) {
  if (beyond_ == nullptr) return reply(absl::UnavailableError(absl::StrCat(name_, " is no hub")));
  // What a hub asks for somebody is the hub's own request there, and its to cancel.
  if (is_call_actor(request.actor))
    return reply(absl::UnimplementedError(
        absl::StrCat(request.actor, " is asked of who was asked, which is ", name_)));
  if (!request.actor.empty())
    return beyond_->request({request.node, request.actor}, request.bytes, std::move(reply));
  if (beyond_->has(request.node)) return reply(std::string());
  reply(absl::UnavailableError(
      absl::StrCat("no node named \"", request.node, "\" is reachable from ", name_)));
}

void SimulatedBus::request_beyond(Address to, std::string bytes, Reply<std::string> reply) {
  const std::vector<std::string> relays = subscriber_.relays();
  if (relays.empty())
    return reply(absl::UnavailableError(
        absl::StrCat("no node named \"", to.node, "\" is reachable from ", name_)));
  const Instant deadline = reply.deadline();
  const std::string node = to.node;
  const std::shared_ptr<Call> call = reply.call();
  auto waiting = std::make_shared<Reply<std::string>>(std::move(reply));
  if (call != nullptr) {
    call->when_cancelled([waits = std::weak_ptr<Reply<std::string>>(waiting), actor = to.actor] {
      const auto still = waits.lock();
      if (still != nullptr) (*still)(nobody_waits_for(actor));
    });
  }
  routes_.find(
      node, relays, deadline,
      [this, alive = std::weak_ptr<char>(alive_), to = std::move(to), bytes = std::move(bytes),
       waiting, deadline](absl::StatusOr<std::string> relay) {
        if (alive.expired()) return;
        if (!relay.ok()) return (*waiting)(relay.status());
        auto answered = [this, alive, waiting, node = to.node](absl::StatusOr<std::string> answer) {
          if (!alive.expired() && absl::IsUnavailable(answer.status())) routes_.forget(node);
          (*waiting)(std::move(answer));
        };
        request_through(*relay, to.node, to.actor, bytes,
                        Reply<std::string>(deadline, std::move(answered), waiting->call()));
      });
}

void SimulatedBus::request_through(const std::string& relay, std::string node, std::string actor,
                                   std::string bytes, Reply<std::string> reply) {
  if (reply.call() != nullptr && reply.call()->cancelled()) return reply(nobody_waits_for(actor));
  const auto peer = peers_.find(relay);
  if (peer == peers_.end() || !peer->second.alive)
    return reply(absl::UnavailableError(absl::StrCat(relay, " is not reachable any more")));
  std::uint64_t id = 0;
  Pending& pending = add_pending(
      {relay, std::move(node), std::move(actor), std::move(bytes), std::move(reply)}, id);
  send_request(id, pending, *peer->second.endpoint);
}

}  // namespace supercloud
