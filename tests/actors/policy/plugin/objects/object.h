// What the bad plug-ins of the tests share.
#pragma once

#include "actors/policy/plugin/policy_abi.h"

namespace plugin {

inline int self;
inline void* create(const char** /*why*/) { return &self; }
inline void destroy(void* /*self*/) {}

using Decide = void (*)(void* self, const void* world, size_t size,
                        const supercloud_policy_sink* sink);
constexpr supercloud_policy table(Decide decide) {
  return {supercloud_policy_abi_version, "bad", "0", "nothing", &create, decide, &destroy};
}

}  // namespace plugin
