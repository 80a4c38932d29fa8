// What an AwsJsonRows reads within its window: objects, names and values of JSON.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "actors/spot/aws_json_rows.h"

namespace supercloud {
namespace {

constexpr int json_depth_max = 32;
constexpr std::string_view list_name = "SpotPriceHistory";

// Stands for itself within quotes.
constexpr std::array<bool, 256> plain_bytes = [] {
  std::array<bool, 256> plain{};
  for (std::size_t c = 0x20; c < plain.size(); ++c) plain[c] = c != '"' && c != '\\';
  return plain;
}();

bool is_plain(char c) { return plain_bytes[static_cast<unsigned char>(c)]; }

void append_utf8(std::uint32_t code, std::string& out) {
  const auto tail = [&](int shift) {
    out += static_cast<char>(0x80U | (code >> static_cast<unsigned>(shift) & 0x3fU));
  };
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0U | code >> 6U);
    tail(0);
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0U | code >> 12U);
    tail(6);
    tail(0);
  } else {
    out += static_cast<char>(0xf0U | code >> 18U);
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace

AwsJsonRows::Step AwsJsonRows::bad(std::string_view what) {
  error_ = what;
  return Step::bad;
}

AwsJsonRows::Step AwsJsonRows::skip_space() {
  while (at_ != stop_ && is_space(*at_)) ++at_;
  return at_ == stop_ ? Step::more : Step::done;
}

// A name and its colon, and all space up to the value.
AwsJsonRows::Step AwsJsonRows::read_name(std::string_view& name) {
  if (*at_ != '"') return bad("a member's name in quotes is expected");
  if (const Step step = read_string(name, name_); step != Step::done) return step;
  if (const Step step = skip_space(); step != Step::done) return step;
  if (*at_ != ':') return bad("a colon is expected after a member's name");
  ++at_;
  return skip_space();
}

AwsJsonRows::Step AwsJsonRows::read_member_of_answer(bool& opened) {
  std::string_view name;
  if (const Step step = read_name(name); step != Step::done) return step;
  opened = name == list_name && *at_ == '[';
  if (!opened) return read_value(name, ignored_);
  ++at_;
  return Step::done;
}

AwsJsonRows::Step AwsJsonRows::read_object(bool& opened) {
  std::string_view ignored;
  const std::array<std::pair<std::string_view, std::string_view*>, 5> members = {
      {{"AvailabilityZone", &row_.zone},
       {"InstanceType", &row_.instance_type},
       {"ProductDescription", &row_.product},
       {"SpotPrice", &row_.price},
       {"Timestamp", &row_.time}}};
  ++at_;
  if (const Step step = skip_space(); step != Step::done) return step;
  if (*at_ == '}') {
    ++at_;
    return Step::done;
  }
  while (true) {
    std::string_view name;
    if (const Step step = read_name(name); step != Step::done) return step;
    if (name == list_name && *at_ == '[') {
      ++at_;
      opened = true;
      return Step::done;
    }
    std::string_view* text = &ignored;
    std::string* decoded = &ignored_;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].first != name) continue;
      text = members[i].second;
      decoded = &decoded_[i];
      any_member_ = true;
      break;
    }
    if (const Step step = read_value(*text, *decoded); step != Step::done) return step;
    if (const Step step = skip_space(); step != Step::done) return step;
    const char c = *at_;
    if (c != ',' && c != '}') return bad("a comma or } is expected after a member");
    ++at_;
    if (c == '}') return Step::done;
    if (const Step step = skip_space(); step != Step::done) return step;
  }
}

AwsJsonRows::Step AwsJsonRows::read_value(std::string_view& text, std::string& decoded) {
  if (*at_ == '"') return read_string(text, decoded);
  text = {};
  return *at_ == '{' || *at_ == '[' ? read_nested() : read_literal(text);
}

// A number is taken as text; true, false and null are none.
AwsJsonRows::Step AwsJsonRows::read_literal(std::string_view& text) {
  const char* end = at_;
  while (end != stop_ && ((*end >= '0' && *end <= '9') || (*end >= 'a' && *end <= 'z') ||
                          *end == 'E' || *end == '+' || *end == '-' || *end == '.'))
    ++end;
  if (end == stop_) return Step::more;
  const std::string_view literal(at_, static_cast<std::size_t>(end - at_));
  const bool word = literal == "null" || literal == "true" || literal == "false";
  if (literal.empty() || (!word && literal[0] >= 'a'))
    return bad("a text in quotes, a number, true, false or null is expected");
  if (!word) text = literal;
  at_ = end;
  return Step::done;
}

// Only its ends are looked for.
AwsJsonRows::Step AwsJsonRows::read_nested() {
  int depth = 0;
  std::string_view ignored;
  do {
    if (at_ == stop_) return Step::more;
    if (*at_ == '"') {
      if (const Step step = read_string(ignored, ignored_); step != Step::done) return step;
      continue;
    }
    if (*at_ == '{' || *at_ == '[') ++depth;
    if (*at_ == '}' || *at_ == ']') --depth;
    if (depth > json_depth_max) return bad("nested too deeply");
    ++at_;
  } while (depth > 0);
  return Step::done;
}

AwsJsonRows::Step AwsJsonRows::read_string(std::string_view& text, std::string& decoded) {
  const char* const begin = ++at_;
  const char* at = begin;
  while (at != stop_ && is_plain(*at)) ++at;
  at_ = at;
  if (at == stop_) return Step::more;
  text = {begin, static_cast<std::size_t>(at - begin)};
  if (*at_ != '"') {
    decoded = text;
    while (at_ != stop_ && *at_ != '"') {
      if (*at_ == '\\') {
        if (const Step step = read_escape(decoded); step != Step::done) return step;
      } else if (is_plain(*at_)) {
        decoded += *at_++;
      } else {
        return bad("a control character within quotes");
      }
    }
    if (at_ == stop_) return Step::more;
    text = decoded;
  }
  ++at_;
  return Step::done;
}

AwsJsonRows::Step AwsJsonRows::read_hex(std::uint32_t& value) {
  value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    if (at_ == stop_) return Step::more;
    const char c = *at_;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return bad("four hexadecimal digits are expected after \\u");
    value = value * 16 + static_cast<std::uint32_t>(digit);
  }
  return Step::done;
}

AwsJsonRows::Step AwsJsonRows::read_escape(std::string& decoded) {
  constexpr std::string_view escapes = "\"\\/bfnrt";
  constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
  ++at_;
  if (at_ == stop_) return Step::more;
  if (*at_ != 'u') {
    const std::size_t index = escapes.find(*at_);
    if (index == std::string_view::npos) return bad("no escape of JSON");
    decoded += meanings[index];
    ++at_;
    return Step::done;
  }
  ++at_;
  std::uint32_t code = 0;
  if (const Step step = read_hex(code); step != Step::done) return step;
  if (code >= 0xd800 && code < 0xdc00) {
    std::uint32_t low = 0;
    for (const char c : {'\\', 'u'}) {
      if (at_ == stop_) return Step::more;
      if (*at_ != c) return bad("half a surrogate pair");
      ++at_;
    }
    if (const Step step = read_hex(low); step != Step::done) return step;
    if (low < 0xdc00 || low > 0xdfff) return bad("half a surrogate pair");
    code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
  } else if (code >= 0xdc00 && code < 0xe000) {
    return bad("half a surrogate pair");
  }
  append_utf8(code, decoded);
  return Step::done;
}

}  // namespace supercloud
