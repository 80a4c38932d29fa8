// Prices from a CSV file, in one of two forms.
//
//   file   = header *row
//   header = columns in any order, among them the time (epoch_s or time_utc); instance_type if the file has several; and
//              events:  az (or zone), usd_per_h      a row says the price of one zone that holds from then on
//              a table: a column for each zone       a row says the prices of all zones at that time; an empty field says none
//   row    = as many comma-separated fields, oldest first; epoch_s in whole seconds since 1970, time_utc as 2016-06-22T07:50Z or
//            2016-06-22T07:50:00Z, prices in decimal USD per hour
//
// A header without az and usd_per_h is a table's; its columns of zones are those whose names end as zones' do ("us-east-1a",
// "us-central1-a"). Other columns are ignored, empty lines and lines that begin with # too; fields are not quoted. Of a table only
// what changes is delivered.
#pragma once

#include <cstdint>
#include <deque>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

struct CsvFeedOptions {
  std::string cloud = "aws";
  std::string region = "us-east-1";
  std::string instance_type;                // of files that have no such column
  std::vector<std::string> instance_types;  // only these; empty: all
  absl::Time from = absl::InfinitePast();   // the prices in force then come first
  Money price_max{1'000'000'000'000};       // per hour; more is taken for damage
};

// Thread-bound. Holds one row ahead and, per place, the last price.
class CsvFeed final : public PriceFeed {
 public:
  // Reads the header. NotFound, InvalidArgument with file, line, column and cure.
  static absl::StatusOr<std::unique_ptr<CsvFeed>> open(const std::string& path,
                                                       CsvFeedOptions options);
  static absl::StatusOr<std::unique_ptr<CsvFeed>> read(std::unique_ptr<std::istream> input,
                                                       std::string name, CsvFeedOptions options);

  std::string source() const override { return name_; }
  // DataLoss: a row was damaged and left out. NotFound: the file ended and no row was of a wanted type (the message lists
  // what there is). OutOfRange: the end.
  void next(Reply<Price> reply) override;

  std::uint64_t duplicates() const { return duplicates_; }

 private:
  struct Last {
    absl::Time since;
    Money price;
    std::uint64_t line = 0;
  };
  // nullopt: the end of the file.
  using Line = std::optional<std::string_view>;

  CsvFeed(std::unique_ptr<std::istream> input, std::string name, CsvFeedOptions options);
  absl::Status read_header();
  absl::StatusOr<Line> next_line();
  bool fill();
  // Adds what the row says to `read_`.
  void take(std::string_view line);
  absl::StatusOr<absl::Time> time_in(std::string_view field) const;
  absl::Status take_price(PlaceName place, absl::Time since, std::string_view column,
                          std::string_view field);
  absl::StatusOr<Price> advance();
  absl::Status damaged(std::string_view column, std::string_view what) const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  CsvFeedOptions options_;
  std::string buffer_;
  std::size_t position_ = 0;
  std::uint64_t line_ = 0;
  bool broken_ = false;  // nothing more can be read
  std::size_t columns_ = 0;
  std::optional<std::size_t> epoch_column_, utc_column_, zone_column_, price_column_, type_column_;
  std::vector<std::pair<std::size_t, std::string>> zones_;  // a table's columns
  std::optional<absl::Time> newest_;
  std::map<PlaceName, Last> last_;
  std::map<std::string, std::uint64_t> types_seen_;
  bool delivered_ = false;
  bool started_ = false;                    // `from` has been reached
  std::map<PlaceName, Price> before_;       // until then: the last of each place
  std::vector<Price> in_force_;             // at `from`, last one first
  std::deque<absl::StatusOr<Price>> read_;  // of the newest row, not yet delivered
  std::uint64_t duplicates_ = 0;
};

}  // namespace supercloud
