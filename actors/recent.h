// The newest entries of what would otherwise be remembered for ever: facts that have been applied, or that wait for another one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <variant>

namespace supercloud {

// A map of at most `max` entries: one more drops the one that was made first. A value type.
template <class Key, class Value>
class RecentMap {
 public:
  explicit RecentMap(std::size_t max) : max_(max) {}

  // Made if it is not there.
  Value& operator[](const Key& key) {
    const auto [found, is_new] = entries_.try_emplace(key, Entry{made_, Value()});
    if (!is_new) return found->second.value;
    order_.emplace(made_++, key);
    if (entries_.size() > max_) erase(Key(order_.begin()->second));
    return entries_.find(key)->second.value;
  }
  bool contains(const Key& key) const { return entries_.find(key) != entries_.end(); }
  // Null: it is not there.
  const Value* find(const Key& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second.value;
  }
  std::optional<Value> extract(const Key& key) {
    const auto found = entries_.find(key);
    if (found == entries_.end()) return std::nullopt;
    std::optional<Value> value = std::move(found->second.value);
    order_.erase(found->second.made);
    entries_.erase(found);
    return value;
  }
  bool erase(const Key& key) { return extract(key).has_value(); }
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::uint64_t made;
    Value value;
  };
  std::size_t max_;  // at least 1
  std::uint64_t made_ = 0;
  std::map<Key, Entry> entries_;
  std::map<std::uint64_t, Key> order_;
};

template <class Key>
class RecentSet {
 public:
  explicit RecentSet(std::size_t max) : keys_(max) {}
  // False: it was there.
  bool insert(const Key& key) {
    const bool is_new = !keys_.contains(key);
    keys_[key];
    return is_new;
  }
  bool contains(const Key& key) const { return keys_.contains(key); }
  bool erase(const Key& key) { return keys_.erase(key); }
  std::size_t size() const { return keys_.size(); }

 private:
  RecentMap<Key, std::monostate> keys_;
};

}  // namespace supercloud
