#include "actors/provider/provider_actor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/ledger/billing.h"

namespace supercloud {

ProviderActor::ProviderActor(Context& context, LeaseTable& leases, const SessionView& session,
                             Provider& provider, ProviderActorOptions options)
    : context_(context),
      leases_(leases),
      provider_(provider),
      market_(context, options.market),
      options_(std::move(options)),
      role_(context, leases, session, absl::StrCat(provider_roles, provider.account()),
            {[this](Epoch epoch) { gained(epoch); }, nullptr}, {.retry = options_.role_retry}),
      past_(context, {.patterns = {"spot.>", "instance.>"}, .archived = {"instance.>"}},
            [this](const Event& event) { fold(event); }),
      ended_(options_.ended_max),
      ended_tokens_(options_.ended_max),
      requested_(options_.ended_max),
      alive_(std::make_shared<bool>(true)) {
  context_.subscribe(Pattern::of("spot.price_changed.>"));
  context_.subscribe(Pattern::of("spot.interruption_notice.>"));
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.subscribe(Pattern::of("migration.completed.>"));
  context_.subscribe(Pattern::of("instance.>"), [this] { past_.read([this] { role_.start(); }); });
}

ProviderActor::~ProviderActor() { *alive_ = false; }

bool ProviderActor::ours(std::string_view place_id) const {
  const absl::StatusOr<PlaceName> place = PlaceName::parse(place_id);
  return place.ok() && place->cloud == provider_.account();
}

// What an earlier holder rented and told has to be known before the account is compared with it.
void ProviderActor::gained(Epoch epoch) {
  if (epoch <= 1) return begin();
  past_.settled([this, epoch] {
    if (role_.held() && role_.epoch() == epoch) begin();
  });
}

void ProviderActor::receive(const Event& event) {
  past_.hear(event);
  fold(event);
  if (event.type() == schema::Payload::MIGRATION_COMPLETED && role_.held())
    left(text(event.payload().getMigrationCompleted().getSource()));
  if (event.type() == schema::Payload::SPOT_PRICE_CHANGED && role_.held() && reconciled_) {
    const auto found = prices_.find(text(event.payload().getSpotPriceChanged().getPlace().getId()));
    if (found != prices_.end()) provider_.price_changed(found->second);
  }
}

void ProviderActor::fold(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto change = payload.getSpotPriceChanged();
      const std::string_view id = text(change.getPlace().getId());
      const Money price{change.getPriceNanoUsdPerHour()};
      const absl::Time since = absl::FromUnixNanos(change.getSinceNs());
      const auto found = prices_.find(id);
      if (found == prices_.end()) {
        if (ours(id)) prices_[std::string(id)] = {place_name(change.getPlace()), price, since};
      } else if (found->second.since < since) {
        found->second.usd_per_hour = price;
        found->second.since = since;
      }
      return;
    }
    case schema::Payload::SPOT_INTERRUPTION_NOTICE: {
      const auto notice = payload.getSpotInterruptionNotice();
      const auto found = known_.find(std::string(text(notice.getInstance())));
      if (found != known_.end()) {
        found->second.instance.notice_deadline = absl::FromUnixNanos(notice.getDeadlineNs());
        found->second.notice = event;
      }
      return;
    }
    case schema::Payload::INSTANCE_REQUESTED: {
      const auto requested = payload.getInstanceRequested();
      if (ours(text(requested.getPlace()))) {
        requested_.insert(std::string(text(requested.getClientToken())));
      }
      return;
    }
    case schema::Payload::INSTANCE_LAUNCHED: {
      const auto launched = payload.getInstanceLaunched();
      if (!ours(text(launched.getPlace().getId()))) return;
      Instance instance;
      instance.id = std::string(text(launched.getInstance()));
      instance.place = place_name(launched.getPlace());
      instance.node = std::string(text(launched.getNode()));
      instance.bid = Money{launched.getBidNanoUsdPerHour()};
      instance.price_at_start = Money{launched.getPriceNanoUsdPerHour()};
      instance.billing = launched.getBilling();
      instance.launched = absl::FromUnixNanos(launched.getLaunchedNs());
      instance.client_token = std::string(text(launched.getClientToken()));
      if (ended_.contains(instance.id)) return;
      Known& known = known_.try_emplace(instance.id, Known{instance, {}, {}}).first->second;
      if (!known.launched) known.launched = event;
      return;
    }
    case schema::Payload::INSTANCE_RETURNED:
    case schema::Payload::INSTANCE_REVOKED: {
      const auto ended = event.type() == schema::Payload::INSTANCE_RETURNED
                             ? payload.getInstanceReturned()
                             : payload.getInstanceRevoked();
      if (ours(text(ended.getPlace()))) end(std::string(text(ended.getInstance())));
      return;
    }
    default:
      return;
  }
}

void ProviderActor::end(const std::string& instance) {
  ended_.insert(instance);
  provider_.remember(instance);
  const auto found = known_.find(instance);
  if (found == known_.end()) return;
  ended_tokens_[found->second.instance.client_token] = instance;
  context_.cancel(found->second.check);
  known_.erase(found);
}

void ProviderActor::begin() {
  // The account's calls come outside of a turn: each is taken up in one of its own. A holder after this one replaces the
  // watch, so it is never taken back.
  provider_.watch([this, alive = alive_](const InstanceChange& change) {
    if (!*alive) return;
    context_.after(absl::ZeroDuration(), [this, change] { changed(change); });
  });
  reconciled_ = false;
  provider_.list(context_.reply<std::vector<Instance>>(
      options_.deadline, [this](absl::StatusOr<std::vector<Instance>> listed) {
        if (!role_.held()) return;
        if (listed.ok()) {
          reconcile(*listed);
        } else {
          context_.after(options_.deadline, [this] {
            if (role_.held()) begin();
          });
        }
      }));
}

void ProviderActor::reconcile(const std::vector<Instance>& listed) {
  std::set<std::string> there;
  for (const Instance& instance : listed) {
    there.insert(instance.id);
    // Its end is a fact, which an account that lives in this process may not have heard of.
    if (ended_.contains(instance.id)) {
      provider_.give_back(instance.id, Reply<Done>());
      continue;
    }
    publish_launched(instance);
    if (instance.notice_deadline != absl::InfiniteFuture()) {
      const auto price = prices_.find(instance.place.id());
      publish_notice(instance, instance.notice_deadline,
                     price == prices_.end() ? Money{} : price->second.usd_per_hour);
    }
  }
  std::vector<Instance> gone;
  for (const auto& [id, known] : known_) {
    if (!there.contains(id)) gone.push_back(known.instance);
  }
  for (const Instance& instance : gone) {
    if (!options_.adopt || !options_.adopt(instance)) {
      publish_ended(instance, instance.place.spot, market_.now(),
                    "the account does not list it any more; it ended while nobody watched");
    }
  }
  for (const auto& [id, known] : known_) check_later(id);
  // Not before it has what is rented: a price may make it rent, or give notice.
  reconciled_ = true;
  for (const auto& [id, price] : prices_) provider_.price_changed(price);
}

void ProviderActor::changed(const InstanceChange& change) {
  if (!role_.held()) return;  // whoever takes the role over lists the account
  const Instance& instance = change.instance;
  switch (change.kind) {
    case InstanceChange::Kind::launched:
      publish_launched(instance);
      check_later(instance.id);
      break;
    case InstanceChange::Kind::notice:
      publish_launched(instance);
      publish_notice(instance, change.deadline, change.price);
      break;
    case InstanceChange::Kind::revoked:
      publish_ended(instance, true, change.at, price_reason(instance));
      break;
    case InstanceChange::Kind::returned: {
      const auto known = known_.find(instance.id);
      const bool asked = known != known_.end() && !known->second.return_why.empty();
      publish_ended(instance, false, change.at,
                    asked ? std::string(known->second.return_why) : "returned");
      break;
    }
  }
}

std::string ProviderActor::price_reason(const Instance& instance) const {
  const auto price = prices_.find(instance.place.id());
  if (price == prices_.end()) return "the cloud took it";
  if (price->second.usd_per_hour <= instance.bid) {
    return absl::StrCat("the price had exceeded the bid of ", to_string(instance.bid));
  }
  return absl::StrCat("the price of ", to_string(price->second.usd_per_hour),
                      " exceeds the bid of ", to_string(instance.bid));
}

void ProviderActor::publish_launched(const Instance& instance) {
  if (ended_.contains(instance.id)) return;
  if (!known_.try_emplace(instance.id, Known{instance, {}, {}}).second) return;
  Instance& known = known_.at(instance.id).instance;
  known.notice_deadline = absl::InfiniteFuture();  // until the notice is a fact
  Draft draft = context_.draft(instance.id);
  auto launched = draft.payload().initInstanceLaunched();
  launched.setInstance(instance.id);
  write_place(instance.place, options_.labels, launched.initPlace());
  launched.setBidNanoUsdPerHour(instance.bid.nano_usd);
  launched.setPriceNanoUsdPerHour(instance.price_at_start.nano_usd);
  launched.setBilling(instance.billing);
  launched.setClientToken(instance.client_token);
  launched.setLaunchedNs(absl::ToUnixNanos(instance.launched));
  launched.setNode(instance.node);
  context_.publish(std::move(draft));
}

void ProviderActor::publish_notice(const Instance& instance, absl::Time deadline, Money price) {
  const auto found = known_.find(instance.id);
  if (found == known_.end() || found->second.instance.notice_deadline != absl::InfiniteFuture()) {
    return;
  }
  found->second.instance.notice_deadline = deadline;
  Draft draft = context_.draft(instance.id);
  auto notice = draft.payload().initSpotInterruptionNotice();
  notice.setInstance(instance.id);
  notice.setPlace(instance.place.id());
  notice.setNode(instance.node);
  notice.setDeadlineNs(absl::ToUnixNanos(deadline));
  notice.setNoticeNs(absl::ToInt64Nanoseconds(market_.until(deadline)));
  notice.setPriceNanoUsdPerHour(price.nano_usd);
  notice.setBidNanoUsdPerHour(instance.bid.nano_usd);
  context_.publish(std::move(draft));
}

void ProviderActor::publish_ended(const Instance& instance, bool revoked, absl::Time at,
                                  const std::string& why) {
  const auto known = known_.find(instance.id);
  if (known == known_.end()) return;
  const std::string node = known->second.instance.node;
  end(instance.id);
  Draft draft = context_.draft(instance.id);
  auto ended =
      revoked ? draft.payload().initInstanceRevoked() : draft.payload().initInstanceReturned();
  ended.setInstance(instance.id);
  ended.setPlace(instance.place.id());
  ended.setEndedNs(absl::ToUnixNanos(at));
  ended.setWhy(why);
  ended.setNode(node);
  context_.publish(std::move(draft));
}

}  // namespace supercloud
