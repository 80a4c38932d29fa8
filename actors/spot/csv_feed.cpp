#include "actors/spot/csv_feed.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/price_text.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t places_max = 100'000;

}  // namespace

CsvFeed::CsvFeed(std::unique_ptr<CsvRows> rows)
    : rows_(std::move(rows)), in_force_(rows_->options().from) {}

absl::StatusOr<std::unique_ptr<CsvFeed>> CsvFeed::open(const std::string& path,
                                                       CsvFeedOptions options) {
  auto rows = CsvRows::open(path, std::move(options));
  if (!rows.ok()) return rows.status();
  return std::unique_ptr<CsvFeed>(new CsvFeed(*std::move(rows)));
}

absl::StatusOr<std::unique_ptr<CsvFeed>> CsvFeed::read(std::unique_ptr<std::istream> input,
                                                       std::string name, CsvFeedOptions options) {
  auto rows = CsvRows::read(std::move(input), std::move(name), std::move(options));
  if (!rows.ok()) return rows.status();
  return std::unique_ptr<CsvFeed>(new CsvFeed(*std::move(rows)));
}

void CsvFeed::take(CsvRows::Row row) {
  if (newest_ && row.since < *newest_) {
    const std::string_view column = rows_->time_column();
    read_.emplace_back(rows_->damaged(
        row.line, column,
        absl::StrCat(printable(row.time), " is before the row above it (",
                     column == "epoch_s" ? absl::StrCat(absl::ToUnixSeconds(*newest_))
                                         : absl::FormatTime(*newest_, absl::UTCTimeZone()),
                     "); sort the file by ", absl_view(column),
                     ", or choose one instance type of it. The row is left out")));
    return;
  }
  for (CsvRows::Entry& entry : row.entries) {
    absl::Status taken = take_price(std::move(entry), row);
    if (!taken.ok()) read_.emplace_back(std::move(taken));
  }
}

absl::Status CsvFeed::take_price(CsvRows::Entry entry, const CsvRows::Row& row) {
  if (!entry.price.ok()) return entry.price.status();
  const absl::Time since = row.since;
  newest_ = since;
  const auto known = last_.find(entry.place);
  if (known == last_.end() && last_.size() >= places_max) {
    return rows_->damaged(
        row.line, "az",
        absl::StrCat("more than ", places_max, " places; split the file. The row is left out"));
  }
  if (known != last_.end() && known->second.since == since) {
    if (known->second.price == *entry.price) {
      ++duplicates_;
      return absl::OkStatus();
    }
    return rows_->damaged(row.line, entry.column,
                          absl::StrCat("another price for the same time and zone as line ",
                                       known->second.line, "; ", absl_view(rows_->left_out())));
  }
  const bool same = known != last_.end() && known->second.price == *entry.price && rows_->table();
  last_[entry.place] = {since, *entry.price, row.line};
  if (!same) read_.emplace_back(Price{std::move(entry.place), *entry.price, since});
  return absl::OkStatus();
}

absl::StatusOr<Price> CsvFeed::advance() {
  while (read_.empty()) {
    absl::StatusOr<CsvRows::Row> row = rows_->next();
    if (row.ok()) {
      take(*std::move(row));
      continue;
    }
    if (absl::IsOutOfRange(row.status()) && last_.empty() && !delivered_ &&
        !rows_->types_seen().empty()) {
      delivered_ = true;  // said once
      return absl::NotFoundError(absl::StrCat(
          rows_->name(), ": no prices of ", absl::StrJoin(rows_->options().instance_types, ", "),
          "; the file has ",
          absl::StrJoin(rows_->types_seen(), ", ", [](std::string* out, const auto& type) {
            absl::StrAppend(out, printable(type.first));
          })));
    }
    return row.status();
  }
  absl::StatusOr<Price> price = std::move(read_.front());
  read_.pop_front();
  return price;
}

void CsvFeed::next(Reply<Price> reply) {
  while (!started_) {
    absl::StatusOr<Price> price = advance();
    if (absl::IsDataLoss(price.status())) return reply(price.status());  // the next call goes on
    if (price.ok() && in_force_.keep(*price)) continue;
    started_ = true;
    in_force_.close();
    if (!price.ok() && in_force_.empty()) return reply(price.status());
    if (price.ok()) read_.push_front(*std::move(price));
  }
  absl::StatusOr<Price> price = absl::OutOfRangeError("");
  if (std::optional<Price> first = in_force_.take())
    price = *std::move(first);
  else
    price = advance();
  if (price.ok()) delivered_ = true;
  reply(std::move(price));
}

}  // namespace supercloud
