// Fills any struct through its schema, so that a test covers every field there is and will be.
#pragma once

#include <capnp/dynamic.h>

#include <cstdint>
#include <string>

#include "core/random.h"

namespace supercloud {

inline capnp::DynamicValue::Reader filled_scalar(capnp::Type type, Random& random) {
  const std::uint64_t bits = random.next();
  if (type.isBool()) return (bits & 1) != 0;
  if (type.isFloat32() || type.isFloat64()) return static_cast<double>(bits % 100'000) / 7.0;
  if (type.isEnum()) {
    const auto enumerants = type.asEnum().getEnumerants();
    return capnp::DynamicEnum(enumerants[static_cast<unsigned>(bits % enumerants.size())]);
  }
  if (type.isUInt64()) return bits;
  if (type.isInt64()) return static_cast<std::int64_t>(bits);
  if (type.isUInt32()) return static_cast<std::uint32_t>(bits);
  if (type.isUInt16()) return static_cast<std::uint16_t>(bits);
  return capnp::VOID;
}

inline std::string filled_text(Random& random) {
  static constexpr const char* texts[] = {"web1", "a \"quoted\" line\n\\ and \x01", "Zürich",
                                          "aws/us-east-1/us-east-1a/m3.medium/spot", "x"};
  return texts[random.below(5)];
}

inline void fill(capnp::DynamicStruct::Builder value, Random& random);

inline void fill_field(capnp::DynamicStruct::Builder value, capnp::StructSchema::Field field,
                       Random& random) {
  const capnp::Type type = field.getType();
  if (type.isText()) {
    value.set(field, filled_text(random).c_str());
  } else if (type.isData()) {
    const std::string bytes = filled_text(random);
    value.set(field,
              capnp::Data::Reader(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  } else if (type.isStruct()) {
    fill(value.init(field).as<capnp::DynamicStruct>(), random);
  } else if (type.isList()) {
    const capnp::Type element = type.asList().getElementType();
    auto list = value.init(field, 2).as<capnp::DynamicList>();
    for (unsigned i = 0; i < 2; ++i) {
      if (element.isStruct()) {
        fill(list[i].as<capnp::DynamicStruct>(), random);
      } else if (element.isText()) {
        list.set(i, filled_text(random).c_str());
      } else if (element.isData()) {
        list.set(i, capnp::Data::Reader(reinterpret_cast<const kj::byte*>("ab"), 2));
      } else {
        list.set(i, filled_scalar(element, random));
      }
    }
  } else {
    value.set(field, filled_scalar(type, random));
  }
}

// Every field outside of a union, and of a union one member, chosen by chance.
inline void fill(capnp::DynamicStruct::Builder value, Random& random) {
  for (const auto field : value.getSchema().getNonUnionFields()) fill_field(value, field, random);
  const auto members = value.getSchema().getUnionFields();
  if (members.size() > 0) {
    fill_field(value, members[static_cast<unsigned>(random.below(members.size()))], random);
  }
}

// Of the union, the member with this discriminant.
inline void fill_member(capnp::DynamicStruct::Builder value, std::uint16_t discriminant,
                        Random& random) {
  for (const auto field : value.getSchema().getUnionFields()) {
    if (field.getProto().getDiscriminantValue() == discriminant) fill_field(value, field, random);
  }
}

}  // namespace supercloud
