#include "actors/spot/price_files.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/aws_json_feed.h"
#include "actors/spot/byte_source.h"
#include "actors/spot/csv_feed.h"
#include "actors/spot/merged_feed.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "actors/spot/region_feed.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t sniffed_bytes = 4 << 10;
constexpr std::size_t feeds_max = 128;  // at once; one of CSV holds a quarter of a MiB
constexpr std::size_t rows_held_by_all = 1'000'000;

constexpr std::string_view known_forms =
    "Known are: what `aws ec2 describe-spot-price-history --output json` prints; CSV with the "
    "columns "
    "epoch_s (or time_utc), az and usd_per_h; CSV with time_utc and a column for each zone "
    "(docs/prices.md)";

enum class Form : std::uint8_t { aws_json, csv };

struct PriceFile {
  PriceContents contents;
  std::optional<AwsJsonIndex> index;  // of AWS JSON
  CsvFeedOptions csv;                 // of CSV
  bool in_order = true;               // all wanted types together
};

absl::Status refused(const std::string& path, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", absl_view(why)));
}

bool is_compressed(std::string_view head) {
  for (const std::string_view magic :
       {std::string_view("\x1f\x8b"), std::string_view("BZh"),
        std::string_view("\xfd"
                         "7zXZ"),
        std::string_view("PK\x03\x04"), std::string_view("\x28\xb5\x2f\xfd")})
    if (head.starts_with(magic)) return true;
  return false;
}

// The first line that says something.
std::string_view first_line(std::string_view head) {
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find('\n'));
    const std::size_t text = line.find_first_not_of(" \t\r");
    if (text != std::string_view::npos && line[text] != '#') return line;
    head.remove_prefix(std::min(head.size(), line.size() + 1));
  }
  return {};
}

bool is_csv_header(std::string_view line) {
  for (const std::string_view column : {"epoch_s", "time_utc", "usd_per_h"})
    if (line.find(column) != std::string_view::npos) return true;
  return false;
}

absl::StatusOr<Form> form_of(ByteSource& bytes) {
  std::string sample(sniffed_bytes, '\0');
  const absl::StatusOr<std::size_t> got = bytes.read(0, sample.data(), sample.size());
  if (!got.ok()) return got.status();
  std::string_view head = std::string_view(sample).substr(0, *got);
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  if (head.empty()) {
    return refused(bytes.name(), absl::StrCat("the file is empty. ", absl_view(known_forms)));
  }
  if (head.starts_with("\xff\xfe") || head.starts_with("\xfe\xff"))
    return refused(bytes.name(),
                   "is UTF-16, as PowerShell writes it; iconv -f UTF-16 -t UTF-8 makes "
                   "it readable");
  if (is_compressed(head)) return refused(bytes.name(), "is compressed; uncompress it first");
  const std::size_t text = head.find_first_not_of(" \t\r\n");
  if (text != std::string_view::npos && (head[text] == '{' || head[text] == '['))
    return Form::aws_json;
  const std::string_view line = first_line(head);
  if (is_csv_header(line)) return Form::csv;
  // Its head is missing, or what stands before it was meant for a terminal.
  if (head.find("\"SpotPrice") != std::string_view::npos) return Form::aws_json;
  return refused(bytes.name(), absl::StrCat("in no known form; it begins with \"", printable(line),
                                            "\". ", absl_view(known_forms)));
}

// In a file without such a column. The file's name goes before what is asked for: that may be in another file.
std::string type_of_csv(const std::string& path, const PriceFileOptions& options) {
  std::string type = instance_type_in(std::string_view(path).substr(path.rfind('/') + 1));
  if (type.empty() && options.instance_types.size() == 1) type = options.instance_types[0];
  return type;
}

// How the rows of a CSV file follow each other.
class CsvOrder {
 public:
  explicit CsvOrder(const std::vector<std::string>& wanted) : wanted_(wanted) {}

  void take(const std::string& type, absl::Time since) {
    if (!is_wanted(wanted_, type)) return;
    OfType& of = types_[type];
    ++of.rows;
    of.backwards += since < of.newest ? 1 : 0;
    if (since > of.newest && of.rows > 1) of.interval = std::min(of.interval, since - of.newest);
    of.newest = std::max(of.newest, since);
    together_ = together_ && since >= newest_;
    newest_ = std::max(newest_, since);
  }
  // The shortest time from one row of the type to the next.
  absl::Duration interval(const std::string& type) const {
    const auto of = types_.find(type);
    return of == types_.end() ? absl::InfiniteDuration() : of->second.interval;
  }
  // All wanted types.
  bool together() const { return together_; }
  // The type, if there is one, of which most rows go back in time: no damage, but the order of the file.
  std::string disordered_type() const {
    for (const auto& [type, of] : types_)
      if (of.backwards * 2 > of.rows) return type;
    return "";
  }

 private:
  struct OfType {
    absl::Time newest = absl::InfinitePast();
    absl::Duration interval = absl::InfiniteDuration();
    std::uint64_t rows = 0, backwards = 0;
  };
  const std::vector<std::string>& wanted_;
  std::map<std::string, OfType> types_;
  absl::Time newest_ = absl::InfinitePast();
  bool together_ = true;
};

absl::StatusOr<PriceFile> look_into_csv(const std::string& path, const PriceFileOptions& options,
                                        bool for_reading) {
  PriceFile file;
  file.csv = {options.cloud, options.region, type_of_csv(path, options), {}, options.from};
  auto rows = CsvRows::open(path, file.csv);
  if (!rows.ok()) {
    if (!file.csv.instance_type.empty() || absl::IsNotFound(rows.status())) return rows.status();
    return absl::Status(
        rows.status().code(),
        absl::StrCat(absl::string_view(rows.status().message()),
                     " (--type, or types in a node's file; or put it into the file's name: "
                     "r3.large.csv)"));
  }
  CsvOrder order(options.instance_types);
  absl::Status damage;
  const auto leave_out = [&](const absl::Status& why) {
    if (file.contents.damaged++ == 0) damage = why;
  };
  while (true) {
    const absl::StatusOr<CsvRows::Row> row = (*rows)->next();
    if (absl::IsOutOfRange(row.status())) break;
    if (!row.ok()) {
      leave_out(row.status());
      continue;
    }
    for (const CsvRows::Entry& entry : row->entries) {
      if (!entry.price.ok()) {
        leave_out(entry.price.status());
        continue;
      }
      const PlaceName& place = entry.place;
      file.contents.add({place.instance_type, "", place.zone},
                        {1, row->since, row->since, absl::InfinitePast()});
      order.take(place.instance_type, row->since);
    }
  }
  if (file.contents.series.empty()) {
    if (!damage.ok()) return absl::InvalidArgumentError(damage.message());
    return (*rows)->no_prices();
  }
  if ((*rows)->table())
    for (auto& [names, series] : file.contents.series)
      if (const absl::Duration interval = order.interval(names.instance_type);
          interval != absl::InfiniteDuration())
        series.until = series.last + interval;
  file.in_order = order.together();
  if (const std::string type = order.disordered_type(); for_reading && !type.empty()) {
    return refused(path,
                   absl::StrCat("the prices of ", printable(type),
                                " are not in the order of time, the oldest first; sort the file "
                                "by ",
                                absl_view((*rows)->time_column())));
  }
  return file;
}

absl::StatusOr<PriceFile> look_into_json(std::unique_ptr<ByteSource> bytes,
                                         const PriceFileOptions& options, bool for_reading,
                                         std::size_t files) {
  AwsJsonOptions json;
  json.cloud = options.cloud;
  if (for_reading) {
    json.instance_types = options.instance_types;
    json.products = options.products;
  }
  json.from = options.from;
  json.rows_held_max = rows_held_by_all / files;
  auto index = AwsJsonIndex::of(std::move(bytes), std::move(json));
  if (!index.ok()) return index.status();
  PriceFile file;
  file.contents = index->contents();
  file.index.emplace(*std::move(index));
  return file;
}

// Files without a price are left out, as long as others have some: the last page of an answer may be empty.
absl::StatusOr<std::vector<std::pair<std::string, PriceFile>>> look_into_all(
    const std::vector<std::string>& paths, const PriceFileOptions& options, bool for_reading) {
  if (paths.empty()) return absl::InvalidArgumentError("no price file is named");
  if (paths.size() > feeds_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        paths.size(), " price files, and at most ", feeds_max,
        " are read at once; join some: answers of AWS may stand one after the other in one file"));
  }
  std::vector<std::pair<std::string, PriceFile>> files;
  absl::Status without_price;
  for (const std::string& path : paths) {
    auto bytes = open_file_bytes(path);
    if (!bytes.ok()) return bytes.status();
    const absl::StatusOr<Form> form = form_of(**bytes);
    if (!form.ok()) return form.status();
    absl::StatusOr<PriceFile> file =
        *form == Form::csv ? look_into_csv(path, options, for_reading)
                           : look_into_json(*std::move(bytes), options, for_reading, paths.size());
    if (file.ok())
      files.emplace_back(path, *std::move(file));
    else if (absl::IsNotFound(file.status()))
      without_price = file.status();
    else
      return file.status();
  }
  if (files.empty()) return without_price;
  return files;
}

std::string files_named(const std::vector<std::string>& paths) {
  return paths.size() == 1 ? paths[0] : absl::StrCat(paths[0], " and ", paths.size() - 1, " more");
}

absl::Status add_csv(const std::string& path, const PriceFile& file,
                     const PriceFileOptions& options,
                     std::vector<std::unique_ptr<PriceFeed>>& feeds) {
  std::vector<std::string> types;
  for (const std::string& type : file.contents.instance_types())
    if (is_wanted(options.instance_types, type)) types.push_back(type);
  if (types.empty()) return absl::OkStatus();
  std::vector<std::vector<std::string>> readings = {types};
  if (!file.in_order) {
    readings.clear();
    for (const std::string& type : types) readings.push_back({type});
  }
  for (std::vector<std::string>& reading : readings) {
    CsvFeedOptions csv = file.csv;
    csv.tell_rows_of_no_type = &reading == &readings.front();  // once
    csv.instance_types = std::move(reading);
    auto feed = CsvFeed::open(path, std::move(csv));
    if (!feed.ok()) return feed.status();
    feeds.push_back(*std::move(feed));
    if (feeds.size() > feeds_max) {
      return refused(
          path, absl::StrCat("its instance types, one after the other, make more than ", feeds_max,
                             " feeds; choose some, or sort the file by time"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<PriceFeed>> open_price_files(const std::vector<std::string>& paths,
                                                            const PriceFileOptions& options) {
  auto files = look_into_all(paths, options, true);
  if (!files.ok()) return files.status();
  PriceContents contents;
  for (const auto& [path, file] : *files) contents.add(file.contents);
  if (absl::Status status = check_types(contents, options.instance_types, files_named(paths));
      !status.ok())
    return status;
  const auto products = choose_products(contents, options.instance_types, options.products);
  if (!products.ok()) {
    return absl::Status(
        products.status().code(),
        absl::StrCat(files_named(paths), ": ", absl::string_view(products.status().message())));
  }
  std::vector<std::unique_ptr<PriceFeed>> feeds;
  for (auto& [path, file] : *files) {
    if (!file.index) {
      if (absl::Status status = add_csv(path, file, options, feeds); !status.ok()) return status;
      continue;
    }
    auto feed = AwsJsonFeed::over(*std::move(file.index), *products);
    if (!feed.ok()) return feed.status();
    feeds.push_back(*std::move(feed));
  }
  std::unique_ptr<PriceFeed> all;
  if (feeds.size() == 1)
    all = std::move(feeds[0]);
  else
    all = std::make_unique<MergedFeed>(std::move(feeds), options.from);
  if (options.only_region.empty()) return all;
  return std::make_unique<RegionFeed>(std::move(all), options.only_region);
}

absl::StatusOr<PriceContents> look_into_price_files(const std::vector<std::string>& paths,
                                                    const PriceFileOptions& options) {
  const auto files = look_into_all(paths, options, false);
  if (!files.ok()) return files.status();
  PriceContents contents;
  for (const auto& [path, file] : *files) contents.add(file.contents);
  return contents;
}

}  // namespace supercloud
