// Its table is not filled in.
#include "tests/actors/policy/plugin/objects/object.h"

const supercloud_policy* supercloud_policy_entry() {
  static const supercloud_policy policy = plugin::table(nullptr);
  return &policy;
}
