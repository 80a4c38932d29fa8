#include "actors/provider/provider_actor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "actors/ledger/billing.h"
#include "actors/provider/simulated_market.h"

namespace supercloud {
namespace {

constexpr int looks_max = 8;                          // at an instance that may be used no more
constexpr std::size_t running_bytes_max = 512 << 10;  // an answer is one message of at most 1 MiB

// Whether a flush of this VM's guest would wait for want of the replica on `node`. What a VM that declared less loses with it
// is made good elsewhere, as after a revocation.
bool is_only_replica(const LeaseRecord& record, const std::string& node) {
  if (record.in_sync.size() > 2 ||
      std::find(record.in_sync.begin(), record.in_sync.end(), node) == record.in_sync.end()) {
    return false;
  }
  const auto spec = Message<schema::VmSpec>::parse(record.value);
  return spec.ok() && spec->reader().getDiskLoss() == schema::DiskLoss::SYNC;
}

}  // namespace

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
    const auto found =
        prices_.find(std::string(text(event.payload().getSpotPriceChanged().getPlace().getId())));
    if (found != prices_.end()) provider_.price_changed(found->second);
  }
}

void ProviderActor::fold(const Event& event) {
  const auto payload = event.payload();
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED: {
      const auto change = payload.getSpotPriceChanged();
      const std::string id(text(change.getPlace().getId()));
      if (!ours(id)) return;
      Price price{place_name(change.getPlace()), Money{change.getPriceNanoUsdPerHour()},
                  absl::FromUnixNanos(change.getSinceNs())};
      const auto found = prices_.find(id);
      if (found == prices_.end() || found->second.since < price.since) prices_[id] = price;
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

void ProviderActor::serve(Message<schema::Request> request, Answer answer) {
  const auto reader = request.reader();
  if (!reader.isRent() && !reader.isReturnInstance() && !reader.isRunningInstances()) {
    Actor::serve(std::move(request), std::move(answer));
    return;
  }
  if (!role_.held()) {
    const std::string& holder = role_.holder();
    answer(redirect_answer(role_.key(), holder == context_.node() ? "" : holder));
    return;
  }
  if (reader.isRunningInstances()) return answer(running_instances());
  if (reader.isRent()) {
    rent(reader.getRent(), std::move(answer));
    return;
  }
  auto waiting = std::make_shared<Answer>(std::move(answer));
  return_if_unused(std::string(text(reader.getReturnInstance())), "its return was asked for",
                   [waiting](const absl::Status& status) {
                     (*waiting)(status.ok() ? done_answer() : error_answer(status));
                   });
}

Message<schema::Response> ProviderActor::running_instances() const {
  if (!reconciled_)
    return error_answer(absl::UnavailableError(
        absl::StrCat(role_.key(), " has just been taken over; ask again in a moment")));
  std::vector<Bytes> events;
  std::size_t bytes = 0;
  for (const auto& [id, known] : known_) {
    for (const Event* event : {&known.launched, &known.notice}) {
      if (!*event) continue;
      events.push_back(event->bytes());
      bytes += events.back().size();
    }
  }
  if (bytes > running_bytes_max)
    return error_answer(absl::ResourceExhaustedError(
        absl::StrCat(known_.size(), " instances of account ", provider_.account(),
                     " do not fit into one answer; read the logs")));
  return Message<schema::Response>::build([&](schema::Response::Builder response) {
    auto log = response.initLog();
    auto list = log.initEvents(static_cast<unsigned>(events.size()));
    for (unsigned i = 0; i < events.size(); ++i) {
      auto data = list.init(i, static_cast<unsigned>(events[i].size()));
      std::copy_n(reinterpret_cast<const unsigned char*>(events[i].data()), events[i].size(),
                  data.begin());
    }
    log.setEnd(true);
  });
}

void ProviderActor::rent(schema::Request::Rent::Reader request, Answer answer) {
  const std::string token(text(request.getClientToken()));
  const absl::StatusOr<PlaceName> place = PlaceName::parse(text(request.getPlace()));
  if (!place.ok()) return answer(error_answer(place.status()));
  if (token.empty()) {
    return answer(error_answer(absl::InvalidArgumentError(
        "the client token is empty; give one, and the same one when you ask again")));
  }
  if (place->cloud != provider_.account()) {
    return answer(error_answer(absl::InvalidArgumentError(
        absl::StrCat(place->id(), " is not a place of account ", provider_.account()))));
  }
  for (const auto& [id, known] : known_) {
    if (known.instance.client_token != token) continue;
    return answer(Message<schema::Response>::build(
        [&instance = id](schema::Response::Builder response) { response.setInstance(instance); }));
  }
  if (ended_tokens_.contains(token)) {
    return answer(error_answer(absl::FailedPreconditionError(
        absl::StrCat("instance ", ended_tokens_[token],
                     " was rented with this client token, and has ended; give another token"))));
  }
  const bool under_way = rentals_.contains(token);
  rentals_[token].waiting.push_back(std::move(answer));
  if (under_way) return;

  RentRequest rental{*place, Money{request.getBidNanoUsdPerHour()}, token};
  if (rental.bid == Money{}) rental.bid = default_bid(*place);
  if (!requested_.insert(token)) return ask_account(rental);
  Draft draft = context_.draft(place_subject(place->id()));
  auto requested = draft.payload().initInstanceRequested();
  requested.setPlace(place->id());
  requested.setBidNanoUsdPerHour(rental.bid.nano_usd);
  requested.setClientToken(token);
  requested.setWhy(request.getWhy());
  requested.setDeadlineNs(absl::ToInt64Nanoseconds(options_.deadline));
  if (request.hasMigration())
    EventId::from(request.getMigration()).write(requested.initMigration());
  // The wish is on disk before money is spent on it.
  context_.publish(std::move(draft), [this, rental](const absl::Status& status) {
    if (status.ok()) return ask_account(rental);
    requested_.erase(rental.client_token);
    answer_rental(rental.client_token, status);
  });
}

// The on-demand price of that type in that region: nobody would knowingly pay more for a spot instance.
Money ProviderActor::default_bid(const PlaceName& place) const {
  if (options_.bid) return *options_.bid;
  std::optional<Money> cheapest;
  for (const auto& [id, price] : prices_) {
    if (price.place.spot || price.place.region != place.region ||
        price.place.instance_type != place.instance_type) {
      continue;
    }
    if (!cheapest || price.usd_per_hour < *cheapest) cheapest = price.usd_per_hour;
  }
  return cheapest.value_or(Money{});
}

void ProviderActor::ask_account(const RentRequest& request) {
  if (!role_.held()) {
    return answer_rental(request.client_token,
                         absl::UnavailableError("the provider's role was lost; ask again"));
  }
  provider_.rent(
      request,
      context_.reply<Done>(options_.deadline, [this, request](const absl::StatusOr<Done>& taken) {
        const absl::Status& status = taken.status();
        // Without an answer nothing is known: the same token, asked again, tells.
        if (!status.ok() && !absl::IsDeadlineExceeded(status)) {
          Draft draft = context_.draft(place_subject(request.place.id()));
          auto refused = draft.payload().initInstanceRefused();
          refused.setPlace(request.place.id());
          refused.setClientToken(request.client_token);
          refused.setWhy(std::string(status.message()));
          context_.publish(std::move(draft));
        }
        answer_rental(request.client_token, status);
      }));
}

void ProviderActor::answer_rental(const std::string& token, const absl::Status& status) {
  const auto found = rentals_.find(token);
  if (found == rentals_.end()) return;
  std::vector<Answer> waiting = std::move(found->second.waiting);
  rentals_.erase(found);
  for (Answer& answer : waiting) answer(status.ok() ? done_answer() : error_answer(status));
}

// By the second, what a VM has left goes as soon as the end of its move lets it; what else is unused, within a few looks.
void ProviderActor::left(std::string_view node) {
  for (auto& [id, known] : known_) {
    if (known.instance.node != node || known.instance.billing != schema::Billing::PER_SECOND)
      continue;
    known.looks = looks_max;
    context_.cancel(std::exchange(known.check, 0));
    check_later(id);
  }
}

// VMs are moved away in the very last minutes of a paid hour: whoever looked only as they begin would pay one hour more for an
// instance that is empty by their end.
absl::Time ProviderActor::next_check(const Known& known) const {
  const absl::Duration least = options_.return_lead_min * options_.market.speed;
  const absl::Duration lead = std::min(std::max(options_.return_lead, least), options_.hour / 2);
  const absl::Time now = market_.now();
  const absl::Duration step = lead / looks_max;
  if (known.looks > 0) return now + step;
  if (known.instance.billing == schema::Billing::PER_SECOND) return now + lead * 4;
  const absl::Time end = paid_until(known.instance.launched, now, options_.hour);
  if (now < end - lead) return end - lead;
  // The last look is a step before the end; a timer is never early.
  return now + step * 1.5 <= end ? now + step : end + options_.hour - lead;
}

void ProviderActor::check_later(const std::string& id) {
  const auto found = known_.find(id);
  if (found == known_.end()) return;
  Known& known = found->second;
  const bool kept =
      options_.keep_initial && known.instance.client_token.starts_with(initial_token_prefix);
  if (!options_.return_unused || kept || known.check != 0) return;
  known.check = market_.at(next_check(known), [this, id] {
    Known& checked = known_.at(id);
    checked.check = 0;
    checked.looks = std::max(checked.looks - 1, 0);
    if (!role_.held()) return;
    return_if_unused(id,
                     checked.instance.billing == schema::Billing::PER_SECOND
                         ? "no VM is left on it"
                         : "no VM is left on it as its paid time ends",
                     [this, id](const absl::Status&) { check_later(id); });
  });
}

void ProviderActor::return_if_unused(const std::string& id, const std::string& why,
                                     std::function<void(absl::Status)> done) {
  const auto found = known_.find(id);
  if (ended_.contains(id)) return done(absl::OkStatus());
  if (found == known_.end()) {
    return done(
        absl::NotFoundError(absl::StrCat("no instance ", id, " in account ", provider_.account())));
  }
  // The cloud takes it, and then its last hour is free.
  if (found->second.instance.notice_deadline != absl::InfiniteFuture()) {
    return done(
        absl::FailedPreconditionError(absl::StrCat(id, " is under notice; the cloud takes it")));
  }
  const std::string node = found->second.instance.node;
  leases_.list(
      {vm_keys, node},
      context_.reply<std::vector<LeaseRecord>>(
          options_.deadline,
          [this, id, why, node, done](absl::StatusOr<std::vector<LeaseRecord>> records) {
            if (!records.ok()) return done(records.status());
            for (const LeaseRecord& record : *records) {
              const bool resident =
                  record.holder == node || (record.heir && record.heir->node == node);
              const bool needed = is_only_replica(record, node);
              if (resident || needed) {
                return done(absl::FailedPreconditionError(
                    absl::StrCat(id, ": ", record.key,
                                 resident ? " is there" : " has its only other replica there")));
              }
            }
            if (!role_.held())
              return done(absl::UnavailableError("the provider's role was lost; ask again"));
            if (const auto known = known_.find(id); known != known_.end())
              known->second.return_why = why;
            provider_.give_back(id, context_.reply<Done>(options_.deadline,
                                                         [done](const absl::StatusOr<Done>& gone) {
                                                           done(gone.status());
                                                         }));
          }));
}

}  // namespace supercloud
