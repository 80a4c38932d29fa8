#include "bus/slow_subscribers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_wire.h"
#include "core/text.h"

namespace supercloud {
namespace {

// Those of one name stand together.
std::string key_of(std::string_view marker, std::string_view user) {
  const std::string_view claim = claim_of(marker);
  return user.empty() ? std::string(claim) : absl::StrCat(absl_view(user), "/", absl_view(claim));
}

}  // namespace

std::string_view claim_of(std::string_view marker) {
  const std::string_view rest = marker.substr(marker_lead.size());
  return rest.substr(0, rest.find('/', rest.find('/') + 1) + 1);
}

SlowSubscribers::SlowSubscribers(EventLoop& loop, std::uint64_t queue, Socket socket, Told told)
    : loop_(loop), queue_(queue), socket_(std::move(socket)), told_(std::move(told)) {}

SlowSubscribers::~SlowSubscribers() { loop_.cancel(timer_); }

void SlowSubscribers::answered(std::string_view marker, std::string_view user) {
  const std::string key = key_of(marker, user);
  const Instant now = loop_.clock().now();
  const Instant sure_at = denied_ ? now + sure_after : now;
  if (const auto known = subscribers_.find(key); known != subscribers_.end()) {
    Subscriber& subscriber = known->second;
    if (subscriber.marker == marker) return;
    subscriber.earlier = std::exchange(subscriber.marker, std::string(marker));
    subscriber.sure_at = sure_at;
    return;
  }
  const std::string_view claim = claim_of(marker);
  const std::string name(user.empty() ? claim.substr(0, claim.find('/')) : user);
  // A process that was killed may be there still.
  const auto first = subscribers_.lower_bound(name + "/");
  std::size_t of_name = 0;
  for (auto next = first; next != subscribers_.end() && next->second.name == name; ++next)
    ++of_name;
  if (of_name >= of_one_name_max) {
    count();
    nameless_ += first->second.denied;
    subscribers_.erase(first);
  }
  if (subscribers_.size() >= subscribers_max) return;
  subscribers_.emplace(
      key,
      Subscriber{.name = name, .marker = std::string(marker), .earlier = {}, .sure_at = sure_at});
}

void SlowSubscribers::let_go(std::string_view marker, std::string_view user) {
  const auto found = std::ranges::find_if(subscribers_, [&](const auto& entry) {
    const Subscriber& subscriber = entry.second;
    return (subscriber.marker == marker || subscriber.earlier == marker) &&
           (user.empty() || subscriber.name == user);
  });
  if (found == subscribers_.end()) return;
  Subscriber& subscriber = found->second;
  if (subscriber.marker == marker)
    subscriber.marker = subscriber.earlier;
  else
    subscriber.told_until = subscriber.sure_at = {};  // the answer to the other has come
  subscriber.earlier.clear();
  if (!subscriber.marker.empty()) return;
  count();
  nameless_ += subscriber.denied;
  subscribers_.erase(found);
}

bool SlowSubscribers::denied(std::uint64_t events) {
  denied_ = true;
  if (may_look()) {
    count();
    if (!look()) return false;
  }
  for (auto& [key, subscriber] : subscribers_) {
    if (!subscriber.full) continue;
    subscriber.told_until = loop_.clock().now() + told_for;
    losers_ = true;
  }
  uncounted_ += events;
  tell_soon();
  return true;
}

void SlowSubscribers::lost(std::uint64_t events) {
  const Instant now = loop_.clock().now();
  bool named = false;
  for (auto& [key, subscriber] : subscribers_) {
    if (subscriber.told_until <= now) continue;
    subscriber.denied += events;
    named = true;
  }
  if (!named) nameless_ += events;
  tell_soon();
}

bool SlowSubscribers::may_look() {
  const Instant now = loop_.clock().now();
  if (now - since_ >= absl::Seconds(1)) {
    since_ = now;
    messages_ = 0;
  }
  messages_ += subscribers_.size() + 1;
  return messages_ <= messages_max;
}

bool SlowSubscribers::look() {
  // Nobody's: who has it subscribes all.
  nameless_full_ = !socket_.send(marker_lead, {});
  if (nameless_full_) socket_.send_lossy(marker_lead, {});
  bool found = nameless_full_;
  const Instant now = loop_.clock().now();
  for (auto& [key, subscriber] : subscribers_) {
    const std::string& known = subscriber.known(now);
    subscriber.full = !known.empty() && !socket_.send(known, {});
    found = found || subscriber.full;
  }
  return found;
}

bool SlowSubscribers::look_for_losers() {
  if (!socket_.had_news()) return false;
  losers_ = false;
  const Instant now = loop_.clock().now();
  for (const auto& [key, subscriber] : subscribers_) {
    if (subscriber.told_until <= now) continue;
    losers_ = true;
    if (const std::string& known = subscriber.known(now); !known.empty())
      socket_.send(known, loss_sign);
  }
  return !losers_;
}

void SlowSubscribers::count() {
  const std::uint64_t events = std::exchange(uncounted_, 0);
  if (events == 0) return;
  bool named = false;
  for (auto& [key, subscriber] : subscribers_) {
    if (!subscriber.full) continue;
    subscriber.denied += events;
    named = true;
  }
  if (nameless_full_ || !named) nameless_ += events;
}

void SlowSubscribers::tell_soon() {
  if (timer_ != 0) return;
  const Duration wait = std::exchange(has_told_, true) ? absl::Seconds(1) : absl::ZeroDuration();
  timer_ = loop_.at(loop_.clock().now() + wait, [this] { tell(); });
}

void SlowSubscribers::tell() {
  timer_ = 0;
  count();
  if (!told_) return;
  std::vector<std::pair<std::string, std::uint64_t>> slow;
  for (auto& [key, subscriber] : subscribers_) {
    const std::uint64_t events = std::exchange(subscriber.denied, 0);
    if (events > 0) slow.emplace_back(subscriber.name, queue_ + events);
  }
  if (const std::uint64_t events = std::exchange(nameless_, 0); events > 0) {
    slow.emplace_back("", events);
  }
  for (const auto& [name, backlog] : slow) told_(name, backlog);
}

}  // namespace supercloud
