// Answers with bytes that are no Decision.
#include "tests/actors/policy/plugin/objects/object.h"

namespace {

void decide(void* /*self*/, const void* /*world*/, size_t /*size*/,
            const supercloud_policy_sink* sink) {
  sink->decided(sink->context, "0123456789abcdef", 16);
}

}  // namespace

const supercloud_policy* supercloud_policy_entry() {
  static const supercloud_policy policy = plugin::table(&decide);
  return &policy;
}
