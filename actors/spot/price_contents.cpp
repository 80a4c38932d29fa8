#include "actors/spot/price_contents.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/spot/price_names.h"
#include "actors/spot/price_text.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t types_told_max = 20;
constexpr std::string_view usual_product = "Linux/UNIX";

void widen(PriceContents::Series& series, const PriceContents::Series& more) {
  series.rows += more.rows;
  series.first = std::min(series.first, more.first);
  series.last = std::max(series.last, more.last);
  series.until = std::max(series.until, more.until);
}

std::string utc(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

std::string quoted(const std::set<std::string>& all) {
  return absl::StrJoin(all, ", ", [](std::string* out, const std::string& one) {
    absl::StrAppend(out, "\"", printable(one), "\"");
  });
}

}  // namespace

void PriceContents::add(const Names& names, const Series& more) { widen(series[names], more); }

void PriceContents::add(const PriceContents& more) {
  for (const auto& [names, of_more] : more.series) add(names, of_more);
  damaged += more.damaged;
}

PriceContents::Series PriceContents::total() const {
  Series total;
  for (const auto& [names, one] : series) widen(total, one);
  return total;
}

PriceContents::Series PriceContents::total(const std::string& instance_type) const {
  Series total;
  for (const auto& [names, one] : series)
    if (names.instance_type == instance_type) widen(total, one);
  return total;
}

std::set<std::string> PriceContents::instance_types() const {
  std::set<std::string> types;
  for (const auto& [names, one] : series) types.insert(names.instance_type);
  return types;
}

std::set<std::string> PriceContents::zones() const {
  std::set<std::string> zones;
  for (const auto& [names, one] : series) zones.insert(names.zone);
  return zones;
}

std::set<std::string> PriceContents::regions() const {
  std::set<std::string> regions;
  for (const auto& [of, rows] : series) regions.emplace(region_of_zone(of.zone));
  return regions;
}

std::set<std::string> PriceContents::products(const std::vector<std::string>& of_types) const {
  std::set<std::string> products;
  for (const auto& [of, one] : series)
    if (!of.product.empty() && is_wanted(of_types, of.instance_type)) products.insert(of.product);
  return products;
}

std::string PriceContents::types_text() const {
  std::map<std::string, std::uint64_t> rows;
  for (const auto& [names, one] : series) rows[names.instance_type] += one.rows;
  std::string text;
  std::size_t told = 0;
  for (const auto& [type, count] : rows) {
    if (told == types_told_max) {
      absl::StrAppend(&text, " and ", rows.size() - told, " more");
      break;
    }
    absl::StrAppend(&text, told++ == 0 ? "" : ", ", printable(type), " (", count,
                    count == 1 ? " row)" : " rows)");
  }
  return text.empty() ? "no prices" : text;
}

std::string PriceContents::text() const {
  std::string text;
  for (const std::string& type : instance_types()) {
    PriceContents of_type;
    for (const auto& [names, one] : series)
      if (names.instance_type == type) of_type.add(names, one);
    const Series total = of_type.total();
    absl::StrAppend(&text, type, ": ", total.rows, total.rows == 1 ? " row" : " rows");
    const std::set<std::string> products = of_type.products({});
    if (!products.empty()) absl::StrAppend(&text, " of ", absl::StrJoin(products, ", "));
    absl::StrAppend(&text, " in ", absl::StrJoin(of_type.zones(), ", "));
    if (total.first <= total.last)
      absl::StrAppend(&text, ", ", utc(total.first), " to ", utc(total.last));
    absl::StrAppend(&text, "\n");
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> choose_products(const PriceContents& contents,
                                                         const std::vector<std::string>& types,
                                                         const std::vector<std::string>& asked) {
  const std::set<std::string> products = contents.products(types);
  std::vector<std::string> chosen = asked;
  if (chosen.empty() && products.size() == 1) chosen = {*products.begin()};
  if (chosen.empty() && products.count(str(usual_product)) > 0) chosen = {str(usual_product)};
  if (chosen.empty() && !products.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("there are prices of the products ",
                                                   quoted(products), "; say of which to take"));
  }
  const auto has_none_of = [&](const std::set<std::string>& there) {
    return !there.empty() && std::none_of(chosen.begin(), chosen.end(), [&](const auto& product) {
      return there.count(product) > 0;
    });
  };
  const std::string what = absl::StrCat("no prices of the product ", absl::StrJoin(chosen, ", "));
  if (has_none_of(products))
    return absl::NotFoundError(absl::StrCat(what, "; there are ", quoted(products)));
  for (const std::string& type : types) {
    if (const std::set<std::string> there = contents.products({type}); has_none_of(there))
      return absl::NotFoundError(
          absl::StrCat(what, " for ", type, ", only of ", quoted(there), "; say of which to take"));
  }
  return chosen;
}

absl::Status check_types(const PriceContents& contents, const std::vector<std::string>& types,
                         std::string_view where) {
  const std::set<std::string> there = contents.instance_types();
  std::vector<std::string> missing;
  for (const std::string& type : types)
    if (there.count(type) == 0) missing.push_back(type);
  if (missing.empty()) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat(absl_view(where), ": no prices of ",
                                          absl::StrJoin(missing, ", "), "; there are ",
                                          contents.types_text()));
}

}  // namespace supercloud
