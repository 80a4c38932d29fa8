// How fast prices are read from a file, beside the floor of it: the same bytes read, and looked through once.
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/spot/byte_source.h"
#include "actors/spot/price_files.h"

namespace supercloud {
namespace {

constexpr int rows = 10'000;
constexpr std::int64_t first_second = 1'440'201'600;

// Written once, and read from the page cache.
class PriceFileOf {
 public:
  explicit PriceFileOf(const std::string& content) : bytes_(content.size()) {
    std::string folder =
        (std::filesystem::temp_directory_path() / "supercloud-bench-XXXXXX").string();
    if (::mkdtemp(folder.data()) != nullptr) folder_ = folder;
    std::ofstream(path(), std::ios::binary) << content;
  }
  ~PriceFileOf() {
    std::error_code error;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, error);
  }
  PriceFileOf(const PriceFileOf&) = delete;
  PriceFileOf& operator=(const PriceFileOf&) = delete;

  std::string path() const { return folder_ + "/r3.large.prices"; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::string folder_;
  std::size_t bytes_;
};

char zone_of(int i) { return static_cast<char>('a' + i % 6); }
int micro_usd_of(int i) { return 20'000 + i * 37 % 9'000; }

// As the AWS command line prints it: four spaces for each level, the newest first.
std::string aws_json() {
  std::string json = "{\n    \"SpotPriceHistory\": [\n";
  for (int i = rows; i-- > 0;) {
    absl::StrAppendFormat(
        &json,
        "        {\n            \"AvailabilityZone\": \"us-east-1%c\",\n"
        "            \"InstanceType\": \"r3.large\",\n"
        "            \"ProductDescription\": \"Linux/UNIX\",\n"
        "            \"SpotPrice\": \"0.%06d\",\n            \"Timestamp\": \"%s\"\n        }%s\n",
        zone_of(i), micro_usd_of(i),
        absl::FormatTime("%Y-%m-%dT%H:%M:%S+00:00", absl::FromUnixSeconds(first_second + i),
                         absl::UTCTimeZone()),
        i > 0 ? "," : "");
  }
  return json + "    ]\n}\n";
}

std::string csv_events() {
  std::string csv = "epoch_s,az,usd_per_h\n";
  for (int i = 0; i < rows; ++i)
    absl::StrAppendFormat(&csv, "%d,%c,0.%06d\n", first_second + i, zone_of(i), micro_usd_of(i));
  return csv;
}

// From the path to the last price: sniffed, read for its order and contents, and read again.
void read_prices(benchmark::State& state, const std::string& content) {
  const PriceFileOf file(content);
  std::int64_t expected = 0;
  for (int i = 0; i < rows; ++i) expected += std::int64_t{micro_usd_of(i)} * 1000;
  bool good = true;
  for (auto unused : state) {
    (void)unused;
    auto feed = open_price_files({file.path()}, {});
    if (!feed.ok()) return state.SkipWithError(std::string(feed.status().message()).c_str());
    std::int64_t sum = 0;
    int count = 0;
    absl::Time last = absl::InfinitePast();
    for (bool end = false; !end;) {
      (*feed)->next(Reply<Price>(far_future, [&](const absl::StatusOr<Price>& price) {
        end = !price.ok();
        if (end) return;
        good = good && price->since > last;
        last = price->since;
        sum += price->usd_per_hour.nano_usd;
        ++count;
      }));
    }
    good = good && sum == expected && count == rows;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(file.bytes()) * state.iterations());
  state.SetItemsProcessed(rows * state.iterations());
  if (!good) state.SkipWithError("prices are missing, wrong, or in a wrong order");
}

void prices_of_aws_json(benchmark::State& state) { read_prices(state, aws_json()); }
void prices_of_csv(benchmark::State& state) { read_prices(state, csv_events()); }

// The floor of the first: its bytes read in blocks, and each row's brace found.
void aws_json_floor(benchmark::State& state) {
  const PriceFileOf file(aws_json());
  std::vector<char> block(64 << 10);
  bool good = true;
  for (auto unused : state) {
    (void)unused;
    const auto bytes = open_file_bytes(file.path());
    if (!bytes.ok()) return state.SkipWithError(std::string(bytes.status().message()).c_str());
    int braces = 0;
    for (std::uint64_t offset = 0; offset < (*bytes)->size(); offset += block.size()) {
      const auto got = (*bytes)->read(offset, block.data(), block.size());
      if (!got.ok()) return state.SkipWithError(std::string(got.status().message()).c_str());
      const char* at = block.data();
      const char* const end = at + *got;
      while ((at = static_cast<const char*>(
                  std::memchr(at, '{', static_cast<std::size_t>(end - at)))) != nullptr) {
        ++at;
        ++braces;
      }
    }
    good = good && braces == rows + 1;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(file.bytes()) * state.iterations());
  if (!good) state.SkipWithError("not all rows were seen");
}

BENCHMARK(prices_of_aws_json);
BENCHMARK(aws_json_floor);
BENCHMARK(prices_of_csv);

}  // namespace
}  // namespace supercloud
