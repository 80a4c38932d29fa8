#include "actors/spot/csv_rows.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t chunk_bytes = 256 << 10;
constexpr std::size_t line_bytes_max = 64 << 10;
constexpr std::size_t columns_max = 256;
constexpr std::size_t types_max = 1000;
constexpr std::size_t leaping_max = columns_max;  // zones that are looked at together

std::string_view trimmed(std::string_view field) {
  while (!field.empty() && (field.front() == ' ' || field.front() == '\t')) field.remove_prefix(1);
  while (!field.empty() && (field.back() == ' ' || field.back() == '\t' || field.back() == '\r')) {
    field.remove_suffix(1);
  }
  return field;
}

bool is_zone_letter(std::string_view zone) {
  return zone.size() == 1 && zone[0] >= 'a' && zone[0] <= 'z';
}

// Not every cloud has its region in the name.
bool is_zone(std::string_view zone, std::string_view cloud) {
  return is_zone_letter(zone) || !region_in_name(zone).empty() ||
         (cloud != "aws" && is_zone_word(zone));
}

bool has_price(const CsvRows::Row& row) {
  return std::any_of(row.entries.begin(), row.entries.end(),
                     [](const CsvRows::Entry& entry) { return entry.price.ok(); });
}

// Field `index` of a line, and how many there are.
std::vector<std::string_view> split(std::string_view line) {
  std::vector<std::string_view> fields;
  while (fields.size() < columns_max) {
    const std::size_t comma = line.find(',');
    fields.push_back(trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) break;
    line.remove_prefix(comma + 1);
  }
  return fields;
}

}  // namespace

CsvRows::CsvRows(std::unique_ptr<std::istream> input, std::string name, CsvFeedOptions options)
    : input_(std::move(input)), name_(std::move(name)), options_(std::move(options)) {}

absl::StatusOr<std::unique_ptr<CsvRows>> CsvRows::open(const std::string& path,
                                                       CsvFeedOptions options) {
  auto input = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*input) {
    return absl::NotFoundError(
        absl::StrCat(path, ": cannot be opened (", std::strerror(errno), "); check the path"));
  }
  return read(std::move(input), path, std::move(options));
}

absl::StatusOr<std::unique_ptr<CsvRows>> CsvRows::read(std::unique_ptr<std::istream> input,
                                                       std::string name, CsvFeedOptions options) {
  std::unique_ptr<CsvRows> rows(new CsvRows(std::move(input), std::move(name), std::move(options)));
  if (absl::Status status = rows->read_header(); !status.ok()) return status;
  return rows;
}

bool CsvRows::fill() {
  if (!input_ || !*input_) return false;
  buffer_.erase(0, position_);
  position_ = 0;
  const std::size_t kept = buffer_.size();
  buffer_.resize(kept + chunk_bytes);
  input_->read(buffer_.data() + kept, chunk_bytes);
  const auto got = static_cast<std::size_t>(input_->gcount());
  buffer_.resize(kept + got);
  return got > 0;
}

absl::StatusOr<CsvRows::Line> CsvRows::next_line() {
  if (broken_) return Line{};
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = buffer_.find('\n', position_ + searched);
    if (end != std::string::npos) {
      const std::string_view line(buffer_.data() + position_, end - position_);
      position_ = end + 1;
      ++line_;
      return Line{line};
    }
    searched = buffer_.size() - position_;
    if (searched > line_bytes_max) {
      broken_ = true;
      ++line_;
      return absl::DataLossError(
          absl::StrCat(name_, ":", line_, ": a line of more than ", line_bytes_max,
                       " bytes; is this a CSV file? Nothing after it is read"));
    }
    if (!fill()) {
      const bool failed = input_ && input_->bad();
      broken_ = true;
      if (failed) {
        return absl::DataLossError(absl::StrCat(name_, ": reading failed after line ", line_));
      }
      if (position_ == buffer_.size()) return Line{};
      const std::string_view line(buffer_.data() + position_, buffer_.size() - position_);
      position_ = buffer_.size();
      ++line_;
      unended_ = true;
      return Line{line};
    }
  }
}

absl::Status CsvRows::read_header() {
  while (true) {
    absl::StatusOr<Line> line = next_line();
    if (!line.ok()) return absl::InvalidArgumentError(line.status().message());
    if (!line->has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(
          name_,
          ": the file is empty; its first line has to name the columns epoch_s, az and usd_per_h"));
    }
    std::string_view header = **line;
    // byte order mark
    if (line_ == 1 && header.starts_with("\xef\xbb\xbf")) header.remove_prefix(3);
    header = trimmed(header);
    if (header.empty() || header.front() == '#') continue;
    return take_header(header);
  }
}

std::optional<std::size_t>* CsvRows::column_named(std::string_view name) {
  if (name == "epoch_s") return &epoch_column_;
  if (name == "time_utc") return &utc_column_;
  if (name == "az" || name == "zone") return &zone_column_;
  if (name == "usd_per_h") return &price_column_;
  return name == "instance_type" ? &type_column_ : nullptr;
}

absl::Status CsvRows::take_header(std::string_view header) {
  const std::vector<std::string_view> names = split(header);
  if (names.size() == columns_max) {
    return absl::InvalidArgumentError(
        absl::StrCat(name_, ":", line_, ": more than ", columns_max - 1, " columns"));
  }
  columns_ = names.size();
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::optional<std::size_t>* column = column_named(names[i]);
    if (column == nullptr) continue;
    if (std::count(names.begin(), names.end(), names[i]) > 1) return twice(names[i]);
    *column = i;
  }
  if (!zone_column_ && !price_column_)
    if (absl::Status status = take_zones(names); !status.ok()) return status;
  std::vector<std::string> missing;
  if (!epoch_column_ && !utc_column_) missing.emplace_back("epoch_s or time_utc");
  if (zones_.empty() && !zone_column_) missing.emplace_back("az");
  if (zones_.empty() && !price_column_) missing.emplace_back("usd_per_h");
  if (!missing.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        name_, ":", line_, ": the header \"", printable(header), "\" has no column ",
        absl::StrJoin(missing, ", "),
        "; the first line has to name epoch_s, az and usd_per_h, or time_utc and the zones"));
  }
  const std::size_t last = names.size() - 1;
  if (epoch_column_ == last || utc_column_ == last ||
      (table() ? zones_.back().first : *price_column_) == last)
    last_column_ = names.back();
  if (type_column_ || !options_.instance_type.empty()) return absl::OkStatus();
  const std::uint64_t line = line_;
  if (!has_row()) return no_prices();
  return absl::InvalidArgumentError(absl::StrCat(
      name_, ":", line,
      ": there is no column instance_type; say which instance type these prices are of"));
}

bool CsvRows::has_row() {
  while (true) {
    const absl::StatusOr<Line> line = next_line();
    if (!line.ok()) return true;
    if (!line->has_value()) return false;
    if (const std::string_view text = trimmed(**line); !text.empty() && text.front() != '#')
      return true;
  }
}

absl::Status CsvRows::no_prices() const {
  return absl::NotFoundError(absl::StrCat(name_, ": the file has a header and no prices"));
}

// A table's columns that are none of the known ones are zones, if it has any, and their names tell their regions: what is no such name may
// be a zone misspelt. A column without a name is none's.
absl::Status CsvRows::take_zones(const std::vector<std::string_view>& names) {
  std::optional<std::size_t> unknown;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty() || column_named(names[i]) != nullptr) continue;
    if (region_in_name(names[i]).empty()) {
      if (!unknown) unknown = i;
      continue;
    }
    if (std::count(names.begin(), names.end(), names[i]) > 1) return twice(names[i]);
    zones_.emplace_back(i, names[i]);
  }
  if (!unknown || zones_.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name_, ":", line_, ": column ", *unknown + 1, ", \"", printable(names[*unknown]),
                   "\", is no zone, such as us-east-1a, and a table has no columns but zones, "
                   "epoch_s or time_utc, and instance_type; correct its name, or take it out"));
}

absl::Status CsvRows::twice(std::string_view name) const {
  return absl::InvalidArgumentError(
      absl::StrCat(name_, ":", line_, ": the column ", printable(name), " occurs twice"));
}

absl::Status CsvRows::damaged(std::uint64_t line, std::string_view column,
                              std::string_view what) const {
  return absl::DataLossError(
      absl::StrCat(name_, ":", line, ": ", absl_view(column), ": ", absl_view(what)));
}

absl::Status CsvRows::damaged(std::string_view column, std::string_view what) const {
  return damaged(line_, column, what);
}

absl::StatusOr<absl::Time> CsvRows::time_in(std::string_view field) const {
  if (!epoch_column_) {
    if (const std::optional<absl::Time> time = parse_price_time(field)) return *time;
    return damaged(
        "time_utc",
        absl::StrCat("\"", printable(field),
                     "\" is no time from 1970 to 2100 such as 2016-06-22T07:50Z; the row is "
                     "left out"));
  }
  std::int64_t seconds = 0;
  if (!absl::SimpleAtoi(absl_view(field), &seconds)) {
    return damaged(
        "epoch_s",
        absl::StrCat("\"", printable(field),
                     "\" is no whole number of seconds since 1970; the row is left out"));
  }
  if (const std::optional<absl::Time> time = price_time(seconds)) return *time;
  return damaged("epoch_s",
                 absl::StrCat(seconds,
                              " is not between 1970 and 2100; is it in seconds? The row is "
                              "left out"));
}

absl::StatusOr<Money> CsvRows::price_in(std::string_view column, std::string_view field) const {
  absl::StatusOr<Money> amount = parse_price(field, price_per_hour_max);
  if (amount.ok()) return amount;
  return damaged(column, absl::StrCat(amount.status().message(), "; ", absl_view(left_out())));
}

CsvRows::Entry CsvRows::event_in(const std::vector<std::string_view>& fields,
                                 PlaceName place) const {
  const std::string_view zone = fields[*zone_column_];
  if (zone.empty()) return {"az", std::move(place), damaged("az", "empty; the row is left out")};
  if (!is_zone(zone, place.cloud)) {
    return {"az", std::move(place),
            damaged("az", absl::StrCat("\"", printable(zone),
                                       "\" is no zone, such as us-east-1a, or a; the row is left "
                                       "out"))};
  }
  // "a" and "us-east-1a" are the same zone.
  const bool letter = is_zone_letter(zone);
  place.zone = letter ? options_.region + std::string(zone) : std::string(zone);
  if (!letter || !region_in_name(place.zone).empty()) place.region = region_of_zone(place.zone);
  return {"usd_per_h", std::move(place), price_in("usd_per_h", fields[*price_column_])};
}

absl::StatusOr<std::optional<CsvRows::Row>> CsvRows::row_in(std::string_view line) {
  const std::vector<std::string_view> fields = split(line);
  const bool tell = options_.tell_rows_of_no_type;
  if (fields.size() != columns_) {
    if (!tell) return std::nullopt;
    return damaged("row", absl::StrCat(fields.size(), " fields where the header has ", columns_,
                                       "; the row is left out"));
  }
  PlaceName place;
  place.cloud = options_.cloud;
  place.region = options_.region;
  place.instance_type = type_column_ ? std::string(fields[*type_column_]) : options_.instance_type;
  const std::string& type = place.instance_type;
  if (type.empty() || type.size() > 64) {
    if (!tell) return std::nullopt;
    return damaged("instance_type", "empty or longer than 64 bytes; the row is left out");
  }
  if (types_seen_.size() < types_max) ++types_seen_[type];
  // Before the time is looked at: files that list one type after the other are in order within each.
  if (!is_wanted(options_.instance_types, type)) return std::nullopt;

  Row row;
  row.line = line_;
  row.time = fields[epoch_column_ ? *epoch_column_ : *utc_column_];
  const absl::StatusOr<absl::Time> since = time_in(row.time);
  if (!since.ok()) return since.status();
  row.since = *since;
  if (zones_.empty()) {
    row.entries.push_back(event_in(fields, std::move(place)));
    return row;
  }
  for (const auto& [index, zone] : zones_) {
    if (fields[index].empty()) continue;
    place.zone = zone;
    place.region = region_of_zone(zone);
    row.entries.push_back({zone, place, price_in(zone, fields[index])});
  }
  return row;
}

absl::StatusOr<CsvRows::Row> CsvRows::next() {
  while (judged_.empty()) {
    absl::StatusOr<Row> row = read_row();
    const bool end = absl::IsOutOfRange(row.status());
    if (!end && (!row.ok() || !has_price(*row))) return row;
    if (row.ok() && leaps(*row) && leaping_.size() < leaping_max &&
        (leaping_.empty() || row->since == leaping_.front().since)) {
      leaping_.push_back(*std::move(row));
    } else if (!leaping_.empty()) {
      judge(std::move(row));
    } else if (end) {
      return row;
    } else {
      return taken(*std::move(row));
    }
  }
  absl::StatusOr<Row> first = std::move(judged_.front());
  judged_.pop_front();
  return first;
}

void CsvRows::judge(absl::StatusOr<Row> next) {
  const bool wrong = next.ok() && goes_on_before(*next, leaping_.front());
  for (Row& held : leaping_)
    judged_.push_back(wrong ? absl::StatusOr<Row>(too_late(held, *next)) : taken(std::move(held)));
  leaping_.clear();
  if (next.ok()) ahead_ = *std::move(next);
}

bool CsvRows::leaps(const Row& row) const {
  const std::optional<absl::Time> newest = newest_of(row);
  return newest && row.since - *newest > longest_silence;
}

std::optional<absl::Time> CsvRows::newest_of(const Row& row) const {
  const auto newest = newest_.find(row.entries.front().place.instance_type);
  return newest == newest_.end() ? std::nullopt : std::optional(newest->second);
}

// Where types follow each other, the first row of the next type is no such row, whatever its time.
bool CsvRows::goes_on_before(const Row& row, const Row& leaping) const {
  const std::optional<absl::Time> newest = newest_of(row);
  return newest && *newest <= row.since && row.since < leaping.since;
}

absl::Status CsvRows::too_late(const Row& leaping, const Row& next) const {
  const absl::Duration leap = leaping.since - *newest_of(leaping);
  return damaged(leaping.line, time_column(),
                 absl::StrCat(printable(leaping.time), " is ", absl::ToInt64Hours(leap) / 24,
                              " days after what stands above it, and line ", next.line,
                              " goes on before it, at ", printable(next.time),
                              "; correct one of the two. The row is left out"));
}

CsvRows::Row CsvRows::taken(Row row) {
  const std::string& type = row.entries.front().place.instance_type;
  if (const auto newest = newest_.find(type); newest != newest_.end())
    newest->second = std::max(newest->second, row.since);
  else if (newest_.size() < types_max)
    newest_.emplace(type, row.since);
  return row;
}

absl::StatusOr<CsvRows::Row> CsvRows::read_row() {
  if (ahead_) return *std::exchange(ahead_, std::nullopt);
  while (true) {
    absl::StatusOr<Line> line = next_line();
    if (!line.ok()) return line.status();
    if (!line->has_value())
      return absl::OutOfRangeError(absl::StrCat(name_, ": the end, after line ", line_));
    const std::string_view text = trimmed(**line);
    if (text.empty() || text.front() == '#') continue;
    absl::StatusOr<std::optional<Row>> row = row_in(text);
    if (!row.ok()) return row.status();
    if (!row->has_value()) continue;
    if (!unended_ || last_column_.empty() || !has_price(**row)) return **std::move(row);
    // Nobody can know whether "0.1" was "0.175" before it was cut.
    ahead_ = **std::move(row);
    return absl::DataLossError(absl::StrCat(
        name_, ":", line_,
        ": this last line has no end: the file may have been cut off within its ", last_column_,
        ", which counts as it stands; fetch the file again, or end the line if it is whole"));
  }
}

}  // namespace supercloud
