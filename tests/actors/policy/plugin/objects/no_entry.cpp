// Exports nothing.
#include "tests/actors/policy/plugin/objects/object.h"

int supercloud_policy_without_entry() { return plugin::self; }
