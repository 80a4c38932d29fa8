// What commands over prices share: what they are told of price files, as a person writes it, and how they answer.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_contents.h"
#include "actors/spot/price_files.h"

namespace supercloud {

inline constexpr const char* price_files_help =
    "Price files: JSON of `aws ec2 describe-spot-price-history`, CSV of events, or a CSV table of "
    "zones";
inline constexpr const char* instance_type_help =
    "The instance type, where the files have several, or do not say";
inline constexpr const char* product_help = "What runs on it, as Linux/UNIX";
inline constexpr const char* region_help =
    "Only the prices of this region, where there are several";

// A date or RFC 3339; `without`: nothing is said. InvalidArgument names the option and the cure.
absl::StatusOr<absl::Time> parse_market_time(const char* option, const std::string& said,
                                             absl::Time without);

// "2015-08-22 14:00": as people are told of times of the market, in UTC.
std::string minute_text(absl::Time at);

// What --prices, --type, --product and --region mean: how the files are opened for one instance type, --type or else the only one there is.
struct ChosenPrices {
  PriceFileOptions options;
  PriceContents contents;
  const std::string& type() const { return options.instance_types.front(); }
};

// The errors of price_files.h. NotFound, InvalidArgument: it is not clear which type, or there is no such region; with those that there
// are.
absl::StatusOr<ChosenPrices> choose_prices(const std::vector<std::string>& files,
                                           const std::string& cloud, const std::string& type,
                                           const std::string& product, const std::string& region);

// On stderr why `command` came to no result; gives the exit code. Where it was cancelled, exit_interrupted; where another command line or file
// may do, exit_usage.
int came_to_nothing(const char* command, const absl::Status& why);

}  // namespace supercloud
