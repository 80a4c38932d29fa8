#include "core/codec.h"

#include <capnp/any.h>
#include <capnp/dynamic.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/shape.h"
#include "core/text.h"

namespace supercloud::codec {
namespace {

static_assert(std::endian::native == std::endian::little,
              "pointers are read as they lie in memory");

// Follows every pointer of a segment, known to the schema or not. The encoding of pointers is that of
// https://capnproto.org/encoding.html; names of the fields are those of that page.
class PointerWalk {
 public:
  explicit PointerWalk(absl::Span<const capnp::word> segment)
      : segment_(segment), words_(static_cast<std::int64_t>(segment.size())), budget_(words_) {}

  absl::Status run() {
    if (words_ == 0) return fault(0, "the segment is empty");
    const std::uint64_t root = load(0);
    if (root == 0) return fault(0, "the root is null");
    if ((root & 3) != 0) return fault(0, "the root is not a struct");
    --budget_;
    return pointer(0, depth_max);
  }

 private:
  std::uint64_t load(std::int64_t at) const {
    std::uint64_t value = 0;
    std::memcpy(&value, &segment_[static_cast<std::size_t>(at)], sizeof value);
    return value;
  }

  static absl::Status fault(std::int64_t at, std::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("word ", at, ": ", absl_view(what)));
  }

  // A builder never lets two pointers share words, so all objects together are no larger than the segment; this also bounds the walk.
  absl::Status claim(std::int64_t pointer, std::int64_t start, std::int64_t words) {
    if (start < 0 || words > words_ || start > words_ - words) {
      return fault(pointer, "a pointer to outside of the message");
    }
    budget_ -= words;
    if (budget_ < 0) return fault(pointer, "pointers to the same words");
    return absl::OkStatus();
  }

  absl::Status pointers(std::int64_t first, std::int64_t count, int depth) {
    for (std::int64_t at = first; at < first + count; ++at) {
      if (load(at) == 0) continue;
      if (absl::Status status = pointer(at, depth); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status pointer(std::int64_t at, int depth) {
    if (depth == 0) return fault(at, absl::StrCat("nested deeper than ", depth_max));
    const std::uint64_t value = load(at);
    const std::int64_t start =
        at + 1 + (static_cast<std::int32_t>(static_cast<std::uint32_t>(value)) >> 2);
    switch (value & 3) {
      case 0:
        return structure(at, start, value, depth);
      case 1:
        return list(at, start, value, depth);
      case 2:
        return fault(at, "a far pointer, in a message of one segment");
      default:
        return fault(at, "a capability, which no message carries");
    }
  }

  absl::Status structure(std::int64_t at, std::int64_t start, std::uint64_t value, int depth) {
    const auto data = static_cast<std::int64_t>((value >> 32) & 0xffff);
    const auto count = static_cast<std::int64_t>(value >> 48);
    if (absl::Status status = claim(at, start, data + count); !status.ok()) return status;
    return pointers(start + data, count, depth - 1);
  }

  absl::Status list(std::int64_t at, std::int64_t start, std::uint64_t value, int depth) {
    static constexpr std::int64_t bits[] = {0, 1, 8, 16, 32, 64, 64};
    const auto size = static_cast<std::size_t>((value >> 32) & 7);
    const auto count = static_cast<std::int64_t>(value >> 35);
    if (size < 7) {
      const std::int64_t words = (count * bits[size] + 63) / 64;
      if (absl::Status status = claim(at, start, words); !status.ok()) return status;
      return size == 6 ? pointers(start, count, depth - 1) : absl::OkStatus();
    }
    // Structs, with a tag word ahead; `count` is their words without it.
    if (absl::Status status = claim(at, start, count + 1); !status.ok()) return status;
    const std::uint64_t tag = load(start);
    const auto elements = static_cast<std::int64_t>((tag & 0xffffffff) >> 2);
    const auto data = static_cast<std::int64_t>((tag >> 32) & 0xffff);
    const auto pointer_count = static_cast<std::int64_t>(tag >> 48);
    if ((tag & 3) != 0) return fault(start, "a list of structs whose tag is none");
    if (elements * (data + pointer_count) > count) {
      return fault(start, "a list of structs with more elements than it has room for");
    }
    if (pointer_count == 0) return absl::OkStatus();
    for (std::int64_t i = 0; i < elements; ++i) {
      const std::int64_t element = start + 1 + i * (data + pointer_count);
      absl::Status status = pointers(element + data, pointer_count, depth - 1);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Span<const capnp::word> segment_;
  std::int64_t words_;
  std::int64_t budget_;
};

bool is_pointer(capnp::Type type) {
  return type.isText() || type.isData() || type.isStruct() || type.isList();
}

// Reads every field that the schema knows; the library throws where a field is not what the schema says.
class SchemaWalk {
 public:
  void read(capnp::DynamicStruct::Reader value) {
    for (const auto field : value.getSchema().getNonUnionFields()) read_field(value, field);
    KJ_IF_MAYBE (field, value.which()) read_field(value, *field);
  }
  // The field that was being read.
  std::string_view place() const { return place_; }

 private:
  void read_field(const capnp::DynamicStruct::Reader& value, capnp::StructSchema::Field field) {
    const capnp::Type type = field.getType();
    if (!is_pointer(type)) return;
    const capnp::Text::Reader name = field.getProto().getName();
    place_ = {name.begin(), name.size()};
    if (value.has(field)) read_value(value.get(field), type);
  }

  void read_value(const capnp::DynamicValue::Reader& value, capnp::Type type) {
    if (type.isStruct()) read(value.as<capnp::DynamicStruct>());
    if (!type.isList() || !is_pointer(type.asList().getElementType())) return;
    for (const auto item : value.as<capnp::DynamicList>()) {
      read_value(item, type.asList().getElementType());
    }
  }

  std::string_view place_;  // of the schema, which is static
};

}  // namespace

absl::Status guarded(absl::FunctionRef<void()> action) {
  try {
    action();
    return absl::OkStatus();
  } catch (const kj::Exception& exception) {
    const kj::StringPtr what = exception.getDescription();
    return absl::InvalidArgumentError(absl::CHexEscape({what.begin(), what.size()}));
  }
}

absl::StatusOr<std::size_t> segment_words(absl::Span<const std::byte> bytes,
                                          std::size_t bytes_max) {
  if (bytes.size() > bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes, more than the limit of ", bytes_max));
  }
  if (bytes.size() < framing_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes, cut short within its framing"));
  }
  std::uint32_t more_segments = 0;
  std::uint32_t words = 0;
  std::memcpy(&more_segments, bytes.data(), sizeof more_segments);
  std::memcpy(&words, bytes.data() + sizeof more_segments, sizeof words);
  if (more_segments != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", std::uint64_t{more_segments} + 1,
                     " segments, where one is expected: it is none of ours, or damaged"));
  }
  const std::uint64_t framed = framing_bytes + std::uint64_t{words} * sizeof(capnp::word);
  if (framed != bytes.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a message of ", bytes.size(), " bytes whose framing says ", framed));
  }
  return words;
}

void write_framing(std::size_t words, std::byte* out) {
  const std::uint32_t framing[2] = {0, static_cast<std::uint32_t>(words)};
  static_assert(sizeof framing == framing_bytes);
  std::memcpy(out, framing, sizeof framing);
}

absl::Status check_segment(absl::Span<const capnp::word> segment, capnp::StructSchema schema) {
  if (absl::Status status = PointerWalk(segment).run(); !status.ok()) return status;
  if (has_shape(segment, schema)) return absl::OkStatus();
  SchemaWalk walk;
  const absl::Status status = guarded([&] {
    capnp::ReaderOptions options;
    // Once over everything; the rest is for lists of structs without size, of which no schema of ours has any.
    options.traversalLimitInWords = segment.size() * 2 + 1024;
    options.nestingLimit = depth_max + 1;
    const kj::ArrayPtr<const capnp::word> segments[1] = {{segment.data(), segment.size()}};
    capnp::SegmentArrayMessageReader reader(kj::arrayPtr(segments, 1), options);
    walk.read(reader.getRoot<capnp::DynamicStruct>(schema));
  });
  if (status.ok()) return status;
  const std::string_view place = walk.place();
  return absl::InvalidArgumentError(absl::StrCat(
      "field '", absl_view(place), "' is not what the schema says: ", status.message()));
}

kj::Array<capnp::word> flatten(capnp::MessageBuilder& builder) {
  const auto segments = builder.getSegmentsForOutput();
  if (segments.size() == 1) return capnp::messageToFlatArray(segments);
  const auto root = builder.getRoot<capnp::AnyPointer>().asReader();
  const std::size_t words = static_cast<std::size_t>(root.targetSize().wordCount) + 1;
  auto flat = kj::heapArray<capnp::word>(words + 1);
  std::memset(flat.begin(), 0, flat.asBytes().size());
  write_framing(words, reinterpret_cast<std::byte*>(flat.begin()));
  capnp::FlatMessageBuilder copy(flat.slice(1, flat.size()));
  copy.setRoot(root);
  copy.requireFilled();  // nothing of the framing's count is slack
  return flat;
}

}  // namespace supercloud::codec
