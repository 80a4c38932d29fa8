#include "simulation/deliveries.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/subscriber.h"

namespace supercloud {
namespace {

bool under(std::string_view topic, std::string_view prefix) {
  return any_prefix(topic, [prefix](std::string_view each) { return each == prefix; });
}

// The predecessor that it names under `prefix`; 0: it is not under it, or the first.
std::uint64_t previous_under(const Event& event, std::string_view prefix) {
  if (!under(event.topic(), prefix)) return 0;
  const auto reader = event.reader();
  const std::uint64_t previous[] = {reader.getPrevious0(), reader.getPrevious1(),
                                    reader.getPrevious2(), reader.getPrevious3()};
  return previous[std::ranges::count(prefix, '.')];
}

std::size_t hash_of(const Event& event) {
  const Bytes bytes = event.bytes();
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace

// ---- what is owed ----------------------------------------------------------------------------------------------------

void Deliveries::hub_started(const SimulatedBus& cloud, const SimulatedBus& wide) {
  hubs_[cloud.name()] = {&cloud, &wide};
  hub_names_.insert(cloud.name());
}

std::vector<Deliveries::Hop> Deliveries::way(const WatchedBus& publisher,
                                             const WatchedBus& subscriber) const {
  const SimulatedBus* const speaks = &publisher.truth_;
  const SimulatedBus* const listens = &subscriber.truth_;
  if (publisher.hub_ == subscriber.hub_) return {{speaks, listens}};
  const auto far = hubs_.find(publisher.hub_), near = hubs_.find(subscriber.hub_);
  if (far == hubs_.end() || near == hubs_.end()) return {};
  return {{speaks, far->second.cloud},
          {far->second.wide, near->second.wide},
          {near->second.cloud, listens}};
}

bool Deliveries::in_effect(const WatchedBus& subscriber, const WatchedBus& publisher,
                           std::string_view prefix, bool served) const {
  const std::vector<Hop> hops = way(publisher, subscriber);
  return !hops.empty() && std::ranges::all_of(hops, [&](const Hop& hop) {
    const auto& [speaks, listens] = hop;
    return listens->in_effect(speaks->name(), speaks->life(), prefix) &&
           (!served || speaks->serves(listens->name(), listens->life(), prefix));
  });
}

bool Deliveries::is_owed(WatchedBus& subscriber, const WatchedBus& publisher,
                         std::string_view prefix) const {
  if (!subscriber.subscribed_.contains(prefix)) return false;
  if (subscriber.hub_ == publisher.hub_)
    return in_effect(subscriber, publisher, prefix, /*served=*/false);
  const std::tuple key(std::string(prefix), publisher.truth_.name(), publisher.truth_.life());
  if (subscriber.beyond_.contains(key)) return true;
  if (!in_effect(subscriber, publisher, prefix, /*served=*/false)) return false;
  subscriber.beyond_.insert(key);
  return true;
}

void Deliveries::published(const WatchedBus& publisher, const Event& event) {
  const std::string& node = publisher.truth_.name();
  const std::uint64_t life = publisher.truth_.life();
  const Stream origin{event.origin(), event.incarnation()};
  said_[origin][event.sequence()] = hash_of(event);
  for (const auto& [name, subscriber] : buses_) {
    if (name == node) continue;
    std::vector<std::string> prefixes;
    any_prefix(event.topic(), [&, &bus = *subscriber](std::string_view prefix) {
      if (is_owed(bus, publisher, prefix)) prefixes.emplace_back(prefix);
      return false;
    });
    if (prefixes.empty()) continue;
    const bool durable = delivery_of(event.type()) == schema::Delivery::DURABLE;
    subscriber->owed_[origin][event.sequence()] = {
        std::string(event.topic()), std::move(prefixes), durable, node, life, world_.now()};
  }
}

void Deliveries::started(const std::string& node, const OriginBook& log) {
  for (const auto& [name, subscriber] : buses_) {
    for (auto& [stream, debts] : subscriber->owed_) {
      const auto known = log.entries().find(stream.first);
      const bool lost = known == log.entries().end() || known->second.incarnation != stream.second;
      for (auto& [sequence, owed] : debts) {
        if (owed.publisher != node || std::exchange(owed.ended, true)) continue;
        const auto has = [&, at = sequence](const std::string& prefix) {
          const auto tail = known->second.tails.find(prefix);
          return tail != known->second.tails.end() && tail->second >= at;
        };
        owed.told =
            lost ? subscriber->heard_.contains(stream) : std::ranges::any_of(owed.prefixes, has);
      }
    }
  }
}

bool Deliveries::was_said(const Stream& stream, const Event& event) {
  const auto said = said_.find(stream);
  if (said != said_.end()) {
    const auto known = said->second.find(event.sequence());
    if (known != said->second.end()) return known->second == hash_of(event);
  }
  if (hub_names_.contains(node_of(event.origin()))) return true;  // of itself, in no log
  // What its process had logged and not sent when it was killed was not seen here.
  if (delivery_of(event.type()) != schema::Delivery::DURABLE || !in_log_) return true;
  const bool found = in_log_(event);
  found_ += found ? 1 : 0;
  return found;
}

bool Deliveries::knowable(const Owed& owed, Instant before) const {
  if (owed.at >= before) return false;
  if (owed.named) return true;
  const auto publisher = buses_.find(owed.publisher);
  if (publisher == buses_.end() || publisher->second->since_ >= before) return false;
  return owed.told || publisher->second->truth_.life() == owed.life;
}

void Deliveries::judge(Instant before, const std::function<void(std::string what)>& say) const {
  for (const auto& [name, subscriber] : buses_) {
    for (const std::string& wrong : subscriber->wrong_) say(wrong);
    for (const auto& [stream, debts] : subscriber->owed_) {
      std::uint64_t count = 0, first = 0, last = 0;
      const Owed* example = nullptr;
      for (const auto& [sequence, owed] : debts) {
        if (!knowable(owed, before)) continue;
        if (count++ == 0) first = sequence, example = &owed;
        last = sequence;
      }
      if (count == 0) continue;
      say(absl::StrCat(name, " lacks ", count, " events of ", stream.first, " within ", first,
                       " to ", last, " (incarnation ", stream.second, ") under its subscription \"",
                       example->prefixes.front(), "\", the first of topic ", example->topic,
                       ", published at ", static_cast<double>(example->at.ns) / 1e9,
                       " s, and no gap was announced"));
    }
    for (const auto& [prefix, times] : subscriber->subscribed_)
      for (const auto& [node, publisher] : buses_)
        if (node != name && !in_effect(*subscriber, *publisher, prefix, /*served=*/true))
          say(absl::StrCat("the subscription of ", name, " to \"", prefix,
                           "\" is not in effect at ", node));
    subscriber->judge_denied(before, say);
  }
}

// ---- between a process and its bus -------------------------------------------------------------------------------------

WatchedBus::WatchedBus(Deliveries& deliveries, Bus& bus, const SimulatedBus& truth,
                       const OriginBook& log)
    : deliveries_(deliveries),
      bus_(bus),
      truth_(truth),
      hub_(deliveries.hub_of_ ? deliveries.hub_of_(truth.name()) : ""),
      since_(deliveries.world_.now()) {
  deliveries_.started(truth_.name(), log);
  deliveries_.buses_[truth_.name()] = this;
}

WatchedBus::~WatchedBus() { deliveries_.buses_.erase(truth_.name()); }

void WatchedBus::start(BusReceiver& receiver, std::vector<OriginTail> past) {
  receiver_ = &receiver;
  bus_.start(static_cast<BusReceiver&>(*this), std::move(past));
}

void WatchedBus::publish(const Event& event) {
  deliveries_.published(*this, event);
  if (tell_of_) tell_of_(event);
  if (event.type() == schema::Payload::BUS_GAP) announced(event.payload().getBusGap());
  if (event.type() == schema::Payload::BUS_SLOW_SUBSCRIBER) {
    // Actors tell of mailboxes and disks that are full.
    const schema::SlowSubscriber::Reader slow = event.payload().getBusSlowSubscriber();
    if (text(slow.getDone()).starts_with("dropped"))
      denied_told_[std::string(text(slow.getSubscriber()))] +=
          slow.getBacklog() - std::min(slow.getBacklog(), truth_.high_water_mark());
  }
  const std::uint64_t dropped = truth_.dropped();
  bus_.publish(event);
  if (truth_.dropped() != dropped) dropped_at_ = deliveries_.world_.now();
}

void WatchedBus::judge_denied(Instant before,
                              const std::function<void(std::string what)>& say) const {
  for (const auto& [slow, events] : truth_.denied()) {
    const auto told = denied_told_.find(slow);
    const std::uint64_t count = told == denied_told_.end() ? 0 : told->second;
    if (count < events && dropped_at_ < before)
      say(absl::StrCat(truth_.name(), " told of ", count, " of ", events,
                       " events that found the queue of ", slow, " full"));
  }
  for (const auto& [slow, count] : denied_told_) {
    const auto denied = truth_.denied().find(slow);
    if (denied == truth_.denied().end() || denied->second < count)
      say(absl::StrCat(truth_.name(), " told of ", count, " events that found the queue of ", slow,
                       " full, which they did not"));
  }
}

void WatchedBus::announced(const schema::Gap::Reader& gap) {
  if (text(gap.getSubscriber()) != truth_.name()) return;
  const auto stream = owed_.find({std::string(text(gap.getOrigin())), gap.getIncarnation()});
  if (stream == owed_.end()) return;
  auto& debts = stream->second;
  auto next = debts.upper_bound(gap.getAfter());
  while (next != debts.end() && next->first <= gap.getUpTo()) {
    if (!under(next->second.topic, text(gap.getPrefix()))) {
      ++next;
      continue;
    }
    if (next->second.durable && text(gap.getDone()) == gap_not_in_log) {
      wrong_.push_back(absl::StrCat(truth_.name(), " says that the log of ", next->second.publisher,
                                    " does not have event ", next->first, " of ",
                                    stream->first.first, ", topic ", next->second.topic,
                                    ", which is durable"));
    }
    next = debts.erase(next);
  }
}

void WatchedBus::subscribe(std::string prefix, Reply<Done> reply) {
  ++subscribed_[prefix];
  bus_.subscribe(std::move(prefix), std::move(reply));
}

void WatchedBus::unsubscribe(std::string prefix) {
  const auto found = subscribed_.find(prefix);
  if (found != subscribed_.end() && --found->second == 0) {
    subscribed_.erase(found);
    std::erase_if(beyond_, [&](const auto& entry) { return std::get<0>(entry) == prefix; });
    // Nobody waits any more for what was owed for its sake alone.
    for (auto& [stream, debts] : owed_) {
      for (auto next = debts.begin(); next != debts.end();) {
        std::erase(next->second.prefixes, prefix);
        next = next->second.prefixes.empty() ? debts.erase(next) : std::next(next);
      }
    }
  }
  bus_.unsubscribe(std::move(prefix));
}

void WatchedBus::request(Address to, std::string bytes, Reply<std::string> reply) {
  bus_.request(std::move(to), std::move(bytes), std::move(reply));
}

void WatchedBus::on_event(Event event) {
  const Deliveries::Stream stream{event.origin(), event.incarnation()};
  given(stream, event);
  if (const auto found = owed_.find(stream); found != owed_.end()) {
    Deliveries::Debts::mapped_type& debts = found->second;
    if (const auto own = debts.extract(event.sequence())) {
      for (auto& [sequence, owed] : debts) {
        const auto names = [&event, at = sequence](const std::string& prefix) {
          return previous_under(event, prefix) >= at;
        };
        if (owed.life == own.mapped().life && std::ranges::any_of(owed.prefixes, names))
          owed.named = true;
      }
    }
  }
  if (tell_of_) tell_of_(event);
  receiver_->on_event(std::move(event));
}

void WatchedBus::given(const Deliveries::Stream& stream, const Event& event) {
  const auto later = heard_.upper_bound(stream);
  std::uint64_t& newest = heard_[stream];
  if (event.sequence() <= newest || (later != heard_.end() && later->first.first == stream.first))
    wrong_.push_back(absl::StrCat(truth_.name(), " is given event ", event.sequence(), " of ",
                                  stream.first, " (incarnation ", stream.second,
                                  ") twice or out of order: event ", newest,
                                  " or a later incarnation was there before"));
  newest = std::max(newest, event.sequence());
  if (!deliveries_.was_said(stream, event))
    wrong_.push_back(absl::StrCat(truth_.name(), " is given event ", event.sequence(), " of ",
                                  stream.first, " (incarnation ", stream.second, ", topic ",
                                  std::string(event.topic()),
                                  ") which says what its publisher did not"));
}

void WatchedBus::on_gap(const BusGap& gap) { receiver_->on_gap(gap); }

void WatchedBus::on_history(StreamRange range, Reply<StreamPart> reply) {
  receiver_->on_history(std::move(range), std::move(reply));
}

void WatchedBus::on_request(std::string actor, std::string bytes, Reply<std::string> answer) {
  receiver_->on_request(std::move(actor), std::move(bytes), std::move(answer));
}

void WatchedBus::on_rejected(std::string from, std::string why) {
  receiver_->on_rejected(std::move(from), std::move(why));
}

void WatchedBus::on_peer(std::string node, bool alive) {
  receiver_->on_peer(std::move(node), alive);
}

}  // namespace supercloud
