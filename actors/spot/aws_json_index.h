// A first reading of a file of AWS spot prices: which part of it holds which times. With that it can be read in the order of
// time, whatever its own order is, a part at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/aws_json_rows.h"
#include "actors/spot/byte_source.h"
#include "actors/spot/price_contents.h"
#include "core/units.h"

namespace supercloud {

struct AwsJsonOptions {
  std::string cloud = "aws";
  std::vector<std::string> instance_types;  // only these; empty: all
  std::vector<std::string> products;        // only these; empty: see choose_products()
  absl::Time from = absl::InfinitePast();   // the prices in force then come first
  // What is read at once; more, for files of more than two GiB.
  std::size_t block_bytes = 64 << 10;
  // Rows in memory, of 40 bytes each: as many as overlap in time where the file is in no order.
  std::size_t rows_held_max = 1'000'000;
};

// Thread-bound. Holds some sixty bytes for each block and, per place, its names.
class AwsJsonIndex {
 public:
  struct Fact {
    std::int64_t since_ns = 0;
    std::int64_t nano_usd = 0;
    std::uint64_t offset = 0;
    std::uint32_t place = 0;  // its index
  };
  // Of one place.
  static bool contradict(const Fact& a, const Fact& b) {
    return a.since_ns == b.since_ns && a.nano_usd != b.nano_usd;
  }
  struct Place {
    std::string zone, instance_type, product;
    bool wanted = false;
    PriceContents::Series series;
    std::optional<Fact> in_force;  // when it begins
  };
  // Rows of which at least one comes into force after the beginning.
  struct Block {
    std::uint64_t begin = 0, end = 0;
    std::int64_t oldest_ns = std::numeric_limits<std::int64_t>::max();
    std::int64_t newest_ns = std::numeric_limits<std::int64_t>::min();
    std::uint32_t rows = 0;  // wanted, and after the beginning
    AwsJsonRows::Depth depth;
  };

  // Reads all of it. InvalidArgument: this is no such file, or none of its rows can be read. NotFound: it has no rows.
  static absl::StatusOr<AwsJsonIndex> of(std::unique_ptr<ByteSource> bytes, AwsJsonOptions options);

  // The same for every reading. nullopt: of a type that is not wanted. Of a place that is not wanted only the place is told.
  // DataLoss: the row is damaged.
  absl::StatusOr<std::optional<Fact>> fact_in(const AwsJsonRow& row);
  bool before_beginning(const Fact& fact) const;
  absl::Status damaged(std::uint64_t offset, std::string_view what) const;
  absl::Status contradiction(const Fact& kept, const Fact& other) const;

  PriceContents contents() const;
  const AwsJsonOptions& options() const { return options_; }
  ByteSource& bytes() { return *bytes_; }
  const std::string& name() const { return bytes_->name(); }
  const std::deque<Place>& places() const { return places_; }
  // In the order of the file.
  const std::vector<Block>& blocks() const { return blocks_; }
  // What was left out: the first of it, and how much more.
  const std::vector<absl::Status>& damages() const { return damages_; }
  std::uint64_t damages_untold() const { return damages_untold_; }

 private:
  struct Names {
    std::string_view zone, instance_type, product;
    friend bool operator==(const Names&, const Names&) = default;
  };
  struct NamesHash {
    std::size_t operator()(const Names& names) const;
  };

  AwsJsonIndex(std::unique_ptr<ByteSource> bytes, AwsJsonOptions options);
  absl::Status read();
  void take(const AwsJsonRow& row, AwsJsonRows::Depth depth);
  void note(absl::Status damage);
  absl::StatusOr<std::uint32_t> place_of(const AwsJsonRow& row);
  absl::Status check_found(std::uint64_t lists) const;

  std::unique_ptr<ByteSource> bytes_;
  AwsJsonOptions options_;
  std::deque<Place> places_;
  absl::flat_hash_map<Names, std::uint32_t, NamesHash> numbers_;  // looked up, never walked
  std::vector<Block> blocks_;
  std::uint64_t rows_ = 0;  // that are whole, wanted or not
  std::vector<absl::Status> damages_;
  std::uint64_t damages_untold_ = 0;
};

}  // namespace supercloud
