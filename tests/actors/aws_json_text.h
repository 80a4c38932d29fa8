// Answers of AWS for tests, and what a feed makes of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/aws_json_feed.h"
#include "tests/actors/price_lines.h"

namespace supercloud {

inline constexpr const char* usual_type = "r3.large";
inline constexpr const char* usual_product = "Linux/UNIX";

inline std::string time_text(std::int64_t seconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%S+00:00", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

inline std::string json_row(std::int64_t seconds, const std::string& zone, const std::string& price,
                            const std::string& type = usual_type,
                            const std::string& product = usual_product) {
  return absl::StrCat(R"({"AvailabilityZone": "us-east-1)", zone, R"(", "InstanceType": ")", type,
                      R"(", "ProductDescription": ")", product, R"(", "SpotPrice": ")", price,
                      R"(", "Timestamp": ")", time_text(seconds), "\"}");
}

inline std::string answer(const std::vector<std::string>& rows) {
  return absl::StrCat("{\n \"SpotPriceHistory\": [\n  ", absl::StrJoin(rows, ",\n  "), "\n ]\n}\n");
}

inline absl::StatusOr<std::unique_ptr<AwsJsonFeed>> read_json(const std::string& text,
                                                              AwsJsonOptions options = {}) {
  return AwsJsonFeed::read(text_bytes("prices.json", text), std::move(options));
}

inline std::vector<std::string> json_lines(const std::string& text, AwsJsonOptions options = {}) {
  const auto feed = read_json(text, std::move(options));
  if (!feed.ok()) return {std::string(feed.status().message())};
  return price_lines(**feed);
}

using Lines = std::vector<std::string>;

inline const Lines three_lines = {"100 us-east-1a 100000000", "200 us-east-1b 200000000",
                                  "300 us-east-1a 300000000"};
inline const Lines three_rows = {json_row(300, "a", "0.300000"), json_row(200, "b", "0.2"),
                                 json_row(100, "a", "0.1")};

}  // namespace supercloud
