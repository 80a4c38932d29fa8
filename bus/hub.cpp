#include "bus/hub.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "bus/checkpoint.h"
#include "bus/hub_proofs.h"
#include "bus/hub_reports.h"
#include "bus/prefix_set.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// Of one heartbeat, so that it has less than the 1 MiB that an event may have, of names and prefixes as long as they may be.
constexpr std::size_t origins_per_digest = 256;
constexpr std::size_t prefixes_per_digest = 2048;

}  // namespace

// What one of the buses has to do with the other.
class Hub::Side final : public BusReceiver, public Beyond {
 public:
  Side(Hub& hub, RelayingBus& bus)
      : hub_(hub),
        bus_(bus),
        origin_(hub.options_.name + "/hub"),
        awaiting_(hub.scheduler_, bus.proofs(),
                  [this](const Event& event, const Event* proof) { other_->pass(event, proof); }) {}

  // `hubs`: the members of this side are hubs.
  void join(Side& other, bool hubs) {
    other_ = &other;
    hubs_ = hubs;
    bus_.relay(*this, hubs);
  }
  void start() {
    bus_.start(*this, {});
    // Hubs send the proofs of what they let pass.
    if (!hubs_ && bus_.proofs() != nullptr)
      bus_.subscribe(std::string(checkpoint_prefix),
                     Reply<Done>(far_future, [](const absl::StatusOr<Done>&) {}));
  }
  void digest();

  // BusReceiver: from the members of this side.
  void on_event(Event event) override {
    if (hubs_ && bus_.has(node_of(event.origin()))) return;  // of the hub itself, for us
    const bool proves = bus_.proofs() != nullptr && event.type() == schema::Payload::BUS_CHECKPOINT;
    if (proves) awaiting_.proven_by(event);
    // One is its own proof, and subscribed by the hub itself, whether or not anybody beyond wants it.
    if (!proves)
      awaiting_.take(std::move(event));
    else if (other_->wants(topic_prefix(event.topic(), 3)))
      other_->pass(event, nullptr);
  }
  // What is missing here the members of the other side miss as well, and are to find out.
  void on_gap(const BusGap& gap) override {
    Lately& lately = other_->lately_[gap.origin];
    lately.digests = hub_.options_.digests;
    if (gap.up_to == BusGap::unknown) lately.lost = gap.incarnation;
  }
  void on_request(std::string actor, std::string, Reply<std::string> answer) override {
    answer(absl::NotFoundError(
        absl::StrCat(hub_.options_.name, " is a hub, which has no actor ", actor)));
  }
  void on_rejected(std::string from, std::string why) override {
    hub_.reports_->rejected(std::move(from), std::move(why));
  }
  void on_peer(std::string, bool) override {}

  // Beyond: for the members of this side.
  void want(const std::string& prefix, Reply<Done> reply) override {
    wanted_.add(prefix);
    other_->bus_.subscribe(prefix, std::move(reply));
  }
  void let_go(const std::string& prefix) override {
    wanted_.remove(prefix);
    other_->bus_.unsubscribe(prefix);
  }
  bool has(std::string_view node) const override { return other_->bus_.has(node); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    other_->bus_.request(std::move(to), std::move(bytes), std::move(reply));
  }
  std::vector<OriginTail> standing() const override {
    std::vector<OriginTail> tails;
    for (OriginTail& tail : other_->bus_.followed().standing())
      if (keep_wanted(tail)) tails.push_back(std::move(tail));
    return tails;
  }

 private:
  struct Lately {            // of an origin
    int digests = 0;         // in which it is still to be told
    std::uint64_t lost = 0;  // incarnation whose log is lost; 0: none
  };
  using Entry = std::pair<const std::string, Lately>;

  void pass(const Event& event, const Event* proof);
  bool wants(std::string_view prefix) const { return wanted_.covers(prefix); }
  // Without what the hub alone subscribes. False: nothing is left.
  bool keep_wanted(OriginTail& tail) const;
  void tell_news();
  void tell(absl::Span<const Entry* const> entries);
  std::optional<OriginTail> tail_of(const Entry& entry) const;
  void say(absl::Span<const OriginTail> part);

  Hub& hub_;
  RelayingBus& bus_;
  const std::string origin_;
  Side* other_ = nullptr;
  bool hubs_ = false;
  PrefixSet wanted_;                                   // beyond, by the members of this side
  AwaitingProof awaiting_;                             // what has come from them
  SentProofs sent_;                                    // to them
  std::map<std::string, Lately, std::less<>> lately_;  // what passed to this side, or is missing
  std::uint64_t beats_ = 0;
};

// To the members of this side, from the other one.
void Hub::Side::pass(const Event& event, const Event* proof) {
  ++hub_.relayed_;
  // So that nobody takes it for the first that there was, or asks for what was before it.
  if (other_->bus_.followed().has_news()) tell_news();
  auto found = lately_.find(event.origin());
  if (found == lately_.end()) found = lately_.emplace(event.origin(), Lately()).first;
  found->second.digests = hub_.options_.digests;
  if (proof != nullptr) {
    const std::string prefix = topic_prefix(event.topic(), 3);
    if (sent_.add(*proof, prefix)) bus_.publish_proof(*proof, prefix);
  }
  bus_.publish(event);
}

// Of origins of the other side under which prefixes they say something, and from where on that is followed.
void Hub::Side::tell_news() {
  std::vector<const Entry*> entries;
  for (std::string& name : other_->bus_.news()) {
    const auto found = lately_.try_emplace(std::move(name)).first;
    found->second.digests = hub_.options_.digests;
    entries.push_back(&*found);
  }
  tell(entries);
}

void Hub::Side::digest() {
  for (std::string& name : other_->bus_.news())
    lately_[std::move(name)].digests = hub_.options_.digests;
  std::vector<const Entry*> entries;
  entries.reserve(lately_.size());
  for (const Entry& entry : lately_)
    if (entry.second.digests == hub_.options_.digests || entry.second.digests <= 2)
      entries.push_back(&entry);
  tell(entries);
  for (auto next = lately_.begin(); next != lately_.end();)
    next = --next->second.digests <= 0 ? lately_.erase(next) : std::next(next);
}

void Hub::Side::tell(absl::Span<const Entry* const> entries) {
  std::vector<OriginTail> part;
  std::size_t room = prefixes_per_digest;
  const auto say_part = [&] {
    say(part);
    part.clear();
    room = prefixes_per_digest;
  };
  for (const Entry* entry : entries) {
    std::optional<OriginTail> tail = tail_of(*entry);
    if (!tail) continue;
    while (tail->under.size() > room) {
      OriginTail piece = *tail;
      piece.under.resize(room);
      tail->under.erase(tail->under.begin(),
                        tail->under.begin() + static_cast<std::ptrdiff_t>(room));
      part.push_back(std::move(piece));
      say_part();
    }
    room -= tail->under.size();
    part.push_back(*std::move(tail));
    if (part.size() == origins_per_digest || room == 0) say_part();
  }
  if (!part.empty()) say_part();
}

bool Hub::Side::keep_wanted(OriginTail& tail) const {
  if (wants(checkpoint_prefix)) return true;
  const auto removed = std::erase_if(
      tail.under, [](const OriginTail::Under& under) { return under.prefix == checkpoint_prefix; });
  return removed == 0 || !tail.under.empty();
}

std::optional<OriginTail> Hub::Side::tail_of(const Entry& entry) const {
  const auto& [origin, lately] = entry;
  std::optional<OriginTail> tail = other_->bus_.followed().standing_of(origin);
  if (tail && !keep_wanted(*tail)) tail.reset();
  if (lately.lost == 0 || (tail && tail->incarnation > lately.lost)) return tail;
  return OriginTail{.origin = origin, .incarnation = lately.lost + 1};
}

void Hub::Side::say(absl::Span<const OriginTail> part) {
  Draft draft = hub_.pool_.draft(hub_.options_.name);
  auto heartbeat = draft.payload().initNodeHeartbeat();
  heartbeat.setNode(hub_.options_.name);
  heartbeat.setBeat(beats_ + 1);
  auto tails = heartbeat.initTails(static_cast<unsigned>(part.size()));
  for (unsigned i = 0; i < tails.size(); ++i) {
    const OriginTail& tail = part[i];
    tails[i].setOrigin(tail.origin);
    tails[i].setIncarnation(tail.incarnation);
    tails[i].setSince(tail.since);
    std::uint64_t newest = 0, unfollowed = 0;
    auto prefixes = tails[i].initPrefixes(static_cast<unsigned>(tail.under.size()));
    unsigned at = 0;
    for (const OriginTail::Under& under : tail.under) {
      prefixes[at].setPrefix(under.prefix);
      prefixes[at].setSequence(under.sequence);
      prefixes[at].setSince(under.since);
      prefixes[at].setBegun(under.begun);
      newest = std::max(newest, under.sequence);
      unfollowed = std::max(unfollowed, under.since);
      ++at;
    }
    tails[i].setSequence(newest);
    tails[i].setUnfollowed(unfollowed);
  }
  Envelope envelope{.origin = origin_, .incarnation = hub_.options_.incarnation};
  for (std::uint64_t& previous : envelope.previous) previous = beats_;
  envelope.sequence = beats_ + 1;
  envelope.time = hub_.clock_.tick();
  if (!draft.set_topic().ok()) return;
  absl::StatusOr<Event> event = std::move(draft).seal(envelope);
  if (!event.ok()) return on_rejected(hub_.options_.name, std::string(event.status().message()));
  ++beats_;
  bus_.publish(*event);
}

Hub::Hub(Scheduler& scheduler, EventPool& pool, RelayingBus& cloud, RelayingBus& wide,
         HubOptions options)
    : scheduler_(scheduler),
      pool_(pool),
      options_(std::move(options)),
      clock_(scheduler.clock()),
      cloud_(std::make_unique<Side>(*this, cloud)),
      wide_(std::make_unique<Side>(*this, wide)) {
  if (options_.incarnation == 0)
    options_.incarnation = static_cast<std::uint64_t>(absl::ToUnixNanos(scheduler.clock().wall()));
  reports_ = std::make_unique<HubReports>(
      scheduler_, pool_, clock_, options_.name, options_.incarnation,
      [&cloud](const Event& event) { cloud.publish(event); }, options_.complain);
  cloud_->join(*wide_, /*hubs=*/false);
  wide_->join(*cloud_, /*hubs=*/true);
  cloud_->start();
  listen_timer_ = scheduler_.at(scheduler_.clock().now() + options_.listen, [this] {
    listen_timer_ = 0;
    wide_->start();
  });
  arm_digest();
}

Hub::~Hub() {
  scheduler_.cancel(listen_timer_);
  scheduler_.cancel(digest_timer_);
}

void Hub::on_slow_subscriber(const std::string& subscriber, std::uint64_t backlog) {
  reports_->slow(subscriber, backlog);
}

void Hub::on_rejected(std::string from, std::string why) {
  reports_->rejected(std::move(from), std::move(why));
}

void Hub::arm_digest() {
  digest_timer_ = scheduler_.at(scheduler_.clock().now() + options_.digest_interval, [this] {
    arm_digest();
    cloud_->digest();
    wide_->digest();
  });
}

}  // namespace supercloud
