#include "core/shape.h"

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <vector>

#include "core/schema/event.capnp.h"
#include "core/schema/request.capnp.h"
#include "core/schema/world.capnp.h"

namespace supercloud::codec {
namespace {

// The sizes of a list's elements, in the order of https://capnproto.org/encoding.html.
enum class Elements : std::uint8_t {
  nothing,
  bit,
  byte,
  two_bytes,
  four_bytes,
  eight_bytes,
  pointer,
  composite
};

struct Shape {
  enum class Kind : std::uint8_t {
    text,
    data,
    structure,
    group,
    numbers,
    texts,
    datas,
    structures,
    other
  };
  struct Field {
    std::uint32_t pointer = 0;  // its place in the section of pointers
    Kind kind = Kind::other;
    Elements elements = Elements::nothing;  // of numbers
    const Shape* inner = nullptr;           // of structs and groups
  };
  std::vector<Field> always;
  // Of these one is in use, named by the 16 bits at `which`, in the section of data; the others' places are shared.
  std::vector<std::optional<Field>> by_which;
  std::uint32_t which = 0;  // in units of 16 bits
};

// Everything that our messages are made of.
class Shapes {
 public:
  Shapes() {
    add(capnp::Schema::from<schema::Event>());
    add(capnp::Schema::from<schema::Request>());
    add(capnp::Schema::from<schema::Response>());
    add(capnp::Schema::from<schema::World>());
    add(capnp::Schema::from<schema::Decision>());
    add(capnp::Schema::from<schema::VmSpec>());
  }

  const Shape* find(capnp::StructSchema schema) const {
    const auto found = shapes_.find(schema.getProto().getId());
    return found == shapes_.end() ? nullptr : &found->second;
  }

 private:
  const Shape* add(capnp::StructSchema schema) {
    const auto [found, is_new] = shapes_.try_emplace(schema.getProto().getId());
    Shape& shape = found->second;  // stays where it is
    if (!is_new) return &shape;
    shape.which = schema.getProto().getStruct().getDiscriminantOffset();
    for (const auto field : schema.getNonUnionFields())
      if (const auto known = field_of(field)) shape.always.push_back(*known);
    for (const auto field : schema.getUnionFields()) {
      const std::size_t which = field.getProto().getDiscriminantValue();
      if (shape.by_which.size() <= which) shape.by_which.resize(which + 1);
      shape.by_which[which] = field_of(field);
    }
    return &shape;
  }

  // Empty: it is no pointer.
  std::optional<Shape::Field> field_of(capnp::StructSchema::Field field) {
    using Kind = Shape::Kind;
    const capnp::Type type = field.getType();
    if (field.getProto().isGroup())
      return Shape::Field{0, Kind::group, Elements::nothing, add(type.asStruct())};
    Shape::Field known{.pointer = field.getProto().getSlot().getOffset()};
    if (type.isText()) {
      known.kind = Kind::text;
    } else if (type.isData()) {
      known.kind = Kind::data;
    } else if (type.isStruct()) {
      known.kind = Kind::structure;
      known.inner = add(type.asStruct());
    } else if (type.isList()) {
      fill_list(known, type.asList().getElementType());
    } else if (!type.isAnyPointer() && !type.isInterface()) {
      return std::nullopt;
    }
    return known;
  }

  void fill_list(Shape::Field& known, capnp::Type element) {
    using Kind = Shape::Kind;
    using Type = capnp::schema::Type;
    switch (element.which()) {
      case Type::TEXT:
        known.kind = Kind::texts;
        return;
      case Type::DATA:
        known.kind = Kind::datas;
        return;
      case Type::STRUCT:
        known.kind = Kind::structures;
        known.inner = add(element.asStruct());
        return;
      case Type::BOOL:
        known.elements = Elements::bit;
        break;
      case Type::INT8:
      case Type::UINT8:
        known.elements = Elements::byte;
        break;
      case Type::INT16:
      case Type::UINT16:
      case Type::ENUM:
        known.elements = Elements::two_bytes;
        break;
      case Type::INT32:
      case Type::UINT32:
      case Type::FLOAT32:
        known.elements = Elements::four_bytes;
        break;
      case Type::INT64:
      case Type::UINT64:
      case Type::FLOAT64:
        known.elements = Elements::eight_bytes;
        break;
      default:
        return;
    }
    known.kind = Kind::numbers;
  }

  std::map<std::uint64_t, Shape> shapes_;  // by the schema's id
};

class ShapeWalk {
 public:
  explicit ShapeWalk(absl::Span<const capnp::word> segment)
      : words_(reinterpret_cast<const std::byte*>(segment.data())) {}

  bool root(const Shape& shape) const { return structure(0, shape); }

 private:
  // A struct's two sections, in words.
  struct Place {
    std::int64_t start = 0, data = 0, pointers = 0;
  };

  std::uint64_t load(std::int64_t at) const {
    std::uint64_t value = 0;
    std::memcpy(&value, words_ + at * 8, sizeof value);
    return value;
  }
  static std::int64_t target(std::int64_t at, std::uint64_t pointer) {
    return at + 1 + (static_cast<std::int32_t>(static_cast<std::uint32_t>(pointer)) >> 2);
  }

  bool structure(std::int64_t at, const Shape& shape) const {
    const std::uint64_t pointer = load(at);
    if ((pointer & 3) != 0) return false;
    return sections({target(at, pointer), static_cast<std::int64_t>((pointer >> 32) & 0xffff),
                     static_cast<std::int64_t>(pointer >> 48)},
                    shape);
  }

  bool sections(const Place& place, const Shape& shape) const {
    for (const Shape::Field& known : shape.always)
      if (!field(place, known)) return false;
    if (shape.by_which.empty()) return true;
    std::uint16_t which = 0;
    if (shape.which / 4 < place.data)
      std::memcpy(&which, words_ + place.start * 8 + shape.which * 2, sizeof which);
    if (which >= shape.by_which.size()) return true;  // of a newer schema
    const std::optional<Shape::Field>& known = shape.by_which[which];
    return !known || field(place, *known);
  }

  bool field(const Place& place, const Shape::Field& known) const {
    using Kind = Shape::Kind;
    if (known.kind == Kind::group) return sections(place, *known.inner);
    if (known.pointer >= place.pointers) return true;
    const std::int64_t at = place.start + place.data + known.pointer;
    if (load(at) == 0) return true;
    switch (known.kind) {
      case Kind::text:
        return blob(at, true);
      case Kind::data:
        return blob(at, false);
      case Kind::structure:
        return structure(at, *known.inner);
      case Kind::numbers:
        return is_list(load(at), known.elements);
      case Kind::texts:
      case Kind::datas:
        return blobs(at, known.kind == Kind::texts);
      case Kind::structures:
        return structures(at, *known.inner);
      default:
        return false;
    }
  }

  static bool is_list(std::uint64_t pointer, Elements elements) {
    return (pointer & 3) == 1 && ((pointer >> 32) & 7) == static_cast<std::uint64_t>(elements);
  }
  static std::int64_t count(std::uint64_t pointer) {
    return static_cast<std::int64_t>(pointer >> 35);
  }

  bool blob(std::int64_t at, bool is_text) const {
    const std::uint64_t pointer = load(at);
    if (!is_list(pointer, Elements::byte)) return false;
    if (!is_text) return true;
    const std::int64_t size = count(pointer);
    return size > 0 && words_[target(at, pointer) * 8 + size - 1] == std::byte{0};
  }

  bool blobs(std::int64_t at, bool are_texts) const {
    const std::uint64_t pointer = load(at);
    if (!is_list(pointer, Elements::pointer)) return false;
    const std::int64_t first = target(at, pointer);
    for (std::int64_t i = first; i < first + count(pointer); ++i)
      if (load(i) != 0 && !blob(i, are_texts)) return false;
    return true;
  }

  bool structures(std::int64_t at, const Shape& shape) const {
    const std::uint64_t pointer = load(at);
    if (!is_list(pointer, Elements::composite)) return false;
    const std::int64_t start = target(at, pointer);
    const std::uint64_t tag = load(start);
    const auto elements = static_cast<std::int64_t>((tag & 0xffffffff) >> 2);
    Place place{start + 1, static_cast<std::int64_t>((tag >> 32) & 0xffff),
                static_cast<std::int64_t>(tag >> 48)};
    const std::int64_t size = place.data + place.pointers;
    if (size == 0 && elements > 0) return false;  // as many as one likes, of nothing
    for (std::int64_t i = 0; i < elements; ++i, place.start += size)
      if (!sections(place, shape)) return false;
    return true;
  }

  const std::byte* words_;
};

}  // namespace

bool has_shape(absl::Span<const capnp::word> segment, capnp::StructSchema schema) {
  static const Shapes shapes;
  static const auto events = capnp::Schema::from<schema::Event>();  // nearly always
  static const Shape* const of_events = shapes.find(events);
  const Shape* const shape = schema == events ? of_events : shapes.find(schema);
  return shape != nullptr && ShapeWalk(segment).root(*shape);
}

}  // namespace supercloud::codec
