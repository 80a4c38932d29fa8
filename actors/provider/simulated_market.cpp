#include "actors/provider/simulated_market.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

SimulatedMarket::SimulatedMarket(Scheduler& scheduler, SimulatedMarketOptions options)
    : scheduler_(scheduler),
      options_(std::move(options)),
      initial_done_(options_.initial.size(), false) {}

SimulatedMarket::~SimulatedMarket() {
  for (const auto& [id, rented] : instances_) scheduler_.cancel(rented.timer);
}

absl::Time SimulatedMarket::now() const { return options_.market.at(scheduler_.clock().wall()); }

Duration SimulatedMarket::span(absl::Duration market, Duration least) const {
  return std::max(options_.market.cluster_span(market), least);
}

std::string SimulatedMarket::new_id() { return absl::StrCat("i-", options_.account, "-", ++made_); }

int SimulatedMarket::running_in(const PlaceName& place) const {
  return static_cast<int>(
      std::count_if(instances_.begin(), instances_.end(),
                    [&](const auto& entry) { return entry.second.instance.place == place; }));
}

void SimulatedMarket::rent(RentRequest request, Reply<Done> reply) {
  if (by_token_.contains(request.client_token)) {
    reply(Done{});
    return;
  }
  const std::string id = request.place.id();
  const auto quote = quotes_.find(request.place);
  if (quote == quotes_.end()) {
    reply(absl::UnavailableError(absl::StrCat(
        id, ": no price is known there yet; ask again when the price feed has told one")));
    return;
  }
  const Money price = quote->second.price;
  if (request.place.spot && request.bid < price) {
    reply(absl::ResourceExhaustedError(absl::StrCat(
        id, ": the bid of ", to_string(request.bid), " per hour is below the price of ",
        to_string(price), "; bid more or go elsewhere")));
    return;
  }
  const auto limit = options_.capacity.find(request.place);
  const int capacity = limit == options_.capacity.end() ? options_.capacity_default : limit->second;
  if (running_in(request.place) >= capacity) {
    reply(absl::ResourceExhaustedError(
        absl::StrCat(id, ": no capacity, all ", capacity, " instances are taken; go elsewhere")));
    return;
  }
  Rented rented;
  Instance& instance = rented.instance;
  instance.id = new_id();
  instance.place = request.place;
  instance.node = absl::StrCat("node-", instance.id);
  instance.bid = request.bid;
  instance.billing = options_.billing;
  instance.client_token = request.client_token;
  rented.timer = scheduler_.at(
      scheduler_.clock().now() + span(options_.launch_delay, options_.launch_delay_min),
      [this, launched = instance.id] { launch(launched); });
  by_token_[request.client_token] = instance.id;
  instances_[instance.id] = std::move(rented);
  reply(Done{});
}

void SimulatedMarket::launch(const std::string& id) {
  Rented& rented = instances_.at(id);
  rented.timer = 0;
  rented.launched = true;
  rented.instance.launched = now();
  rented.instance.price_at_start = quotes_.at(rented.instance.place).price;
  tell({InstanceChange::Kind::launched, rented.instance, rented.instance.launched, {}, {}});
  check_bid(rented);
}

void SimulatedMarket::give_back(std::string instance, Reply<Done> reply) {
  const auto found = instances_.find(instance);
  if (found != instances_.end()) {
    const Rented rented = std::move(found->second);
    instances_.erase(found);
    by_token_.erase(rented.instance.client_token);
    scheduler_.cancel(rented.timer);
    tell({InstanceChange::Kind::returned, rented.instance, now(), {}, {}});
  }
  reply(Done{});
}

void SimulatedMarket::list(Reply<std::vector<Instance>> reply) {
  std::vector<Instance> running;
  for (const auto& [id, rented] : instances_) {
    if (rented.launched) running.push_back(rented.instance);
  }
  reply(std::move(running));
}

void SimulatedMarket::watch(std::function<void(const InstanceChange&)> change) {
  change_ = std::move(change);
}

void SimulatedMarket::price_changed(const Price& price) {
  const auto [quote, is_new] =
      quotes_.try_emplace(price.place, Quote{price.usd_per_hour, price.since});
  if (!is_new) {
    if (price.since <= quote->second.since) return;
    quote->second = {price.usd_per_hour, price.since};
  }
  launch_initial(price.place);
  for (auto& [id, rented] : instances_) {
    if (rented.instance.place == price.place) check_bid(rented);
  }
}

void SimulatedMarket::launch_initial(const PlaceName& place) {
  const Quote& quote = quotes_.at(place);
  for (std::size_t i = 0; i < options_.initial.size(); ++i) {
    const SimulatedMarketOptions::Initial& initial = options_.initial[i];
    if (initial_done_[i] || initial.place != place) continue;
    if (place.spot && quote.price > initial.bid) continue;  // a standing request: later
    initial_done_[i] = true;
    const std::string token = initial_token_prefix + initial.node;
    if (by_token_.contains(token)) continue;
    Rented rented;
    rented.launched = true;
    rented.instance = {new_id(),
                       place,
                       initial.node,
                       initial.bid,
                       quote.price,
                       options_.billing,
                       std::max(quote.since, options_.market.origin),
                       token};
    by_token_[token] = rented.instance.id;
    tell({InstanceChange::Kind::launched, rented.instance, rented.instance.launched, {}, {}});
    instances_[rented.instance.id] = std::move(rented);
  }
}

void SimulatedMarket::check_bid(Rented& rented) {
  const auto quote = quotes_.find(rented.instance.place);
  if (!rented.launched || rented.instance.notice_deadline != absl::InfiniteFuture() ||
      !rented.instance.place.spot || quote == quotes_.end() ||
      quote->second.price <= rented.instance.bid) {
    return;
  }
  // Once given, a notice stands, even if the price falls again.
  const Duration left = span(options_.notice, options_.notice_min);
  rented.instance.notice_deadline = now() + left * options_.market.speed;
  rented.timer = scheduler_.at(scheduler_.clock().now() + left,
                               [this, id = rented.instance.id] { revoke(id); });
  tell({InstanceChange::Kind::notice, rented.instance, now(), rented.instance.notice_deadline,
        quote->second.price});
}

void SimulatedMarket::revoke(const std::string& id) {
  const auto found = instances_.find(id);
  const Rented rented = std::move(found->second);
  instances_.erase(found);
  by_token_.erase(rented.instance.client_token);
  tell({InstanceChange::Kind::revoked, rented.instance, now(), {}, {}});
}

void SimulatedMarket::adopt(const Instance& instance) {
  if (by_token_.contains(instance.client_token) || instances_.contains(instance.id)) return;
  for (std::size_t i = 0; i < options_.initial.size(); ++i) {
    if (initial_token_prefix + options_.initial[i].node == instance.client_token) {
      initial_done_[i] = true;
    }
  }
  remember(instance.id);
  Rented& rented = instances_[instance.id];
  rented.instance = instance;
  rented.launched = true;
  by_token_[instance.client_token] = instance.id;
  if (instance.notice_deadline == absl::InfiniteFuture()) return check_bid(rented);
  // Once given, a notice stands.
  const absl::Duration left = std::max(instance.notice_deadline - now(), absl::ZeroDuration());
  rented.timer = scheduler_.at(scheduler_.clock().now() + options_.market.cluster_span(left),
                               [this, id = instance.id] { revoke(id); });
}

void SimulatedMarket::remember(const std::string& instance) {
  const std::string prefix = absl::StrCat("i-", options_.account, "-");
  std::uint64_t number = 0;
  if (instance.starts_with(prefix) && absl::SimpleAtoi(instance.substr(prefix.size()), &number))
    made_ = std::max(made_, number);
}

void SimulatedMarket::tell(InstanceChange change) {
  if (change_) change_(change);
}

}  // namespace supercloud
