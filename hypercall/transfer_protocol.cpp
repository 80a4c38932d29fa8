#include "hypercall/transfer_protocol.h"

#include <algorithm>
#include <type_traits>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud::transfer {
namespace {

enum class Type : std::uint8_t {
  hello = 1,
  accept,
  refuse,
  pages,
  pass_end,
  final_state,
  confirm,
  probe,
  probed,
  rest,
  want,
  whole,
  again
};

class Writer {
 public:
  explicit Writer(Type type) { number<std::uint8_t>(static_cast<std::uint8_t>(type)); }

  template <class Number>
  void number(Number value) {
    static_assert(std::is_unsigned_v<Number>);
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      bytes_.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xffU));
    }
  }
  void text(std::string_view value) {
    ABSL_RAW_CHECK(value.size() <= text_bytes_max, "a text of a page stream is too long");
    number(static_cast<std::uint16_t>(value.size()));
    bytes_.append(value);
  }
  void raw(std::string_view value) { bytes_.append(value); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads until the first fault, which it keeps; after it every field is zero or empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <class Number>
  Number number(std::string_view field) {
    if (rest_.size() < sizeof(Number)) {
      fail(absl::StrCat(std::string(field), " is cut short"));
      return 0;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(sizeof(Number));
    return static_cast<Number>(value);
  }
  std::string text(std::string_view field) {
    const auto size = number<std::uint16_t>(field);
    if (size > text_bytes_max) {
      fail(absl::StrCat(std::string(field), " has ", size, " bytes, at most ", text_bytes_max));
    }
    return raw(size, field);
  }
  std::string raw(std::size_t size, std::string_view field) {
    if (rest_.size() < size) fail(absl::StrCat(std::string(field), " is cut short"));
    if (!fault_.empty()) return {};
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }
  void require(bool holds, std::string_view fault) {
    if (!holds) fail(std::string(fault));
  }
  std::size_t left() const { return rest_.size(); }
  bool failed() const { return !fault_.empty(); }

  absl::Status end() {
    if (fault_.empty() && !rest_.empty()) {
      fail(absl::StrCat(rest_.size(), " bytes follow its end"));
    }
    if (fault_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("malformed page stream frame: ", fault_));
  }

 private:
  void fail(std::string fault) {
    if (fault_.empty()) fault_ = std::move(fault);
  }

  std::string_view rest_;
  std::string fault_;
};

struct Encoder {
  std::string operator()(const Hello& hello) const {
    Writer writer(hello.again ? Type::again : Type::hello);
    writer.number(protocol_version);
    writer.number(hello.epoch);
    writer.text(hello.vm);
    writer.text(hello.migration.origin);
    writer.number(hello.migration.incarnation);
    writer.number(hello.migration.sequence);
    writer.number(hello.page_count);
    writer.number(hello.page_bytes);
    return writer.take();
  }
  std::string operator()(const Accept&) const { return Writer(Type::accept).take(); }
  std::string operator()(const Refuse& refuse) const {
    Writer writer(Type::refuse);
    writer.text(std::string_view(refuse.why).substr(0, text_bytes_max));
    return writer.take();
  }
  std::string operator()(const Pages& pages) const {
    ABSL_RAW_CHECK(!pages.pages.empty() && pages.pages.size() <= pages_per_frame_max,
                   "a frame of a page stream has no pages or too many");
    Writer writer(Type::pages);
    writer.number(pages.pass);
    writer.number(static_cast<std::uint32_t>(pages.pages.size()));
    for (const PageContent& page : pages.pages) {
      writer.number(page.index);
      writer.number(page.content);
    }
    return writer.take();
  }
  std::string operator()(const PassEnd& end) const {
    Writer writer(Type::pass_end);
    writer.number(end.pass);
    return writer.take();
  }
  std::string operator()(const Final& last) const {
    ABSL_RAW_CHECK(last.state.size() <= device_state_bytes_max, "device state is too large");
    Writer writer(Type::final_state);
    writer.number(static_cast<std::uint32_t>(last.state.size()));
    writer.raw(last.state);
    return writer.take();
  }
  std::string operator()(const Confirm&) const { return Writer(Type::confirm).take(); }
  std::string operator()(const Probe&) const { return Writer(Type::probe).take(); }
  std::string operator()(const Probed&) const { return Writer(Type::probed).take(); }
  std::string operator()(const Rest& rest) const {
    ABSL_RAW_CHECK(rest.pages.size() <= pages_per_frame_max, "a guest misses too many pages");
    Writer writer(Type::rest);
    writer.number(static_cast<std::uint32_t>(rest.pages.size()));
    for (const std::uint32_t index : rest.pages) writer.number(index);
    return writer.take();
  }
  std::string operator()(const Want& want) const {
    Writer writer(Type::want);
    writer.number(want.index);
    return writer.take();
  }
  std::string operator()(const Whole&) const { return Writer(Type::whole).take(); }
};

Frame read_hello(Reader& reader, bool again) {
  Hello hello;
  hello.again = again;
  reader.require(reader.number<std::uint8_t>("version") == protocol_version,
                 "its protocol version is not 1; run the same release on both nodes");
  hello.epoch = reader.number<Epoch>("epoch");
  hello.vm = reader.text("vm");
  hello.migration.origin = reader.text("migration");
  hello.migration.incarnation = reader.number<std::uint64_t>("migration");
  hello.migration.sequence = reader.number<std::uint64_t>("migration");
  hello.page_count = reader.number<std::uint32_t>("page count");
  hello.page_bytes = reader.number<std::uint64_t>("page bytes");
  reader.require(!hello.vm.empty(), "it names no VM");
  reader.require(hello.page_count > 0 && hello.page_count <= page_count_max,
                 "its page count is 0 or too large");
  reader.require(hello.page_bytes > 0, "its pages have no bytes");
  return hello;
}

Frame read_pages(Reader& reader) {
  Pages pages;
  pages.pass = reader.number<std::uint32_t>("pass");
  const auto count = reader.number<std::uint32_t>("count");
  constexpr std::size_t bytes_each = 12;
  reader.require(count > 0 && count <= pages_per_frame_max, "it has no pages or too many");
  reader.require(reader.left() == std::size_t{count} * bytes_each,
                 "its size does not fit its number of pages");
  if (reader.failed()) return pages;
  pages.pages.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    PageContent page;
    page.index = reader.number<std::uint32_t>("index");
    page.content = reader.number<std::uint64_t>("content");
    pages.pages.push_back(page);
  }
  return pages;
}

Frame read_rest(Reader& reader) {
  Rest rest;
  const auto count = reader.number<std::uint32_t>("count");
  reader.require(count <= pages_per_frame_max, "it names too many pages");
  reader.require(reader.left() == std::size_t{count} * sizeof(std::uint32_t),
                 "its size does not fit its number of pages");
  if (reader.failed()) return rest;
  rest.pages.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i)
    rest.pages.push_back(reader.number<std::uint32_t>("index"));
  return rest;
}

}  // namespace

std::string encode(const Frame& frame) { return std::visit(Encoder(), frame); }

absl::StatusOr<Frame> decode(std::string_view bytes) {
  Reader reader(bytes);
  Frame frame;
  switch (static_cast<Type>(reader.number<std::uint8_t>("type"))) {
    case Type::hello:
      frame = read_hello(reader, false);
      break;
    case Type::again:
      frame = read_hello(reader, true);
      break;
    case Type::rest:
      frame = read_rest(reader);
      break;
    case Type::want:
      frame = Want{reader.number<std::uint32_t>("index")};
      break;
    case Type::whole:
      frame = Whole{};
      break;
    case Type::accept:
      frame = Accept{};
      break;
    case Type::refuse:
      frame = Refuse{reader.text("why")};
      break;
    case Type::pages:
      frame = read_pages(reader);
      break;
    case Type::pass_end:
      frame = PassEnd{reader.number<std::uint32_t>("pass")};
      break;
    case Type::final_state: {
      const auto size = reader.number<std::uint32_t>("device state");
      reader.require(size <= device_state_bytes_max, "its device state is too large");
      frame = Final{reader.raw(size, "device state")};
      break;
    }
    case Type::confirm:
      frame = Confirm{};
      break;
    case Type::probe:
      frame = Probe{};
      break;
    case Type::probed:
      frame = Probed{};
      break;
    default:
      reader.require(false, "its type is unknown");
  }
  if (absl::Status status = reader.end(); !status.ok()) return status;
  return frame;
}

}  // namespace supercloud::transfer
