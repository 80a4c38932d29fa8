#include "bus/hub.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "bus/subscriber.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// Of one heartbeat, so that it stays far below what an event may have.
constexpr std::size_t origins_per_digest = 256;
constexpr std::size_t prefixes_per_digest = 2048;

}  // namespace

// What one of the buses has to do with the other.
class Hub::Side final : public BusReceiver, public Beyond {
 public:
  Side(Hub& hub, RelayingBus& bus) : hub_(hub), bus_(bus), origin_(hub.options_.name + "/hub") {}

  // `hubs`: the members of this side are hubs.
  void join(Side& other, bool hubs) {
    other_ = &other;
    hubs_ = hubs;
    bus_.relay(*this, hubs);
  }
  void start() { bus_.start(*this, {}); }
  void digest();

  // BusReceiver: from the members of this side.
  void on_event(Event event) override {
    if (hubs_ && bus_.has(node_of(event.origin()))) return;  // of the hub itself, for us
    ++hub_.relayed_;
    other_->pass(event);
  }
  // What is missing here the members of the other side miss as well, and are to find out.
  void on_gap(const BusGap& gap) override {
    if (gap.up_to != BusGap::unknown)
      other_->note(gap.origin, gap.incarnation, gap.up_to, {gap.prefix});
    else
      other_->note(gap.origin, gap.incarnation + 1, 0, {});  // its log is lost
  }
  void on_request(std::string actor, std::string, Reply<std::string> answer) override {
    answer(absl::NotFoundError(
        absl::StrCat(hub_.options_.name, " is a hub, which has no actor ", actor)));
  }
  void on_rejected(std::string from, std::string why) override {
    if (hub_.options_.complain) hub_.options_.complain(from, why);
  }
  void on_peer(std::string, bool) override {}

  // Beyond: for the members of this side.
  void want(const std::string& prefix, Reply<Done> reply) override {
    other_->bus_.subscribe(prefix, std::move(reply));
  }
  void let_go(const std::string& prefix) override { other_->bus_.unsubscribe(prefix); }
  bool has(std::string_view node) const override { return other_->bus_.has(node); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    other_->bus_.request(std::move(to), std::move(bytes), std::move(reply));
  }
  std::vector<OriginTail> standing() const override {
    std::vector<OriginTail> standing = other_->bus_.standing({});
    for (OriginTail& tail : standing) {
      const auto passed = passed_.find(tail.origin);
      if (passed != passed_.end() && passed->second.incarnation == tail.incarnation)
        tail.passed = std::max(tail.passed, passed->second.sequence);
    }
    return standing;
  }

 private:
  void pass(const Event& event);
  void follow(absl::Span<const OriginTail> standing);
  void forget(absl::Span<const OriginTail> standing);
  void note(std::string_view origin, std::uint64_t incarnation, std::uint64_t sequence,
            absl::Span<const std::string_view> prefixes);
  void say(std::vector<std::pair<std::string, Passed>> part);

  Hub& hub_;
  RelayingBus& bus_;
  const std::string origin_;
  Side* other_ = nullptr;
  bool hubs_ = false;
  std::map<std::string, Passed, std::less<>> passed_;
  std::uint64_t beats_ = 0;
};

// To the members of this side, from the other one.
void Hub::Side::pass(const Event& event) {
  std::array<std::string_view, 3> prefixes;
  std::size_t count = 0;
  any_prefix(event.topic(), [&](std::string_view prefix) {
    if (!prefix.empty()) prefixes.at(count++) = prefix;
    return false;
  });
  // So that nobody takes it for the first that there was, or asks for what was before it.
  if (passed_.find(event.origin()) == passed_.end())
    follow(other_->bus_.standing(node_of(event.origin())));
  note(event.origin(), event.incarnation(), event.sequence(),
       absl::MakeConstSpan(prefixes).first(count));
  bus_.publish(event);
}

// From where on the origins of the other side are followed (of one node, or of all) is told before anything of them passes: what came by before
// that is missed by who is owed it.
void Hub::Side::follow(absl::Span<const OriginTail> standing) {
  std::vector<std::pair<std::string, Passed>> part;
  for (const OriginTail& tail : standing) {
    const auto [found, is_new] = passed_.try_emplace(tail.origin);
    Passed& passed = found->second;
    if (tail.incarnation < passed.incarnation) continue;
    if (tail.incarnation > passed.incarnation) passed = {.incarnation = tail.incarnation};
    // Soon after, another subscription may be found to have begun later. Later still, who subscribes is told as it does.
    if (!is_new && passed.digests == 0) continue;
    if (!is_new && passed.unfollowed == tail.passed && passed.since == tail.since) continue;
    passed.since = tail.since;
    passed.unfollowed = tail.passed;
    passed.sequence = std::max(passed.sequence, tail.since);
    passed.digests = hub_.options_.digests;
    part.emplace_back(tail.origin, passed);
    if (part.size() == origins_per_digest) say(std::exchange(part, {}));
  }
  if (!part.empty()) say(std::move(part));
}

void Hub::Side::note(std::string_view origin, std::uint64_t incarnation, std::uint64_t sequence,
                     absl::Span<const std::string_view> prefixes) {
  auto found = passed_.find(origin);
  if (found == passed_.end()) found = passed_.emplace(std::string(origin), Passed()).first;
  Passed& passed = found->second;
  if (passed.incarnation != incarnation) passed = {.incarnation = incarnation};
  passed.sequence = std::max(passed.sequence, sequence);
  passed.digests = hub_.options_.digests;
  for (const std::string_view prefix : prefixes) {
    Passed::Prefix& noted = passed.prefixes[std::string(prefix)];
    noted.sequence = std::max(noted.sequence, sequence);
    noted.digests = hub_.options_.digests;
  }
}

void Hub::Side::digest() {
  const std::vector<OriginTail> standing = other_->bus_.standing({});
  follow(standing);
  std::vector<std::pair<std::string, Passed>> part;
  std::size_t prefixes = 0;
  for (auto& [origin, passed] : passed_) {
    if (passed.digests == 0) continue;
    prefixes += passed.prefixes.size();
    part.emplace_back(origin, passed);
    --passed.digests;
    for (auto& [prefix, noted] : passed.prefixes) --noted.digests;
    std::erase_if(passed.prefixes, [](const auto& entry) { return entry.second.digests <= 0; });
    if (part.size() < origins_per_digest && prefixes < prefixes_per_digest) continue;
    say(std::exchange(part, {}));
    prefixes = 0;
  }
  if (!part.empty()) say(std::move(part));
  forget(standing);
}

// What does not stand beyond any more.
void Hub::Side::forget(absl::Span<const OriginTail> standing) {
  std::set<std::string_view> names;
  for (const OriginTail& tail : standing) names.insert(tail.origin);
  std::erase_if(passed_, [&](const auto& entry) {
    return entry.second.digests == 0 && !names.contains(entry.first);
  });
}

void Hub::Side::say(std::vector<std::pair<std::string, Passed>> part) {
  Draft draft = hub_.pool_.draft(hub_.options_.name);
  auto heartbeat = draft.payload().initNodeHeartbeat();
  heartbeat.setNode(hub_.options_.name);
  heartbeat.setBeat(beats_ + 1);
  auto tails = heartbeat.initTails(static_cast<unsigned>(part.size()));
  for (unsigned i = 0; i < tails.size(); ++i) {
    const auto& [origin, passed] = part[i];
    tails[i].setOrigin(origin);
    tails[i].setIncarnation(passed.incarnation);
    tails[i].setSequence(passed.sequence);
    tails[i].setSince(passed.since);
    tails[i].setUnfollowed(passed.unfollowed);
    auto prefixes = tails[i].initPrefixes(static_cast<unsigned>(passed.prefixes.size()));
    unsigned at = 0;
    for (const auto& [prefix, noted] : passed.prefixes) {
      prefixes[at].setPrefix(prefix);
      prefixes[at].setSequence(noted.sequence);
      ++at;
    }
  }
  Envelope envelope{.origin = origin_, .incarnation = hub_.options_.incarnation};
  for (std::uint64_t& previous : envelope.previous) previous = beats_;
  envelope.sequence = ++beats_;
  envelope.time = hub_.clock_.tick();
  if (!draft.set_topic().ok()) return;
  absl::StatusOr<Event> event = std::move(draft).seal(envelope);
  if (event.ok()) return bus_.publish(*event);
  on_rejected(hub_.options_.name, std::string(event.status().message()));
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
  cloud_->join(*wide_, /*hubs=*/false);
  wide_->join(*cloud_, /*hubs=*/true);
  cloud_->start();
  wide_->start();
  arm_digest();
}

Hub::~Hub() { scheduler_.cancel(digest_timer_); }

void Hub::arm_digest() {
  digest_timer_ = scheduler_.at(scheduler_.clock().now() + options_.digest_interval, [this] {
    arm_digest();
    cloud_->digest();
    wide_->digest();
  });
}

}  // namespace supercloud
