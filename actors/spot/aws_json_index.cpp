#include "actors/spot/aws_json_index.h"

#include <algorithm>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t first_window_bytes = 256 << 10;
constexpr std::uint64_t blocks_aimed_at = 32'768;
constexpr std::size_t names_max = 100'000;
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t damages_told_max = 1'000;

constexpr std::string_view how_to_fetch =
    "save what `aws ec2 describe-spot-price-history --output json` prints";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max &&
         std::all_of(name.begin(), name.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string what_of_name(std::string_view member, std::string_view name) {
  if (name.empty()) {
    return absl::StrCat(absl_view(member),
                        ": missing, or no text; fetch it again, without --query. The row is left "
                        "out");
  }
  return absl::StrCat(absl_view(member), ": \"", printable(name),
                      "\" has more than 64 bytes, or some that no name has; the row is left out");
}

}  // namespace

std::size_t AwsJsonIndex::NamesHash::operator()(const Names& names) const {
  return absl::HashOf(absl_view(names.zone), absl_view(names.instance_type),
                      absl_view(names.product));
}

AwsJsonIndex::AwsJsonIndex(std::unique_ptr<ByteSource> bytes, AwsJsonOptions options)
    : bytes_(std::move(bytes)), options_(std::move(options)) {
  options_.block_bytes =
      std::max(options_.block_bytes, static_cast<std::size_t>(bytes_->size() / blocks_aimed_at));
}

absl::StatusOr<AwsJsonIndex> AwsJsonIndex::of(std::unique_ptr<ByteSource> bytes,
                                              AwsJsonOptions options) {
  AwsJsonIndex index(std::move(bytes), std::move(options));
  if (absl::Status status = index.read(); !status.ok()) return status;
  return index;
}

absl::Status AwsJsonIndex::damaged(std::uint64_t offset, std::string_view what) const {
  return absl::DataLossError(absl::StrCat(name(), ": byte ", offset, ": ", absl_view(what)));
}

absl::Status AwsJsonIndex::contradiction(const Fact& kept, const Fact& other) const {
  return damaged(other.offset, absl::StrCat("SpotPrice: another price for the same time and place "
                                            "as at byte ",
                                            kept.offset, "; the row is left out"));
}

void AwsJsonIndex::note(absl::Status damage) {
  if (damages_.size() < damages_told_max)
    damages_.push_back(std::move(damage));
  else
    ++damages_untold_;
}

absl::Status AwsJsonIndex::read() {
  if (bytes_->size() == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(name(), ": the file is empty; ", absl_view(how_to_fetch)));
  }
  AwsJsonRows rows(*bytes_, std::max(first_window_bytes, options_.block_bytes));
  rows.seek(0, bytes_->size(), {});
  while (true) {
    switch (rows.next()) {
      case AwsJsonRows::Found::row:
        take(rows.row(), rows.depth());
        continue;
      case AwsJsonRows::Found::damage:
        note(absl::DataLossError(absl::StrCat(name(), ": ", rows.damage())));
        continue;
      case AwsJsonRows::Found::end:
        break;
    }
    break;
  }
  if (!rows.status().ok()) note(rows.status());
  std::erase_if(blocks_, [](const Block& block) { return block.rows == 0; });
  return check_found(rows.lists());
}

absl::Status AwsJsonIndex::check_found(std::uint64_t lists) const {
  if (rows_ > 0) return absl::OkStatus();
  if (!damages_.empty()) {
    const std::uint64_t more = damages_.size() - 1 + damages_untold_;
    return absl::InvalidArgumentError(absl::StrCat(
        absl::string_view(damages_.front().message()),
        more > 0 ? absl::StrCat(" (and ", more, " more)") : "", "; nothing else is in the file"));
  }
  if (lists > 0) {
    return absl::NotFoundError(
        absl::StrCat(name(),
                     ": the answer has no prices; ask for another --start-time, "
                     "--instance-types or --region"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name(), ": nothing but white space; ", absl_view(how_to_fetch)));
}

absl::StatusOr<std::uint32_t> AwsJsonIndex::place_of(const AwsJsonRow& row) {
  if (const auto known = numbers_.find({row.zone, row.instance_type, row.product});
      known != numbers_.end())
    return known->second;
  if (!is_name(row.instance_type))
    return damaged(row.begin, what_of_name("InstanceType", row.instance_type));
  if (!is_name(row.product))
    return damaged(row.begin, what_of_name("ProductDescription", row.product));
  if (!is_name(row.zone)) return damaged(row.begin, what_of_name("AvailabilityZone", row.zone));
  if (region_in_name(row.zone).empty()) {
    return damaged(row.begin,
                   absl::StrCat("AvailabilityZone: \"", printable(row.zone),
                                "\" is no zone's name such as us-east-1a; the row is left out"));
  }
  if (places_.size() >= names_max) {
    return damaged(row.begin, absl::StrCat("more than ", names_max,
                                           " places; split the file. The row is left out"));
  }
  Place& place = places_.emplace_back();
  place.zone = row.zone;
  place.instance_type = row.instance_type;
  place.product = row.product;
  place.wanted = is_wanted(options_.instance_types, row.instance_type) &&
                 is_wanted(options_.products, row.product);
  const auto number = static_cast<std::uint32_t>(places_.size() - 1);
  numbers_.emplace(Names{place.zone, place.instance_type, place.product}, number);
  return number;
}

absl::StatusOr<std::optional<AwsJsonIndex::Fact>> AwsJsonIndex::fact_in(const AwsJsonRow& row) {
  Fact fact;
  const absl::StatusOr<std::uint32_t> place = place_of(row);
  if (!place.ok()) {
    if (!row.instance_type.empty() && !is_wanted(options_.instance_types, row.instance_type))
      return std::nullopt;
    return place.status();
  }
  fact.place = *place;
  if (!places_[fact.place].wanted) return fact;
  const std::optional<absl::Time> since = parse_price_time(row.time);
  if (!since) {
    return damaged(row.begin, absl::StrCat("Timestamp: \"", printable(row.time),
                                           "\" is no time from 1970 to 2100 such as "
                                           "2015-08-11T23:55:48+00:00; the row is left out"));
  }
  const absl::StatusOr<Money> price = parse_price(row.price, price_per_hour_max);
  if (!price.ok()) {
    return damaged(row.begin,
                   absl::StrCat("SpotPrice: ", absl::string_view(price.status().message()),
                                "; the row is left out"));
  }
  fact.since_ns = absl::ToUnixNanos(*since);
  fact.nano_usd = price->nano_usd;
  fact.offset = row.begin;
  return fact;
}

bool AwsJsonIndex::before_beginning(const Fact& fact) const {
  return absl::FromUnixNanos(fact.since_ns) <= options_.from;
}

void AwsJsonIndex::take(const AwsJsonRow& row, AwsJsonRows::Depth depth) {
  absl::StatusOr<std::optional<Fact>> read = fact_in(row);
  if (!read.ok()) return note(read.status());
  ++rows_;
  if (!read->has_value()) return;
  const Fact fact = **read;
  Place& place = places_[fact.place];
  ++place.series.rows;
  if (!place.wanted) return;
  const absl::Time since = absl::FromUnixNanos(fact.since_ns);
  place.series.first = std::min(place.series.first, since);
  place.series.last = std::max(place.series.last, since);
  if (before_beginning(fact)) {
    if (!place.in_force || place.in_force->since_ns < fact.since_ns) {
      place.in_force = fact;
    } else if (contradict(*place.in_force, fact)) {
      note(contradiction(*place.in_force, fact));
    }
    return;
  }
  if (blocks_.empty() || row.begin - blocks_.back().begin >= options_.block_bytes) {
    Block& block = blocks_.emplace_back();
    block.begin = row.begin;
    block.depth = depth;
  }
  Block& block = blocks_.back();
  block.end = row.end;
  ++block.rows;
  block.oldest_ns = std::min(block.oldest_ns, fact.since_ns);
  block.newest_ns = std::max(block.newest_ns, fact.since_ns);
}

PriceContents AwsJsonIndex::contents() const {
  PriceContents contents;
  for (const Place& place : places_)
    if (place.series.rows > 0)
      contents.add({place.instance_type, place.product, place.zone}, place.series);
  contents.damaged = damages_.size() + damages_untold_;
  return contents;
}

}  // namespace supercloud
