#include "actors/policy/smart_spot.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/policy/hindsight.h"
#include "actors/policy/outlook.h"
#include "actors/policy/revocation_risk.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::int64_t parts_per_million = 1'000'000;

class SmartSpot {
 public:
  SmartSpot(const Outlook& outlook, const SmartSpotOptions& options)
      : outlook_(outlook), options_(options), risk_(options.gap) {}

  Verdict verdict() {
    if (!outlook_.current()) return stay("where the VM runs is not known yet");
    const std::string danger = outlook_.danger();
    if (danger.empty() && !outlook_.may_save()) {
      weigh(/*spread=*/false);
      verdict_.until_hour_end = true;
      return stay(absl::StrCat("the hour at ", outlook_.here(), " is paid until ",
                               Outlook::time_text(outlook_.paid_until_ns())));
    }
    learn_risk();
    weigh(/*spread=*/true);
    look_back();
    return danger.empty() ? save() : flee(danger);
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

  // Expected costs and gains over the horizon. `spread`: places that have their share of the VMs are excluded too.
  void weigh(bool spread) {
    const bool known = outlook_.current()->getPriceKnown();
    verdict_.opinions.clear();
    for (unsigned i = 0; i < outlook_.size(); ++i) {
      Opinion opinion{.cost = {}, .gain = {}, .excluded = exclusion(i, spread)};
      if (outlook_.place(i).getPriceKnown() && known) {
        if (!outlook_.is_current(i)) opinion.gain = gain(i);
        opinion.cost =
            Money{capped_price(here_index()).nano_usd * options_.gap.horizon} - opinion.gain;
      }
      verdict_.opinions.push_back(std::move(opinion));
    }
  }

  std::string exclusion(unsigned index, bool spread) const {
    std::string why = outlook_.exclusion(index);
    const Outlook::Place place = outlook_.place(index);
    if (!why.empty() || outlook_.is_current(index) || !place.getPlace().getSpot()) return why;
    const auto fleet = outlook_.world().getFleet();
    const std::uint32_t share = std::max(1U, fleet.getVms() * options_.share_max_percent / 100);
    const std::uint32_t there = place.getVms() + place.getArriving();
    if (spread && there >= share && fleet.getVms() > 1)
      return absl::StrCat("there are ", there, " of ", fleet.getVms(),
                          " VMs there already, or on their way: no place takes more than ",
                          options_.share_max_percent, " %");
    return "";
  }

  // What is expected to be saved by being there, the move not counted.
  Money gain(unsigned there) const {
    const unsigned here = here_index();
    const Money gap_now = capped_price(here) - capped_price(there);
    return expected_gap(series_of(here), series_of(there), gap_now, options_.gap);
  }

  // An hour there costs no more: above what is bid nobody is there, and on demand it costs that.
  std::int64_t most(unsigned index) const {
    return std::max(outlook_.place(index).getOnDemandNanoUsdPerHour(), outlook_.bid(index));
  }
  HourlySeries series_of(unsigned index) const {
    return {outlook_.place(index).getHourlyNanoUsd(), most(index)};
  }
  Money capped_price(unsigned index) const {
    const std::int64_t price = outlook_.place(index).getPriceNanoUsdPerHour();
    return {most(index) > 0 ? std::min(price, most(index)) : price};
  }

  // What each place would have cost by now. Those that are no choice do not count: what would have been saved there is out of reach.
  void look_back() {
    std::vector<HindsightPlace> places;
    std::vector<unsigned> indices;
    for (unsigned i = 0; i < outlook_.size(); ++i) {
      const Outlook::Place place = outlook_.place(i);
      const bool counts = verdict_.opinions[i].excluded.empty() || outlook_.is_current(i);
      if (!counts || !place.getPriceKnown()) continue;
      indices.push_back(i);
      places.push_back({place.getHourlyNanoUsd(), Money{place.getPriceNanoUsdPerHour()},
                        outlook_.bid(i), outlook_.move_cost(i)});
    }
    const std::vector<Money> costs = hindsight(places);
    looked_back_.assign(outlook_.size(), Money{});
    for (std::size_t k = 0; k < indices.size(); ++k) looked_back_[indices[k]] = costs[k];
  }

  void learn_risk() {
    for (unsigned i = 0; i < outlook_.size(); ++i)
      if (outlook_.bid(i) > 0)
        risk_.learn({outlook_.place(i).getHourlyNanoUsd(), 0}, outlook_.bid(i));
  }

  // Whether it has cost so much to wait here instead of being there, since the VM came, that the risk there does not matter any more. An
  // hour that nobody could have spent there is a move away and a move back.
  bool patience_ends(unsigned index) const {
    const auto moves = outlook_.world().getRecentMoves();
    const std::int64_t waited =
        moves.size() == 0 ? INT64_MAX : outlook_.world().getNowNs() - moves[0].getAtNs();
    const auto here = outlook_.current()->getHourlyNanoUsd();
    const std::int64_t most = this->most(here_index());
    const auto there = outlook_.place(index).getHourlyNanoUsd();
    const std::int64_t move = outlook_.move_cost(index).nano_usd;
    std::int64_t lost = 0;
    for (unsigned age = 0; age < std::min(here.size(), there.size()); ++age) {
      if (waited / outlook_.hour_ns() < age) break;
      lost += there[age] > outlook_.bid(index)
                  ? -2 * move
                  : (most > 0 ? std::min(here[age], most) : here[age]) - there[age];
    }
    return lost >= options_.patience_moves * move;
  }

  // What a revocation within the next hour is expected to cost there.
  Money of_flights(unsigned index) const {
    const Outlook::Place place = outlook_.place(index);
    if (outlook_.bid(index) == 0 || (!outlook_.is_current(index) && patience_ends(index)))
      return {};
    const std::int64_t percent = outlook_.by_second() ? 100 : options_.flight_percent;
    const std::int64_t per_million =
        risk_.next_hour({place.getHourlyNanoUsd(), 0}, place.getPriceNanoUsdPerHour(),
                        outlook_.bid(index)) *
        percent / 100;
    return {per_million * (outlook_.move_cost(index).nano_usd / 1000) / (parts_per_million / 1000)};
  }

  // To have been there by now, or to be there for the way that it takes, and what may happen next.
  Money total(unsigned index) const {
    const Money way = outlook_.is_current(index) ? Money{} : outlook_.move_cost(index);
    return looked_back_[index] + way + of_flights(index);
  }

  // On demand while it is dearer here: a price that will fall again can be waited for there.
  bool shelters(unsigned index) const {
    return !outlook_.place(index).getPlace().getSpot() &&
           outlook_.place(index).getPriceNanoUsdPerHour() <
               outlook_.current()->getPriceNanoUsdPerHour();
  }

  // Whether a flight there comes before the machine here goes.
  bool arrives(unsigned index) const {
    return outlook_.world().getNoticeDeadlineNs() == 0 ||
           in_time(outlook_.world(), text(outlook_.place(index).getPlace().getId()));
  }

  // Of the candidates that are a choice, the one that costs least. Who may stay goes to none that is expected to be the dearer one, but to
  // a shelter. `before_it_goes`: of those alone that are reached before the machine here goes.
  std::optional<unsigned> best(bool may_stay, bool before_it_goes = false) const {
    std::optional<unsigned> best;
    for (unsigned i = 0; i < outlook_.size(); ++i) {
      const Opinion& opinion = verdict_.opinions[i];
      if (!opinion.excluded.empty() || (before_it_goes && !arrives(i))) continue;
      if (may_stay && opinion.gain < Money{} && !shelters(i)) continue;
      // At equal cost being there already counts, then the order of places.
      if (!best || std::make_pair(total(i), !outlook_.is_current(i)) <
                       std::make_pair(total(*best), !outlook_.is_current(*best)))
        best = i;
    }
    return best;
  }

  // Where all that is left, or all that is left in time, has its share of the VMs already, better more of them there than none.
  Verdict flee(const std::string& danger) {
    std::optional<unsigned> target = best(false, /*before_it_goes=*/true);
    if (!target) {
      weigh(/*spread=*/false);
      look_back();
      target = best(false, /*before_it_goes=*/true);
    }
    if (!target) target = best(false);
    if (!target) return stay(danger + ", but there is no place to go to");
    return go(*target, absl::StrCat(danger, "; ", name(*target), " at ", price(*target),
                                    " per hour is the best that is left"));
  }

  Verdict save() {
    const std::optional<unsigned> target = best(outlook_.current()->getAllowed());
    if (!target) return stay("no place is allowed and has a known price");
    if (outlook_.is_current(*target)) return stay(why_no_move());
    std::string worth = absl::StrCat(
        name(*target), " at ", price(*target), " would have been the cheaper place by ",
        Outlook::price_text((total_here() - total(*target)).nano_usd), ", the ",
        Outlook::price_text(outlook_.move_cost(*target).nano_usd), " of the move counted, and ");
    if (const Money gain = verdict_.opinions[*target].gain; gain >= Money{})
      absl::StrAppend(&worth, "is expected to save ", Outlook::price_text(gain.nano_usd),
                      " within ", options_.gap.horizon, " hours");
    else
      absl::StrAppend(&worth, "is the place to wait until prices here have fallen again");
    return go(*target,
              absl::StrCat(outlook_.occasion(" at " + outlook_.here()), "; ", outlook_.next_hour(),
                           " would cost ", outlook_.price_here(), "; ", worth));
  }

  // Why the best place elsewhere is not worth it.
  std::string why_no_move() const {
    std::optional<unsigned> other;
    for (unsigned i = 0; i < outlook_.size(); ++i)
      if (verdict_.opinions[i].excluded.empty() && !outlook_.is_current(i) &&
          (!other || verdict_.opinions[i].gain > verdict_.opinions[*other].gain))
        other = i;
    const std::string staying = absl::StrCat(outlook_.occasion(), "; staying at ", outlook_.here(),
                                             " at ", outlook_.price_here(), " per hour");
    if (!other) return staying + ", as no other place is a choice";
    const Money gain = verdict_.opinions[*other].gain;
    if (gain < Money{} && !shelters(*other))
      return absl::StrCat(staying, ", as no place is expected to be cheaper over ",
                          options_.gap.horizon, " hours");
    const std::string hopes =
        gain < Money{} ? " is cheaper now"
                       : absl::StrCat(" is expected to save ", Outlook::price_text(gain.nano_usd),
                                      " within ", options_.gap.horizon, " hours");
    return absl::StrCat(staying, ": ", name(*other), hopes, ", but so far would have cost ",
                        Outlook::price_text((total(*other) - total_here()).nano_usd),
                        " more, the move and the risk of being taken counted");
  }

  unsigned here_index() const {
    unsigned index = 0;
    while (!outlook_.is_current(index)) ++index;
    return index;
  }
  Money total_here() const { return total(here_index()); }

  std::string name(unsigned index) const { return str(outlook_.place(index).getPlace().getId()); }
  std::string price(unsigned index) const {
    return Outlook::price_text(outlook_.place(index).getPriceNanoUsdPerHour());
  }

  const Outlook& outlook_;
  const SmartSpotOptions& options_;
  RevocationRisk risk_;
  std::vector<Money> looked_back_;
  Verdict verdict_;
};

}  // namespace

Message<schema::Decision> decide_smart_spot(schema::World::Reader world,
                                            const SmartSpotOptions& options) {
  const Outlook outlook(world);
  return decide(outlook, SmartSpot(outlook, options).verdict());
}

}  // namespace supercloud
