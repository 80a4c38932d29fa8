#include "core/vm_spec.h"

#include <capnp/dynamic.h>

namespace supercloud {

void copy_spec(schema::VmSpec::Reader from, schema::VmSpec::Builder to) {
  const capnp::DynamicStruct::Reader source = from;
  capnp::DynamicStruct::Builder copy = to;
  for (const auto field : source.getSchema().getFields()) {
    const capnp::DynamicValue::Reader value = source.get(field);
    // None and an empty one are the same.
    if (field.getType().isList() && value.as<capnp::DynamicList>().size() == 0) continue;
    copy.set(field, value);
  }
}

}  // namespace supercloud
