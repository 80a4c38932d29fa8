// What is asked of the provider's actor: to rent an instance, to give one back; and what it gives back by itself.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "actors/ledger/billing.h"
#include "actors/provider/provider_actor.h"

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

// Committed, and its end not said: by post-copy its source is needed still, and no record says which node that is (14).
bool may_need_its_source(const LeaseRecord& record) {
  if (!record.heir || record.heir->node != record.holder) return false;
  const auto spec = Message<schema::VmSpec>::parse(record.value);
  return spec.ok() && spec->reader().getPostCopy();
}

}  // namespace

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
      {vm_keys, ""},
      context_.reply<std::vector<LeaseRecord>>(
          options_.deadline,
          [this, id, why, node, done](absl::StatusOr<std::vector<LeaseRecord>> records) {
            if (!records.ok()) return done(records.status());
            for (const LeaseRecord& record : *records) {
              const bool resident =
                  record.holder == node || (record.heir && record.heir->node == node);
              const bool needed = is_only_replica(record, node);
              const bool source = may_need_its_source(record);
              if (resident || needed || source) {
                return done(absl::FailedPreconditionError(absl::StrCat(
                    id, ": ", record.key,
                    resident ? " is there"
                    : needed ? " has its only other replica there"
                             : " was just moved, and may need what is left of its memory there")));
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
