#include "core/json.h"

#include <capnp/compat/json.h>
#include <capnp/message.h>

#include "absl/strings/str_cat.h"
#include "core/codec.h"

namespace supercloud {
namespace {

const capnp::JsonCodec& json_codec() {
  static const capnp::JsonCodec* const codec = [] {
    auto* made = new capnp::JsonCodec;
    made->setRejectUnknownFields(true);  // a misspelt field must not be silently without effect
    return made;
  }();
  return *codec;
}

// A union member that this build does not know would leave an empty object: say so.
void name_unknown_payload(capnp::JsonValue::Builder event) {
  for (auto field : event.getObject()) {
    if (text(field.asReader().getName()) != "payload") continue;
    auto member = field.initValue().initObject(1)[0];
    member.setName("unknown");
    member.initValue().setNull();
  }
}

}  // namespace

namespace codec {

std::string to_json(capnp::DynamicStruct::Reader value) {
  const kj::String json = json_codec().encode(value, value.getSchema());
  return {json.cStr(), json.size()};
}

absl::StatusOr<kj::Array<capnp::word>> from_json(std::string_view json,
                                                 capnp::StructSchema schema) {
  constexpr std::size_t json_bytes_max = 16 << 20;
  if (json.size() > json_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON of ", json.size(), " bytes, more than ", json_bytes_max));
  }
  kj::Array<capnp::word> framed;
  const absl::Status status = guarded([&] {
    capnp::MallocMessageBuilder builder;
    json_codec().decode(kj::ArrayPtr<const char>(json.data(), json.size()),
                        builder.initRoot<capnp::DynamicStruct>(schema));
    framed = flatten(builder);
  });
  if (status.ok()) return framed;
  return absl::InvalidArgumentError(absl::StrCat(
      "not the JSON of ", schema.getShortDisplayName().cStr(), ": ", status.message()));
}

}  // namespace codec

std::string to_json(const Event& event) {
  const capnp::DynamicStruct::Reader reader = event.reader();
  if (!topic_of(event.type()).empty()) return codec::to_json(reader);
  capnp::MallocMessageBuilder message;
  auto value = message.initRoot<capnp::JsonValue>();
  json_codec().encode(reader, reader.getSchema(), value);
  name_unknown_payload(value);
  const kj::String json = json_codec().encodeRaw(value);
  return {json.cStr(), json.size()};
}

absl::StatusOr<Event> event_from_json(EventPool& pool, std::string_view json) {
  const absl::StatusOr<kj::Array<capnp::word>> framed =
      codec::from_json(json, capnp::Schema::from<schema::Event>());
  if (!framed.ok()) return framed.status();
  const kj::ArrayPtr<const kj::byte> bytes = framed->asBytes();
  return pool.parse({reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
}

}  // namespace supercloud
