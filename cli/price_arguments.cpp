#include "cli/price_arguments.h"

#include <iostream>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/price_names.h"
#include "cli/interrupt.h"
#include "cli/program.h"

namespace supercloud {
namespace {

absl::StatusOr<std::string> choose_instance_type(const std::string& said,
                                                 const PriceContents& contents) {
  const std::set<std::string> types = contents.instance_types();
  if (types.contains(said)) return said;
  if (!said.empty())
    return absl::NotFoundError(absl::StrCat("--type ", said, ": there are no prices of it, but of ",
                                            contents.types_text()));
  if (types.size() == 1) return *types.begin();
  return absl::InvalidArgumentError(absl::StrCat(
      "there are several instance types; choose one with --type: ", contents.types_text()));
}

}  // namespace

absl::StatusOr<absl::Time> parse_market_time(const char* option, const std::string& said,
                                             absl::Time without) {
  if (said.empty()) return without;
  absl::Time parsed;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, said, &parsed, &error) ||
      absl::ParseTime("%Y-%m-%d", said, &parsed, &error))
    return parsed;
  return absl::InvalidArgumentError(
      absl::StrCat(option, " ", said, ": no time; write it as 2015-08-22 or 2015-08-22T14:00:00Z"));
}

std::string minute_text(absl::Time at) {
  return absl::FormatTime("%Y-%m-%d %H:%M", at, absl::UTCTimeZone());
}

int came_to_nothing(const char* command, const absl::Status& why) {
  if (absl::IsCancelled(why)) {
    std::cerr << command << ": ended before it was done\n";
    return exit_interrupted;
  }
  const bool asked_wrong =
      absl::IsInvalidArgument(why) || absl::IsNotFound(why) || absl::IsFailedPrecondition(why);
  return complain(why, asked_wrong ? exit_usage : exit_failed);
}

absl::StatusOr<ChosenPrices> choose_prices(const std::vector<std::string>& files,
                                           const std::string& cloud, const std::string& type,
                                           const std::string& product, const std::string& region) {
  if (!is_cloud_word(cloud))
    return absl::InvalidArgumentError(
        absl::StrCat("--cloud \"", cloud, "\": no cloud's name; ", cloud_word_cure));
  ChosenPrices chosen;
  chosen.options.cloud = cloud;
  if (!type.empty()) chosen.options.instance_types = {type};
  if (!product.empty()) chosen.options.products = {product};
  auto contents = look_into_price_files(files, chosen.options);
  if (!contents.ok()) return contents.status();
  chosen.contents = *std::move(contents);
  if (!region.empty()) {
    const std::string there = absl::StrJoin(chosen.contents.regions(), ", ");
    std::erase_if(chosen.contents.series,
                  [&](const auto& series) { return region_of_zone(series.first.zone) != region; });
    if (chosen.contents.series.empty())
      return absl::NotFoundError(
          absl::StrCat("--region ", region, ": there are no prices of it, but of ", there));
    chosen.options.only_region = region;
  }
  const auto one = choose_instance_type(type, chosen.contents);
  if (!one.ok()) return one.status();
  chosen.options.instance_types = {*one};
  return chosen;
}

}  // namespace supercloud
