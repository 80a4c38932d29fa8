#include "cli/live_prices.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/live/aws_feed.h"
#include "actors/spot/live/azure_feed.h"
#include "core/http/curl_http.h"
#include "core/http/url.h"

namespace supercloud {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

absl::StatusOr<std::unique_ptr<PriceFeed>> make_feed(EventLoop& loop, const LivePrices& live,
                                                     const std::vector<std::string>& types,
                                                     const AwsCredentials& credentials,
                                                     Random random) {
  CurlHttpOptions with;
  with.proxy = live.proxy;
  auto http = std::make_unique<CurlHttp>(loop, std::move(with));
  if (live.api == "azure") {
    AzureFeedOptions options;
    options.region = live.region;
    options.instance_types = types;
    options.windows = live.windows;
    if (!live.endpoint.empty()) options.endpoint = live.endpoint;
    options.poll.every = live.every;
    return make_azure_feed(loop, std::move(http), random, std::move(options));
  }
  AwsFeedOptions options;
  options.region = live.region;
  options.instance_types = types;
  options.product = live.product;
  options.credentials = credentials;
  options.endpoint = live.endpoint;
  options.poll.every = live.every;
  return make_aws_feed(loop, std::move(http), random, std::move(options));
}

}  // namespace

LivePrices read_live_prices(TomlTable& feed) {
  LivePrices live;
  live.api = feed.required_text("api");
  if (!live.api.empty() && live.api != "aws" && live.api != "azure")
    feed.complain("api", "has to be \"aws\" or \"azure\"");
  const bool azure = live.api == "azure";
  live.region = feed.required_text("region");
  live.every = feed.duration("every", azure ? absl::Hours(1) : absl::Minutes(5));
  if (live.every < absl::Seconds(30))
    feed.complain("every", "has to be 30s or more, for clouds throttle who asks too often");
  if (azure)
    live.windows = feed.boolean("windows", false);
  else
    live.product = feed.text("product", "Linux/UNIX");
  for (const auto& [key, value] :
       {std::pair{"endpoint", &live.endpoint}, std::pair{"proxy", &live.proxy}}) {
    *value = feed.text(key, "");
    if (value->empty()) continue;
    if (const auto origin = url_origin(*value); !origin.ok())
      feed.complain(key, absl::StrCat("has to be a URL: ", origin.status().message()));
  }
  return live;
}

absl::StatusOr<FeedFactory> live_feed_factory(EventLoop& loop, const LivePrices& live,
                                              std::vector<std::string> types, Random random) {
  AwsCredentials credentials;
  if (live.api == "aws") {
    credentials.access_key_id = environment("AWS_ACCESS_KEY_ID");
    credentials.secret_access_key = environment("AWS_SECRET_ACCESS_KEY");
    credentials.session_token = environment("AWS_SESSION_TOKEN");
  }
  // What it would be refused for later is told now.
  if (const auto first = make_feed(loop, live, types, credentials, random); !first.ok())
    return absl::Status(first.status().code(),
                        absl::StrCat("account.feed: ", first.status().message()));
  return FeedFactory([&loop, live, types = std::move(types), credentials, random]() mutable {
    return make_feed(loop, live, types, credentials, random.fork());
  });
}

}  // namespace supercloud
