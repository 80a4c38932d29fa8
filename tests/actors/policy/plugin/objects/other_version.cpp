// Of an ABI that this program does not know.
#include "tests/actors/policy/plugin/objects/object.h"

const supercloud_policy* supercloud_policy_entry() {
  static supercloud_policy policy = plugin::table(nullptr);
  policy.abi_version = 9;
  return &policy;
}
