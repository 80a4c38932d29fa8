#include "actors/spot/live/aws_feed.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "actors/spot/live/aws_answer.h"
#include "tests/actors/live/live_world.h"
#include "tests/actors/live/signature.h"

namespace supercloud {
namespace {

struct Item {
  std::string zone;
  std::string price;
  absl::Time since;
  std::string type = "r3.large";
  std::string product = "Linux/UNIX";
};

std::string aws_xml(const std::vector<Item>& items, const std::string& next_token = "") {
  std::string xml =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<DescribeSpotPriceHistoryResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n"
      "  <requestId>req-1</requestId>\n  <spotPriceHistorySet>\n";
  for (const Item& item : items) {
    absl::StrAppend(&xml, "    <item><instanceType>", item.type, "</instanceType>",
                    "<productDescription>", item.product, "</productDescription><spotPrice>",
                    item.price, "</spotPrice><timestamp>",
                    absl::FormatTime("%Y-%m-%dT%H:%M:%S.000Z", item.since, absl::UTCTimeZone()),
                    "</timestamp><availabilityZone>", item.zone, "</availabilityZone></item>\n");
  }
  return absl::StrCat(xml, "  </spotPriceHistorySet>\n  <nextToken>", next_token,
                      "</nextToken>\n</DescribeSpotPriceHistoryResponse>\n");
}

std::string aws_error(const std::string& code, const std::string& message) {
  return absl::StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>",
                      code, "</Code><Message>", message,
                      "</Message></Error></Errors><RequestID>req-2</RequestID></Response>");
}

class AwsFeedTest : public LiveWorld {
 protected:
  AwsFeedTest() {
    options.instance_types = {"r3.large", "m5.xlarge"};
    options.credentials = {"AKIDEXAMPLE", "SECRETEXAMPLE", "TOKENEXAMPLE"};
    options.endpoint = server.url();
  }
  void make() {
    auto made = make_aws_feed(time, http(), Random(7), options);
    ASSERT_TRUE(made.ok()) << made.status();
    feed = *std::move(made);
  }
  absl::Time at(int second) const { return start + absl::Seconds(second); }
  static std::string a(std::int64_t nano, int second) {
    return absl::StrCat("aws/us-east-1/us-east-1a/r3.large/spot ", nano, " @", second);
  }
  static std::string b(std::int64_t nano, int second) {
    return absl::StrCat("aws/us-east-1/us-east-1b/r3.large/spot ", nano, " @", second);
  }
  // Time passes until the next poll; that brings `items`.
  void poll(const std::string& xml) {
    server.answer(http_answer(200, xml));
    time.run_for(options.poll.every);
    ASSERT_TRUE(settle());
  }
  // The status that an answer of `status` leads to, before any price.
  absl::Status refusal(int status, const std::string& code, const std::string& message,
                       const std::string& headers = "") {
    make();
    server.answer(http_answer(status, aws_error(code, message), headers));
    return next().status();
  }
  std::string field(const std::string& name) const {
    for (const absl::string_view part : absl::StrSplit(server.seen().back().body, '&'))
      if (part.size() > name.size() && std::string(part.substr(0, name.size())) == name &&
          part[name.size()] == '=')
        return std::string(part.substr(name.size() + 1));
    return "";
  }

  AwsFeedOptions options;
};

TEST_F(AwsFeedTest, AsksForTheLastHourOfTheTypesAndSignsIt) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.0331", at(-60)}})));
  EXPECT_EQ(next_text(), a(33'100'000, -60));
  const SeenRequest& request = server.seen().back();
  EXPECT_EQ(request.body,
            "Action=DescribeSpotPriceHistory&Version=2016-11-15"
            "&StartTime=2025-12-31T23%3A00%3A00Z&EndTime=2026-01-01T00%3A00%3A00Z"
            "&InstanceType.1=r3.large&InstanceType.2=m5.xlarge"
            "&ProductDescription.1=Linux%2FUNIX&MaxResults=1000");
  EXPECT_EQ(request.headers.at("x-amz-security-token"), "TOKENEXAMPLE");
  EXPECT_EQ(request.headers.at("authorization"),
            expected_authorization(request, "AKIDEXAMPLE", "SECRETEXAMPLE", "us-east-1", "ec2"));
}

TEST_F(AwsFeedTest, TakesAllPagesAndTellsThePricesOldestFirst) {
  make();
  server.answer(http_answer(
      200, aws_xml({{"us-east-1a", "0.30", at(-10)}, {"us-east-1b", "0.25", at(-20)}}, "page+2=")));
  server.answer(http_answer(200, aws_xml({}, "page 3")));  // an empty page is not the end
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.10", at(-4000)}})));
  EXPECT_EQ(next_text(), a(100'000'000, -4000));
  ASSERT_EQ(server.seen().size(), 3U);
  EXPECT_NE(server.seen()[1].body.find("&NextToken=page%2B2%3D"), std::string::npos);
  EXPECT_NE(server.seen()[2].body.find("&NextToken=page%203"), std::string::npos);
  EXPECT_EQ(next_text(), b(250'000'000, -20));
  EXPECT_EQ(next_text(), a(300'000'000, -10));
  EXPECT_EQ(server.seen().size(), 3U);
}

TEST_F(AwsFeedTest, PollsGoOnFromWhereTheLastOneEndedAndOverlap) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  EXPECT_EQ(next_text(), a(100'000'000, -60));
  ask();
  time.run_for(options.poll.every - absl::Seconds(1));
  EXPECT_EQ(sent.size(), 1U) << "too early";
  // What was seen comes again, and one that AWS shows late.
  poll(aws_xml({{"us-east-1a", "0.2", at(200)},
                {"us-east-1a", "0.1", at(-60)},
                {"us-east-1b", "0.3", at(-30)}}));
  EXPECT_EQ(text_of(*told), b(300'000'000, -30));
  EXPECT_EQ(field("StartTime"), "2025-12-31T23%3A45%3A00Z");
  EXPECT_EQ(field("EndTime"), "2026-01-01T00%3A05%3A00Z");
  EXPECT_EQ(next_text(), a(200'000'000, 200));
}

TEST_F(AwsFeedTest, AQuietMarketIsToldByTheNewestPriceAgain) {
  make();
  server.answer(
      http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}, {"us-east-1b", "0.3", at(-90)}})));
  EXPECT_EQ(next_text(), b(300'000'000, -90));
  EXPECT_EQ(next_text(), a(100'000'000, -60));
  for (int i = 0; i < 3; ++i) {
    ask();
    poll(aws_xml({{"us-east-1a", "0.1", at(-60)}}));
    EXPECT_EQ(text_of(*told), a(100'000'000, -60));
  }
}

TEST_F(AwsFeedTest, AfterALongGapSeveralPollsFollowAtOnce) {
  options.history = absl::Hours(60);
  make();
  for (const char* price : {"0.1", "0.2", "0.3"})
    server.answer(http_answer(
        200, aws_xml({{"us-east-1a", price, at(-60 + static_cast<int>(server.seen().size()))}})));
  EXPECT_TRUE(next().ok());
  EXPECT_EQ(field("StartTime"), "2025-12-29T12%3A00%3A00Z");
  EXPECT_EQ(field("EndTime"), "2025-12-30T12%3A00%3A00Z");
  EXPECT_TRUE(next().ok());
  EXPECT_EQ(field("StartTime"), "2025-12-30T11%3A45%3A00Z");
  EXPECT_TRUE(next().ok());
  EXPECT_EQ(field("EndTime"), "2026-01-01T00%3A00%3A00Z");
  ask();
  time.run_for(options.poll.every - absl::Seconds(1));
  EXPECT_EQ(sent.size(), 3U) << "too early";
}

TEST_F(AwsFeedTest, ThrottlingMakesPausesThatGrowAndKeepsThePage) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}}, "two")));
  Duration pause = options.poll.pause;
  for (int i = 0; i < 3; ++i) {
    server.answer(http_answer(503, aws_error("RequestLimitExceeded", "Request limit exceeded.")));
    ask();
    if (i > 0) {
      const Instant failed = time.now();
      time.run_for(pause);
      EXPECT_GE(sent.back() - failed, pause / 2);
      EXPECT_LE(sent.back() - failed, pause);
      pause *= 2;
    }
    ASSERT_TRUE(settle());
    EXPECT_TRUE(absl::IsUnavailable(told->status()));
    EXPECT_NE(told->status().message().find("RequestLimitExceeded (503, request req-2)"),
              std::string::npos)
        << told->status();
    EXPECT_EQ(field("NextToken"), "two");
  }
  server.answer(http_answer(200, aws_xml({})));
  ask();
  time.run_for(pause);
  ASSERT_TRUE(settle());
  EXPECT_EQ(text_of(*told), a(100'000'000, -60)) << "the first page is not lost";
}

TEST_F(AwsFeedTest, AServerThatNamesAPauseGetsIt) {
  make();
  server.answer(http_answer(429, "", "Retry-After: 300\r\n"));
  EXPECT_TRUE(absl::IsUnavailable(next().status()));
  EXPECT_NE(told->status().message().find("the next attempt is in 5m"), std::string::npos);
  ask();
  time.run_for(absl::Seconds(299));
  EXPECT_EQ(sent.size(), 1U) << "too early";
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  time.run_for(absl::Seconds(1));
  ASSERT_TRUE(settle());
  EXPECT_EQ(text_of(*told), a(100'000'000, -60));
}

TEST_F(AwsFeedTest, AnOutageIsToldAndNothingIsMissedAfterIt) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  EXPECT_TRUE(next().ok());
  server.stop();
  for (int i = 0; i < 12; ++i) {
    ask();
    time.run_for(options.poll.pause_max);
    ASSERT_TRUE(settle());
    ASSERT_TRUE(absl::IsUnavailable(told->status())) << told->status();
  }
  server.start();
  ask();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.2", at(1000)}})));
  time.run_for(options.poll.pause_max);
  ASSERT_TRUE(settle());
  EXPECT_EQ(text_of(*told), a(200'000'000, 1000));
  EXPECT_EQ(field("StartTime"), "2025-12-31T23%3A45%3A00Z") << "from the last poll that succeeded";
}

TEST_F(AwsFeedTest, AClockThatIsWrongIsNamedWithItsCure) {
  for (const char* code : {"RequestExpired", "SignatureDoesNotMatch", "AuthFailure"}) {
    const absl::Status status =
        refusal(400, code, "Request has expired.", "Date: Thu, 01 Jan 2026 00:17:00 GMT\r\n");
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_NE(status.message().find("this machine's clock is 17m behind that of AWS "
                                    "(2026-01-01T00:00:00Z here, 2026-01-01T00:17:00Z there)"),
              std::string::npos)
        << status;
    EXPECT_NE(status.message().find("timedatectl set-ntp true"), std::string::npos);
  }
  const absl::Status ahead =
      refusal(400, "RequestExpired", "x", "Date: Wed, 31 Dec 2025 22:00:00 GMT\r\n");
  EXPECT_NE(ahead.message().find("clock is 2h ahead of that of AWS"), std::string::npos) << ahead;
}

TEST_F(AwsFeedTest, WhatTheKeyLacksIsNamedAndItsSecretIsNot) {
  const std::string now = "Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n";
  const auto told_for = [&](int status, const std::string& code, const std::string& message) {
    const absl::Status why = refusal(status, code, message, now);
    EXPECT_TRUE(absl::IsPermissionDenied(why)) << why;
    EXPECT_EQ(why.message().find("SECRETEXAMPLE"), std::string::npos) << why;
    EXPECT_EQ(why.message().find("TOKENEXAMPLE"), std::string::npos) << why;
    return std::string(why.message());
  };
  EXPECT_NE(
      told_for(403, "UnauthorizedOperation", "You are not authorized to perform this operation.")
          .find("allow the key AKIDEXAMPLE the action ec2:DescribeSpotPriceHistory"),
      std::string::npos);
  EXPECT_NE(
      told_for(401, "AuthFailure", "AWS was not able to validate the provided access credentials")
          .find("check AWS_SECRET_ACCESS_KEY"),
      std::string::npos);
  EXPECT_NE(told_for(403, "InvalidClientTokenId", "").find("check AWS_ACCESS_KEY_ID"),
            std::string::npos);
  EXPECT_NE(told_for(400, "RequestExpired", "").find("session token has expired"),
            std::string::npos);
}

TEST_F(AwsFeedTest, AfterARefusalItAsksAgainForItMayBeCured) {
  EXPECT_TRUE(absl::IsPermissionDenied(refusal(403, "UnauthorizedOperation", "")));
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  ask();
  time.run_for(options.poll.pause);
  ASSERT_TRUE(settle());
  EXPECT_EQ(text_of(*told), a(100'000'000, -60));
}

TEST_F(AwsFeedTest, WhatIsNoAnswerIsNotBelieved) {
  const std::string whole = aws_xml({{"us-east-1a", "0.1", at(-60)}});
  for (const std::string& body :
       {whole.substr(0, whole.size() / 2),
        std::string("<html><body>Log in to the hotel</body></html>"), std::string("{}"),
        std::string(), std::string("<DescribeSpotPriceHistoryResponse/>"),
        aws_error("RequestLimitExceeded", "")}) {
    make();
    server.answer(http_answer(200, body, "Content-Type: text/html\r\n"));
    const absl::Status status = next().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_NE(status.message().find("something else (text/html"), std::string::npos) << status;
  }
  make();
  server.answer_and_close("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + whole);
  EXPECT_TRUE(absl::IsUnavailable(next().status())) << told->status();
}

TEST_F(AwsFeedTest, ADamagedItemIsNamedAndTheOthersCount) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "cheap", at(-60)},
                                          {"", "0.1", at(-60)},
                                          {"us-east-1a", "0.2", at(3600)},
                                          {"us-east-1b", "0.3", at(-50)},
                                          {"us-east-1b", "0.9", at(-40), "r3.large", "Windows"},
                                          {"us-east-1b", "0.9", at(-40), "c9.huge"}})));
  const absl::Status first = next().status();
  EXPECT_TRUE(absl::IsDataLoss(first));
  EXPECT_EQ(std::string(first.message())
                .rfind("DescribeSpotPriceHistory request req-1, item 1: <spotPrice> cheap: ", 0),
            0U)
      << first;
  EXPECT_NE(next().status().message().find("item 2: <availabilityZone>"), std::string::npos)
      << told->status();
  EXPECT_NE(next().status().message().find("which is to come"), std::string::npos)
      << told->status();
  EXPECT_EQ(next_text(), b(300'000'000, -50));
}

TEST_F(AwsFeedTest, MuchDamageIsCounted) {
  make();
  std::vector<Item> items(40, Item{"us-east-1a", "-1", at(-60)});
  items.push_back({"us-east-1a", "0.1", at(-60)});
  server.answer(http_answer(200, aws_xml(items)));
  for (std::size_t i = 0; i < options.poll.damaged_max; ++i)
    EXPECT_TRUE(absl::IsDataLoss(next().status()));
  EXPECT_NE(next().status().message().find("24 more damaged items"), std::string::npos);
  EXPECT_EQ(next_text(), a(100'000'000, -60));
}

TEST_F(AwsFeedTest, OfTwoPricesForOneTimeTheHigherCounts) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)},
                                          {"us-east-1a", "0.3", at(-60)},
                                          {"us-east-1a", "0.3", at(-60)},
                                          {"us-east-1a", "0.2", at(-60)}})));
  EXPECT_TRUE(absl::IsDataLoss(next().status()));
  EXPECT_TRUE(absl::IsDataLoss(next().status()));
  EXPECT_EQ(next_text(), a(300'000'000, -60));
}

TEST_F(AwsFeedTest, PagesWithoutEndAreGivenUp) {
  options.poll.pages_max = 5;
  make();
  for (int i = 0; i < 5; ++i)
    server.answer(
        http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60 - i)}}, absl::StrCat("token", i))));
  EXPECT_NE(next().status().message().find("more than 5 pages"), std::string::npos)
      << told->status();
  EXPECT_TRUE(absl::IsUnavailable(told->status()));
  EXPECT_EQ(server.seen().size(), 5U);
  make();
  for (int i = 0; i < 3; ++i) server.answer(http_answer(200, aws_xml({}, "same")));
  EXPECT_NE(next().status().message().find("this one again"), std::string::npos) << told->status();
}

TEST_F(AwsFeedTest, TooManyPricesAreGivenUp) {
  options.poll.prices_max = 3;
  make();
  server.answer(
      http_answer(200, aws_xml(std::vector<Item>(4, Item{"us-east-1a", "0.1", at(-60)}))));
  EXPECT_NE(next().status().message().find("more than 3 prices"), std::string::npos)
      << told->status();
}

TEST_F(AwsFeedTest, AnAnswerThatIsTooLargeIsToldAsAnOutage) {
  CurlHttpOptions small;
  small.answer_bytes_max = 100;
  feed = *make_aws_feed(time, http(small), Random(7), options);
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  EXPECT_TRUE(absl::IsUnavailable(next().status()));
  EXPECT_NE(told->status().message().find("larger than 100 bytes"), std::string::npos);
}

TEST_F(AwsFeedTest, NoPriceAtAllIsAMistakeOfTheConfiguration) {
  make();
  server.answer(http_answer(200, aws_xml({})));
  EXPECT_TRUE(absl::IsFailedPrecondition(next().status())) << told->status();
  EXPECT_NE(told->status().message().find("check region and types"), std::string::npos);
}

TEST_F(AwsFeedTest, ATokenThatIsNoLongerKnownBeginsThePollAgain) {
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}}, "two")));
  server.answer(http_answer(400, aws_error("InvalidNextToken", "The token is expired")));
  EXPECT_TRUE(absl::IsUnavailable(next().status()));
  server.answer(http_answer(200, aws_xml({{"us-east-1b", "0.3", at(-60)}})));
  ask();
  time.run_for(options.poll.pause);
  ASSERT_TRUE(settle());
  EXPECT_EQ(field("NextToken"), "");
  EXPECT_EQ(text_of(*told), b(300'000'000, -60));
}

TEST_F(AwsFeedTest, ItsEndCancelsARequestAndItMayEndInsideItsReply) {
  make();
  ask();
  ASSERT_TRUE(loop.run_until([&] { return server.seen().size() == 1; }, patience));
  feed.reset();
  EXPECT_TRUE(loop.run_until([&] { return server.open_connections() == 0; }, patience));
  EXPECT_FALSE(told);
  make();
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.1", at(-60)}})));
  feed->next(Reply<Price>(far_future, [this](absl::StatusOr<Price> price) {
    feed.reset();
    told = std::move(price);
  }));
  EXPECT_TRUE(settle());
}

TEST_F(AwsFeedTest, WhatCannotBeAskedIsRefusedWhenItIsMade) {
  const auto mistake = [this](auto change) {
    AwsFeedOptions wrong = options;
    change(wrong);
    const auto made = make_aws_feed(time, http(), Random(7), wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(made.status())) << made.status();
    return std::string(made.status().message());
  };
  EXPECT_NE(mistake([](auto& o) { o.region = "us east"; }).find("us-east-1"), std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.instance_types.clear(); }).find("1 to 100"), std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.instance_types = {"a&b=c"}; }).find("r5.large"),
            std::string::npos);
  EXPECT_NE(
      mistake([](auto& o) { o.credentials.secret_access_key = ""; }).find("AWS_SECRET_ACCESS_KEY"),
      std::string::npos);
  EXPECT_EQ(mistake([](auto& o) { o.credentials.session_token = "x\r\nhost: y"; }).find("host"),
            std::string::npos);
  EXPECT_NE(mistake([](auto& o) { o.endpoint = "https://h/?a=b"; }).find("no query"),
            std::string::npos);
}

}  // namespace
}  // namespace supercloud
