#include "actors/spot/live/price_api.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "actors/spot/live/foreign_text.h"

namespace supercloud {
namespace {

constexpr std::size_t types_asked_max = 100;

}  // namespace

absl::StatusOr<UrlOrigin> check_price_query(const PriceQuery& query) {
  const auto no_name = [&query](const std::string& said, const char* what, const char* example) {
    return absl::InvalidArgumentError(absl::StrCat("\"", shown_text(said), "\" is no ", what,
                                                   " of ", query.cloud, "; write it as \"", example,
                                                   "\""));
  };
  if (!is_cloud_name(query.region)) return no_name(query.region, "region", query.a_region);
  if (query.instance_types.empty() || query.instance_types.size() > types_asked_max)
    return absl::InvalidArgumentError(
        absl::StrCat("name 1 to ", types_asked_max, " instance types of ", query.cloud));
  for (const std::string& type : query.instance_types)
    if (!is_cloud_name(type)) return no_name(type, "instance type", query.a_type);
  absl::StatusOr<UrlOrigin> origin = url_origin(query.endpoint);
  if (origin.ok() && query.endpoint.find_first_of("?#") != std::string::npos)
    return absl::InvalidArgumentError(
        absl::StrCat(shown_text(query.endpoint, 200),
                     ": an endpoint has no query; write it as \"https://host/path\""));
  return origin;
}

bool says_too_often(const HttpAnswer& answer) {
  return answer.status == 429 || answer.status == 503;
}

absl::Status something_else(const std::string& endpoint, const HttpAnswer& answer,
                            const absl::Status& why) {
  return absl::UnavailableError(absl::StrCat(endpoint, ": answered with something else (",
                                             shown_text(answer.content_type), ": ", why.message(),
                                             "); is a proxy in between?"));
}

}  // namespace supercloud
