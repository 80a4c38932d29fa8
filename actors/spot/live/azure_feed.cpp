#include "actors/spot/live/azure_feed.h"

#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "actors/spot/live/azure_answer.h"
#include "actors/spot/live/foreign_text.h"
#include "actors/spot/live/price_api.h"
#include "core/http/url.h"

namespace supercloud {
namespace {

// One type after the other, each with all its pages.
class AzureApi final : public PriceApi {
 public:
  AzureApi(AzureFeedOptions options, UrlOrigin origin)
      : options_(std::move(options)), origin_(std::move(origin)) {}

  std::string source() const override { return absl::StrCat("Azure prices of ", options_.region); }

  HttpRequest first(absl::Time now) override {
    now_ = now;
    type_ = 0;
    has_spot_ = false;
    return first_of_type();
  }

  absl::StatusOr<PricePage> read(const HttpAnswer& answer, absl::Time) override {
    if (answer.status != 200) return refused(answer);
    absl::StatusOr<AzurePrices> prices =
        parse_azure_prices(answer.body,
                           {.region = options_.region,
                            .instance_type = type(),
                            .windows = options_.windows,
                            .now = now_},
                           absl::StrCat(options_.endpoint, " for ", type()));
    if (!prices.ok()) return something_else(options_.endpoint, answer, prices.status());
    PricePage page;
    page.damaged = std::move(prices->damaged);
    page.prices = std::move(prices->prices);
    for (const Price& price : page.prices) has_spot_ = has_spot_ || price.place.spot;
    if (!prices->next_link.empty()) {
      prices->next_link = absl::StrReplaceAll(prices->next_link, {{" ", "%20"}});
      const absl::StatusOr<UrlOrigin> origin = url_origin(prices->next_link);
      if (!origin.ok() || *origin != origin_)
        return absl::FailedPreconditionError(absl::StrCat(
            options_.endpoint, ": its next page is said to be at ",
            shown_text(prices->next_link, 100),
            ", which is another server: nothing is asked there; check what stands in between"));
      page.next = HttpRequest{.url = std::move(prices->next_link)};
      return page;
    }
    if (!has_spot_)
      page.damaged.push_back(absl::DataLossError(
          absl::StrCat(options_.endpoint, ": no spot price of ", type(), " in ", options_.region,
                       options_.windows ? " with Windows" : " with Linux",
                       "; check the type's name, it is written as \"Standard_D2s_v5\"")));
    has_spot_ = false;
    if (++type_ < options_.instance_types.size()) page.next = first_of_type();
    return page;
  }

  bool complete() override { return false; }

 private:
  const std::string& type() const { return options_.instance_types[type_]; }

  HttpRequest first_of_type() const {
    return {.url = absl::StrCat(
                options_.endpoint, "?currencyCode=%27USD%27&%24filter=",
                percent_encoded(absl::StrCat(
                    "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and "
                    "armRegionName eq '",
                    options_.region, "' and armSkuName eq '", type(), "'")))};
  }

  absl::Status refused(const HttpAnswer& answer) const {
    const std::string what =
        absl::StrCat(options_.endpoint, ": HTTP status ", answer.status,
                     answer.body.empty() ? "" : ": ", shown_text(answer.body, 200));
    if (says_too_often(answer)) return absl::ResourceExhaustedError(what);
    if (answer.status >= 400 && answer.status < 500)
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; check region, types and endpoint"));
    return absl::UnavailableError(what);
  }

  const AzureFeedOptions options_;
  const UrlOrigin origin_;
  // Of the poll under way.
  absl::Time now_;
  std::size_t type_ = 0;
  bool has_spot_ = false;  // this type, so far
};

}  // namespace

absl::StatusOr<std::unique_ptr<LiveFeed>> make_azure_feed(Scheduler& scheduler,
                                                          std::unique_ptr<HttpClient> http,
                                                          Random random, AzureFeedOptions options) {
  absl::StatusOr<UrlOrigin> origin = check_price_query({.cloud = "Azure",
                                                        .region = options.region,
                                                        .a_region = "westeurope",
                                                        .instance_types = options.instance_types,
                                                        .a_type = "Standard_D2s_v5",
                                                        .endpoint = options.endpoint});
  if (!origin.ok()) return origin.status();
  const LiveFeedOptions poll = options.poll;
  return std::make_unique<LiveFeed>(
      scheduler, std::move(http),
      std::make_unique<AzureApi>(std::move(options), *std::move(origin)), random, poll);
}

}  // namespace supercloud
