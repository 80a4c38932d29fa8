// A policy as a shared object: the cheapest place, but never out of the zones of a list while one of them is to be had. How it is
// built and used: docs/policies.md.
#include <capnp/message.h>
#include <capnp/serialize.h>
#include <policy_abi.h>
#include <world.capnp.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <tuple>

namespace {

using supercloud::schema::Decision;
using supercloud::schema::World;

constexpr std::string_view preferred_zones[] = {"us-east-1a", "us-east-1b"};

std::string_view view(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

bool preferred(World::PlaceView::Reader place) {
  return std::find(std::begin(preferred_zones), std::end(preferred_zones),
                   view(place.getPlace().getZone())) != std::end(preferred_zones);
}

// Why a place is no choice; empty: it is one.
std::string exclusion(World::Reader world, World::PlaceView::Reader place) {
  if (!place.getAllowed()) return std::string(view(place.getWhyNot()));
  if (!place.getPriceKnown()) return "no price is known there";
  if (world.getNoticeDeadlineNs() != 0 &&
      view(place.getPlace().getId()) == view(world.getCurrentPlace()))
    return "the cloud takes the machine there";
  return "";
}

void decide(World::Reader world, Decision::Builder decision) {
  const auto places = world.getCandidates();
  const std::string_view here = view(world.getCurrentPlace());
  auto candidates = decision.initCandidates(places.size());
  // First in the list, then cheapest, then where the VM is.
  const auto better = [&](unsigned a, unsigned b) {
    const auto key = [&](unsigned i) {
      return std::tuple(!preferred(places[i]), places[i].getPriceNanoUsdPerHour(),
                        view(places[i].getPlace().getId()) != here);
    };
    return key(a) < key(b);
  };
  unsigned best = places.size(), current = places.size();
  for (unsigned i = 0; i < places.size(); ++i) {
    const std::string excluded = exclusion(world, places[i]);
    candidates[i].setPlace(places[i].getPlace().getId());
    candidates[i].setCostNanoUsd(places[i].getPriceNanoUsdPerHour());
    candidates[i].setExcluded(excluded.c_str());
    if (view(places[i].getPlace().getId()) == here) current = i;
    if (excluded.empty() && (best == places.size() || better(i, best))) best = i;
  }
  // Moving within a paid hour pays twice: only a notice is no reason to wait.
  const std::int64_t now = world.getNowNs(), hour = world.getMarket().getHourNs();
  std::int64_t paid_until = (now / hour + 1) * hour;
  if (current < places.size())
    for (const auto instance : places[current].getInstances())
      if (view(instance.getInstance()) == view(world.getCurrentInstance()))
        paid_until = instance.getPaidUntilNs();
  const std::int64_t ends = paid_until - world.getMarket().getLeadNs();
  decision.setWakeAtNs(ends > now ? ends : ends + hour);
  const bool leaving = world.getNoticeDeadlineNs() != 0;
  if (best == places.size()) {
    decision.setReason("no place is to be had");
  } else if (best == current) {
    decision.setReason("it is where it had best be");
  } else if (!leaving && now < ends) {
    decision.setReason("the hour is paid");
  } else if (!leaving && current < places.size() && !better(best, current)) {
    decision.setReason("no place is better");
  } else {
    decision.setChoice(places[best].getPlace().getId());
    if (current < places.size())
      decision.setGainNanoUsd(places[current].getPriceNanoUsdPerHour() -
                              places[best].getPriceNanoUsdPerHour());
    const std::string reason =
        std::string(leaving ? "the cloud takes the machine; " : "the paid hour ends; ") +
        (preferred(places[best]) ? "the cheapest of the preferred zones is "
                                 : "no preferred zone is to be had, the cheapest other is ") +
        std::string(view(places[best].getPlace().getZone()));
    decision.setReason(reason.c_str());
  }
}

void* create(const char** /*why*/) {
  static int nothing_to_remember;
  return &nothing_to_remember;
}

void decide_bytes(void* /*self*/, const void* world, std::size_t size,
                  const supercloud_policy_sink* sink) {
  try {
    const auto words = static_cast<const capnp::word*>(world);
    capnp::FlatArrayMessageReader reader({words, size / sizeof(capnp::word)});
    capnp::MallocMessageBuilder message;
    decide(reader.getRoot<World>(), message.initRoot<Decision>());
    const auto flat = capnp::messageToFlatArray(message);
    sink->decided(sink->context, flat.begin(), flat.asBytes().size());
  } catch (const std::exception& error) {
    sink->failed(sink->context, error.what());
  }
}

void destroy(void* /*self*/) {}

}  // namespace

const supercloud_policy* supercloud_policy_entry() {
  static const supercloud_policy policy = {
      supercloud_policy_abi_version,
      "preferred zones",
      "1",
      "the cheapest place, in a list of zones while one of them is to be had",
      &create,
      &decide_bytes,
      &destroy,
  };
  return &policy;
}
