#include "actors/provider/fixed_hosts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/provider/simulated_market.h"

namespace supercloud {

FixedHosts::FixedHosts(Scheduler& scheduler, MarketClock market, std::string account,
                       std::vector<FixedHost> hosts, schema::Billing billing)
    : scheduler_(scheduler), market_(market), account_(std::move(account)) {
  std::sort(hosts.begin(), hosts.end(),
            [](const FixedHost& a, const FixedHost& b) { return a.node < b.node; });
  for (const FixedHost& host : hosts) {
    hosts_.push_back(
        {{absl::StrCat("host-", host.node), host.place, host.node, Money{}, host.price_per_hour,
          billing, market_.origin, initial_token_prefix + host.node},
         host.in_use});
  }
}

void FixedHosts::rent(RentRequest request, Reply<Done> reply) {
  Host* free = nullptr;
  for (Host& host : hosts_) {
    if (host.used && host.instance.client_token == request.client_token) {
      reply(Done{});
      return;
    }
    if (free == nullptr && !host.used && host.instance.place == request.place) free = &host;
  }
  if (free == nullptr) {
    reply(absl::ResourceExhaustedError(
        absl::StrCat(request.place.id(), ": no free host; add one to the list or go elsewhere")));
    return;
  }
  free->used = true;
  free->instance.bid = request.bid;
  free->instance.client_token = request.client_token;
  free->instance.launched = now();
  // Another rental is another instance: bills are kept by instance.
  free->instance.id =
      absl::StrCat("host-", free->instance.node, "-", absl::ToUnixNanos(free->instance.launched));
  reply(Done{});
  if (change_) {
    change_({InstanceChange::Kind::launched, free->instance, free->instance.launched, {}, {}});
  }
}

void FixedHosts::give_back(std::string instance, Reply<Done> reply) {
  for (Host& host : hosts_) {
    if (!host.used || host.instance.id != instance) continue;
    host.used = false;
    if (change_) change_({InstanceChange::Kind::returned, host.instance, now(), {}, {}});
  }
  reply(Done{});
}

void FixedHosts::list(Reply<std::vector<Instance>> reply) {
  std::vector<Instance> used;
  for (const Host& host : hosts_) {
    if (host.used) used.push_back(host.instance);
  }
  reply(std::move(used));
}

bool FixedHosts::adopt(const Instance& instance) {
  for (Host& host : hosts_) {
    if (host.instance.node != instance.node || host.instance.place != instance.place) continue;
    host.instance = instance;
    host.used = true;
    return true;
  }
  return false;
}

void FixedHosts::watch(std::function<void(const InstanceChange&)> change) {
  change_ = std::move(change);
}

}  // namespace supercloud
