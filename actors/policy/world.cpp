#include "actors/policy/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr absl::Duration history_kept = absl::Hours(HourlyPrices::marks_max);

// Lists of messages have iterators that the standard algorithms do not take.
template <class List, class Predicate>
bool any_of(const List& list, Predicate predicate) {
  for (const auto element : list) {
    if (predicate(element)) return true;
  }
  return false;
}

}  // namespace

bool WorldState::apply(const Event& event) {
  using Payload = schema::Payload;
  switch (event.type()) {
    case Payload::SPOT_PRICE_CHANGED:
      return apply_price(event);
    case Payload::SPOT_FEED_LOST:
      lost_feeds_ = 1;
      return true;
    case Payload::SPOT_FEED_RESTORED:
      lost_feeds_ = 0;
      return true;
    case Payload::SPOT_INTERRUPTION_NOTICE:
    case Payload::INSTANCE_LAUNCHED:
    case Payload::INSTANCE_RETURNED:
    case Payload::INSTANCE_REVOKED:
      return apply_instance(event);
    case Payload::NODE_JOINED:
    case Payload::NODE_LEFT:
    case Payload::NODE_CAPACITY:
      return apply_node(event);
    default:
      return fleet_.apply(event, [this](const std::string& node) { return place_of_node(node); });
  }
}

WorldState::PlaceState& WorldState::place_of(schema::Place::Reader place) {
  const std::string id = str(place.getId());
  const auto [found, is_new] = places_.try_emplace(id);
  PlaceState& state = found->second;
  if (is_new) {
    state.cloud = str(place.getCloud());
    state.region = str(place.getRegion());
    state.zone = str(place.getZone());
    state.type = str(place.getInstanceType());
    state.spot = place.getSpot();
  }
  if (place.getLabels().size() > 0) {
    state.labels.clear();
    for (const auto label : place.getLabels()) {
      state.labels.push_back({str(label.getName()), str(label.getValue())});
    }
  }
  return state;
}

bool WorldState::apply_price(const Event& event) {
  const auto change = event.payload().getSpotPriceChanged();
  PlaceState& place = place_of(change.getPlace());
  const absl::Time since = absl::FromUnixNanos(change.getSinceNs());
  const Money price{change.getPriceNanoUsdPerHour()};
  const bool newest = place.prices.empty() || since > place.prices.newest().first;
  if (!place.prices.add(since, price)) return false;
  if (newest) {
    place.hourly.add(since, price);
    place.price_event = event.id();
    place.prices.forget_before(since - history_kept);
  } else if (!place.told) {
    place.hourly = HourlyPrices();
    for (const auto& [at, known] :
         place.prices.between(absl::InfinitePast(), absl::InfiniteFuture()))
      place.hourly.add(at, known);
  }
  return newest;
}

void WorldState::learn(schema::Response::KnownPrices::Reader known) {
  PlaceState& place = place_of(known.getPlace());
  const absl::Time since = absl::FromUnixNanos(known.getSinceNs());
  const Money price{known.getPriceNanoUsdPerHour()};
  std::vector<Money> marks;
  for (const std::int64_t nano_usd : known.getHourlyNanoUsd()) marks.push_back({nano_usd});
  place.told = true;
  place.hourly = HourlyPrices();
  place.hourly.take(known.getHour(), marks, since, price);
  // What came into force since has perhaps been heard already, ahead of the answer.
  for (const auto& [at, later] : place.prices.between(since, absl::InfiniteFuture()))
    place.hourly.add(at, later);
  const bool newest = place.prices.empty() || since > place.prices.newest().first;
  if (place.prices.add(since, price) && newest) place.price_event = EventId::from(known.getEvent());
}

bool WorldState::apply_instance(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_INTERRUPTION_NOTICE: {
      const auto notice = payload.getSpotInterruptionNotice();
      const std::string id = str(notice.getInstance());
      const Notice given{absl::FromUnixNanos(notice.getDeadlineNs()), event.id()};
      const auto found = instances_.find(id);
      if (found != instances_.end()) {
        found->second.notice = given;
      } else if (!ended_.contains(id)) {
        early_notices_[id] = given;
      }
      return true;
    }
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      place_of(launched.getPlace());
      const std::string id = str(launched.getInstance());
      if (ended_.contains(id) || instances_.contains(id)) return false;
      InstanceState& instance = instances_[id];
      instance.rental = {id,
                         str(launched.getPlace().getId()),
                         absl::FromUnixNanos(launched.getLaunchedNs()),
                         launched.getBilling(),
                         Money{launched.getPriceNanoUsdPerHour()},
                         std::nullopt};
      instance.node = str(launched.getNode());
      instance.bid = Money{launched.getBidNanoUsdPerHour()};
      if (const auto notice = early_notices_.extract(id)) instance.notice = *notice;
      return true;
    }
    default: {
      const auto ended = event.type() == schema::Payload::INSTANCE_RETURNED
                             ? payload.getInstanceReturned()
                             : payload.getInstanceRevoked();
      const std::string id = str(ended.getInstance());
      ended_.insert(id);
      if (ended.getNode().size() > 0) left_nodes_.insert(str(ended.getNode()));
      early_notices_.erase(id);
      return instances_.erase(id) > 0 || nodes_.contains(str(ended.getNode()));
    }
  }
}

bool WorldState::apply_joined(schema::NodeJoined::Reader joined, HybridTime time) {
  place_of(joined.getPlace());
  const auto [found, is_new] = nodes_.try_emplace(str(joined.getNode()));
  if (is_new && nodes_.size() > world_entries_max) forget_a_node(found->first);
  Node& node = found->second;
  if (node.since > time) return false;
  const bool news = !node.here || node.since.value == 0;
  node.since = time;
  node.here = true;
  node.place = str(joined.getPlace().getId());
  node.instance = str(joined.getInstance());
  node.memory_bytes = joined.getMemoryBytes();
  node.devices.clear();
  for (const auto device : joined.getDevices()) node.devices.insert(str(device));
  return news;
}

// The one not heard of for longest: who is here says so again and again.
void WorldState::forget_a_node(const std::string& but) {
  auto oldest = nodes_.end();
  for (auto node = nodes_.begin(); node != nodes_.end(); ++node)
    if (node->first != but && (oldest == nodes_.end() || node->second.since < oldest->second.since))
      oldest = node;
  nodes_.erase(oldest);
}

bool WorldState::apply_node(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::NODE_JOINED:
      return apply_joined(payload.getNodeJoined(), event.time());
    case schema::Payload::NODE_LEFT: {
      const auto found = nodes_.find(str(payload.getNodeLeft().getNode()));
      if (found == nodes_.end() || found->second.since > event.time()) return false;
      found->second.here = false;
      found->second.since = event.time();
      return true;
    }
    default: {
      const auto capacity = payload.getNodeCapacity();
      bool news = false;
      if (capacity.hasJoined() &&
          text(capacity.getJoined().getNode()) == text(capacity.getNode()) &&
          !text(capacity.getJoined().getPlace().getId()).empty()) {
        news = apply_joined(capacity.getJoined(), event.time());
      }
      const auto found = nodes_.find(str(capacity.getNode()));
      if (found != nodes_.end()) found->second.memory_free_bytes = capacity.getMemoryFreeBytes();
      return news;
    }
  }
}

std::string WorldState::place_of_node(const std::string& node) const {
  const auto found = nodes_.find(node);
  if (found != nodes_.end() && !found->second.place.empty()) return found->second.place;
  const InstanceState* instance = instance_at(node);
  return instance == nullptr ? "" : instance->rental.place;
}

bool WorldState::given_back(const std::string& name) const {
  const auto node = nodes_.find(name);
  const bool ended = left_nodes_.contains(name) ||
                     (node != nodes_.end() && ended_.contains(node->second.instance));
  return ended && instance_at(name) == nullptr;
}

bool WorldState::noticed(const std::string& node) const {
  const InstanceState* instance = instance_at(node);
  return instance != nullptr && instance->notice.has_value();
}

const WorldState::InstanceState* WorldState::instance_at(const std::string& node) const {
  if (node.empty()) return nullptr;
  const InstanceState* newest = nullptr;
  for (const auto& [id, instance] : instances_) {
    if (instance.node == node &&
        (newest == nullptr || instance.rental.launched > newest->rental.launched)) {
      newest = &instance;
    }
  }
  return newest;
}

std::optional<Money> WorldState::on_demand(const PlaceState& place, absl::Time now) const {
  std::optional<Money> cheapest;
  for (const auto& [id, other] : places_) {
    if (other.spot || other.cloud != place.cloud || other.region != place.region ||
        other.type != place.type) {
      continue;
    }
    const std::optional<Money> price = other.prices.at(now);
    if (price && (!cheapest || *price < *cheapest)) cheapest = price;
  }
  return cheapest;
}

void WorldState::fill_candidate(const std::string& id, const PlaceState& place,
                                schema::VmSpec::Reader spec, const std::string& vm_node,
                                absl::Time now, const WorldOptions& options,
                                schema::World::PlaceView::Builder view) const {
  auto shown = view.initPlace();
  shown.setId(id);
  shown.setCloud(place.cloud);
  shown.setRegion(place.region);
  shown.setZone(place.zone);
  shown.setInstanceType(place.type);
  shown.setSpot(place.spot);
  auto labels = shown.initLabels(static_cast<unsigned>(place.labels.size()));
  for (unsigned i = 0; i < place.labels.size(); ++i) {
    labels[i].setName(place.labels[i].name);
    labels[i].setValue(place.labels[i].value);
  }
  if (const std::optional<Money> price = place.prices.at(now)) {
    view.setPriceKnown(true);
    view.setPriceNanoUsdPerHour(price->nano_usd);
    view.setPriceSinceNs(absl::ToUnixNanos(place.prices.newest().first));
    if (place.price_event) place.price_event->write(view.initPriceEvent());
  }
  const std::vector<Money> marks = place.hourly.until(now);
  auto hourly = view.initHourlyNanoUsd(static_cast<unsigned>(marks.size()));
  for (unsigned i = 0; i < marks.size(); ++i) hourly.set(i, marks[i].nano_usd);
  if (const std::optional<Money> price = on_demand(place, now)) {
    view.setOnDemandNanoUsdPerHour(price->nano_usd);
  }
  if (place.spot)
    view.setBidNanoUsdPerHour(
        options.bid.value_or(Money{view.getOnDemandNanoUsdPerHour()}).nano_usd);

  std::vector<const InstanceState*> here;
  for (const auto& [name, instance] : instances_) {
    if (instance.rental.place == id) here.push_back(&instance);
  }
  const auto named = [&spec](const std::string& node) {
    const auto wanted = spec.getNodes();
    return wanted.size() == 0 ||
           any_of(wanted, [&](const auto name) { return text(name) == node; });
  };
  const auto offers = [&spec](const Node& node) {
    return !any_of(spec.getDevices(),
                   [&](const auto device) { return !node.devices.contains(str(device)); });
  };
  const auto has_room = [&](const std::string& node) {
    if (node == vm_node) return true;  // it is there
    const auto found = nodes_.find(node);
    if (found == nodes_.end() || !found->second.here || !named(node)) return false;
    if (!offers(found->second)) return false;
    // The room of a target that is kept ready for it is its own.
    if (any_of(spec.getPrepared(), [&](const auto name) { return text(name) == node; }))
      return true;
    return found->second.memory_free_bytes.value_or(found->second.memory_bytes) >=
           spec.getMemoryBytes();
  };
  bool room = false;
  bool offered =
      spec.getDevices().size() == 0;  // by what is or was here: so would another instance
  auto instances = view.initInstances(static_cast<unsigned>(here.size()));
  for (unsigned i = 0; i < here.size(); ++i) {
    const InstanceState& instance = *here[i];
    auto out = instances[i];
    out.setInstance(instance.rental.instance);
    out.setNode(instance.node);
    out.setLaunchedNs(absl::ToUnixNanos(instance.rental.launched));
    const absl::Time until = paid_until(instance.rental.launched, now, options.hour);
    out.setPaidUntilNs(absl::ToUnixNanos(until));
    const std::optional<Money> at_start = place.prices.at(until - options.hour);
    out.setPriceNanoUsdPerHour(at_start.value_or(instance.rental.price_at_start).nano_usd);
    out.setBidNanoUsdPerHour(instance.bid.nano_usd);
    out.setBilling(instance.rental.billing);
    const bool fits = !instance.notice && has_room(instance.node);
    out.setRoomForVm(fits);
    if (instance.notice) out.setNoticeDeadlineNs(absl::ToUnixNanos(instance.notice->deadline));
    room = room || fits;
  }
  for (const auto& [name, node] : nodes_) {
    offered = offered || (node.place == id && offers(node));
    // Hosts that no provider rents.
    if (node.here && node.place == id && instance_at(name) == nullptr && !given_back(name))
      room = room || has_room(name);
  }
  std::string why = why_labels_forbid(spec, shown.asReader());
  if (why.empty() && !room) {
    if (spec.getNodes().size() > 0) {
      why = "none of the nodes that the VM may run on is here with room for it";
    } else if (!offered) {
      why = "no node here is known to offer the devices that the VM needs";
    } else if (!options.can_rent) {
      why = "no node here has room for it";
    }
  }
  view.setAllowed(why.empty());
  view.setWhyNot(why);
}

Message<schema::World> WorldState::world(schema::VmSpec::Reader spec, const std::string& node,
                                         absl::Time now, const WorldOptions& options,
                                         const std::map<std::string, std::string>& closed) const {
  return Message<schema::World>::build([&](schema::World::Builder world) {
    world.setNowNs(absl::ToUnixNanos(now));
    world.setVm(spec);
    world.setCurrentPlace(place_of_node(node));
    if (const InstanceState* instance = instance_at(node)) {
      world.setCurrentInstance(instance->rental.instance);
      if (instance->notice) {
        world.setNoticeDeadlineNs(absl::ToUnixNanos(instance->notice->deadline));
        instance->notice->event.write(world.initNoticeEvent());
      }
    }
    world.setFeedLost(feed_lost());
    auto candidates = world.initCandidates(static_cast<unsigned>(places_.size()));
    unsigned index = 0;
    for (const auto& [id, place] : places_) {  // sorted by id
      auto candidate = candidates[index++];
      fill_candidate(id, place, spec, node, now, options, candidate);
      if (const auto why = closed.find(id); why != closed.end() && candidate.getAllowed()) {
        candidate.setAllowed(false);
        candidate.setWhyNot(why->second);
      }
    }

    // Who was on a machine when that ended is nowhere.
    const auto place_now = [this](const std::string& at) {
      return given_back(at) ? std::string() : place_of_node(at);
    };
    fleet_.fill(spec, now, options, place_now, world);
    auto market = world.initMarket();
    market.setHourNs(absl::ToInt64Nanoseconds(options.hour));
    market.setNoticeNs(absl::ToInt64Nanoseconds(options.notice));
    market.setLeadNs(absl::ToInt64Nanoseconds(options.lead));
  });
}

std::string why_labels_forbid(schema::VmSpec::Reader spec, schema::Place::Reader place) {
  const auto carries = [&place](std::string_view name, std::string_view value) {
    if (name == "cloud") return text(place.getCloud()) == value;
    if (name == "region") return text(place.getRegion()) == value;
    if (name == "zone") return text(place.getZone()) == value;
    if (name == "type") return text(place.getInstanceType()) == value;
    if (name == "market") return value == (place.getSpot() ? "spot" : "on-demand");
    return any_of(place.getLabels(), [&](schema::Label::Reader label) {
      return text(label.getName()) == name && text(label.getValue()) == value;
    });
  };
  for (const auto label : spec.getRequires()) {
    if (!carries(text(label.getName()), text(label.getValue()))) {
      return absl::StrCat("the VM requires ", str(label.getName()), "=", str(label.getValue()));
    }
  }
  for (const auto label : spec.getRefuses()) {
    if (carries(text(label.getName()), text(label.getValue()))) {
      return absl::StrCat("the VM refuses ", str(label.getName()), "=", str(label.getValue()));
    }
  }
  return "";
}

}  // namespace supercloud
