#include "actors/spot/merged_feed.h"

#include <cassert>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

bool MergedFeed::ComesLater::operator()(const Head& a, const Head& b) const {
  return std::tie(b.price.since, b.price.place, b.feed) <
         std::tie(a.price.since, a.price.place, a.feed);
}

MergedFeed::MergedFeed(std::vector<std::unique_ptr<PriceFeed>> feeds, absl::Time from)
    : feeds_(std::move(feeds)), in_force_(from) {
  for (std::size_t i = feeds_.size(); i > 0; --i) asked_next_.push_back(i - 1);
}

std::string MergedFeed::source() const {
  if (feeds_.empty()) return "no feeds";
  if (feeds_.size() == 1) return feeds_[0]->source();
  return absl::StrCat(feeds_[0]->source(), " and ", feeds_.size() - 1, " more");
}

absl::StatusOr<Price> MergedFeed::from_feed(std::size_t feed) {
  std::optional<absl::StatusOr<Price>> answer;
  feeds_[feed]->next(Reply<Price>(
      far_future, [&answer](absl::StatusOr<Price> price) { answer = std::move(price); }));
  assert(answer.has_value() && "a feed among several has to answer at once");
  return *std::move(answer);
}

// A head of each feed that has not ended.
absl::Status MergedFeed::refill() {
  while (!asked_next_.empty()) {
    const std::size_t feed = asked_next_.back();
    absl::StatusOr<Price> price = from_feed(feed);
    const absl::Status& status = price.status();
    if (absl::IsDataLoss(status) || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status))
      return status;
    asked_next_.pop_back();
    if (price.ok()) {
      heads_.push({*std::move(price), feed});
    } else if (!absl::IsOutOfRange(status)) {
      const absl::string_view what = status.message();
      absl::StrAppend(&failures_, failures_.empty() ? "" : "; ", what);
      return absl::DataLossError(what);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> MergedFeed::is_news(const Head& head) {
  const Price& price = head.price;
  const auto [last, is_new] =
      last_.try_emplace(price.place, Last{price.since, price.usd_per_hour, head.feed});
  if (is_new) return true;
  if (last->second.since != price.since) {
    last->second = {price.since, price.usd_per_hour, head.feed};
    return true;
  }
  if (last->second.price == price.usd_per_hour) {
    ++duplicates_;
    return false;
  }
  return absl::DataLossError(absl::StrCat(
      feeds_[head.feed]->source(), ": ", price.place.id(), " at ",
      absl::FormatTime(price.since, absl::UTCTimeZone()), " costs ", to_string(price.usd_per_hour),
      ", and ", to_string(last->second.price), " in ", feeds_[last->second.feed]->source(),
      "; the first of these files counts, this row is left out"));
}

absl::StatusOr<Price> MergedFeed::advance() {
  while (true) {
    if (absl::Status status = refill(); !status.ok()) return status;
    if (heads_.empty()) break;
    Head head = heads_.top();
    heads_.pop();
    asked_next_.push_back(head.feed);
    const absl::StatusOr<bool> news = is_news(head);
    if (!news.ok()) return news.status();
    if (*news) return std::move(head.price);
  }
  if (last_.empty() && !failures_.empty()) return absl::NotFoundError(failures_);
  return absl::OutOfRangeError(absl::StrCat(source(), ": the end"));
}

void MergedFeed::next(Reply<Price> reply) {
  while (!started_) {
    absl::StatusOr<Price> price = advance();
    if (price.ok() && in_force_.keep(*price)) continue;
    // Where one failed or is away, the next call goes on.
    if (!price.ok() && !absl::IsOutOfRange(price.status()) && !absl::IsNotFound(price.status()))
      return reply(price.status());
    started_ = true;
    in_force_.close();
    if (price.ok()) first_ = *std::move(price);
  }
  if (std::optional<Price> price = in_force_.take()) return reply(*std::move(price));
  if (first_) return reply(*std::exchange(first_, std::nullopt));
  reply(advance());
}

}  // namespace supercloud
