// What a library written in C has given, and gets back.
#pragma once

#include <memory>

namespace supercloud {

template <typename Thing, auto give_back>
struct GiveBack {
  void operator()(Thing* thing) const { give_back(thing); }
};

template <typename Thing, auto give_back>
using Handle = std::unique_ptr<Thing, GiveBack<Thing, give_back>>;

}  // namespace supercloud
