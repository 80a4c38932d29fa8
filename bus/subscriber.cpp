#include "bus/subscriber.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

const std::string heartbeat_prefix = "node.heartbeat.";

}  // namespace

bool any_prefix(std::string_view topic, absl::FunctionRef<bool(std::string_view prefix)> each) {
  if (each("")) return true;
  std::size_t end = 0;
  for (std::size_t tokens = 1; tokens <= 3; ++tokens) {
    const std::size_t dot = topic.find('.', end);
    if (dot == std::string_view::npos) return each(topic_prefix(topic, tokens));
    end = dot + 1;
    if (each(topic.substr(0, end))) return true;
  }
  return false;
}

bool relayed_prefix(std::string_view prefix) { return !prefix.starts_with(heartbeat_prefix); }

absl::Status check_size(std::string_view what, std::size_t size) {
  if (size <= request_bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(absl_view(what), " has ", size,
                                                 " bytes; the bus takes ", request_bytes_max,
                                                 " at most: send bulk data over a link"));
}

Subscriber::Subscriber(Scheduler& scheduler, EventPool& pool, GapDetector::Options options,
                       RepairTimes times, Changed changed, Ask ask)
    : scheduler_(scheduler),
      pool_(pool),
      times_(times),
      changed_(std::move(changed)),
      ask_(std::move(ask)),
      detector_(options) {}

Subscriber::~Subscriber() {
  scheduler_.cancel(expiry_timer_);
  scheduler_.cancel(growing_);
  for (const auto& [id, repair] : repairs_) scheduler_.cancel(repair.retry);
}

void Subscriber::start(BusReceiver& receiver) {
  receiver_ = &receiver;
  growing_ = scheduler_.at(scheduler_.clock().now() + GapDetector::young_max, [this] {
    growing_ = 0;
    detector_.grow_up();
  });
  Subscription& heartbeats = subscriptions_[heartbeat_prefix];
  const bool was_active = heartbeats.active();
  heartbeats.internal = true;
  change(heartbeat_prefix, heartbeats, was_active);
}

void Subscriber::subscribe(const std::string& prefix, Reply<Done> reply) {
  Subscription& subscription = subscriptions_[prefix];
  const bool was_active = subscription.active();
  ++subscription.owned;
  change(prefix, subscription, was_active);
  Waiter waiter{prefix, subscription.version, {}, std::move(reply)};
  for (const auto& [node, publisher] : publishers_) {
    if (publisher.expected && version_at(node, prefix) < subscription.version) {
      waiter.nodes.insert(node);
    }
  }
  waiters_.push_back(std::move(waiter));
  reply_soon();
}

void Subscriber::unsubscribe(const std::string& prefix) {
  const auto found = subscriptions_.find(prefix);
  if (found == subscriptions_.end() || found->second.owned == 0) return;
  --found->second.owned;
  change(prefix, found->second, true);
}

void Subscriber::change(const std::string& prefix, Subscription& subscription, bool was_active) {
  if (subscription.active() == was_active) return;
  ++subscription.version;
  if (subscription.active()) {
    detector_.subscribe(prefix);
  } else {
    detector_.unsubscribe(prefix);
    for (Waiter& waiter : waiters_) {
      if (waiter.prefix == prefix) waiter.nodes.clear();
    }
    reply_soon();
    // Later: what is let go must not reach the owner inside its own call.
    scheduler_.post([this, alive = std::weak_ptr<char>(alive_)] {
      if (!alive.expired()) drain();
    });
  }
  changed_(prefix, subscription);
}

void Subscriber::settle() {
  settled_ = true;
  reply_soon();
}

void Subscriber::expect(const std::string& node) {
  Publisher& publisher = publishers_[node];
  if (!publisher.expected) {  // it may have come with an archive, and can be asked itself
    without_archive_.erase(node);
    std::erase_if(orphans_, [&](const auto& orphan) { return node_of(orphan.first) == node; });
  }
  if (std::exchange(publisher.expected, true) || settled_) return;
  for (Waiter& waiter : waiters_) {
    if (version_at(node, waiter.prefix) < waiter.version) waiter.nodes.insert(node);
  }
}

void Subscriber::dismiss(const std::string& node) {
  publishers_[node].expected = false;
  for (Waiter& waiter : waiters_) waiter.nodes.erase(node);
  reply_soon();
}

void Subscriber::restarted(const std::string& node) {
  publishers_[node].in_effect.clear();
  without_archive_.erase(node);
  detector_.restarted(node);
  if (!settled_) return;
  for (Waiter& waiter : waiters_) waiter.nodes.erase(node);  // the process that was known is gone
  reply_soon();
}

void Subscriber::forget(const std::string& node) {
  dismiss(node);
  publishers_.erase(node);
  without_archive_.erase(node);
  detector_.restarted(node);
  detector_.forget(node);
  std::vector<std::uint64_t> over;
  for (const auto& [id, repair] : repairs_) {
    if (node_of(repair.range.origin) == node) over.push_back(id);
  }
  for (const std::uint64_t id : over) give_up(id, "its publisher is gone");
}

void Subscriber::in_effect(const std::string& node, const std::string& prefix,
                           std::uint64_t version, absl::Span<const OriginTail> tails) {
  const auto found = subscriptions_.find(prefix);
  if (found == subscriptions_.end()) return;
  std::uint64_t& known = publishers_[node].in_effect[prefix];
  if (version <= known) return;  // a repeat: its tails are newer than what is owed
  known = version;
  if (version != found->second.version || !found->second.active()) return;
  // Beyond a relay nobody is asked for heartbeats.
  if (relayed_prefix(prefix) || !is_relay(node)) detector_.in_effect(node, prefix, tails);
  for (Waiter& waiter : waiters_) {
    if (waiter.prefix == prefix && waiter.version <= version) waiter.nodes.erase(node);
  }
  drain();
  reply_waiters();
}

void Subscriber::doubt(const std::string& node) { detector_.doubt(node); }

void Subscriber::cleared(const std::string& node, absl::Span<const OriginTail> tails) {
  detector_.cleared(node, tails, scheduler_.clock().now());
  unproving_.erase(node);
  drain();
}

std::uint64_t Subscriber::version_at(std::string_view node, std::string_view prefix) const {
  const auto publisher = publishers_.find(node);
  if (publisher == publishers_.end()) return 0;
  const auto found = publisher->second.in_effect.find(prefix);
  return found == publisher->second.in_effect.end() ? 0 : found->second;
}

void Subscriber::reply_soon() {
  if (waiters_.empty()) return;
  scheduler_.post([this, alive = std::weak_ptr<char>(alive_)] {
    if (!alive.expired()) reply_waiters();
  });
}

void Subscriber::reply_waiters() {
  const auto is_ready = [](const Waiter& waiter) { return waiter.nodes.empty(); };
  if (!settled_ || std::ranges::none_of(waiters_, is_ready)) return;
  std::vector<Waiter> ready;
  std::vector<Waiter> waiting;
  for (Waiter& waiter : waiters_) {
    (is_ready(waiter) ? ready : waiting).push_back(std::move(waiter));
  }
  waiters_ = std::move(waiting);
  for (Waiter& waiter : ready) waiter.reply(Done{});
}

void Subscriber::arrived(const std::string& from, std::string_view topic, Bytes bytes) {
  take(from, bytes, topic, true, scheduler_.clock().now());
  drain();
}

void Subscriber::arrived_together(const std::string& from, std::string_view prefix,
                                  absl::Span<const Bytes> events) {
  const Instant now = scheduler_.clock().now();
  for (const Bytes bytes : events) take(from, bytes, prefix, false, now);
  drain();
}

void Subscriber::take(const std::string& from, Bytes bytes, std::string_view told, bool whole,
                      Instant now) {
  absl::StatusOr<Event> event = pool_.parse(bytes);
  if (!event.ok()) return receiver_->on_rejected(from, std::string(event.status().message()));
  const std::string_view topic = event->topic();
  const bool is_told = told.empty() || told.substr(0, told.size() - 1) == topic ||
                       (!whole && topic.starts_with(told));
  if (!is_told) return receiver_->on_rejected(from, "the topic on the wire is not the event's");
  if (admit_) {
    if (const absl::Status admitted = admit_(from, *event); !admitted.ok())
      return receiver_->on_rejected(from, std::string(admitted.message()));
  }
  if (is_second_hand(from, *event) || !is_proven(from, *event)) return;
  const std::string_view relay = relay_of(from, *event);
  const absl::Status taken = detector_.arrived(*std::move(event), now, relay);
  if (!taken.ok()) receiver_->on_rejected(from, std::string(taken.message()));
}

void Subscriber::arrived(const std::string& from, Event event) {
  if (is_second_hand(from, event) || !is_proven(from, event)) return;
  const std::string_view relay = relay_of(from, event);
  const absl::Status taken = detector_.arrived(std::move(event), scheduler_.clock().now(), relay);
  if (!taken.ok()) return receiver_->on_rejected(from, std::string(taken.message()));
  drain();
}

std::vector<std::string> Subscriber::relays() const {
  std::vector<std::string> relays;
  for (const auto& [node, publisher] : publishers_)
    if (publisher.expected && is_relay(node)) relays.push_back(node);
  return relays;
}

std::string_view Subscriber::relay_of(const std::string& from, const Event& event) const {
  return node_of(event.origin()) == from || !is_relay(from) ? std::string_view() : from;
}

bool Subscriber::is_second_hand(const std::string& from, const Event& event) {
  if (!neighbours_only_ || node_of(event.origin()) == from) return false;
  receiver_->on_rejected(
      from, "it relays what others say, and this process relays here: end one of the two hubs");
  return true;
}

void Subscriber::proof_arrived(const std::string& from, std::string_view bytes) {
  if (!proofs_) return;
  const absl::StatusOr<Event> checkpoint = parse(bytes);
  if (!checkpoint.ok())
    return receiver_->on_rejected(from, std::string(checkpoint.status().message()));
  take_checkpoint(from, *checkpoint);
}

bool Subscriber::take_checkpoint(const std::string& from, const Event& checkpoint) {
  const absl::Status taken = proofs_->take(checkpoint);
  if (!taken.ok()) receiver_->on_rejected(from, std::string(taken.message()));
  return taken.ok();
}

bool Subscriber::is_neighbour(std::string_view node) const {
  const auto publisher = publishers_.find(node);
  return publisher != publishers_.end() && publisher->second.expected;
}

bool Subscriber::was_heard_before(const Event& event) const {
  return heard_before_ != nullptr && heard_before_->is_replay(event);
}

bool Subscriber::is_proven(const std::string& from, const Event& event) {
  if (!proofs_ || node_of(event.origin()) == from || !needs_proof(event)) return true;
  if (event.type() == schema::Payload::BUS_CHECKPOINT) return take_checkpoint(from, event);
  const absl::Status proven = proofs_->judge(event);
  if (proven.ok()) {
    const bool replay = was_heard_before(event);
    if (replay)
      receiver_->on_rejected(
          from,
          absl::StrCat("it tells again, unasked, what a process before this one has heard of ",
                       absl_view(event.origin())));
    return !replay;
  }
  const bool forged = absl::IsInvalidArgument(proven);
  if (forged || unproving_.insert(from).second)
    receiver_->on_rejected(
        from, forged ? std::string(proven.message())
                     : absl::StrCat("it relays what no checkpoint proves (", proven.message(),
                                    "); that is asked of its node's log, which takes time"));
  return false;
}

bool Subscriber::owned(std::string_view prefix) const {
  const auto found = subscriptions_.find(prefix);
  return found != subscriptions_.end() && found->second.owned > 0;
}

bool Subscriber::owned_below(std::string_view prefix) const {
  for (auto next = subscriptions_.lower_bound(prefix);
       next != subscriptions_.end() && std::string_view(next->first).starts_with(prefix); ++next)
    if (next->second.owned > 0) return true;
  return false;
}

// A heartbeat that only the bus itself asked for is not the owner's business.
bool Subscriber::wanted(const Event& event) const {
  return any_prefix(event.topic(), [this](std::string_view prefix) { return owned(prefix); });
}

void Subscriber::drain() {
  if (std::exchange(draining_, true)) return;
  while (std::optional<GapDetector::Output> output = detector_.next()) {
    if (const BusGap* gap = std::get_if<BusGap>(&*output)) {
      if (owned_below(gap->prefix)) receiver_->on_gap(*gap);
      continue;
    }
    if (BusRepair* repair = std::get_if<BusRepair>(&*output)) {
      repairs_[repair->id].range = std::move(repair->range);
      begin_repair(repair->id);
      continue;
    }
    Event& event = std::get<Event>(*output);
    if (event.type() == schema::Payload::NODE_HEARTBEAT) {
      detector_.tails(node_of(event.origin()), event.payload().getNodeHeartbeat(),
                      scheduler_.clock().now());
      if (!wanted(event)) continue;
    }
    // A hub lets pass what it proves.
    if (proofs_ && detector_.tells_onward() && event.type() == schema::Payload::BUS_CHECKPOINT)
      take_checkpoint(std::string(node_of(event.origin())), event);
    // The numbers of checkpoints are not signed.
    if (heard_before_ != nullptr && needs_proof(event) &&
        event.type() != schema::Payload::BUS_CHECKPOINT && !is_neighbour(node_of(event.origin())))
      heard_before_->heard(event, scheduler_.clock().wall());
    receiver_->on_event(std::move(event));
  }
  draining_ = false;
  arm_expiry();
}

void Subscriber::arm_expiry() {
  const Instant at = detector_.wake_at();
  if (at >= expiry_at_) return;
  scheduler_.cancel(expiry_timer_);
  expiry_at_ = at;
  expiry_timer_ = scheduler_.at(at, [this] {
    expiry_timer_ = 0;
    expiry_at_ = far_future;
    detector_.expire(scheduler_.clock().now());
    drain();
  });
}

}  // namespace supercloud
