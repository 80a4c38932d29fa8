#include "actors/policy/policies.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "actors/ledger/billing.h"
#include "core/event.h"
#include "core/units.h"

namespace supercloud {
namespace {

using PlaceView = schema::World::PlaceView::Reader;
using InstanceView = schema::World::InstanceView::Reader;

// "0.0331": to the 0.0001 USD, half away from zero, without a double.
std::string price_text(std::int64_t nano_usd) {
  const std::int64_t tenths = (nano_usd + (nano_usd < 0 ? -50'000 : 50'000)) / 100'000;
  const std::int64_t size = tenths < 0 ? -tenths : tenths;
  return absl::StrFormat("%s%d.%04d", tenths < 0 ? "-" : "", size / 10'000, size % 10'000);
}

// "Fri 14:05": of market time.
std::string time_text(std::int64_t ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixNanos(ns), absl::UTCTimeZone());
}

struct Outlook {
  explicit Outlook(schema::World::Reader of) : world(of), now(of.getNowNs()) {
    for (const PlaceView candidate : world.getCandidates()) {
      if (text(candidate.getPlace().getId()) == text(world.getCurrentPlace())) current = candidate;
    }
    if (!current) return;
    for (const InstanceView view : current->getInstances()) {
      if (text(view.getInstance()) == text(world.getCurrentInstance())) instance = view;
    }
  }

  std::int64_t hour() const { return std::max<std::int64_t>(world.getMarket().getHourNs(), 1); }
  // Until when the present hour is paid. Own hosts and what no provider told of: the next whole hour of market time.
  std::int64_t paid_until() const {
    return instance ? instance->getPaidUntilNs() : (now / hour() + 1) * hour();
  }
  std::int64_t lead() const {
    return std::clamp<std::int64_t>(world.getMarket().getLeadNs(), 0, hour() / 2);
  }
  bool at_hour_end() const { return paid_until() - now <= lead(); }
  // The first look at or after the next end of an hour.
  std::int64_t wake() const {
    const std::int64_t next = paid_until() - lead();
    return next > now ? next : next + hour();
  }
  bool outbid() const {
    return instance && current->getPlace().getSpot() && current->getPriceKnown() &&
           current->getPriceNanoUsdPerHour() > instance->getBidNanoUsdPerHour();
  }
  bool noticed() const { return world.getNoticeDeadlineNs() != 0; }

  schema::World::Reader world;
  std::int64_t now;
  std::optional<PlaceView> current;
  std::optional<InstanceView> instance;
};

std::int64_t hour_cost(const Outlook& view, PlaceView place) {
  return cost(Money{place.getPriceNanoUsdPerHour()}, absl::Nanoseconds(view.hour())).nano_usd;
}

// Why a place is no choice; empty: it is one.
std::string exclusion(const Outlook& view, PlaceView place) {
  if (!place.getAllowed()) return str(place.getWhyNot());
  if (!place.getPriceKnown()) return "no price is known there";
  const bool here = text(place.getPlace().getId()) == text(view.world.getCurrentPlace());
  if (here && view.noticed()) return "the cloud is about to take the instance there";
  if (here && view.outbid()) return "the price there exceeds the bid";
  return "";
}

struct Ranked {
  std::vector<std::string> excluded;  // per candidate
  std::optional<unsigned> cheapest;   // of those that are not
};

Ranked rank(const Outlook& view) {
  Ranked ranked;
  const auto candidates = view.world.getCandidates();
  for (unsigned i = 0; i < candidates.size(); ++i) {
    ranked.excluded.push_back(exclusion(view, candidates[i]));
    if (!ranked.excluded.back().empty()) continue;
    // Candidates are sorted by id: the first of equal prices stays, but nothing beats being there already.
    const auto key = [&](unsigned index) {
      return std::make_pair(
          candidates[index].getPriceNanoUsdPerHour(),
          text(candidates[index].getPlace().getId()) != text(view.world.getCurrentPlace()));
    };
    if (!ranked.cheapest || key(i) < key(*ranked.cheapest)) ranked.cheapest = i;
  }
  return ranked;
}

Message<schema::Decision> answer(const Outlook& view, const Ranked& ranked,
                                 std::optional<unsigned> choice, std::string reason) {
  return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
    const auto candidates = view.world.getCandidates();
    const std::int64_t staying =
        view.current && view.current->getPriceKnown() ? hour_cost(view, *view.current) : 0;
    auto list = decision.initCandidates(candidates.size());
    for (unsigned i = 0; i < candidates.size(); ++i) {
      list[i].setPlace(candidates[i].getPlace().getId());
      list[i].setExcluded(ranked.excluded[i]);
      if (!candidates[i].getPriceKnown()) continue;
      const std::int64_t here = hour_cost(view, candidates[i]);
      list[i].setCostNanoUsd(here);
      if (view.current && view.current->getPriceKnown()) list[i].setGainNanoUsd(staying - here);
    }
    if (choice) {
      decision.setChoice(candidates[*choice].getPlace().getId());
      decision.setGainNanoUsd(list[*choice].getGainNanoUsd());
      const auto costs = view.world.getCosts();
      constexpr std::int64_t mib = 1 << 20;
      decision.setCostNanoUsd(static_cast<std::int64_t>(costs.getTransferBytes() / mib) *
                              costs.getEgressNanoUsdPerGib() / 1024);
    }
    if (view.world.getFeedLost()) reason += " (prices are stale: the feed is lost)";
    decision.setReason(reason);
    decision.setWakeAtNs(view.wake());
    std::vector<schema::EventId::Reader> evidence;
    if (view.world.hasNoticeEvent()) evidence.push_back(view.world.getNoticeEvent());
    if (view.current && view.current->hasPriceEvent()) {
      evidence.push_back(view.current->getPriceEvent());
    }
    if (choice && candidates[*choice].hasPriceEvent()) {
      evidence.push_back(candidates[*choice].getPriceEvent());
    }
    auto ids = decision.initEvidence(static_cast<unsigned>(evidence.size()));
    for (unsigned i = 0; i < evidence.size(); ++i) ids.setWithCaveats(i, evidence[i]);
  });
}

template <Message<schema::Decision> (*decide_world)(schema::World::Reader)>
class PurePolicy final : public Policy {
 public:
  explicit PurePolicy(std::string name) : name_(std::move(name)) {}
  std::string name() const override { return name_; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    reply(decide_world(world.reader()));
  }

 private:
  std::string name_;
};

}  // namespace

Message<schema::Decision> decide_stay(schema::World::Reader world) {
  const Outlook view(world);
  return answer(view, rank(view), std::nullopt, "its policy is to stay");
}

Message<schema::Decision> decide_cheapest(schema::World::Reader world) {
  const Outlook view(world);
  const Ranked ranked = rank(view);
  const auto candidates = world.getCandidates();
  if (!view.current) {
    return answer(view, ranked, std::nullopt, "where the VM runs is not known yet");
  }
  const std::string here = str(world.getCurrentPlace());
  const std::string price_here = view.current->getPriceKnown()
                                     ? price_text(view.current->getPriceNanoUsdPerHour())
                                     : "an unknown price";
  std::string danger;
  if (view.noticed()) {
    danger = absl::StrCat("the cloud takes ", here, " at ", time_text(world.getNoticeDeadlineNs()));
  } else if (view.outbid()) {
    danger = absl::StrCat("the price of ", here, ", ", price_here, ", exceeds the bid of ",
                          price_text(view.instance->getBidNanoUsdPerHour()));
  }
  if (!danger.empty()) {
    if (!ranked.cheapest) {
      return answer(view, ranked, std::nullopt, danger + ", but there is no place to go to");
    }
    const PlaceView target = candidates[*ranked.cheapest];
    return answer(view, ranked, ranked.cheapest,
                  absl::StrCat(danger, "; ", str(target.getPlace().getId()), " at ",
                               price_text(target.getPriceNanoUsdPerHour()),
                               " per hour is the cheapest that is left"));
  }
  if (!view.at_hour_end()) {
    return answer(
        view, ranked, std::nullopt,
        absl::StrCat("the hour at ", here, " is paid until ", time_text(view.paid_until())));
  }
  if (!ranked.cheapest) {
    return answer(view, ranked, std::nullopt, "no place is allowed and has a known price");
  }
  const PlaceView target = candidates[*ranked.cheapest];
  const std::string there = str(target.getPlace().getId());
  if (there == here) {
    return answer(view, ranked, std::nullopt,
                  absl::StrCat("the paid hour ends, and ", here, " at ", price_here,
                               " per hour is the cheapest place"));
  }
  if (view.current->getAllowed() && view.current->getPriceKnown() &&
      target.getPriceNanoUsdPerHour() >= view.current->getPriceNanoUsdPerHour()) {
    return answer(view, ranked, std::nullopt,
                  absl::StrCat("the paid hour ends, and no place is cheaper than ", here, " at ",
                               price_here, " per hour"));
  }
  return answer(view, ranked, ranked.cheapest,
                absl::StrCat("the paid hour at ", here, " ends; the next would cost ", price_here,
                             ", at ", there, " ", price_text(target.getPriceNanoUsdPerHour())));
}

PolicyRegistry built_in_policies() {
  PolicyRegistry registry;
  registry["stay"] = [] { return std::make_unique<PurePolicy<&decide_stay>>("stay"); };
  registry["cheapest"] = [] { return std::make_unique<PurePolicy<&decide_cheapest>>("cheapest"); };
  return registry;
}

}  // namespace supercloud
