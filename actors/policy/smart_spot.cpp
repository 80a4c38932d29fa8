#include "actors/policy/smart_spot.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/outlook.h"
#include "actors/policy/revocation_risk.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::int64_t parts_per_million = 1'000'000;

HourlySeries series_of(Outlook::Place place) {
  return {place.getHourlyNanoUsd(), place.getOnDemandNanoUsdPerHour()};
}

Money capped_price(Outlook::Place place) {
  const std::int64_t most = place.getOnDemandNanoUsdPerHour();
  const std::int64_t price = place.getPriceNanoUsdPerHour();
  return {most > 0 ? std::min(price, most) : price};
}

class SmartSpot {
 public:
  SmartSpot(const Outlook& outlook, const SmartSpotOptions& options)
      : outlook_(outlook), options_(options), risk_(options.gap) {}

  Verdict verdict() {
    if (!outlook_.current()) return stay("where the VM runs is not known yet");
    const std::string danger = outlook_.danger();
    if (danger.empty() && !outlook_.at_hour_end()) {
      weigh(false);
      verdict_.until_hour_end = true;
      return stay(absl::StrCat("the hour at ", outlook_.here(), " is paid until ",
                               Outlook::time_text(outlook_.paid_until_ns())));
    }
    weigh(danger.empty());
    learn_risk();
    if (!danger.empty()) return flee(danger);
    return save();
  }

 private:
  Verdict stay(std::string reason) {
    verdict_.reason = std::move(reason);
    return std::move(verdict_);
  }

  Verdict go(unsigned target, std::string reason) {
    verdict_.choice = target;
    return stay(std::move(reason));
  }

  void learn_risk() {
    for (unsigned i = 0; i < outlook_.size(); ++i)
      if (const Outlook::Place place = outlook_.place(i); can_be_taken(place))
        risk_.learn({place.getHourlyNanoUsd(), 0}, place.getOnDemandNanoUsdPerHour());
  }

  // Expected costs and gains over the horizon, moves included. `spread`: full places are excluded too; fleeing VMs take what there is.
  void weigh(bool spread) {
    const Outlook::Place here = *outlook_.current();
    for (unsigned i = 0; i < outlook_.size(); ++i) {
      Opinion opinion{.cost = {}, .gain = {}, .excluded = exclusion(i, spread)};
      if (outlook_.place(i).getPriceKnown() && here.getPriceKnown()) {
        if (!outlook_.is_current(i)) opinion.gain = gain(here, i);
        opinion.cost = Money{capped_price(here).nano_usd * options_.gap.horizon} - opinion.gain;
      }
      verdict_.opinions.push_back(std::move(opinion));
    }
  }

  std::string exclusion(unsigned index, bool spread) const {
    std::string why = outlook_.exclusion(index);
    const Outlook::Place place = outlook_.place(index);
    if (!why.empty() || outlook_.is_current(index) || !place.getPlace().getSpot()) return why;
    const std::int64_t bid = place.getOnDemandNanoUsdPerHour();
    if (bid > 0 && place.getPriceNanoUsdPerHour() > bid)
      return "the price there exceeds that on demand, which would be bid";
    const auto fleet = outlook_.world().getFleet();
    const std::uint32_t share = std::max(1U, fleet.getVms() * options_.share_max_percent / 100);
    const std::uint32_t there = place.getVms() + place.getArriving();
    if (spread && there >= share && fleet.getVms() > 1)
      return absl::StrCat("there are ", there, " of ", fleet.getVms(),
                          " VMs there already, or on their way: no place takes more than ",
                          options_.share_max_percent, " %");
    return "";
  }

  // What is saved by going there, the move not counted.
  Money gain(Outlook::Place here, unsigned target) const {
    const Outlook::Place there = outlook_.place(target);
    const Money gap_now = capped_price(here) - capped_price(there);
    const Money saved = expected_gap(series_of(here), series_of(there), gap_now, options_.gap);
    return saved - of_flights(target, (rises(there) - rises(here)) * options_.gap.horizon);
  }

  static bool can_be_taken(Outlook::Place place) {
    return place.getPlace().getSpot() && place.getOnDemandNanoUsdPerHour() > 0;
  }

  // What so many revocations per million cost, by a move to `target`.
  Money of_flights(unsigned target, std::int64_t per_million) const {
    return {per_million * options_.flights * (outlook_.move_cost(target).nano_usd / 1000) /
            (parts_per_million / 1000)};
  }

  // Revocations per million hours, in the long run.
  std::int64_t rises(Outlook::Place place) const {
    if (!can_be_taken(place)) return 0;
    return rises_per_million({place.getHourlyNanoUsd(), 0}, place.getOnDemandNanoUsdPerHour(),
                             options_.gap);
  }

  // The chance of one in the next hour, per million.
  std::int64_t risk(Outlook::Place place) const {
    if (!can_be_taken(place)) return 0;
    return risk_.next_hour({place.getHourlyNanoUsd(), 0}, place.getPriceNanoUsdPerHour(),
                           place.getOnDemandNanoUsdPerHour());
  }

  // Why a move there can as well wait for an hour; empty: it cannot.
  std::string patience(unsigned target) const {
    const Outlook::Place here = *outlook_.current(), there = outlook_.place(target);
    const Money saved = capped_price(here) - capped_price(there);
    const Money at_risk = of_flights(target, risk(there) - risk(here));
    if (saved > at_risk) return "";
    return absl::StrCat("the next hour there saves ", Outlook::price_text(saved.nano_usd),
                        ", the risk of being taken costs ", Outlook::price_text(at_risk.nano_usd));
  }

  Money threshold(unsigned target) const {
    return {outlook_.move_cost(target).nano_usd * options_.hysteresis_percent / 100};
  }

  // Of the candidates that are a choice, the one that gains most over what a move there has to gain. Who flees counts what may happen
  // in the next hour; who does not has time.
  std::optional<unsigned> best(bool flees) const {
    std::optional<unsigned> best;
    const auto worth = [&](unsigned i) {
      if (outlook_.is_current(i)) return Money{};
      const Money gained = verdict_.opinions[i].gain - threshold(i);
      return flees ? gained - of_flights(i, risk(outlook_.place(i))) : gained;
    };
    for (unsigned i = 0; i < outlook_.size(); ++i) {
      if (!verdict_.opinions[i].excluded.empty()) continue;
      if (!flees && !outlook_.is_current(i) && !patience(i).empty()) continue;
      // At equal worth being there already counts, then the order of places.
      if (!best || std::make_pair(worth(i), outlook_.is_current(i)) >
                       std::make_pair(worth(*best), outlook_.is_current(*best)))
        best = i;
    }
    return best;
  }

  Verdict flee(const std::string& danger) {
    const std::optional<unsigned> target = best(true);
    if (!target) return stay(danger + ", but there is no place to go to");
    return go(*target, absl::StrCat(danger, "; ", name(*target), " at ", price(*target),
                                    " per hour is the best that is left"));
  }

  Verdict save() {
    const std::optional<unsigned> target = best(false);
    if (!target) return stay("no place is allowed and has a known price");
    if (outlook_.is_current(*target)) return stay(why_no_move());
    const Opinion& opinion = verdict_.opinions[*target];
    const std::string worth = absl::StrCat(
        name(*target), " at ", price(*target), " is expected to save ",
        Outlook::price_text(opinion.gain.nano_usd), " within ", options_.gap.horizon,
        " hours, and the move costs ", Outlook::price_text(outlook_.move_cost(*target).nano_usd));
    if (const std::string held = held_back(); !held.empty())
      return stay(absl::StrCat(held, ", though ", worth));
    return go(*target,
              absl::StrCat("the paid hour at ", outlook_.here(), " ends; the next would cost ",
                           outlook_.price_here(), "; ", worth));
  }

  // Why the best place elsewhere is not worth it.
  std::string why_no_move() const {
    std::optional<unsigned> other;
    for (unsigned i = 0; i < outlook_.size(); ++i)
      if (verdict_.opinions[i].excluded.empty() && !outlook_.is_current(i) &&
          (!other || verdict_.opinions[i].gain > verdict_.opinions[*other].gain))
        other = i;
    const std::string staying = absl::StrCat("the paid hour ends; staying at ", outlook_.here(),
                                             " at ", outlook_.price_here(), " per hour");
    if (!other) return staying + ", as no other place is a choice";
    const Money gain = verdict_.opinions[*other].gain;
    if (gain <= Money{})
      return absl::StrCat(staying, ", as no place is expected to be cheaper over ",
                          options_.gap.horizon, " hours");
    if (const std::string waits = patience(*other); gain > threshold(*other) && !waits.empty())
      return absl::StrCat(staying, " for now: ", name(*other), " is expected to save ",
                          Outlook::price_text(gain.nano_usd), " within ", options_.gap.horizon,
                          " hours, but ", waits);
    return absl::StrCat(staying, ", as ", name(*other), " is expected to save ",
                        Outlook::price_text(gain.nano_usd), " within ", options_.gap.horizon,
                        " hours, less than the ", Outlook::price_text(threshold(*other).nano_usd),
                        " that a move has to");
  }

  // By a budget of moves; empty: by none.
  std::string held_back() const {
    const auto world = outlook_.world();
    const auto fleet = world.getFleet();
    if (const std::uint32_t most = world.getVm().getMovesPerDay(); most > 0) {
      const std::int64_t yesterday = world.getNowNs() - 24 * 3'600'000'000'000;
      std::uint32_t made = 0;
      for (const auto move : world.getRecentMoves())
        if (move.getAtNs() > yesterday && !move.getLeaving()) ++made;
      if (made >= most)
        return absl::StrCat("staying: the VM has moved ", made,
                            " times within a day, as often as it may");
    }
    if (fleet.getMovesPerDay() > 0 && fleet.getMovesOfDay() >= fleet.getMovesPerDay())
      return absl::StrCat("staying: all VMs together have moved ", fleet.getMovesOfDay(),
                          " times within a day, as often as they may");
    if (fleet.getMovingMax() > 0 && fleet.getMoving() >= fleet.getMovingMax())
      return absl::StrCat("staying for now: ", fleet.getMoving(),
                          " other VMs are moving, as many as may at once");
    return "";
  }

  std::string name(unsigned index) const { return str(outlook_.place(index).getPlace().getId()); }
  std::string price(unsigned index) const {
    return Outlook::price_text(outlook_.place(index).getPriceNanoUsdPerHour());
  }

  const Outlook& outlook_;
  const SmartSpotOptions& options_;
  RevocationRisk risk_;
  Verdict verdict_;
};

}  // namespace

Message<schema::Decision> decide_smart_spot(schema::World::Reader world,
                                            const SmartSpotOptions& options) {
  const Outlook outlook(world);
  return decide(outlook, SmartSpot(outlook, options).verdict());
}

}  // namespace supercloud
