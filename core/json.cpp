#include "core/json.h"

#include <capnp/compat/json.h>
#include <capnp/dynamic.h>
#include <capnp/message.h>

#include <charconv>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/codec.h"
#include "core/topic.h"

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

// The four hexadecimal digits of a \u escape, or -1.
int code_unit(std::string_view digits) {
  if (digits.size() < 4) return -1;
  int unit = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + 4, unit, 16);
  return error == std::errc() && end == digits.data() + 4 && digits[0] != '-' ? unit : -1;
}

void append_utf8(std::uint32_t point, std::string& out) {
  const auto byte = [&](std::uint32_t value) { out.push_back(static_cast<char>(value)); };
  if (point == 0) {
    out.append("\\u0000");  // it takes the character itself for the end
  } else if (point < 0x80) {
    if (point == '"' || point == '\\') out.push_back('\\');
    byte(point);
  } else if (point < 0x800) {
    byte(0xc0 | point >> 6);
    byte(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    byte(0xe0 | point >> 12);
    byte(0x80 | (point >> 6 & 0x3f));
    byte(0x80 | (point & 0x3f));
  } else {
    byte(0xf0 | point >> 18);
    byte(0x80 | (point >> 12 & 0x3f));
    byte(0x80 | (point >> 6 & 0x3f));
    byte(0x80 | (point & 0x3f));
  }
}

// \u escapes as the characters they stand for. Cap'n Proto 0.9 reads the digits a-f in them as 0-5 and knows no surrogates; the
// characters themselves, control characters too, it reads well.
absl::StatusOr<std::string> without_unicode_escapes(std::string_view json) {
  std::string out;
  out.reserve(json.size());
  const auto unit_at = [&](std::size_t at) {
    return json.substr(at, 2) == "\\u" ? code_unit(json.substr(at + 2)) : -1;
  };
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (json[i] != '\\' || i + 1 == json.size()) {
      out.push_back(json[i]);
      continue;
    }
    if (json[i + 1] != 'u') {
      out.append(json.substr(i, 2));
      ++i;
      continue;
    }
    const int unit = unit_at(i);
    const bool high = unit >= 0xd800 && unit < 0xdc00;
    const int low = high && i + 6 < json.size() ? unit_at(i + 6) : 0;
    if (unit < 0 || (unit >= 0xdc00 && unit < 0xe000) ||
        (high && (low < 0xdc00 || low >= 0xe000))) {
      return absl::InvalidArgumentError(
          absl::StrCat("byte ", i, ": a \\u escape that stands for no character"));
    }
    append_utf8(static_cast<std::uint32_t>(high ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                                                : unit),
                out);
    i += high ? 11 : 5;
  }
  return out;
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
  const absl::StatusOr<std::string> plain = without_unicode_escapes(json);
  kj::Array<capnp::word> framed;
  const absl::Status status = !plain.ok() ? plain.status() : guarded([&] {
    capnp::MallocMessageBuilder builder;
    json_codec().decode(kj::ArrayPtr<const char>(plain->data(), plain->size()),
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

absl::StatusOr<Draft> draft_from_json(EventPool& pool, std::string_view json) {
  const absl::StatusOr<kj::Array<capnp::word>> framed =
      codec::from_json(json, capnp::Schema::from<schema::Event>());
  if (!framed.ok()) return framed.status();
  // It was built here: only what it says is to be checked.
  const auto said = capnp::readMessageUnchecked<schema::Event>(framed->begin() + 1);
  if (said.hasId() || said.hasCause() || said.hasRoot() || said.getTime() != 0 ||
      said.getPrevious0() != 0 || said.getPrevious1() != 0 || said.getPrevious2() != 0 ||
      said.getPrevious3() != 0 || said.getReconstructed()) {
    return absl::InvalidArgumentError(
        "id, previous, time, cause, root and reconstructed are said by who publishes it: leave "
        "them out");
  }
  const std::string_view topic = text(said.getTopic());
  if (absl::Status status = validate_topic(topic); !status.ok()) return status;
  const std::string_view kind = topic_of(said.getPayload().which());
  if (kind.empty() || !topic.starts_with(kind) || topic[kind.size()] != '.') {
    return absl::InvalidArgumentError(absl::StrCat(
        "the topic '", absl_view(topic), "' is not that of the payload, '", absl_view(kind), "'"));
  }
  const absl::StatusOr<std::string> tenant = decode_token(topic_token(topic, 2));
  const absl::StatusOr<std::string> subject = decode_token(topic_token(topic, 3));
  if (!tenant.ok() || !subject.ok() || subject->empty() || !topic_token(topic, 4).empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the topic '", absl_view(topic), "' is not domain.event.tenant.subject"));
  }
  Draft draft = pool.draft(*subject, *tenant);
  const capnp::DynamicStruct::Reader from = said.getPayload();
  capnp::DynamicStruct::Builder to = draft.payload();
  KJ_IF_MAYBE (type, from.which()) to.set(*type, from.get(*type));
  draft.epoch(said.getEpoch());
  if (said.hasMigration()) draft.migration(EventId::from(said.getMigration()));
  if (absl::Status status = draft.set_topic(); !status.ok()) return status;
  return draft;
}

}  // namespace supercloud
