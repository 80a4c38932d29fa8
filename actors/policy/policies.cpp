#include "actors/policy/policies.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/policy/outlook.h"
#include "actors/policy/smart_spot.h"
#include "core/text.h"

namespace supercloud {
namespace {

// Gains and costs are those of the next hour.
Verdict next_hour(const Outlook& outlook) {
  Verdict verdict;
  const bool known = outlook.current() && outlook.current()->getPriceKnown();
  Money staying;
  for (unsigned i = 0; known && i < outlook.size(); ++i)
    if (outlook.is_current(i)) staying = outlook.hour_cost(i);
  for (unsigned i = 0; i < outlook.size(); ++i) {
    Opinion opinion{.cost = {}, .gain = {}, .excluded = outlook.exclusion(i)};
    if (outlook.place(i).getPriceKnown()) {
      opinion.cost = outlook.hour_cost(i);
      if (known) opinion.gain = staying - opinion.cost;
    }
    verdict.opinions.push_back(std::move(opinion));
  }
  return verdict;
}

// Of the candidates that are a choice; they are sorted by id: the first of equal prices stays, but nothing beats being there already.
std::optional<unsigned> cheapest_of(const Outlook& outlook, const Verdict& verdict) {
  std::optional<unsigned> cheapest;
  const auto key = [&](unsigned index) {
    return std::make_pair(outlook.place(index).getPriceNanoUsdPerHour(),
                          !outlook.is_current(index));
  };
  for (unsigned i = 0; i < outlook.size(); ++i)
    if (verdict.opinions[i].excluded.empty() && (!cheapest || key(i) < key(*cheapest)))
      cheapest = i;
  return cheapest;
}

class PurePolicy final : public Policy {
 public:
  using Decide = std::function<Message<schema::Decision>(schema::World::Reader)>;
  PurePolicy(std::string name, Decide decide)
      : name_(std::move(name)), decide_(std::move(decide)) {}
  std::string name() const override { return name_; }
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override {
    reply(decide_(world.reader()));
  }

 private:
  std::string name_;
  Decide decide_;
};

}  // namespace

Message<schema::Decision> decide_stay(schema::World::Reader world) {
  const Outlook outlook(world);
  Verdict verdict = next_hour(outlook);
  verdict.reason = "its policy is to stay";
  verdict.until_hour_end = true;
  return decide(outlook, verdict);
}

Message<schema::Decision> decide_cheapest(schema::World::Reader world) {
  return decide_threshold(world, 0);
}

Message<schema::Decision> decide_threshold(schema::World::Reader world, int percent) {
  const Outlook outlook(world);
  Verdict verdict = next_hour(outlook);
  const auto stay = [&](std::string reason) {
    verdict.reason = std::move(reason);
    return decide(outlook, verdict);
  };
  const auto go = [&](unsigned target, std::string reason) {
    verdict.choice = target;
    return stay(std::move(reason));
  };
  if (!outlook.current()) return stay("where the VM runs is not known yet");
  const std::optional<unsigned> cheapest = cheapest_of(outlook, verdict);
  const std::string here = outlook.here();
  const std::string price_here = outlook.price_here();
  const std::string there = cheapest ? str(outlook.place(*cheapest).getPlace().getId()) : "";
  const std::int64_t price = cheapest ? outlook.place(*cheapest).getPriceNanoUsdPerHour() : 0;
  if (const std::string danger = outlook.danger(); !danger.empty()) {
    if (!cheapest) return stay(danger + ", but there is no place to go to");
    return go(*cheapest, absl::StrCat(danger, "; ", there, " at ", Outlook::price_text(price),
                                      " per hour is the cheapest that is left"));
  }
  if (!outlook.may_save()) {
    verdict.until_hour_end = true;
    return stay(absl::StrCat("the hour at ", here, " is paid until ",
                             Outlook::time_text(outlook.paid_until_ns())));
  }
  if (!cheapest) return stay("no place is allowed and has a known price");
  if (there == here)
    return stay(absl::StrCat(outlook.occasion(), ", and ", here, " at ", price_here,
                             " per hour is the cheapest place"));
  if (outlook.current()->getAllowed() && outlook.current()->getPriceKnown()) {
    const std::int64_t now = outlook.current()->getPriceNanoUsdPerHour();
    if (price >= now)
      return stay(absl::StrCat(outlook.occasion(), ", and no place is cheaper than ", here, " at ",
                               price_here, " per hour"));
    if (now * 100 <= price * (100 + percent))
      return stay(absl::StrCat(outlook.occasion(), "; ", outlook.next_hour(), " costs ", price_here,
                               ", at ", there, " ", Outlook::price_text(price), ": not ", percent,
                               " % more"));
  }
  return go(*cheapest,
            absl::StrCat(outlook.occasion(" at " + here), "; ", outlook.next_hour(), " would cost ",
                         price_here, ", at ", there, " ", Outlook::price_text(price)));
}

PolicyRegistry built_in_policies() {
  PolicyRegistry registry;
  const auto add = [&registry](const std::string& name, PurePolicy::Decide decide) {
    registry[name] = [name, decide] { return std::make_unique<PurePolicy>(name, decide); };
  };
  add("stay", decide_stay);
  add("cheapest", decide_cheapest);
  for (const int percent : {10, 20, 50, 100})
    add(absl::StrCat("threshold-", percent),
        [percent](schema::World::Reader world) { return decide_threshold(world, percent); });
  add("smart-spot", [](schema::World::Reader world) { return decide_smart_spot(world, {}); });
  return registry;
}

}  // namespace supercloud
