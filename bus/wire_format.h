// The two kinds of value that everything between buses is made of: numbers and strings, see bus/zmq_wire.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

inline constexpr std::size_t wire_name_bytes_max = 255;

class WireWriter {
 public:
  explicit WireWriter(std::string_view kind = "") : bytes_(kind) {}
  WireWriter& number(std::uint64_t value) {
    for (int i = 0; i < 8; ++i) bytes_ += static_cast<char>((value >> (8 * i)) & 0xffU);
    return *this;
  }
  WireWriter& string(std::string_view value) {
    number(value.size());
    bytes_ += value;
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what it can; whatever is missing or too long makes it bad, and everything read after that empty.
class WireParser {
 public:
  explicit WireParser(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t number() {
    if (rest_.size() < 8) return fail();
    std::uint64_t value = 0;
    for (unsigned i = 0; i < 8; ++i) {
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
    }
    rest_.remove_prefix(8);
    return value;
  }
  // A part of what is parsed.
  std::string_view view(std::size_t size_max) {
    const std::uint64_t size = number();
    if (bad_ || size > size_max || size > rest_.size()) {
      fail();
      return {};
    }
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }
  std::string string(std::size_t size_max) { return std::string(view(size_max)); }
  std::string name() { return string(wire_name_bytes_max); }
  // How many of at least `bytes` each can follow.
  std::size_t count(std::size_t bytes, std::size_t max) {
    const std::uint64_t count = number();
    if (count > max || count * bytes > rest_.size()) return fail();
    return count;
  }
  bool at_end() const { return rest_.empty(); }
  std::uint64_t fail() {
    bad_ = true;
    rest_ = {};
    return 0;
  }
  // InvalidArgument: it was bad, or something is left.
  absl::Status done(std::string_view what) const {
    if (!bad_ && rest_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("a malformed ", std::string(what)));
  }

 private:
  std::string_view rest_;
  bool bad_ = false;
};

}  // namespace supercloud
