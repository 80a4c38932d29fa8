// Prices from what `aws ec2 describe-spot-price-history` prints, the oldest first; the file may have them newest first, as AWS
// does, oldest first, in pages one after the other, or type after type. Its forms: aws_json_rows.h.
//
// The file is read twice. First whole, at open(): which block of it holds which times (aws_json_index.h). Then block after block,
// each when the time of its oldest row has come; rows wait in a heap until no block has an older one. So memory holds only as
// many rows as lie in blocks that overlap in time; a file for which those are too many is refused at open().
//
// Prices of one time come in the order of places. A row that is there twice counts once; of two that contradict each other the
// first in the file counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "actors/spot/aws_json_index.h"
#include "actors/spot/aws_json_rows.h"
#include "actors/spot/byte_source.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

// Thread-bound.
class AwsJsonFeed final : public PriceFeed {
 public:
  // Reads the whole file. NotFound: no such file, or no prices of a wanted type or product (the message lists what there is).
  // InvalidArgument: no such form, no order at all, or several products of which none is asked for; with place and cure.
  static absl::StatusOr<std::unique_ptr<AwsJsonFeed>> open(const std::string& path,
                                                           AwsJsonOptions options);
  static absl::StatusOr<std::unique_ptr<AwsJsonFeed>> read(std::unique_ptr<ByteSource> bytes,
                                                           AwsJsonOptions options);
  // Of a file that was read once; `products` are taken of those that its options leave.
  static absl::StatusOr<std::unique_ptr<AwsJsonFeed>> over(
      AwsJsonIndex index, const std::vector<std::string>& products);

  std::string source() const override { return index_->name(); }
  // DataLoss: a row was damaged and left out; what was found damaged at open() comes first. OutOfRange: the end.
  void next(Reply<Price> reply) override;

  std::uint64_t duplicates() const { return duplicates_; }
  // Rows in memory, at most, until now.
  std::size_t most_held() const { return most_held_; }
  // The file was written to meanwhile; that has been told as DataLoss.
  bool changed() const { return changed_; }

 private:
  using Fact = AwsJsonIndex::Fact;
  using Block = AwsJsonIndex::Block;

  explicit AwsJsonFeed(AwsJsonIndex index);
  absl::Status choose_places(const std::vector<std::string>& products);
  absl::Status order_blocks();
  void load(const Block& block);
  // Whether `fact`, in the order of time, is news of its place; else counts it, or notes a contradiction.
  bool is_news(const Fact& fact);
  absl::StatusOr<Price> advance();
  Price price_of(const Fact& fact) const;

  std::unique_ptr<AwsJsonIndex> index_;  // does not move: `rows_` reads its bytes
  AwsJsonRows rows_;
  std::vector<PlaceName> places_;       // in their order
  std::vector<std::uint32_t> ranks_;    // of the index's places among those
  std::vector<absl::Status> troubles_;  // to be told, the last one first
  std::vector<Fact> in_force_;  // at the beginning, the last one first; facts have ranks for places
  std::vector<Block> blocks_;   // in the order of their oldest rows
  std::size_t upcoming_ = 0;    // the first that is not loaded
  std::vector<Fact> held_;      // a heap, the oldest on top
  std::vector<Fact> last_;      // delivered, of each place
  std::uint64_t duplicates_ = 0;
  std::size_t most_held_ = 0;
  bool changed_ = false;  // the file is not what it was at open()
};

}  // namespace supercloud
