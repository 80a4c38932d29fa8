#include "actors/policy/outlook.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "actors/ledger/billing.h"
#include "core/event.h"
#include "core/text.h"

namespace supercloud {

Outlook::Outlook(schema::World::Reader world) : world_(world) {
  for (const Place candidate : world.getCandidates())
    if (text(candidate.getPlace().getId()) == text(world.getCurrentPlace())) current_ = candidate;
  if (!current_) return;
  for (const auto view : current_->getInstances())
    if (text(view.getInstance()) == text(world.getCurrentInstance())) instance_ = view;
}

bool Outlook::is_current(unsigned index) const {
  return text(place(index).getPlace().getId()) == text(world_.getCurrentPlace());
}

std::int64_t Outlook::hour_ns() const {
  return std::max<std::int64_t>(world_.getMarket().getHourNs(), 1);
}

bool Outlook::by_second() const {
  return instance_ && instance_->getBilling() == schema::Billing::PER_SECOND;
}

std::int64_t Outlook::paid_until_ns() const {
  return instance_ && !by_second() ? instance_->getPaidUntilNs()
                                   : (world_.getNowNs() / hour_ns() + 1) * hour_ns();
}

std::int64_t Outlook::lead_ns() const {
  return std::clamp<std::int64_t>(world_.getMarket().getLeadNs(), 0, hour_ns() / 2);
}

Money Outlook::bid_here() const {
  return {instance_ && current_->getPlace().getSpot() ? instance_->getBidNanoUsdPerHour() : 0};
}

bool Outlook::outbid() const {
  return instance_ && current_->getPlace().getSpot() && current_->getPriceKnown() &&
         current_->getPriceNanoUsdPerHour() > instance_->getBidNanoUsdPerHour();
}

std::string Outlook::danger() const {
  if (world_.getNoticeDeadlineNs() != 0)
    return absl::StrCat("the cloud takes ", here(), " at ",
                        time_text(world_.getNoticeDeadlineNs()));
  if (outbid())
    return absl::StrCat("the price of ", here(), ", ", price_here(), ", exceeds the bid of ",
                        price_text(instance_->getBidNanoUsdPerHour()));
  return "";
}

std::int64_t Outlook::bid(unsigned index) const {
  const Place at = place(index);
  if (!at.getPlace().getSpot()) return 0;
  if (is_current(index) && bid_here() > Money{}) return bid_here().nano_usd;
  return at.getBidNanoUsdPerHour();
}

std::string Outlook::exclusion(unsigned index) const {
  const Place candidate = place(index);
  if (!candidate.getAllowed()) return str(candidate.getWhyNot());
  if (!candidate.getPriceKnown()) return "no price is known there";
  if (!is_current(index)) {
    if (bid(index) == 0 || candidate.getPriceNanoUsdPerHour() <= bid(index)) return "";
    return absl::StrCat("the price there exceeds the ", price_text(bid(index)),
                        " that would be bid");
  }
  if (world_.getNoticeDeadlineNs() != 0) return "the cloud is about to take the instance there";
  return outbid() ? "the price there exceeds the bid" : "";
}

Money Outlook::hour_cost(unsigned index) const {
  return cost(Money{place(index).getPriceNanoUsdPerHour()}, absl::Nanoseconds(hour_ns()));
}

Money Outlook::move_cost(unsigned index) const {
  const auto costs = world_.getCosts();
  const Money transfer =
      transfer_cost(Money{costs.getEgressNanoUsdPerGib()}, costs.getTransferBytes());
  // The new machine is paid from its launch, the old one to the end of its hour or of the move.
  const std::int64_t hour = by_second() ? 0 : lead_ns() - costs.getLaunchNs();
  const std::int64_t both = std::max(costs.getMigrationNs(), hour);
  return transfer + cost(Money{place(index).getPriceNanoUsdPerHour()}, absl::Nanoseconds(both)) +
         cost(Money{costs.getDowntimeNanoUsdPerHour()}, absl::Nanoseconds(costs.getBlackoutNs()));
}

// To the 0.0001 USD, half away from zero, without a double.
std::string Outlook::price_text(std::int64_t nano_usd) {
  const std::int64_t tenths = (nano_usd + (nano_usd < 0 ? -50'000 : 50'000)) / 100'000;
  const std::int64_t size = tenths < 0 ? -tenths : tenths;
  return absl::StrFormat("%s%d.%04d", tenths < 0 ? "-" : "", size / 10'000, size % 10'000);
}

std::string Outlook::time_text(std::int64_t ns) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixNanos(ns), absl::UTCTimeZone());
}

std::string Outlook::occasion(const std::string& where) const {
  return by_second() ? absl::StrCat("the time", where, " is billed by the second")
                     : absl::StrCat("the paid hour", where, " ends");
}

std::string Outlook::next_hour() const { return by_second() ? "an hour" : "the next"; }

std::string Outlook::here() const { return str(world_.getCurrentPlace()); }

std::string Outlook::price_here() const {
  return current_ && current_->getPriceKnown() ? price_text(current_->getPriceNanoUsdPerHour())
                                               : "an unknown price";
}

absl::Duration time_to_spare(schema::World::Reader world, bool rents) {
  constexpr absl::Duration spare = absl::Seconds(5);
  const auto costs = world.getCosts();
  return absl::Nanoseconds(world.getNoticeDeadlineNs() - world.getNowNs() - costs.getMigrationNs() -
                           (rents ? costs.getLaunchNs() : 0)) -
         spare;
}

bool in_time(schema::World::Reader world, std::string_view place) {
  bool rents = true;
  for (const auto candidate : world.getCandidates())
    if (text(candidate.getPlace().getId()) == place)
      for (const auto instance : candidate.getInstances())
        rents = rents && !instance.getRoomForVm();
  return time_to_spare(world, rents) >= absl::ZeroDuration();
}

Message<schema::Decision> decide(const Outlook& outlook, const Verdict& verdict) {
  return Message<schema::Decision>::build([&](schema::Decision::Builder decision) {
    const auto world = outlook.world();
    auto list = decision.initCandidates(outlook.size());
    for (unsigned i = 0; i < outlook.size(); ++i) {
      const Opinion& opinion = verdict.opinions[i];
      list[i].setPlace(outlook.place(i).getPlace().getId());
      list[i].setExcluded(opinion.excluded);
      list[i].setCostNanoUsd(opinion.cost.nano_usd);
      list[i].setGainNanoUsd(opinion.gain.nano_usd);
    }
    std::vector<schema::EventId::Reader> evidence;
    if (world.hasNoticeEvent()) evidence.push_back(world.getNoticeEvent());
    if (outlook.current() && outlook.current()->hasPriceEvent())
      evidence.push_back(outlook.current()->getPriceEvent());
    if (verdict.choice) {
      const Outlook::Place chosen = outlook.place(*verdict.choice);
      decision.setChoice(chosen.getPlace().getId());
      decision.setGainNanoUsd(verdict.opinions[*verdict.choice].gain.nano_usd);
      decision.setCostNanoUsd(outlook.move_cost(*verdict.choice).nano_usd);
      if (chosen.hasPriceEvent()) evidence.push_back(chosen.getPriceEvent());
    }
    auto ids = decision.initEvidence(static_cast<unsigned>(evidence.size()));
    for (unsigned i = 0; i < evidence.size(); ++i) ids.setWithCaveats(i, evidence[i]);
    decision.setReason(world.getFeedLost()
                           ? verdict.reason + " (prices are stale: the feed is lost)"
                           : verdict.reason);
    // The first look at or after the next end of an hour.
    const std::int64_t next = outlook.paid_until_ns() - outlook.lead_ns();
    const std::int64_t wake = next > world.getNowNs() ? next : next + outlook.hour_ns();
    decision.setWakeAtNs(wake);
    if (!verdict.until_hour_end) return;
    decision.setPricesMatterAtNs(wake);
    decision.setPriceHereMattersAboveNanoUsd(outlook.bid_here().nano_usd);
  });
}

}  // namespace supercloud
