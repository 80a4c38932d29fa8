// The half of the live bus that listens: in which form each publisher's events are subscribed, when that is in effect, and what arrives. The sockets
// are made in bus/zmq_bus.cpp.
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "core/text.h"

namespace supercloud {

void ZmqBus::subscribe(std::string prefix, Reply<Done> reply) {
  subscriber_.subscribe(prefix, std::move(reply));
}

void ZmqBus::unsubscribe(std::string prefix) { subscriber_.unsubscribe(prefix); }

void ZmqBus::changed(const std::string& prefix, const Subscriber::Subscription& subscription) {
  if (secured() && subscription.active()) warn_of(prefix);
  for (auto& [name, source] : sources_) {
    if (source.socket == nullptr) continue;
    if (subscription.active()) {
      subscribe_at(source, prefix);
      place_marker(source);
    } else {
      unsubscribe_at(source, prefix);
      source.requested.erase(prefix);
    }
  }
}

void ZmqBus::subscribe_at(Source& source, const std::string& prefix) {
  if (source.form != Form::together) source.socket->subscribe(prefix);
  if (source.form != Form::alone)
    source.socket->subscribe(absl::StrCat(absl_view(together_lead), prefix));
  if (source.proves && relayed_prefix(prefix))
    source.socket->subscribe(absl::StrCat(absl_view(proof_lead), prefix));
}

void ZmqBus::unsubscribe_at(Source& source, const std::string& prefix) {
  if (source.form != Form::together) source.socket->unsubscribe(prefix);
  if (source.form != Form::alone)
    source.socket->unsubscribe(absl::StrCat(absl_view(together_lead), prefix));
  if (source.proves && relayed_prefix(prefix))
    source.socket->unsubscribe(absl::StrCat(absl_view(proof_lead), prefix));
}

// It relays what others say. The marker comes behind them.
void ZmqBus::begin_proofs(Source& source) {
  source.proves = true;
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    if (subscription.active() && relayed_prefix(prefix))
      source.socket->subscribe(absl::StrCat(absl_view(proof_lead), prefix));
  }
}

// Its process sends events together. Until that is in effect they go on coming alone, and some of them twice.
void ZmqBus::begin_together(Source& source) {
  // As many again must be granted.
  if (subscriber_.subscriptions().size() > ZmqPublisher::subscriptions_max / 4) return;
  source.form = Form::both;
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    if (subscription.active())
      source.socket->subscribe(absl::StrCat(absl_view(together_lead), prefix));
  }
  place_marker(source);
}

void ZmqBus::end_alone(Source& source) {
  source.form = Form::together;
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    if (subscription.active()) source.socket->unsubscribe(prefix);
  }
}

// The others will not grant it. Said here too, where it can be cured.
void ZmqBus::warn_of(const std::string& prefix) {
  const std::string* own = credentials_.trust->name_of(credentials_.key->public_key().text());
  if (own == nullptr) return;
  const std::vector<std::string> allowed = credentials_.trust->rights.allowed(*own, prefix);
  if (allowed.size() == 1 && allowed[0] == prefix) return;
  loop_.post(guarded([this, prefix, own = *own] {
    receiver_->on_rejected(
        own, absl::StrCat("this process itself has no right to subscribe all of \"", prefix, "\""));
  }));
}

// Asks for a sign that all active subscriptions are in effect, in the place of one under way.
void ZmqBus::place_marker(Source& source) {
  if (!source.marker.empty()) source.socket->unsubscribe(source.marker);
  source.requested.clear();
  source.doubt_again = false;
  for (const auto& [prefix, subscription] : subscriber_.subscriptions()) {
    if (!subscription.active()) continue;
    if (subscriber_.version_at(source.member.name, prefix) >= subscription.version) continue;
    source.requested[prefix] = subscription.version;
  }
  source.marker.clear();
  if (source.requested.empty() && !source.doubtful && source.form != Form::both) return;
  source.marker =
      absl::StrCat(absl_view(marker_lead), self_.name, "/", self_.nonce, "/", ++last_marker_,
                   hears_relays_ ? std::string{under_asked, relay_asked, together_asked}
                                 : std::string(1, together_asked),
                   "/");
  source.marker_at = loop_.clock().now();
  source.socket->subscribe(source.marker);
  arm_retry();
}

// Its answer may have found no room, or be on its way behind much else: then that one is as good.
void ZmqBus::repeat_marker(Source& source) {
  source.socket->unsubscribe(source.marker);
  source.socket->subscribe(source.marker);
  source.marker_at = loop_.clock().now();
}

void ZmqBus::arm_retry() {
  if (retry_timer_ != 0) return;
  retry_timer_ = loop_.at(loop_.clock().now() + options_.handshake_retry, [this] { retry(); });
}

void ZmqBus::retry() {
  retry_timer_ = 0;
  const Instant now = loop_.clock().now();
  for (auto& [name, source] : sources_) {
    if (source.alive && source.socket == nullptr && attach(source)) place_marker(source);
    if (source.marker.empty() || !source.alive) continue;
    if (now - source.marker_at >= options_.handshake_retry) repeat_marker(source);
    arm_retry();
  }
}

void ZmqBus::on_published(const std::string& name, ZmqSocket::Frames frames) {
  const auto found = sources_.find(name);
  if (found == sources_.end() || fatal_) return;
  Source& source = found->second;
  membership_->heard(name);
  if (publisher_ != nullptr) publisher_->look();  // many messages are taken in one turn
  if (frames.size() != 2) return receiver_->on_rejected(name, "a message that has not two frames");
  const std::string_view topic = frames[0];
  // A queue that was full may have lost what came next; as long as it was never found empty, that is at the earliest as many
  // messages on as it holds, of whatever kind. Its publisher tells where that was, if it knows whose queue it is.
  if (source.socket->burst() % room() == 0) may_have_lost(name, source);
  if (!topic.empty() && topic[0] == marker_lead[0]) {
    if (topic == source.marker || topic == source.standing) {
      if (frames[1] == loss_sign)
        may_have_lost(name, source);
      else if (topic == source.marker && !frames[1].empty())  // empty: a look for who is slow
        on_marker(source, frames[1]);
    } else if (topic.starts_with(together_lead) && source.form != Form::alone) {
      on_together(name, topic.substr(together_lead.size()), frames[1]);
    } else if (topic.starts_with(proof_lead) && source.proves && may_relay(name)) {
      subscriber_.proof_arrived(name, frames[1]);
    }
    return;  // what others asked for, which comes to who subscribes everything
  }
  if (frames[1].size() > event_bytes_max)
    return receiver_->on_rejected(name, "an event that is too large");
  subscriber_.arrived(name, topic.empty() ? "." : topic,
                      {reinterpret_cast<const std::byte*>(frames[1].data()), frames[1].size()});
}

void ZmqBus::on_together(const std::string& name, std::string_view prefix, std::string_view frame) {
  together_.clear();
  const std::size_t bytes = frame.size();
  absl::StatusOr<std::string_view> event = absl::InvalidArgumentError("no events, together");
  while (!frame.empty() && (event = take_event(frame)).ok()) {
    together_.emplace_back(reinterpret_cast<const std::byte*>(event->data()), event->size());
    if (bytes > together_bytes_max && !frame.empty()) {
      event = absl::InvalidArgumentError("more events together than travel so");
      break;
    }
  }
  if (!event.ok()) on_bad_frame(name, event.status());  // what came before it is good
  subscriber_.arrived_together(name, prefix, together_);
}

void ZmqBus::on_marker(Source& source, std::string_view frame) {
  const absl::StatusOr<Marker> marker = decode_marker(frame);
  if (!marker.ok()) return on_bad_frame(source.member.name, marker.status());
  // of a process before or after the one we know: another will come
  if (marker->nonce != source.member.nonce) return;
  if (!source.standing.empty()) source.socket->unsubscribe(source.standing);
  source.standing = std::exchange(source.marker, {});
  // Of one that is believed again it is not known what it had let pass before that.
  const bool new_relay = marker->relays && hears_relays_ && believe_relay(source.member.name);
  // And not known to be proven, of one whose proofs were not subscribed.
  const bool unproven = secured() && !source.proves && subscriber_.is_relay(source.member.name);
  if (unproven) begin_proofs(source);
  const bool again = std::exchange(source.doubt_again, false) || new_relay || unproven;
  for (const auto& [prefix, version] : std::exchange(source.requested, {})) {
    subscriber_.in_effect(source.member.name, prefix, version, marker->tails);
  }
  if (std::exchange(source.doubtful, false)) subscriber_.cleared(source.member.name, marker->tails);
  if (source.form == Form::both) {
    end_alone(source);
  } else if (source.form == Form::alone && marker->together) {
    begin_together(source);
  }
  if (again) doubt(source.member.name);
}

bool ZmqBus::believe_relay(const std::string& name) {
  if (subscriber_.is_relay(name)) return false;
  if (may_relay(name)) return subscriber_.relays(name, true);
  rejected(
      name,
      "it relays what others say, and has no right to, which `relays = true` in the trust file "
      "of this node gives");
  return false;
}

// A marker under way is let come: behind a full queue it would never be the newest.
void ZmqBus::may_have_lost(const std::string& name, Source& source) {
  if (source.doubtful && source.alive)
    source.doubt_again = true;
  else
    doubt(name);
}

// A marker that is published from now on tells of all that may be lost.
void ZmqBus::doubt(const std::string& name) {
  const auto found = sources_.find(name);
  if (found == sources_.end() || found->second.socket == nullptr) return;
  found->second.doubtful = true;
  subscriber_.doubt(name);
  place_marker(found->second);
}

}  // namespace supercloud
