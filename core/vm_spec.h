// A VM's description, field by field.
#pragma once

#include "core/schema/types.capnp.h"

namespace supercloud {

// Every field, whatever is added to the schema: so that equal descriptions are equal bytes, whoever wrote them. Reentrant.
void copy_spec(schema::VmSpec::Reader from, schema::VmSpec::Builder to);

}  // namespace supercloud
