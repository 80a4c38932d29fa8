// What a price feed says, as lines.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_feed.h"
#include "gtest/gtest.h"

namespace supercloud {

inline absl::StatusOr<Price> next_price(PriceFeed& feed) {
  absl::StatusOr<Price> result = absl::InternalError("no reply");
  feed.next(Reply<Price>(far_future,
                         [&result](absl::StatusOr<Price> price) { result = std::move(price); }));
  return result;
}

// "epoch zone nano" of all prices, and the messages of errors, in the order they came; without the final OutOfRange.
inline std::vector<std::string> price_lines(PriceFeed& feed) {
  std::vector<std::string> lines;
  for (int i = 0; i < 1'000'000; ++i) {
    const absl::StatusOr<Price> price = next_price(feed);
    if (absl::IsOutOfRange(price.status())) return lines;
    lines.push_back(price.ok() ? absl::StrCat(absl::ToUnixSeconds(price->since), " ",
                                              price->place.zone, " ", price->usd_per_hour.nano_usd)
                               : std::string(price.status().message()));
  }
  lines.emplace_back("and so on, for ever");
  return lines;
}

inline void expect_said(const std::vector<std::string>& lines, const std::string& what) {
  EXPECT_TRUE(
      std::any_of(lines.begin(), lines.end(),
                  [&](const std::string& line) { return line.find(what) != std::string::npos; }))
      << "\"" << what << "\" is not in\n"
      << testing::PrintToString(lines);
}

}  // namespace supercloud
