// Will not be created.
#include "tests/actors/policy/plugin/objects/object.h"

namespace {

void decide(void* /*self*/, const void* /*world*/, size_t /*size*/,
            const supercloud_policy_sink* /*sink*/) {}
void* refuse(const char** why) {
  *why = "its license has ended";
  return nullptr;
}

}  // namespace

const supercloud_policy* supercloud_policy_entry() {
  static supercloud_policy policy = plugin::table(&decide);
  policy.create = &refuse;
  return &policy;
}
