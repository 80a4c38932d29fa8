#include "core/subscription_index.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace supercloud {

namespace {

// The last type this build knows, plus one. Types are numbered without holes.
std::size_t count_types() {
  std::size_t count = 1;
  while (!topic_of(static_cast<schema::Payload::Which>(count)).empty()) ++count;
  return count;
}

// Whether of "domain.event." and the literal beginning of a pattern one begins with the other.
bool agree(std::string_view kind, std::string_view prefix) {
  const std::size_t shared = std::min(kind.size(), prefix.size());
  return kind.substr(0, shared) == prefix.substr(0, shared) &&
         (prefix.size() <= kind.size() || prefix[kind.size()] == '.');
}

// Whether that is the pattern: all of a domain, or all of an event's type.
bool takes_all(std::string_view pattern, std::string_view kind) {
  if (pattern == ">") return true;
  if (!pattern.ends_with(".>")) return false;
  pattern.remove_suffix(2);
  return pattern == kind || pattern == kind.substr(0, kind.find('.'));
}

}  // namespace

SubscriptionIndex::SubscriptionIndex() : by_type_(count_types()) {}

void SubscriptionIndex::add(ActorCell& cell, const Pattern& pattern, std::uint32_t queue) {
  entries_.push_back(std::make_unique<Entry>(Entry{&cell, pattern, queue}));
  Entry* entry = entries_.back().get();
  by_type_[0].push_back({entry, pattern.text() == ">"});
  const std::string& prefix = pattern.wire_prefix();
  for (std::size_t type = 1; type < by_type_.size(); ++type) {
    const std::string_view kind = topic_of(static_cast<schema::Payload::Which>(type));
    if (agree(kind, prefix)) by_type_[type].push_back({entry, takes_all(pattern.text(), kind)});
  }
}

bool SubscriptionIndex::remove(ActorCell& cell, const Pattern& pattern) {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i]->cell == &cell && entries_[i]->pattern == pattern) {
      erase(i);
      return true;
    }
  }
  return false;
}

void SubscriptionIndex::remove_all(ActorCell& cell) {
  for (std::size_t i = entries_.size(); i-- > 0;) {
    if (entries_[i]->cell == &cell) erase(i);
  }
}

void SubscriptionIndex::erase(std::size_t index) {
  const Entry* gone = entries_[index].get();
  for (std::vector<Item>& items : by_type_) {
    std::erase_if(items, [gone](const Item& item) { return item.entry == gone; });
  }
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(index));
}

}  // namespace supercloud
