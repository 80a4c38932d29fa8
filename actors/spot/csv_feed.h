// Prices from a CSV file (its forms: csv_rows.h), the oldest first. Of a table only what changes is delivered.
#pragma once

#include <cstdint>
#include <deque>
#include <istream>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/csv_rows.h"
#include "actors/spot/in_force.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// Thread-bound. Holds what CsvRows holds and, per place, the last price.
class CsvFeed final : public PriceFeed {
 public:
  // Reads the header. NotFound, InvalidArgument with file, line, column and cure.
  static absl::StatusOr<std::unique_ptr<CsvFeed>> open(const std::string& path,
                                                       CsvFeedOptions options);
  static absl::StatusOr<std::unique_ptr<CsvFeed>> read(std::unique_ptr<std::istream> input,
                                                       std::string name, CsvFeedOptions options);

  std::string source() const override { return rows_->name(); }
  // DataLoss: a row was damaged and left out, or the last one, which comes next, may have been cut. NotFound: the file ended and no
  // row was of a wanted type (the message lists what there is). OutOfRange: the end.
  void next(Reply<Price> reply) override;

  std::uint64_t duplicates() const { return duplicates_; }

 private:
  struct Last {
    absl::Time since;
    Money price;
    std::uint64_t line = 0;
  };

  explicit CsvFeed(std::unique_ptr<CsvRows> rows);
  // Adds what the row says to `read_`.
  void take(CsvRows::Row row);
  absl::Status take_price(CsvRows::Entry entry, const CsvRows::Row& row);
  absl::StatusOr<Price> advance();

  std::unique_ptr<CsvRows> rows_;
  std::optional<absl::Time> newest_;
  std::map<PlaceName, Last> last_;
  bool delivered_ = false;
  bool started_ = false;  // `from` has been reached
  InForce in_force_;
  std::deque<absl::StatusOr<Price>> read_;  // of the newest row, not yet delivered
  std::uint64_t duplicates_ = 0;
};

}  // namespace supercloud
