#include "bus/slow_subscribers.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_wire.h"
#include "core/text.h"

namespace supercloud {
namespace {

// NAME "/" NONCE "/"
std::string_view claim_of(std::string_view marker) {
  const std::string_view rest = marker.substr(marker_lead.size());
  return rest.substr(0, rest.find('/', rest.find('/') + 1) + 1);
}

// Those of one name stand together.
std::string key_of(std::string_view marker, std::string_view user) {
  const std::string_view claim = claim_of(marker);
  return user.empty() ? std::string(claim) : absl::StrCat(absl_view(user), "/", absl_view(claim));
}

}  // namespace

SlowSubscribers::SlowSubscribers(EventLoop& loop, std::uint64_t queue, Socket socket, Told told)
    : loop_(loop), queue_(queue), socket_(std::move(socket)), told_(std::move(told)) {}

SlowSubscribers::~SlowSubscribers() { loop_.cancel(timer_); }

void SlowSubscribers::answered(std::string_view marker, std::string_view user) {
  const std::string key = key_of(marker, user);
  if (const auto known = subscribers_.find(key); known != subscribers_.end()) {
    Subscriber& subscriber = known->second;
    if (subscriber.marker == marker) return;
    subscriber.earlier = std::exchange(subscriber.marker, std::string(marker));
    return;
  }
  const std::string_view claim = claim_of(marker);
  const std::string name(user.empty() ? claim.substr(0, claim.find('/')) : user);
  // A process that was killed may be there still.
  const auto first = subscribers_.lower_bound(name + "/");
  std::size_t of_name = 0;
  for (auto next = first; next != subscribers_.end() && next->second.name == name; ++next)
    ++of_name;
  if (of_name >= of_one_name_max) subscribers_.erase(first);
  if (subscribers_.size() >= subscribers_max) return;
  subscribers_.emplace(key, Subscriber{.name = name, .marker = std::string(marker), .earlier = {}});
}

void SlowSubscribers::let_go(std::string_view marker, std::string_view user) {
  const auto found = std::ranges::find_if(subscribers_, [&](const auto& entry) {
    const Subscriber& subscriber = entry.second;
    return (subscriber.marker == marker || subscriber.earlier == marker) &&
           (user.empty() || subscriber.name == user);
  });
  if (found == subscribers_.end()) return;
  Subscriber& subscriber = found->second;
  if (subscriber.marker == marker) subscriber.marker = subscriber.earlier;
  subscriber.earlier.clear();
  if (!subscriber.marker.empty()) return;
  nameless_ += subscriber.denied;
  subscribers_.erase(found);
}

void SlowSubscribers::denied(std::uint64_t events) {
  if (may_look()) {
    look(events);
  } else {
    nameless_ += events;
  }
  if (timer_ != 0) return;
  const Duration wait = std::exchange(has_told_, true) ? absl::Seconds(1) : absl::ZeroDuration();
  timer_ = loop_.at(loop_.clock().now() + wait, [this] { tell(); });
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

void SlowSubscribers::look(std::uint64_t events) {
  // Nobody's: who has it subscribes all.
  const bool all_named = socket_.send(marker_lead);
  if (!all_named) socket_.send_lossy(marker_lead);
  bool found = false;
  for (auto& [key, subscriber] : subscribers_) {
    if (socket_.send(subscriber.marker)) continue;
    subscriber.denied += events;
    found = true;
  }
  if (!all_named || !found) nameless_ += events;
}

void SlowSubscribers::tell() {
  timer_ = 0;
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
