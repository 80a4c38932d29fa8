#include "core/subscription_index.h"

#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

namespace {

// The last type this build knows, plus one. Types are numbered without holes.
std::size_t count_types() {
  std::size_t count = 1;
  while (!topic_of(static_cast<schema::Payload::Which>(count)).empty()) ++count;
  return count;
}

}  // namespace

SubscriptionIndex::SubscriptionIndex() : by_type_(count_types()) {}

void SubscriptionIndex::add(ActorCell& cell, const Pattern& pattern) {
  entries_.push_back(std::make_unique<Entry>(Entry{&cell, pattern}));
  Entry* entry = entries_.back().get();
  by_type_[0].push_back({entry, pattern.text() == ">"});
  const std::string& prefix = pattern.wire_prefix();
  for (std::size_t type = 1; type < by_type_.size(); ++type) {
    std::string head(topic_of(static_cast<schema::Payload::Which>(type)));
    head += '.';
    // The pattern's literal beginning and "domain.event." agree as far as the shorter one goes.
    if (!head.starts_with(prefix) && !prefix.starts_with(head)) continue;
    const std::string domain = head.substr(0, head.find('.') + 1);
    const bool whole =
        pattern.text() == ">" || pattern.text() == domain + ">" || pattern.text() == head + ">";
    by_type_[type].push_back({entry, whole});
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
