#include "simulation/listener.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {

const char* ListenerBook::actor() const {
  return full_ == Queueing::Full::conflate ? "conflates" : "drops_oldest";
}

void ListenerBook::began() {
  alive_ = true;
  owed_.clear();
  given_.clear();
  newest_.clear();
  missed_.clear();
}

void ListenerBook::heard(const Event& event) {
  if (!alive_ || !Pattern::of(pattern).matches(event.topic())) return;
  owed_.push_back({.stream = {str(event.origin()), event.incarnation()},
                   .sequence = event.sequence(),
                   .topic = str(event.topic()),
                   .said = event.time(),
                   .at = world_.now()});
}

void ListenerBook::given(const Event& event) {
  const Stream stream(str(event.origin()), event.incarnation());
  given_[stream][event.sequence()] = true;
  std::uint64_t& newest =
      newest_[{stream, full_ == Queueing::Full::conflate ? str(event.topic()) : std::string()}];
  if (event.sequence() <= newest)
    wrong_.push_back(absl::StrCat(event.id().to_string(), " came after ", newest));
  newest = std::max(newest, event.sequence());
}

void ListenerBook::missed(const BusGap& gap) {
  missed_.push_back(gap);
  if (gap.why.find("lets the oldest go") != std::string::npos) ++let_go_;
}

bool ListenerBook::settled(const Owed& owed) const {
  const auto given = given_.find(owed.stream);
  if (given != given_.end() && given->second.contains(owed.sequence)) return true;
  return std::ranges::any_of(missed_, [&](const BusGap& gap) {
    return gap.origin == owed.stream.first && gap.incarnation == owed.stream.second &&
           gap.after < owed.sequence && owed.sequence <= gap.up_to;
  });
}

void ListenerBook::judge(Instant before, const std::function<void(std::string what)>& say) const {
  for (const std::string& wrong : wrong_) say(wrong);
  if (!alive_) return;
  // Of one topic, whoever says it: what is older than what another has said of it comes too late.
  std::map<std::string, const Owed*> last;
  for (const Owed& owed : owed_) {
    const Owed*& newest = last[owed.topic];
    if (newest == nullptr || newest->stream.first == owed.stream.first || newest->said <= owed.said)
      newest = &owed;
  }
  for (const Owed& owed : owed_) {
    if (full_ == Queueing::Full::conflate && last[owed.topic] != &owed) continue;
    if (owed.at >= before || settled(owed)) continue;
    say(absl::StrCat(owed.stream.first, ":", owed.stream.second, ":", owed.sequence, " (",
                     owed.topic, ") came to its node, and was neither given nor told as missing"));
  }
}

Listener::Listener(Context& context, ListenerBook& book, bool silent) : book_(book) {
  book.began();
  context.on_gap([&book, silent](const BusGap& gap) {
    if (!silent) book.missed(gap);
  });
  context.subscribe(Pattern::of(ListenerBook::pattern), nullptr, book.queueing());
}

}  // namespace supercloud
