// Fields of a message set by reflection, for tests that have to see all of them.
#pragma once

#include <capnp/dynamic.h>
#include <capnp/schema.h>
#include <gtest/gtest.h>

#include <string>

#include "core/message.h"

namespace supercloud {

using VmSpecFields = capnp::StructSchema::FieldList;
inline VmSpecFields vm_spec_fields() { return capnp::Schema::from<schema::VmSpec>().getFields(); }
inline std::string name_of(capnp::StructSchema::Field field) {
  return field.getProto().getName().cStr();
}
inline std::string text_of(capnp::StructSchema::Field field, schema::VmSpec::Reader spec) {
  const capnp::DynamicStruct::Reader fields = spec;
  return kj::str(fields.get(field)).cStr();
}

// A value that differs from the field's default, and from that of a struct built without it.
inline void set_unlike_default(capnp::StructSchema::Field field, schema::VmSpec::Builder spec) {
  capnp::DynamicStruct::Builder target = spec;
  const capnp::DynamicValue::Reader usual = target.asReader().get(field);
  switch (field.getType().which()) {
    case capnp::schema::Type::BOOL:
      return target.set(field, !usual.as<bool>());
    case capnp::schema::Type::UINT32:
    case capnp::schema::Type::UINT64:
      return target.set(field, usual.as<std::uint64_t>() + 1);
    case capnp::schema::Type::TEXT:
      return target.set(field, "other");
    case capnp::schema::Type::ENUM:
      return target.set(field, capnp::DynamicEnum(field.getType().asEnum(), 1));
    case capnp::schema::Type::LIST: {
      auto list = target.init(field, 1).as<capnp::DynamicList>();
      if (field.getType().asList().getElementType().isText()) return list.set(0, "other");
      auto label = list[0].as<capnp::DynamicStruct>();
      label.set("name", "label");
      return label.set("value", "other");
    }
    default:
      ADD_FAILURE() << "a type of field that is not known here: " << name_of(field);
  }
}

}  // namespace supercloud
