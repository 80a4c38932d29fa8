#include "cli/report/replay_data.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string_view>
#include <vector>

#include "absl/strings/str_replace.h"
#include "cli/report/place_labels.h"
#include "cli/report/thinning.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

// Numbers texts in the order in which they are met.
class Interned {
 public:
  std::size_t index(const std::string& text) {
    const auto [found, added] = indices_.try_emplace(text, texts_.size());
    if (added) texts_.push_back(text);
    return found->second;
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::map<std::string, std::size_t> indices_;
  std::vector<std::string> texts_;
};

// Sets `<name>0`, `d<name>` and `<name>` to the first value, a unit, and steps between values in that unit: so the steps are short.
void put_deltas(Json& json, const std::string& name, const std::vector<std::int64_t>& values) {
  std::int64_t unit = 0;
  for (std::size_t i = 1; i < values.size(); ++i) unit = std::gcd(unit, values[i] - values[i - 1]);
  unit = std::max<std::int64_t>(unit, 1);
  Json deltas = Json::array();
  for (std::size_t i = 1; i < values.size(); ++i)
    deltas.push_back((values[i] - values[i - 1]) / unit);
  json[name + "0"] = values.front();
  json["d" + name] = unit;
  json[name] = std::move(deltas);
}

Json steps_json(const MoneySteps& steps) {
  Json json = Json::object();
  if (steps.empty()) return json;
  std::vector<std::int64_t> times, amounts;
  for (const auto& [time, amount] : steps) {
    times.push_back(absl::ToUnixMillis(time));
    amounts.push_back(amount.nano_usd);
  }
  put_deltas(json, "t", times);
  put_deltas(json, "v", amounts);
  return json;
}

std::int64_t micro_usd(Money amount) { return amount.nano_usd / 1000; }

class Writer {
 public:
  explicit Writer(const ReplayResult& result) : result_(result) {}

  Json data() {
    for (const ReplayPrices& prices : result_.prices)
      if (places_.index(prices.place.id()) == priced_.size()) priced_.push_back(&prices);
    Json strategies = Json::array();
    for (const ReplayStrategy& each : result_.strategies) strategies.push_back(strategy(each));
    Json model = Json::array();
    for (const auto& [name, value] : result_.model) model.push_back({name, value});
    return {{"format", 1},
            {"title", result_.title},
            {"from", absl::ToUnixMillis(result_.from)},
            {"to", absl::ToUnixMillis(result_.to)},
            {"vms", result_.vms},
            {"prices_read", result_.prices_read},
            {"rejected_rows", result_.rejected_rows},
            {"wall_s", absl::ToDoubleSeconds(result_.wall)},
            {"model", std::move(model)},
            {"on_demand", result_.on_demand.nano_usd},
            {"clairvoyant", result_.clairvoyant.nano_usd},
            {"saving_reached", result_.saving_reached ? Json(*result_.saving_reached) : Json()},
            {"strategies", std::move(strategies)},
            {"places", places()},
            {"strings", strings_.texts()}};
  }

 private:
  Json strategy(const ReplayStrategy& strategy) {
    Json stays = Json::array();
    for (const ReplayStay& each : strategy.stays) stays.push_back(stay(each));
    const MoneySteps paid = thinned(strategy.cumulative, replay_steps_max);
    return {{"name", strategy.name},
            {"cost", strategy.cost.nano_usd},
            {"instances", strategy.instances.nano_usd},
            {"transfer", strategy.transfer.nano_usd},
            {"downtime", strategy.downtime.nano_usd},
            {"moves", strategy.moves},
            {"revocations", strategy.revocations},
            {"caught", strategy.caught},
            {"down_s", absl::ToDoubleSeconds(strategy.down)},
            {"events", strategy.events},
            {"stays", std::move(stays)},
            {"paid", steps_json(paid)},
            {"left_out", strategy.cumulative.size() - paid.size()}};
  }

  Json stay(const ReplayStay& stay) {
    Json candidates = Json::array();
    for (const ReplayCandidate& candidate : stay.candidates) {
      candidates.push_back(places_.index(candidate.place));
      candidates.push_back(micro_usd(candidate.cost));
      candidates.push_back(micro_usd(candidate.gain));
      candidates.push_back(strings_.index(candidate.excluded));
    }
    return Json::array({strings_.index(stay.vm), places_.index(stay.place), in_period(stay.from),
                        in_period(stay.to), strings_.index(stay.reason), stay.flight ? 1 : 0,
                        stay.decision, std::move(candidates), looks(stay)});
  }

  // [time after the one before, text, ...]
  Json looks(const ReplayStay& stay) {
    Json looks = Json::array();
    std::int64_t before = in_period(stay.from);
    for (const ReplayLook& look : stay.looks) {
      const std::int64_t at = in_period(look.at);
      looks.push_back(at - before);
      looks.push_back(strings_.index(look.reason));
      before = at;
    }
    return looks;
  }

  // A stay without an end lasts as long as the replay.
  std::int64_t in_period(absl::Time time) const {
    return absl::ToUnixMillis(std::max(result_.from, std::min(time, result_.to)));
  }

  Json places() const {
    const std::vector<std::string>& ids = places_.texts();
    const std::vector<std::string> labels = place_labels(ids);
    Json places = Json::array();
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const absl::StatusOr<PlaceName> name = PlaceName::parse(ids[i]);
      Json place = {{"id", ids[i]}, {"label", labels[i]}, {"spot", !name.ok() || name->spot}};
      MoneySteps held, kept;
      if (i < priced_.size()) {
        held = within(priced_[i]->changes, result_.from, result_.to);
        kept = thinned(held, replay_steps_max);
      }
      place["steps"] = steps_json(kept);
      place["left_out"] = held.size() - kept.size();
      places.push_back(std::move(place));
    }
    return places;
  }

  const ReplayResult& result_;
  Interned places_, strings_;
  std::vector<const ReplayPrices*> priced_;  // of the first places
};

}  // namespace

std::string replay_data(const ReplayResult& result) {
  const std::string json =
      Writer(result).data().dump(-1, ' ', false, Json::error_handler_t::replace);
  // '<' stands only within strings.
  return absl::StrReplaceAll(json, {{"<", "\\u003c"}});
}

}  // namespace supercloud
