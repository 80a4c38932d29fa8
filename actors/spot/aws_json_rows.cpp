#include "actors/spot/aws_json_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::string_view cut_off =
    "the file ends here before what it lists does: it was cut off; fetch it again";

constexpr std::string_view too_long = "this goes on for more than 64 KiB";

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

}  // namespace supercloud
