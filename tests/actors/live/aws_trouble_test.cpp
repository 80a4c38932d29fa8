// What may go wrong with AWS, and how it is told.
#include <string>
#include <vector>

#include "tests/actors/live/aws_world.h"

namespace supercloud {
namespace {

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
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  for (int i = 0; i < 100'000; ++i) deep += "</a>";
  for (const std::string& body :
       {whole.substr(0, whole.size() / 2),
        std::string("<html><body>Log in to the hotel</body></html>"), std::string("{}"),
        std::string(), deep, std::string("<DescribeSpotPriceHistoryResponse/>"),
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
  std::vector<AwsItem> items(40, AwsItem{"us-east-1a", "-1", at(-60)});
  items.push_back({"us-east-1a", "0.1", at(-60)});
  server.answer(http_answer(200, aws_xml(items)));
  for (std::size_t i = 0; i < options.poll.damaged_max; ++i)
    EXPECT_TRUE(absl::IsDataLoss(next().status()));
  EXPECT_NE(next().status().message().find("24 more damaged items"), std::string::npos);
  EXPECT_EQ(next_text(), a(100'000'000, -60));
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
      http_answer(200, aws_xml(std::vector<AwsItem>(4, AwsItem{"us-east-1a", "0.1", at(-60)}))));
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

}  // namespace
}  // namespace supercloud
