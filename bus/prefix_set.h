// Beginnings of topics, and whether a topic has one of them. Pure.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>

namespace supercloud {

class PrefixSet {
 public:
  void add(std::string_view prefix) { prefixes_.emplace(prefix); }
  void remove(std::string_view prefix) {
    if (const auto found = prefixes_.find(prefix); found != prefixes_.end()) prefixes_.erase(found);
  }
  template <class Condition>
  void remove_if(Condition condition) {
    std::erase_if(prefixes_, std::move(condition));
  }
  template <class Function>
  void each(Function function) const {
    for (const std::string& prefix : prefixes_) function(prefix);
  }
  bool has(std::string_view prefix) const { return prefixes_.find(prefix) != prefixes_.end(); }
  std::size_t size() const { return prefixes_.size(); }
  bool empty() const { return prefixes_.empty(); }

  // Whether one of them is where `topic` begins, itself included.
  bool covers(std::string_view topic) const {
    // The last that sorts no later than the topic is its prefix, or differs from it behind all of its prefixes.
    for (auto next = prefixes_.upper_bound(topic); next != prefixes_.begin();
         next = prefixes_.upper_bound(topic)) {
      const std::string& nearest = *--next;
      if (topic.starts_with(nearest)) return true;
      std::size_t same = 0;
      while (same < nearest.size() && nearest[same] == topic[same]) ++same;
      topic = topic.substr(0, same);
    }
    return false;
  }

 private:
  std::set<std::string, std::less<>> prefixes_;
};

}  // namespace supercloud
