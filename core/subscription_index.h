// Who wants an event: subscriptions found through the payload type, so that most patterns need no matching.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/event.h"
#include "core/topic.h"

namespace supercloud {

class ActorCell;

// Thread-bound.
class SubscriptionIndex {
 public:
  SubscriptionIndex();

  // `queue`: the number of the queue of its own that it has; 0: none.
  void add(ActorCell& cell, const Pattern& pattern, std::uint32_t queue = 0);
  // One subscription of `cell` to `pattern`; false: there is none.
  bool remove(ActorCell& cell, const Pattern& pattern);
  void remove_all(ActorCell& cell);

  // Calls each(ActorCell&, queue) for every subscriber of the event, once, in the order of their first matching subscriptions, with the
  // queue of that one.
  // `each` must not change the index.
  template <class Each>
  void match(const Event& event, Each each) {
    const std::vector<Item>& items = items_for(event.type());
    std::string_view topic;
    seen_.clear();
    for (const Item& item : items) {
      if (!item.whole) {
        if (topic.empty()) topic = event.topic();
        if (!item.entry->pattern.matches(topic)) continue;
      }
      if (seen(item.entry->cell)) continue;
      each(*item.entry->cell, item.entry->queue);
    }
  }

 private:
  struct Entry {
    ActorCell* cell = nullptr;
    Pattern pattern;
    std::uint32_t queue = 0;
  };
  struct Item {
    Entry* entry = nullptr;
    bool whole = false;  // every event of the type matches
  };

  const std::vector<Item>& items_for(schema::Payload::Which type) const {
    const auto index = static_cast<std::size_t>(type);
    return index < by_type_.size() ? by_type_[index] : by_type_[0];
  }
  bool seen(ActorCell* cell) {
    for (const ActorCell* other : seen_) {
      if (other == cell) return true;
    }
    seen_.push_back(cell);
    return false;
  }
  void erase(std::size_t index);

  std::vector<std::unique_ptr<Entry>> entries_;  // in order of subscription
  // in the same order; 0: of types this build does not know
  std::vector<std::vector<Item>> by_type_;
  std::vector<ActorCell*> seen_;
};

}  // namespace supercloud
