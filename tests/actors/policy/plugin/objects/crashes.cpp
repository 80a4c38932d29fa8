// Takes its process along.
#include <cstdlib>

#include "tests/actors/policy/plugin/objects/object.h"

namespace {

void decide(void* /*self*/, const void* /*world*/, size_t /*size*/,
            const supercloud_policy_sink* /*sink*/) {
  std::abort();
}

}  // namespace

const supercloud_policy* supercloud_policy_entry() {
  static const supercloud_policy policy = plugin::table(&decide);
  return &policy;
}
