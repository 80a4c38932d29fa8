// What the members of a bus subscribe, all together, and therefore its relay beyond it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "bus/beyond.h"

namespace supercloud {

// Thread-bound. `beyond` outlives it.
class Interest {
 public:
  using Prefixes = std::set<std::string, std::less<>>;
  // `in_effect`: is told of each prefix for which it came to be so; not from inside set() of it.
  using InEffect = std::function<void(const std::string& prefix)>;
  Interest(Beyond& beyond, InEffect in_effect)
      : beyond_(beyond), told_in_effect_(std::move(in_effect)) {}

  // As members have them on the wire, whatever their length.
  void set(const Prefixes& wanted);
  // What is not subscribed beyond is in effect as it is.
  bool in_effect(std::string_view prefix) const;
  // So many were asked for until now; and whether of these all are in effect that are wanted still.
  std::uint64_t asked() const { return asked_; }
  bool in_effect_up_to(std::uint64_t asked) const;

 private:
  struct Wanted {
    std::uint64_t asked = 0;
    bool in_effect = false;
  };

  Beyond& beyond_;
  InEffect told_in_effect_;
  std::map<std::string, Wanted, std::less<>> wanted_;  // by prefix
  std::uint64_t asked_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
