#include "actors/spot/live/aws_feed.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/live/aws_answer.h"
#include "actors/spot/live/foreign_text.h"
#include "actors/spot/live/price_api.h"
#include "actors/spot/price_names.h"
#include "core/http/url.h"

namespace supercloud {
namespace {

// AWS takes signatures that are up to five minutes off.
constexpr absl::Duration skew_max = absl::Minutes(4);

std::string aws_time(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

// Codes of EC2's common client and server errors, and of signing.
bool is_throttling(const HttpAnswer& answer, const AwsError& error) {
  constexpr std::array codes = {"RequestLimitExceeded", "Throttling", "ThrottlingException",
                                "RequestThrottled", "SlowDown"};
  return says_too_often(answer) || std::find(codes.begin(), codes.end(), error.code) != codes.end();
}

bool is_about_time(const AwsError& error) {
  constexpr std::array codes = {"RequestExpired", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
                                "InvalidSignatureException", "AuthFailure"};
  return std::find(codes.begin(), codes.end(), error.code) != codes.end();
}

class AwsApi final : public PriceApi {
 public:
  explicit AwsApi(AwsFeedOptions options) : options_(std::move(options)) {}

  std::string source() const override {
    return absl::StrCat("AWS spot prices of ", options_.region);
  }

  bool looks_back() const override { return true; }

  HttpRequest first(absl::Time now) override {
    now = std::max(now, absl::UnixEpoch() + options_.history);
    start_ = std::min(now, reached_ ? *reached_ - options_.overlap : now - options_.history);
    end_ = std::min(now, start_ + options_.window_max);
    more_ = end_ < now;
    return request("");
  }

  absl::StatusOr<PricePage> read(const HttpAnswer& answer, absl::Time now) override {
    if (answer.status != 200) return refused(answer, now);
    absl::StatusOr<AwsPrices> prices =
        parse_aws_prices(answer.body, options_.region, options_.product);
    if (!prices.ok()) return something_else(options_.endpoint, answer, prices.status());
    PricePage page;
    page.damaged = std::move(prices->damaged);
    std::erase_if(prices->prices, [this](const Price& price) {
      return !is_wanted(options_.instance_types, price.place.instance_type);
    });
    page.prices = std::move(prices->prices);
    if (!prices->next_token.empty()) page.next = request(prices->next_token);
    return page;
  }

  bool complete() override {
    reached_ = end_;
    return more_;
  }

 private:
  HttpRequest request(const std::string& token) const {
    HttpRequest request;
    request.url = options_.endpoint;
    request.body = absl::StrCat("Action=DescribeSpotPriceHistory&Version=2016-11-15&StartTime=",
                                percent_encoded(aws_time(start_)),
                                "&EndTime=", percent_encoded(aws_time(end_)));
    for (std::size_t i = 0; i < options_.instance_types.size(); ++i)
      absl::StrAppend(&request.body, "&InstanceType.", i + 1, "=",
                      percent_encoded(options_.instance_types[i]));
    absl::StrAppend(&request.body, "&ProductDescription.1=", percent_encoded(options_.product),
                    "&MaxResults=", options_.page_items);
    if (!token.empty()) absl::StrAppend(&request.body, "&NextToken=", percent_encoded(token));
    request.signature = AwsSignature{options_.credentials, options_.region, "ec2"};
    return request;
  }

  absl::Status refused(const HttpAnswer& answer, absl::Time now) const {
    const AwsError error = parse_aws_error(answer.body);
    const std::string what = absl::StrCat(
        options_.endpoint, ": ", error.code.empty() ? "HTTP status" : error.code, " (",
        answer.status, error.request_id.empty() ? "" : absl::StrCat(", request ", error.request_id),
        ")", error.message.empty() ? "" : absl::StrCat(": ", error.message));
    if (is_throttling(answer, error)) return absl::ResourceExhaustedError(what);
    if (is_about_time(error)) return not_accepted(what, error, answer, now);
    if (error.code == "InvalidClientTokenId" || error.code == "MissingAuthenticationToken" ||
        error.code == "OptInRequired" || error.code == "Blocked")
      return absl::PermissionDeniedError(
          absl::StrCat(what, "; AWS does not know the key ", key(), ": check AWS_ACCESS_KEY_ID"));
    if (error.code == "ExpiredToken" || error.code == "ExpiredTokenException")
      return absl::PermissionDeniedError(absl::StrCat(what, "; ", expired()));
    if (error.code == "UnauthorizedOperation" || error.code == "AccessDenied")
      return absl::PermissionDeniedError(absl::StrCat(what, "; allow the key ", key(),
                                                      " the action ec2:DescribeSpotPriceHistory"));
    if (error.code == "InvalidNextToken" || error.code == "InvalidPaginationToken")
      return absl::AbortedError(what);
    if (answer.status >= 400 && answer.status < 500 && !error.code.empty())
      return absl::FailedPreconditionError(absl::StrCat(what, "; check region, types and product"));
    return absl::UnavailableError(what);
  }

  // The signature was not taken: for the wrong time, or the wrong secret.
  absl::Status not_accepted(const std::string& what, const AwsError& error,
                            const HttpAnswer& answer, absl::Time now) const {
    const absl::Duration ahead = answer.date ? now - *answer.date : absl::ZeroDuration();
    if (absl::AbsDuration(ahead) > skew_max)
      return absl::FailedPreconditionError(absl::StrCat(
          what, "; this machine's clock is ",
          absl::FormatDuration(absl::Trunc(absl::AbsDuration(ahead), absl::Seconds(1))),
          ahead > absl::ZeroDuration() ? " ahead of" : " behind", " that of AWS (", aws_time(now),
          " here, ", aws_time(*answer.date),
          " there): set it right, and keep it so with NTP (timedatectl set-ntp true)"));
    if (error.code == "RequestExpired" || error.code == "RequestTimeTooSkewed") {
      if (!options_.credentials.session_token.empty())
        return absl::PermissionDeniedError(absl::StrCat(what, "; ", expired()));
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; check this machine's clock (timedatectl set-ntp true)"));
    }
    return absl::PermissionDeniedError(
        absl::StrCat(what, "; check AWS_SECRET_ACCESS_KEY of the key ", key(),
                     options_.credentials.session_token.empty()
                         ? ", and AWS_SESSION_TOKEN if that is a temporary one"
                         : " and AWS_SESSION_TOKEN"));
  }

  // Enough of it to be recognised.
  std::string key() const { return shown_text(options_.credentials.access_key_id, 128); }
  static std::string expired() {
    return "the session token has expired: get new credentials and start this node again";
  }

  const AwsFeedOptions options_;
  // Of the poll under way.
  absl::Time start_, end_;
  bool more_ = false;
  std::optional<absl::Time> reached_;  // the end of the last complete one
};

}  // namespace

absl::StatusOr<std::unique_ptr<LiveFeed>> make_aws_feed(Scheduler& scheduler,
                                                        std::unique_ptr<HttpClient> http,
                                                        Random random, AwsFeedOptions options) {
  const auto refuse = [](const char* why) { return absl::InvalidArgumentError(why); };
  if (options.endpoint.empty())
    options.endpoint = absl::StrCat("https://ec2.", options.region, ".amazonaws.com/");
  const auto origin = check_price_query({.cloud = "AWS",
                                         .region = options.region,
                                         .a_region = "us-east-1",
                                         .instance_types = options.instance_types,
                                         .a_type = "r5.large",
                                         .endpoint = options.endpoint});
  if (!origin.ok()) return origin.status();
  if (options.credentials.access_key_id.empty() || options.credentials.secret_access_key.empty())
    return refuse("there is no key for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  // They become header lines.
  for (const std::string* part :
       {&options.credentials.access_key_id, &options.credentials.secret_access_key,
        &options.credentials.session_token})
    if (part->find_first_of("\r\n \t") != std::string::npos)
      return refuse("there is white space in the key for AWS: check the AWS_ variables");
  const LiveFeedOptions poll = options.poll;
  return std::make_unique<LiveFeed>(scheduler, std::move(http),
                                    std::make_unique<AwsApi>(std::move(options)), random, poll);
}

}  // namespace supercloud
