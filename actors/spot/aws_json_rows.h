// The rows of what `aws ec2 describe-spot-price-history` prints, one after another as they stand in the file.
//
//   file   = *(answer / list / row)                           pages, one after the other; white space between all tokens
//   answer = "{" *(member ",") "\"SpotPriceHistory\":" list *("," member) "}"
//   list   = "[" [item *("," item)] "]"                       alone: what `--query SpotPriceHistory` leaves, or `jq -s`
//   item   = row / answer
//   row    = "{" member *("," member) "}"                     alone: what `jq -c '.SpotPriceHistory[]'` leaves
//   member = name ":" value                                   in any order; names of no interest have any value
//
// What does not fit is told, as one damage, and skipped up to the next "{" that begins a row or an answer: nothing else is lost.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "actors/spot/byte_source.h"

namespace supercloud {

// As it stands there: no member's value has been looked at; an empty one was missing, null, or no text and no number. The views
// hold until the next call.
struct AwsJsonRow {
  std::uint64_t begin = 0, end = 0;  // of its bytes
  std::string_view zone, instance_type, product, price, time;
};

// Thread-bound. Holds a window of the file, which grows with what one row needs and no further than `row_bytes_max`.
class AwsJsonRows {
 public:
  static constexpr std::size_t row_bytes_max = 64 << 10;

  // Where in the file, outside of rows.
  enum class Level : std::uint8_t { file, list, answers_list, answer };
  struct Depth {
    Level level = Level::file;
    bool in_list = false;  // the answer is an item of a list
  };
  enum class Found : std::uint8_t { row, damage, end };

  // Nothing is to be read before seek().
  AwsJsonRows(ByteSource& bytes, std::size_t window_bytes);
  // [begin, end) is read next, whose first byte is at `depth`.
  void seek(std::uint64_t begin, std::uint64_t end, Depth depth);

  Found next();
  const AwsJsonRow& row() const { return row_; }
  // Without the name of the file.
  const std::string& damage() const { return damage_; }
  Depth depth() const { return depth_; }
  // How many lists have begun.
  std::uint64_t lists() const { return lists_; }
  // Reading failed: the end came early.
  const absl::Status& status() const { return status_; }

 private:
  enum class Step : std::uint8_t { done, more, bad };

  static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
  // nullopt: nothing to tell, go on.
  using Told = std::optional<Found>;

  bool fill();
  template <class Read>
  Step whole(Read read);
  Told object();
  Told finished_object(bool opened);
  Told token(char c);
  Told answers_member();
  Told spoilt(std::uint64_t at, std::string_view what);
  Found tell(std::uint64_t at, std::string_view what);
  Found finish();
  void open_list();
  std::uint64_t here() const { return base_ + position_; }

  // In aws_json_values.cpp, from `at_` on. Each leaves `at_` after what it has read; where that is bad, at the place that `error_` is about.
  Step read_object(bool& opened);
  Step read_member_of_answer(bool& opened);
  Step read_name(std::string_view& name);
  Step read_string(std::string_view& text, std::string& decoded);
  Step read_escape(std::string& decoded);
  Step read_hex(std::uint32_t& value);
  Step read_value(std::string_view& text, std::string& decoded);
  Step read_literal(std::string_view& text);
  Step read_nested();
  Step skip_space();
  Step bad(std::string_view what);

  ByteSource& bytes_;
  std::vector<char> window_;
  std::uint64_t base_ = 0;    // of the window in the file
  std::size_t position_ = 0;  // in the window: what comes next
  std::size_t filled_ = 0;
  std::uint64_t end_ = 0;
  Depth depth_;
  bool after_item_ = false;  // a comma or the end of the list comes next
  bool lost_ = false;        // after damage: the next "{" comes next
  std::uint64_t lists_ = 0;
  const char* at_ = nullptr;  // within what is being read
  const char* stop_ = nullptr;
  std::string_view error_;
  AwsJsonRow row_;
  bool any_member_ = false;
  std::array<std::string, 5> decoded_;  // of the row's members, where they have escapes
  std::string name_;                    // and of a member's name
  std::string ignored_;
  std::string damage_;
  absl::Status status_;
};

}  // namespace supercloud
