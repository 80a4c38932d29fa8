// Price files in any form that is known, as one feed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "actors/spot/price_contents.h"
#include "actors/spot/price_feed.h"

namespace supercloud {

struct PriceFileOptions {
  std::string cloud = "aws";
  std::string region = "us-east-1";         // of zones that are one letter
  std::vector<std::string> instance_types;  // only these; empty: all there are
  std::string only_region;                  // empty: all there are
  std::vector<std::string> products;       // of what an instance runs; empty: see choose_products()
  absl::Time from = absl::InfinitePast();  // the prices in force then come first
};

// The form of each file is told by what is in it: AWS JSON (aws_json_rows.h), CSV of events or a table (csv_rows.h). A CSV file
// without a column instance_type is of the type in its name, or else of the one that is asked for. A CSV file of several types,
// one after the other, is read once for each that is wanted.
//
// Reads each file once from end to end before it returns, so that what is missing is told here. NotFound: a file, or the type or
// product that is asked for (the message lists what there is). InvalidArgument: a file in no known form (the message lists
// those), or one that cannot be read in the order of time; with place and cure. That a region has no prices is not told: see
// PriceContents.
absl::StatusOr<std::unique_ptr<PriceFeed>> open_price_files(const std::vector<std::string>& paths,
                                                            const PriceFileOptions& options);

// What is in the files, of all types and products, those that are asked for or not, whatever its order. Errors as above.
absl::StatusOr<PriceContents> look_into_price_files(const std::vector<std::string>& paths,
                                                    const PriceFileOptions& options);

}  // namespace supercloud
