// The rows of a CSV file of prices, in one of two forms.
//
//   file   = header *row
//   header = columns in any order, among them the time (epoch_s or time_utc); instance_type if the file has several; and
//              events:  az (or zone), usd_per_h      a row says the price of one zone that holds from then on
//              a table: a column for each zone       a row says the prices of all zones at that time; an empty field says none
//   row    = as many comma-separated fields; epoch_s in whole seconds since 1970, time_utc as 2016-06-22T07:50Z or
//            2016-06-22T07:50:00Z, prices in decimal USD per hour
//
// A header without az and usd_per_h is a table's; its columns of zones are those whose names are zones' ("us-east-1a",
// "us-central1-a"). Other columns of a table are refused, since they may be zones misspelt; of events they are ignored. Empty lines
// and lines that begin with # are, too; fields are not quoted.
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
  std::string region = "us-east-1";         // of zones that are one letter
  std::string instance_type;                // of files that have no such column
  std::vector<std::string> instance_types;  // only these; empty: all
  absl::Time from = absl::InfinitePast();   // the prices in force then come first
  bool tell_rows_of_no_type = true;         // rows too damaged to say whose they are
};

// Rows of one time that is more than longest_silence (price_text.h) after what stands above them of their type are held back until the
// next one of another time is read: where that goes on from before, their time was wrong, and they are left out. Else they would make all
// those after them go back in time.
//
// Thread-bound. Holds so many rows of one time, at most as many as a table may have zones.
class CsvRows {
 public:
  struct Entry {
    std::string column;  // where its price stands
    PlaceName place;
    absl::StatusOr<Money> price;  // or what is wrong with it
  };
  struct Row {
    std::uint64_t line = 0;
    std::string time;  // as it stands there
    absl::Time since;
    std::vector<Entry> entries;
  };

  // Reads the header. NotFound, InvalidArgument with file, line, column and cure. NotFound, too: nobody says of which type the prices
  // are, and there is none.
  static absl::StatusOr<std::unique_ptr<CsvRows>> open(const std::string& path,
                                                       CsvFeedOptions options);
  static absl::StatusOr<std::unique_ptr<CsvRows>> read(std::unique_ptr<std::istream> input,
                                                       std::string name, CsvFeedOptions options);

  // The next row of a wanted type. DataLoss: a row was damaged and left out, or the last one, which comes next, may have been cut; ask
  // again. OutOfRange: the end.
  absl::StatusOr<Row> next();

  // DataLoss at that line.
  absl::Status damaged(std::uint64_t line, std::string_view column, std::string_view what) const;

  // NotFound: that there is nothing after the header.
  absl::Status no_prices() const;
  // What becomes of a damaged price, for its message.
  std::string_view left_out() const {
    return table() ? "that price is left out" : "the row is left out";
  }

  const std::string& name() const { return name_; }
  const CsvFeedOptions& options() const { return options_; }
  std::string_view time_column() const { return epoch_column_ ? "epoch_s" : "time_utc"; }
  bool table() const { return !zones_.empty(); }
  bool has_types() const { return type_column_.has_value(); }
  // Of the rows so far, wanted or not; the first thousand types.
  const std::map<std::string, std::uint64_t>& types_seen() const { return types_seen_; }

 private:
  // nullopt: the end of the file.
  using Line = std::optional<std::string_view>;

  CsvRows(std::unique_ptr<std::istream> input, std::string name, CsvFeedOptions options);
  absl::Status read_header();
  absl::Status take_header(std::string_view header);
  bool has_row();  // reads on to it
  absl::Status take_zones(const std::vector<std::string_view>& names);
  absl::Status twice(std::string_view name) const;
  // nullptr: it is none that is known.
  std::optional<std::size_t>* column_named(std::string_view name);
  absl::StatusOr<Line> next_line();
  bool fill();
  // In the order of the file.
  absl::StatusOr<Row> read_row();
  bool leaps(const Row& row) const;
  // What becomes of leaping_, by what comes after them.
  void judge(absl::StatusOr<Row> next);
  // Of rows that have a price: the newest time of the type among those that were taken; nullopt: none was.
  std::optional<absl::Time> newest_of(const Row& row) const;
  bool goes_on_before(const Row& row, const Row& leaping) const;
  absl::Status too_late(const Row& leaping, const Row& next) const;
  Row taken(Row row);
  // DataLoss at the row that was read last.
  absl::Status damaged(std::string_view column, std::string_view what) const;
  // nullopt: the row is of a type that is not wanted.
  absl::StatusOr<std::optional<Row>> row_in(std::string_view line);
  absl::StatusOr<absl::Time> time_in(std::string_view field) const;
  absl::StatusOr<Money> price_in(std::string_view column, std::string_view field) const;
  Entry event_in(const std::vector<std::string_view>& fields, PlaceName place) const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  CsvFeedOptions options_;
  std::string buffer_;
  std::size_t position_ = 0;
  std::uint64_t line_ = 0;
  bool broken_ = false;                       // nothing more can be read
  bool unended_ = false;                      // the line that was read last
  std::optional<Row> ahead_;                  // read, and next in turn
  std::vector<Row> leaping_;                  // before it, held back
  std::deque<absl::StatusOr<Row>> judged_;    // those that were
  std::map<std::string, absl::Time> newest_;  // by type
  std::size_t columns_ = 0;
  std::optional<std::size_t> epoch_column_, utc_column_, zone_column_, price_column_, type_column_;
  std::vector<std::pair<std::size_t, std::string>> zones_;  // a table's columns
  std::string last_column_;  // in each line, if it is a price's or the time's; else empty
  std::map<std::string, std::uint64_t> types_seen_;
};

}  // namespace supercloud
