// Any bytes as an answer of AWS: either refused, or read to the end with prices that are sane, in the order of time, and the same
// whatever is read at once.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/spot/aws_json_feed.h"
#include "core/text.h"

namespace {

using namespace supercloud;  // NOLINT(google-build-using-namespace)

struct Read {
  absl::StatusCode opened = absl::StatusCode::kOk;
  std::vector<Price> prices;
  std::size_t damages = 0;
};

Read read_all(const std::string& text, AwsJsonOptions options) {
  Read read;
  const auto feed = AwsJsonFeed::read(text_bytes("fuzz", text), std::move(options));
  read.opened = feed.status().code();
  if (!feed.ok()) return read;
  bool end = false;
  // A row takes more bytes than one, and no byte is damaged twice but by a row that is whole and one that is not.
  for (std::size_t calls = 0; !end; ++calls) {
    if (calls > 2 * text.size() + 10) std::abort();
    (*feed)->next(Reply<Price>(far_future, [&](const absl::StatusOr<Price>& price) {
      end = absl::IsOutOfRange(price.status());
      if (price.ok()) {
        read.prices.push_back(*price);
      } else if (!end) {
        if (!absl::IsDataLoss(price.status())) std::abort();
        ++read.damages;
      }
    }));
  }
  if ((*feed)->changed()) std::abort();  // its two readings have to find the same rows
  return read;
}

// What is found in the text, a window of so many bytes at a time.
std::string rows_of(const std::string& text, std::size_t window_bytes) {
  const auto bytes = text_bytes("fuzz", text);
  AwsJsonRows rows(*bytes, window_bytes);
  rows.seek(0, bytes->size(), {});
  std::string found;
  for (auto what = rows.next(); what != AwsJsonRows::Found::end; what = rows.next()) {
    const AwsJsonRow& row = rows.row();
    if (what == AwsJsonRows::Found::damage)
      absl::StrAppend(&found, rows.damage(), "\n");
    else
      absl::StrAppend(&found, row.begin, " ", row.end, " ", absl_view(row.zone), " ",
                      absl_view(row.instance_type), " ", absl_view(row.product), " ",
                      absl_view(row.price), " ", absl_view(row.time), "\n");
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  AwsJsonOptions options;
  // The first byte chooses the options.
  if ((data[0] & 1U) != 0) options.from = absl::FromUnixSeconds(1'440'201'600);
  if ((data[0] & 2U) != 0) options.instance_types = {"r3.large"};
  if ((data[0] & 4U) != 0) options.products = {"Linux/UNIX", "Windows"};
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if (rows_of(text, text.size()) != rows_of(text, 1)) std::abort();
  const Read whole = read_all(text, options);
  absl::Time last = absl::InfinitePast();
  for (const Price& price : whole.prices) {
    if (price.since < last || price.usd_per_hour <= Money{}) std::abort();
    last = price.since;
    const auto place = PlaceName::parse(price.place.id());
    if (!place.ok() || *place != price.place) std::abort();
  }
  options.block_bytes = 1;
  const Read in_pieces = read_all(text, options);
  if (in_pieces.opened != whole.opened || in_pieces.damages != whole.damages ||
      in_pieces.prices.size() != whole.prices.size())
    std::abort();
  for (std::size_t i = 0; i < whole.prices.size(); ++i) {
    const Price& a = whole.prices[i];
    const Price& b = in_pieces.prices[i];
    if (a.place != b.place || a.since != b.since || a.usd_per_hour != b.usd_per_hour) std::abort();
  }
  return 0;
}
