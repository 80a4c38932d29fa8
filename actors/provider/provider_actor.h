// The provider actor: holds the role "provider/<account>", drives the account behind the Provider seam, tells what happens to
// its instances, rents for whoever asks, and returns instances that no VM uses as their paid time ends.
//
// provider_actor.cpp: what the account has, and what is said of it; provider_rentals.cpp: what is asked of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "actors/market_time.h"
#include "actors/past.h"
#include "actors/provider/provider.h"
#include "actors/recent.h"
#include "actors/role.h"
#include "actors/session_view.h"
#include "actors/spot/place.h"
#include "core/actor.h"

namespace supercloud {

inline constexpr const char* provider_actor = "provider";
inline constexpr const char* provider_roles = "provider/";  // and the account's name

struct ProviderActorOptions {
  MarketClock market;
  Duration role_retry = RoleOptions{}.retry;
  std::vector<LabelRule> labels;         // of the places in instance.launched
  absl::Duration hour = absl::Hours(1);  // of billing, market time
  // for requests that name none; without it the on-demand price of that type in that region
  std::optional<Money> bid;
  bool return_unused = true;
  // those that were there from the start are never returned
  bool keep_initial = true;
  // market time before the end of the paid hour from which unused ones go
  absl::Duration return_lead = absl::Minutes(3);
  Duration return_lead_min = absl::Seconds(3);  // ... and at least this much cluster time
  Duration deadline = absl::Seconds(5);         // of one call to the account or the lease table
  // Instances that have ended, and client tokens that were asked for: so many are remembered, for what is told or asked again.
  std::size_t ended_max = 10'000;
  // An account that lives in the process that drives it (simulated, or a list of hosts) must be told what the facts say is rented
  // when another process takes over. It answers whether it has that. Empty where the account itself knows (a cloud): what it no
  // longer lists has ended.
  std::function<bool(const Instance&)> adopt;
};

// The account's name is the `cloud` of its places.
class ProviderActor final : public Actor {
 public:
  ProviderActor(Context& context, LeaseTable& leases, const SessionView& session,
                Provider& provider, ProviderActorOptions options);
  ~ProviderActor() override;
  void receive(const Event& event) override;
  // rent: a bid of 0 stands for ProviderActorOptions::bid. Answers when the account has taken the request (with the instance, if it is there already); what became of it is
  // told by instance.launched with the client token. returnInstance: FailedPrecondition while VMs are there. runningInstances: the
  // facts, once they are logged; Unavailable until the account was compared with them, ResourceExhausted if they do not fit into an
  // answer. Who does not hold the role redirects.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  struct Known {
    Instance instance;
    Event launched, notice;  // that say so; empty: not logged yet
    TimerId check = 0;
    int looks = 0;           // soon, one after another: a VM has left it
    std::string return_why;  // it is being given back
  };
  struct Rental {
    std::vector<Answer> waiting;
  };
  bool ours(std::string_view place_id) const;
  void fold(const Event& event);
  void end(const std::string& instance);
  void gained(Epoch epoch);
  void begin();
  void reconcile(const std::vector<Instance>& listed);
  void changed(const InstanceChange& change);
  void publish_launched(const Instance& instance);
  void publish_notice(const Instance& instance, absl::Time deadline, Money price);
  void publish_ended(const Instance& instance, bool revoked, absl::Time at, const std::string& why);
  void rent(schema::Request::Rent::Reader request, Answer answer);
  Message<schema::Response> running_instances() const;
  Money default_bid(const PlaceName& place) const;
  void ask_account(const RentRequest& request);
  void answer_rental(const std::string& token, const absl::Status& status);
  void return_if_unused(const std::string& id, const std::string& why,
                        std::function<void(absl::Status)> done);
  void check_later(const std::string& id);
  void left(std::string_view node);
  absl::Time next_check(const Known& known) const;
  std::string price_reason(const Instance& instance) const;

  Context& context_;
  LeaseTable& leases_;
  Provider& provider_;
  MarketTime market_;
  const ProviderActorOptions options_;
  RoleHolder role_;
  Past past_;
  std::map<std::string, Known> known_;  // by instance; those that have not ended
  RecentSet<std::string> ended_;        // instances
  bool reconciled_ = false;             // the account knows what the facts know, and is told prices
  RecentMap<std::string, std::string> ended_tokens_;  // client token -> the instance that has ended
  std::map<std::string, Price, std::less<>> prices_;  // newest, by place; all of them ours
  RecentSet<std::string> requested_;                  // client tokens whose request is a fact
  std::map<std::string, Rental> rentals_;             // under way, by client token
  // what the account calls back outlives this actor
  std::shared_ptr<bool> alive_;
};

}  // namespace supercloud
