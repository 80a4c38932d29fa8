#include "actors/spot/aws_json_feed.h"

#include <algorithm>
#include <limits>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_names.h"

namespace supercloud {
namespace {

constexpr std::uint32_t no_rank = std::numeric_limits<std::uint32_t>::max();
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();
constexpr std::size_t row_bytes_usual = 4 << 10;  // more than any of AWS has

// So that a heap has the oldest on top, and a stack at its end.
bool comes_later(const AwsJsonIndex::Fact& a, const AwsJsonIndex::Fact& b) {
  return std::tie(b.since_ns, b.place, b.offset) < std::tie(a.since_ns, a.place, a.offset);
}

}  // namespace

AwsJsonFeed::AwsJsonFeed(AwsJsonIndex index)
    : index_(std::make_unique<AwsJsonIndex>(std::move(index))),
      rows_(index_->bytes(), index_->options().block_bytes + row_bytes_usual) {}

absl::StatusOr<std::unique_ptr<AwsJsonFeed>> AwsJsonFeed::open(const std::string& path,
                                                               AwsJsonOptions options) {
  auto bytes = open_file_bytes(path);
  if (!bytes.ok()) return bytes.status();
  return read(*std::move(bytes), std::move(options));
}

absl::StatusOr<std::unique_ptr<AwsJsonFeed>> AwsJsonFeed::read(std::unique_ptr<ByteSource> bytes,
                                                               AwsJsonOptions options) {
  auto index = AwsJsonIndex::of(std::move(bytes), std::move(options));
  if (!index.ok()) return index.status();
  const PriceContents contents = index->contents();
  const auto& types = index->options().instance_types;
  if (absl::Status status = check_types(contents, types, index->name()); !status.ok())
    return status;
  const auto products = choose_products(contents, types, index->options().products);
  if (!products.ok()) {
    return absl::Status(
        products.status().code(),
        absl::StrCat(index->name(), ": ", absl::string_view(products.status().message())));
  }
  return over(*std::move(index), *products);
}

absl::StatusOr<std::unique_ptr<AwsJsonFeed>> AwsJsonFeed::over(
    AwsJsonIndex index, const std::vector<std::string>& products) {
  std::unique_ptr<AwsJsonFeed> feed(new AwsJsonFeed(std::move(index)));
  if (absl::Status status = feed->choose_places(products); !status.ok()) return status;
  if (absl::Status status = feed->order_blocks(); !status.ok()) return status;
  return feed;
}

absl::Status AwsJsonFeed::choose_places(const std::vector<std::string>& products) {
  std::map<PlaceName, std::uint32_t> numbers;  // in the index
  for (std::uint32_t i = 0; i < index_->places().size(); ++i) {
    const AwsJsonIndex::Place& place = index_->places()[i];
    if (!place.wanted || place.series.rows == 0 ||
        std::find(products.begin(), products.end(), place.product) == products.end())
      continue;
    const PlaceName name{index_->options().cloud, std::string(region_of_zone(place.zone)),
                         place.zone, place.instance_type, true};
    const auto [known, is_new] = numbers.emplace(name, i);
    if (is_new) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(index_->name(), ": ", place.instance_type, " in ", place.zone,
                     " has prices of the products \"", index_->places()[known->second].product,
                     "\" and \"", place.product, "\"; say of which one to take"));
  }
  ranks_.assign(index_->places().size(), no_rank);
  for (const auto& [name, number] : numbers) {
    ranks_[number] = static_cast<std::uint32_t>(places_.size());
    places_.push_back(name);
    if (!index_->places()[number].in_force) continue;
    in_force_.push_back(*index_->places()[number].in_force);
    in_force_.back().place = ranks_[number];
  }
  std::sort(in_force_.begin(), in_force_.end(), comes_later);
  last_.assign(places_.size(), Fact{never, 0, 0, 0});

  if (index_->damages_untold() > 0) {
    troubles_.push_back(
        absl::DataLossError(absl::StrCat(index_->name(), ": ", index_->damages_untold(),
                                         " more damaged rows are left out; fetch the file again")));
  }
  troubles_.insert(troubles_.end(), index_->damages().rbegin(), index_->damages().rend());
  return absl::OkStatus();
}

// Walks through the blocks as advance() will, and counts what will be held.
absl::Status AwsJsonFeed::order_blocks() {
  blocks_ = index_->blocks();
  std::sort(blocks_.begin(), blocks_.end(), [](const Block& a, const Block& b) {
    return std::tie(a.oldest_ns, a.begin) < std::tie(b.oldest_ns, b.begin);
  });
  using End = std::pair<std::int64_t, std::uint32_t>;  // the newest of a block, and its rows
  std::priority_queue<End, std::vector<End>, std::greater<>> open;
  std::size_t held = 0;
  std::size_t most = 0;
  for (const Block& block : blocks_) {
    for (; !open.empty() && open.top().first < block.oldest_ns; open.pop())
      held -= open.top().second;
    open.emplace(block.newest_ns, block.rows);
    held += block.rows;
    most = std::max(most, held);
  }
  if (most > index_->options().rows_held_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        index_->name(), ": its rows are in no order: ", most,
        " of them would have to be held at once, and the most is ", index_->options().rows_held_max,
        "; sort it (jq '.SpotPriceHistory|=sort_by(.Timestamp)'), choose fewer instance types, or "
        "split it"));
  }
  held_.reserve(most);
  return absl::OkStatus();
}

void AwsJsonFeed::load(const Block& block) {
  rows_.seek(block.begin, block.end, block.depth);
  std::uint32_t rows = 0;
  for (auto found = rows_.next(); found != AwsJsonRows::Found::end; found = rows_.next()) {
    if (found == AwsJsonRows::Found::damage) continue;  // told at open()
    const absl::StatusOr<std::optional<Fact>> read = index_->fact_in(rows_.row());
    if (!read.ok() || !read->has_value()) continue;
    Fact fact = **read;
    if (!index_->places()[fact.place].wanted || index_->before_beginning(fact)) continue;
    // A file that was written to meanwhile may have more than it had, and older than it had.
    if (++rows > block.rows || fact.since_ns < block.oldest_ns || fact.place >= ranks_.size())
      continue;
    fact.place = ranks_[fact.place];
    if (fact.place == no_rank) continue;
    held_.push_back(fact);
    std::push_heap(held_.begin(), held_.end(), comes_later);
  }
  most_held_ = std::max(most_held_, held_.size());
  if (rows == block.rows || std::exchange(changed_, true)) return;
  troubles_.push_back(index_->damaged(
      block.begin,
      absl::StrCat("there are ", rows, " rows up to byte ", block.end, ", and were ", block.rows,
                   " a moment ago: the file is being written to; read a copy of it")));
}

bool AwsJsonFeed::is_news(const Fact& fact) {
  Fact& last = last_[fact.place];
  if (last.since_ns == fact.since_ns) {
    if (AwsJsonIndex::contradict(last, fact))
      troubles_.push_back(index_->contradiction(last, fact));
    else
      ++duplicates_;
    return false;
  }
  last = fact;
  return true;
}

Price AwsJsonFeed::price_of(const Fact& fact) const {
  return {places_[fact.place], Money{fact.nano_usd}, absl::FromUnixNanos(fact.since_ns)};
}

absl::StatusOr<Price> AwsJsonFeed::advance() {
  while (true) {
    if (!troubles_.empty()) {
      absl::Status trouble = std::move(troubles_.back());
      troubles_.pop_back();
      return trouble;
    }
    if (!in_force_.empty()) {
      const Fact fact = in_force_.back();
      in_force_.pop_back();
      last_[fact.place] = fact;
      return price_of(fact);
    }
    if (upcoming_ < blocks_.size() &&
        (held_.empty() || blocks_[upcoming_].oldest_ns <= held_.front().since_ns)) {
      load(blocks_[upcoming_++]);
      continue;
    }
    if (held_.empty()) {
      return absl::OutOfRangeError(
          absl::StrCat(index_->name(), ": the end, of ", index_->bytes().size(), " bytes"));
    }
    std::pop_heap(held_.begin(), held_.end(), comes_later);
    const Fact fact = held_.back();
    held_.pop_back();
    if (is_news(fact)) return price_of(fact);
  }
}

void AwsJsonFeed::next(Reply<Price> reply) { reply(advance()); }

}  // namespace supercloud
