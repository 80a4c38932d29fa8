#include "actors/reading/reading.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::string_view not_in_log =
    "what was said from here to the beginning of the stream is told as far as the log has it: "
    "passing events "
    "(progress, lag, heartbeats) are in none";
constexpr std::string_view lost_from_log = "the log of its node does not have it";
constexpr std::string_view log_is_lost =
    "its node has lost its log: how much more there was, nobody knows";
constexpr std::string_view not_arrived = "it did not arrive";
constexpr std::size_t types_max = 512;  // more than there are payload types

std::size_t tokens_in(std::string_view prefix) {
  return static_cast<std::size_t>(std::ranges::count(prefix, '.'));
}

// Whether volatile events may have a topic that begins with these two tokens, of which any may be a wildcard or empty.
bool may_be_volatile(std::string_view domain, std::string_view event) {
  const auto fits = [](std::string_view wanted, std::string_view token) {
    return wanted.empty() || wanted == "*" || wanted == ">" || wanted == token;
  };
  for (std::uint16_t i = 0; i < types_max; ++i) {
    const auto type = static_cast<schema::Payload::Which>(i);
    const std::string_view topic = topic_of(type);
    if (topic.empty() || delivery_of(type) != schema::Delivery::VOLATILE) continue;
    if (!fits(domain, topic_token(topic, 0))) continue;
    if (domain == ">" || fits(event, topic_token(topic, 1))) return true;
  }
  return false;
}

bool matches_volatile(const Pattern& pattern) {
  return may_be_volatile(topic_token(pattern.text(), 0), topic_token(pattern.text(), 1));
}

bool begins_volatile(const std::string& prefix) {
  return may_be_volatile(topic_token(prefix, 0), topic_token(prefix, 1));
}

bool begins_with(std::string_view topic, std::string_view prefix) {
  return prefix.empty() || (topic.size() + 1 >= prefix.size() &&
                            topic.starts_with(prefix.substr(0, prefix.size() - 1)) &&
                            (topic.size() + 1 == prefix.size() || topic[prefix.size() - 1] == '.'));
}

}  // namespace

Reading::Reading(std::uint64_t id, ReadingHost& host, ReadingSink& sink, Begin begin)
    : id_(id),
      host_(host),
      sink_(sink),
      cursor_(std::move(begin.cursor)),
      past_(begin.past),
      limit_(begin.limit),
      prefix_(cursor_.pattern.wire_prefix()),
      pending_max_(begin.pending_max),
      passing_(matches_volatile(cursor_.pattern)),
      by_type_(!passing_ && begins_volatile(prefix_)),
      stands_(cursor_.origins),
      floors_(cursor_.origins) {
  if (past_) {
    open_logs();
  } else {
    attached_ = live_ = true;
  }
}

void Reading::open_logs() {
  for (const auto& [node, alive] : host_.nodes()) {
    if (alive) {
      logs_.try_emplace({node});
      logs_.try_emplace({node, true});
    } else if (!attached_) {
      do_without(node, "the node does not run");
    }
  }
  if (attached_) return;
  for (const auto& [origin, stand] : cursor_.origins) {
    std::string node = str(node_of(origin));
    if (!host_.nodes().contains(node)) do_without(node, "no such node is known");
  }
}

// Archives were passed over where they told of it.
void Reading::do_without(const std::string& node, std::string why) {
  if (!absent_.try_emplace(node, Absent{std::move(why)}).second) return;
  for (auto& [source, log] : logs_) {
    if (!source.archive || log.failed) continue;
    log = Log{.end = source.node == node, .failed = source.node == node, .times = log.times + 1};
  }
}

void Reading::tell_of_absent() {
  for (auto& [node, absent] : absent_) {
    const auto own = logs_.find({node});
    const bool has_come = own != logs_.end() && !own->second.failed;
    if (has_come || std::exchange(absent.told, true)) continue;
    to_tell_.push_back(
        {.origin = node,
         .why = absl::StrCat(absent.why, absent.archived
                                             ? ": what it said last may be in no archive"
                                             : ": what only its log has is missing here")});
  }
}

// From here on nothing that the host hears is lost to it.
void Reading::attach() {
  attached_ = true;
  for (const Event& event : host_.recent())
    if (begins_with(event.topic(), prefix_)) pending_.push_back(event);
  std::ranges::sort(pending_,
                    [](const Event& a, const Event& b) { return order_of(a) < order_of(b); });
  // What reached the logs while the reading was not attached.
  for (auto& [source, log] : logs_) log.end = log.failed;
  open_logs();
}

// True: it has to wait for a page.
bool Reading::ask() {
  bool waiting = false;
  for (auto& [source, log] : logs_) {
    if (!log.page.empty() || log.end) continue;
    waiting = true;
    if (std::exchange(log.asked, true)) continue;
    LogQuestion question{.from = log.from, .pattern = prefix_ + ">"};
    if (log.from == 0) question.behind = behind(source);
    host_.page(id_, source, std::move(question),
               [this, source = source, times = log.times,
                attached = attached_](const ReadingHost::Page& page) {
                 const auto asked = logs_.find(source);
                 if (asked != logs_.end() && asked->second.times == times)
                   take_page(source, attached, page);
                 step();
               });
  }
  return waiting;
}

void Reading::take_page(const Source& source, bool attached, const ReadingHost::Page& page) {
  Log& log = logs_[source];
  log.asked = false;
  const std::string word = source.archive ? "archive" : "log";
  if (!page.ok() || !page->reader().isLog()) {
    log.end = log.failed = true;
    // Few nodes have one; and who has no log for it has none of the other.
    if (source.archive && (absl::IsNotFound(page.status()) || absent_.contains(source.node)))
      return;
    std::string why =
        absl::StrCat("its ", word, " was asked for and not got: ",
                     page.ok() ? "it answers with something else" : page.status().message());
    if (source.archive) {
      to_tell_.push_back({.origin = source.node, .why = std::move(why)});
    } else {
      do_without(source.node, std::move(why));
    }
    return;
  }
  const auto read = page->reader().getLog();
  for (const auto data : read.getEvents()) {
    auto event = host_.parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
    if (!event.ok()) {
      to_tell_.push_back(
          {.origin = source.node,
           .why = absl::StrCat("an event of its ", word, " is none: ", event.status().message())});
    } else if (is_of(*event, source)) {
      log.page.push_back(*std::move(event));
    }
  }
  const bool stuck = !read.getEnd() && read.getNext() <= log.from;
  if (stuck) {
    log.failed = true;
    to_tell_.push_back(
        {.origin = source.node, .why = absl::StrCat("its ", word, " does not get on")});
  }
  log.end = stuck || (read.getEnd() && attached == attached_);
  log.from = read.getNext();
}

// In its log a node speaks for itself; an archive for nodes whose logs cannot be had.
bool Reading::is_of(const Event& event, const Source& source) {
  const std::string node = str(node_of(event.origin()));
  if (!source.archive) return node == source.node;
  const auto own = logs_.find({node});
  if (own != logs_.end() && !own->second.failed) return false;
  const auto absent = absent_.find(node);
  if (absent != absent_.end()) absent->second.archived = true;
  return true;
}

std::deque<Event>* Reading::earliest() {
  std::deque<Event>* found = pending_.empty() ? nullptr : &pending_;
  for (auto& [source, log] : logs_)
    if (!log.page.empty() &&
        (found == nullptr || order_of(log.page.front()) < order_of(found->front())))
      found = &log.page;
  return found;
}

void Reading::step() {
  while (!done_ && !live_) {
    // A page ends where it is full; a stream goes on when it has been read.
    const auto wait = [this] {
      if (limit_) end(std::nullopt);
    };
    if (!sink_.has_room() || (limit_ && given_ >= *limit_)) return wait();
    if (!to_tell_.empty()) {
      if (!tell(to_tell_.front())) return wait();
      to_tell_.pop_front();
      continue;
    }
    if (ask()) return;
    std::deque<Event>* const next = earliest();
    if (next == nullptr) {
      tell_of_absent();
      if (!to_tell_.empty()) continue;
      if (limit_) return end(std::nullopt);
      if (attached_) {
        live_ = true;
        logs_.clear();
        told_.clear();
        return sink_.caught_up();
      }
      attach();
      continue;
    }
    const auto& recent = host_.recent();
    if (!limit_ && !attached_ && !recent.empty() && next->front().time() >= recent.front().time()) {
      attach();
      continue;
    }
    const Event event = next->front();
    const bool heard = next == &pending_;
    if (!give(event, heard)) return wait();
    next->pop_front();
  }
}

void Reading::hear(const Event& event) {
  if (done_ || !attached_ || !begins_with(event.topic(), prefix_)) return;
  if (live_) {
    if (!give(event, true)) end(SlowReader::buffer);
    return;
  }
  if (pending_.size() >= pending_max_) return end(SlowReader::behind);
  pending_.push_back(event);
}

std::deque<Event> Reading::again() {
  past_ = true;
  attached_ = live_ = done_ = false;
  logs_.clear();
  absent_.clear();
  to_tell_.clear();
  told_.clear();
  open_logs();
  return std::exchange(pending_, {});
}

void Reading::missed(const BusGap& gap) {
  if (done_ || !attached_) return;
  MissedEvents missed{
      .origin = gap.origin, .incarnation = gap.incarnation, .after = gap.after, .why = gap.why};
  if (missed.why.empty()) missed.why = str(not_arrived);
  if (gap.up_to != BusGap::unknown) missed.up_to = gap.up_to;
  if (!live_) {
    if (to_tell_.size() >= pending_max_) return end(SlowReader::behind);
    to_tell_.push_back(std::move(missed));
    step();
    return;
  }
  if (!tell(missed)) end(SlowReader::buffer);
}

// False: no room; it is given again.
bool Reading::give(const Event& event, bool heard) {
  const Stand stand{event.incarnation(), event.sequence()};
  const auto stood = stands_.find(event.origin());
  if (stood != stands_.end() && stand <= stood->second) return true;
  if (past_ && !live_ && event.time() < cursor_.start && !cursor_.find(event.origin())) {
    pass(event, false);
    return true;
  }
  if (!tell_missing(event, heard)) return false;
  if (!cursor_.pattern.matches(event.topic())) {
    // Only who reads passing events has to know how far an origin was that said nothing else to them.
    pass(event, passing_ || cursor_.find(event.origin()) != nullptr);
    return true;
  }
  if (!offer(event.origin(), stand, event)) return false;
  pass(event, true);
  return true;
}

// With the cursor of a reader that has it; `stand` of no incarnation: it is no step further.
template <class Told>
bool Reading::offer(std::string_view origin, Stand stand, const Told& told) {
  const Stand* const known = cursor_.find(origin);
  const std::optional<Stand> before = known ? std::optional(*known) : std::nullopt;
  const bool was_full = cursor_.full;
  if (stand.incarnation != 0 && !cursor_.pass(origin, stand)) cursor_.full = true;
  if (sink_.offer(cursor_, told)) {
    ++given_;
    return true;
  }
  const auto passed = cursor_.origins.find(origin);
  if (before) {
    passed->second = *before;
  } else if (passed != cursor_.origins.end()) {
    cursor_.origins.erase(passed);
  }
  cursor_.full = was_full;
  return false;
}

bool Reading::tell_missing(const Event& event, bool heard) {
  MissedEvents missed{
      .origin = str(event.origin()), .incarnation = event.incarnation(), .heard = heard};
  const auto stood = stands_.find(event.origin());
  const bool goes_on = stood != stands_.end() && stood->second.incarnation == event.incarnation();
  const std::uint64_t all = event.previous(tokens_in(prefix_));
  if (heard && goes_on && all <= stood->second.sequence) return true;
  const std::optional<Stand> before = passed_before(event);
  const std::uint64_t previous = event.previous(chain_tokens());
  if (before && before->incarnation < event.incarnation() && !live_ &&
      !told_.contains(missed.origin)) {  // live, the bus has said so
    MissedEvents lost = missed;
    lost.incarnation = before->incarnation;
    lost.after = before->sequence;
    lost.why = str(log_is_lost);
    if (!tell(lost)) return false;
  }
  if (before && before->incarnation == event.incarnation()) missed.after = before->sequence;
  if (stood == stands_.end() && !past_) {
    // A reader of what happens from now on has missed nothing of before.
    begins_[missed.origin] = {event.incarnation(), all};
    return true;
  }
  missed.up_to = heard ? all : previous;
  if (previous <= missed.after) {
    if (!heard || !by_type_ || all == 0) return true;
    missed.after = goes_on ? stood->second.sequence : 0;
    missed.up_to = all;
    missed.perhaps = true;
  }
  const bool joins = passing_ && !live_;  // what was read and what is heard
  missed.why = str(joins ? not_in_log : heard ? not_arrived : lost_from_log);
  if (heard || !passing_) return tell(missed);
  if (told_.contains(missed.origin)) return true;
  missed.up_to.reset();
  return tell(missed);
}

bool Reading::tell(const MissedEvents& missed) {
  const bool known = missed.up_to && is_origin(missed.origin);
  const Stand stand = known ? Stand{missed.incarnation, *missed.up_to} : Stand{};
  if (!offer(missed.origin, stand, missed)) return false;
  if (!live_) told_.insert(missed.origin);
  if (stand.incarnation != 0) {
    for (auto* const stands : {&stands_, &floors_}) {
      Stand& at = (*stands)[missed.origin];
      at = std::max(at, stand);
    }
    const auto begin = begins_.find(missed.origin);
    if (begin != begins_.end() && begin->second <= stand)
      begin->second = std::min(begin->second, Stand{missed.incarnation, missed.after});
  }
  return true;
}

bool Reading::accounts_for(const BusGap& gap) const {
  const auto stood = stands_.find(gap.origin);
  if (gap.up_to == BusGap::unknown || stood == stands_.end() ||
      stood->second < Stand{gap.incarnation, gap.up_to})
    return false;
  const auto begin = begins_.find(gap.origin);
  return begin == begins_.end() || begin->second <= Stand{gap.incarnation, gap.after};
}

// What give() would pass over.
std::vector<EventId> Reading::behind(const Source& source) const {
  std::vector<EventId> stands;
  for (const auto& [origin, stand] : stands_)
    if (source.archive || node_of(origin) == source.node)
      stands.push_back({origin, stand.incarnation, stand.sequence});
  return stands;
}

// The newest of its origin that the reader has passed, as far as it tells whether the one before this is missing.
std::optional<Stand> Reading::passed_before(const Event& event) const {
  std::optional<Stand> found;
  const auto consider = [&](const auto& stands, std::string_view key) {
    const auto at = stands.find(key);
    if (at != stands.end() && (!found || *found < at->second)) found = at->second;
  };
  consider(floors_, event.origin());
  if (by_type_) {
    consider(chains_, chain_of(event));
  } else {
    consider(stands_, event.origin());
  }
  return found;
}

// Passing events are in no log, and leave no trace there but in the events of other types. Who reads none of them is not told of
// them: then chains are as narrow as a type.
std::size_t Reading::chain_tokens() const {
  const std::size_t tokens = tokens_in(prefix_);
  return by_type_ ? std::max<std::size_t>(tokens, 2) : tokens;
}

std::string Reading::chain_of(const Event& event) const {
  return absl::StrCat(absl_view(event.origin()), " ", topic_prefix(event.topic(), chain_tokens()));
}

// `told`: or not to be told; else it is of before the beginning, and no part of the cursor.
void Reading::pass(const Event& event, bool told) {
  const Stand stand{event.incarnation(), event.sequence()};
  stands_[str(event.origin())] = stand;
  if (by_type_) chains_[chain_of(event)] = stand;
  if (told && !cursor_.pass(event.origin(), stand)) cursor_.full = true;
}

void Reading::end(std::optional<SlowReader> slow) {
  done_ = true;
  sink_.end(cursor_, slow);
}

}  // namespace supercloud
