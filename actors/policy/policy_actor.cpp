#include "actors/policy/policy_actor.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/answers.h"
#include "actors/provider/provider_actor.h"
#include "actors/spot/watcher.h"
#include "core/vm_name.h"

namespace supercloud {
namespace {

constexpr Duration past_quiet =
    absl::Milliseconds(150);  // three times what an agent takes to greet

}  // namespace

PolicyActor::PolicyActor(Context& context, LeaseTable& leases, PolicyRegistry registry,
                         PolicyActorOptions options)
    : context_(context),
      leases_(leases),
      market_(context, options.market),
      registry_(std::move(registry)),
      options_(options),
      past_(context,
            {.patterns = {"spot.feed_lost.>", "spot.feed_restored.>", "node.joined.>",
                          "node.left.>", "migration.>", "vm.resumed.>", "vm.stopped.>",
                          "vm.failed.>", "vm.destroyed.>"},
             .archived = {"migration.>"},
             .quiet = past_quiet},
            [this](const Event& event) { hear_past(event); }),
      prices_(
          context, leases,
          {.role = absl::StrCat("role/", feed_role),
           .actor = watcher_actor,
           .ask = [](schema::Request::Builder request) { request.setPriceHistory(); },
           .patterns = {"spot.price_changed.>"}},
          options.roles, [this](schema::Response::Reader answer) { return learn_prices(answer); },
          [this](const Event& event) { hear_past(event); }),
      instances_(
          context, leases,
          {.role = absl::StrCat("role/", provider_roles),
           .actor = provider_actor,
           .ask = [](schema::Request::Builder request) { request.setRunningInstances(); },
           .patterns = {"spot.interruption_notice.>", "instance.>"}},
          options.roles,
          [this](schema::Response::Reader answer) { return learn_instances(answer); },
          [this](const Event& event) { hear_past(event); }) {
  options_.world.market = options_.market;
  context_.subscribe(Pattern::of("spot.>"));
  context_.subscribe(Pattern::of("instance.>"));
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.left.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.subscribe(Pattern::of("migration.>"));
  context_.subscribe(Pattern::of("vm.>"), [this] {
    past_.read([this] {
      context_.history(
          Pattern::of("vm.resumed.>"), [this](const Event& event) { hear_resumed(event); },
          [this](const absl::Status& read) {
            if (!read.ok()) return context_.fail(read);
            list_vms();
            past_.settled([this] {
              past_known_ = true;
              look_at_all();
            });
            prices_.ask([this] { look_at_all(); });
            instances_.ask([this] {
              look_at_all();
              list_now();  // what is on its way here concerns this node if that is under notice
            });
          });
    });
  });
}

bool PolicyActor::knowing() const { return past_known_ && prices_.known() && instances_.known(); }

void PolicyActor::hear_past(const Event& event) {
  if (state_.apply(event)) look_at_all();
}

bool PolicyActor::learn_prices(schema::Response::Reader answer) {
  if (!answer.isPrices()) return false;
  for (const auto place : answer.getPrices()) state_.learn(place);
  return true;
}

bool PolicyActor::learn_instances(schema::Response::Reader answer) {
  if (!answer.isLog()) return false;
  for (const auto data : answer.getLog().getEvents()) {
    const auto event =
        context_.pool().parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
    if (event.ok()) hear_past(*event);
  }
  return true;
}

// ---- which VMs are here ------------------------------------------------------------------------------------------------

void PolicyActor::list_vms() {
  list_now();
  context_.after(options_.relist, [this] { list_vms(); });
}

void PolicyActor::list_now() {
  list_again_ = listing_;
  if (std::exchange(listing_, true)) return;
  leases_.list(
      {vm_keys, context_.node()},
      context_.reply<std::vector<LeaseRecord>>(
          options_.lease_deadline, [this](absl::StatusOr<std::vector<LeaseRecord>> records) {
            listing_ = false;
            if (records.ok()) listed(*std::move(records));
            if (list_again_) list_now();
          }));
}

// Of a VM that is here, or on its way here though it cannot stay.
bool PolicyActor::concerns(const LeaseRecord& record) const {
  if (record.holder == context_.node()) return true;
  return record.hand_over_open() && record.heir->node == context_.node() &&
         state_.noticed(context_.node());
}

void PolicyActor::listed(std::vector<LeaseRecord> records) {
  std::map<std::string, bool> here;
  for (const LeaseRecord& record : records) {
    if (!concerns(record)) continue;
    here[record.key] = true;
    host(record);
  }
  std::vector<std::string> gone;
  for (const auto& [key, vm] : vms_) {
    if (!here.contains(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) drop(key);
}

void PolicyActor::refresh(const std::string& key) {
  leases_.read(key,
               context_.reply<LeaseRecord>(
                   options_.lease_deadline, [this, key](const absl::StatusOr<LeaseRecord>& record) {
                     if (record.ok() && concerns(*record)) {
                       host(*record);
                     } else if (record.ok() || absl::IsNotFound(record.status())) {
                       drop(key);
                     }
                   }));
}

void PolicyActor::host(const LeaseRecord& record) {
  absl::StatusOr<Message<schema::VmSpec>> spec = Message<schema::VmSpec>::parse(record.value);
  if (!spec.ok()) return;  // its executor says so
  const auto [found, is_new] = vms_.try_emplace(record.key);
  Vm& vm = found->second;
  const bool arriving = record.holder != context_.node();
  const bool other = is_new || vm.arriving != arriving || vm.spec.bytes() != spec->bytes();
  vm.arriving = arriving;
  vm.spec = *std::move(spec);
  if (is_new || vm.epoch != record.epoch) {
    vm.epoch = record.epoch;
    vm.since = context_.now();
  }
  vm.tenant = std::string(text(vm.spec.reader().getTenant()));
  vm.name = std::string(text(vm.spec.reader().getName()));
  // The record is the law: without an heir no move is under way, whatever event was lost.
  if (!record.heir && vm.moves.under_way() && !vm.moves.waits_for_answer()) {
    context_.cancel(std::exchange(vm.patience, 0));
    vm.moves.settle();
  }
  if (other) look_soon(record.key, vm);
}

void PolicyActor::drop(const std::string& key) {
  const auto found = vms_.find(key);
  if (found == vms_.end()) return;
  Vm& vm = found->second;
  context_.cancel(vm.look);
  context_.cancel(vm.wake);
  context_.cancel(vm.patience);
  vms_.erase(found);
}

// ---- what happens --------------------------------------------------------------------------------------------------------

void PolicyActor::receive(const Event& event) {
  past_.hear(event);
  prices_.hear(event);
  instances_.hear(event);
  const bool matters = state_.apply(event);
  const std::string_view domain = topic_token(event.topic(), 0);
  if (domain == "vm") {
    // Hints: the lease table knows.
    if (event.type() == schema::Payload::VM_DIRTY_RATE ||
        event.type() == schema::Payload::VM_PAUSED) {
      return;
    }
    if (event.type() == schema::Payload::VM_RESUMED) hear_resumed(event);
    if (event.type() == schema::Payload::VM_DESTROYED)
      resumed_.erase(key_of_vm(VmName::of(event).to_string()));
    refresh(key_of_vm(VmName::of(event).to_string()));
  } else if (domain == "migration") {
    hear_move(event);
    if (event.type() == schema::Payload::MIGRATION_ACCEPTED &&
        text(event.payload().getMigrationAccepted().getTarget()) == context_.node() &&
        state_.noticed(context_.node()))
      refresh(key_of_vm(VmName::of(event).to_string()));
  } else if (matters) {
    if (event.type() == schema::Payload::SPOT_INTERRUPTION_NOTICE &&
        state_.noticed(context_.node()))
      list_now();
    changed(event);
  }
}

void PolicyActor::hear_resumed(const Event& event) {
  const std::string key = key_of_vm(VmName::of(event).to_string());
  const Epoch* seen = resumed_.find(key);
  if (seen != nullptr && event.epoch() <= *seen) return;
  if (text(event.payload().getVmResumed().getNode()) != context_.node()) {
    resumed_.erase(key);
    return;
  }
  resumed_[key] = event.epoch();
  if (const auto found = vms_.find(key); found != vms_.end()) look_soon(key, found->second);
}

void PolicyActor::changed(const Event& event) {
  const auto payload = event.payload();
  std::string place;
  Money price;
  bool urgent = false;
  switch (event.type()) {
    case schema::Payload::SPOT_PRICE_CHANGED:
      place = std::string(text(payload.getSpotPriceChanged().getPlace().getId()));
      price = {payload.getSpotPriceChanged().getPriceNanoUsdPerHour()};
      break;
    case schema::Payload::NODE_JOINED:
      place = std::string(text(payload.getNodeJoined().getPlace().getId()));
      break;
    case schema::Payload::NODE_CAPACITY:
      place = std::string(text(payload.getNodeCapacity().getJoined().getPlace().getId()));
      break;
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
      urgent = true;
      break;
    default:
      break;
  }
  for (auto& [key, vm] : vms_) {
    if (urgent) {
      vm.moves.all_changed();
      if (state_.noticed(context_.node()) && !vm.had_turn) vm.turn_at.reset();
    } else {
      vm.moves.place_changed(place);
    }
    if (event.type() != schema::Payload::SPOT_PRICE_CHANGED || matters(vm, place, price))
      look_soon(key, vm);
  }
}

// Whether a price there may change what was decided.
bool PolicyActor::matters(const Vm& vm, const std::string& place, Money price) const {
  return vm.deciding || (place == vm.place && price > vm.price_here_matters_above) ||
         market_.now() >= vm.prices_matter_at;
}

void PolicyActor::serve(Message<schema::Request> request, Answer answer) {
  const auto reader = request.reader();
  if (!reader.isExplainPolicy()) {
    Actor::serve(std::move(request), std::move(answer));
    return;
  }
  const auto vm = reader.getExplainPolicy();
  const std::string key = key_of_vm(VmName::of(vm).to_string());
  const auto found = vms_.find(key);
  if (found != vms_.end() && !found->second.arriving) {
    explain(key, found->second, std::move(answer));
    return;
  }
  auto waiting = std::make_shared<Answer>(std::move(answer));
  leases_.read(
      key,
      context_.reply<LeaseRecord>(
          options_.lease_deadline, [this, key, waiting](const absl::StatusOr<LeaseRecord>& record) {
            if (!record.ok()) {
              (*waiting)(error_answer(
                  absl::IsNotFound(record.status())
                      ? absl::NotFoundError(absl::StrCat("there is no VM ", vm_of_key(key)))
                      : record.status()));
            } else if (record->holder != context_.node()) {
              (*waiting)(redirect_answer(vm_of_key(key), record->holder));
            } else {
              host(*record);
              const auto hosted = vms_.find(key);
              if (hosted == vms_.end()) {
                (*waiting)(error_answer(
                    absl::DataLossError(absl::StrCat("the record of ", key, " is damaged"))));
                return;
              }
              explain(key, hosted->second, std::move(*waiting));
            }
          }));
}

}  // namespace supercloud
