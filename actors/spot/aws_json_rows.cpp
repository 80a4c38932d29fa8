#include "actors/spot/aws_json_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr int json_depth_max = 32;
constexpr std::string_view list_name = "SpotPriceHistory";

constexpr std::string_view cut_off =
    "the file ends here before what it lists does: it was cut off; fetch it again";

constexpr std::string_view too_long = "this goes on for more than 64 KiB";

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

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

AwsJsonRows::AwsJsonRows(ByteSource& bytes, std::size_t window_bytes)
    : bytes_(bytes),
      window_(std::max<std::size_t>(
          16, static_cast<std::size_t>(std::min<std::uint64_t>(window_bytes, bytes.size())))) {}

void AwsJsonRows::seek(std::uint64_t begin, std::uint64_t end, Depth depth) {
  base_ = begin;
  position_ = filled_ = 0;
  end_ = end;
  depth_ = depth;
  after_item_ = lost_ = false;
}

// More bytes after those that are not read yet. False: there are no more.
bool AwsJsonRows::fill() {
  if (base_ + filled_ >= end_) return false;
  std::memmove(window_.data(), window_.data() + position_, filled_ - position_);
  base_ += position_;
  filled_ -= position_;
  position_ = 0;
  if (filled_ == window_.size()) window_.resize(2 * window_.size());
  const auto room = std::min<std::uint64_t>(window_.size() - filled_, end_ - base_ - filled_);
  const absl::StatusOr<std::size_t> got =
      bytes_.read(base_ + filled_, window_.data() + filled_, static_cast<std::size_t>(room));
  if (!got.ok()) status_ = got.status();
  if (!got.ok() || *got == 0) {
    end_ = base_ + filled_;
    return false;
  }
  filled_ += *got;
  return true;
}

// Reads one thing from `position_` on, with as much of the file in the window as it takes.
template <class Read>
AwsJsonRows::Step AwsJsonRows::whole(Read read) {
  while (true) {
    at_ = window_.data() + position_;
    stop_ = window_.data() + filled_;
    const Step step = read();
    // Whatever is in the window, the limit is the same for every reading.
    if (step == Step::done && at_ - window_.data() - static_cast<std::ptrdiff_t>(position_) >
                                  static_cast<std::ptrdiff_t>(row_bytes_max))
      return bad(too_long);
    if (step != Step::more) return step;
    if (filled_ - position_ > row_bytes_max) return bad(too_long);
    if (!fill()) return bad(cut_off);
  }
}

AwsJsonRows::Found AwsJsonRows::next() {
  while (true) {
    if (position_ == filled_ && !fill()) return finish();
    const char* const begin = window_.data() + position_;
    const char* const end = window_.data() + filled_;
    const char* at = begin;
    if (lost_) {
      const void* brace = std::memchr(begin, '{', filled_ - position_);
      at = brace == nullptr ? end : static_cast<const char*>(brace);
    } else {
      while (at != end && is_space(*at)) ++at;
    }
    position_ += static_cast<std::size_t>(at - begin);
    if (at == end) continue;
    const Told told = *at == '{' ? object() : token(*at);
    if (told) return *told;
  }
}

AwsJsonRows::Found AwsJsonRows::finish() {
  if (lost_ || depth_.level == Level::file || !status_.ok()) return Found::end;
  depth_ = {};
  return tell(end_, cut_off);
}

AwsJsonRows::Found AwsJsonRows::tell(std::uint64_t at, std::string_view what) {
  damage_ = absl::StrCat("byte ", at, ": ", absl_view(what));
  return Found::damage;
}

AwsJsonRows::Told AwsJsonRows::spoilt(std::uint64_t at, std::string_view what) {
  if (std::exchange(lost_, true)) return std::nullopt;
  return tell(at, what);
}

void AwsJsonRows::open_list() {
  depth_ = {Level::answers_list,
            depth_.level == Level::list || (depth_.level != Level::file && depth_.in_list)};
  after_item_ = lost_ = false;
  ++lists_;
}

AwsJsonRows::Told AwsJsonRows::object() {
  if (!lost_ && depth_.level == Level::answer)
    return spoilt(here(), "a member's name or } is expected");
  bool opened = false;
  row_ = {};
  any_member_ = false;
  if (whole([&] { return read_object(opened); }) == Step::done) return finished_object(opened);
  const std::uint64_t begin = here();
  const std::uint64_t at = base_ + static_cast<std::uint64_t>(at_ - window_.data());
  ++position_;  // it may hold a row that is whole
  return spoilt(at,
                absl::StrCat(absl_view(error_), "; the row from byte ", begin, " on is left out"));
}

AwsJsonRows::Told AwsJsonRows::finished_object(bool opened) {
  row_.begin = here();
  if (!opened && !any_member_) {
    ++position_;  // it may hold an answer
    return spoilt(row_.begin,
                  "neither an answer with SpotPriceHistory nor a row of one; it is "
                  "left out");
  }
  const bool in_list = depth_.level == Level::list || depth_.level == Level::answers_list;
  if (!opened && !lost_ && in_list && std::exchange(after_item_, false))
    return tell(row_.begin, "a comma is missing before this row; it is read nevertheless");
  position_ = static_cast<std::size_t>(at_ - window_.data());
  row_.end = here();
  if (opened) {
    const bool within = !lost_ && depth_.level != Level::file && depth_.level != Level::list;
    open_list();
    if (!within) return std::nullopt;
    return tell(row_.begin,
                "an answer begins here before the one above it ended, which was cut "
                "off; fetch that again");
  }
  if (depth_.level == Level::answer) depth_.level = Level::answers_list;
  after_item_ = true;
  lost_ = false;
  return Found::row;
}

AwsJsonRows::Told AwsJsonRows::token(char c) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  switch (depth_.level) {
    case Level::file:
      if (here() == 0 && std::string_view(window_.data(), filled_).starts_with(byte_order_mark)) {
        position_ += byte_order_mark.size();
        return std::nullopt;
      }
      // Rows of a file whose head is missing still have their commas.
      if (c == ',' && std::exchange(after_item_, false)) break;
      if (c != '[') {
        return spoilt(here(),
                      "this is not what `aws ec2 describe-spot-price-history --output json` "
                      "prints, { \"SpotPriceHistory\": [...] }; nothing is read up to the "
                      "next row");
      }
      depth_.level = Level::list;
      after_item_ = false;
      ++lists_;
      break;
    case Level::list:
    case Level::answers_list:
      if (c == ']') {
        depth_.level = depth_.level == Level::list ? Level::file : Level::answer;
        after_item_ = true;
      } else if (c != ',' || !std::exchange(after_item_, false)) {
        return spoilt(here(),
                      "a row, a comma or ] is expected; nothing is read up to the next row");
      }
      break;
    case Level::answer:
      if (c == '"') return answers_member();
      if (c == '}') {
        depth_ = {depth_.in_list ? Level::list : Level::file, false};
        after_item_ = true;
      } else if (c != ',') {
        return spoilt(here(),
                      "a member's name or } is expected; nothing is read up to the next row");
      }
      break;
  }
  ++position_;
  return std::nullopt;
}

AwsJsonRows::Told AwsJsonRows::answers_member() {
  bool opened = false;
  if (whole([&] { return read_member_of_answer(opened); }) != Step::done) {
    const std::uint64_t at = base_ + static_cast<std::uint64_t>(at_ - window_.data());
    ++position_;
    return spoilt(at, error_);
  }
  position_ = static_cast<std::size_t>(at_ - window_.data());
  if (opened) open_list();
  return std::nullopt;
}

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
