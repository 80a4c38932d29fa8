#include "actors/spot/live/aws_feed.h"

#include <string>
#include <utility>

#include "tests/actors/live/aws_world.h"
#include "tests/core/http/signature.h"

namespace supercloud {
namespace {

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

TEST_F(AwsFeedTest, TakesAllPagesAndTellsThePricesThatHoldOldestFirst) {
  make();
  server.answer(http_answer(
      200, aws_xml({{"us-east-1a", "0.30", at(-10)}, {"us-east-1b", "0.25", at(-20)}}, "page+2=")));
  server.answer(http_answer(200, aws_xml({}, "page 3")));  // an empty page is not the end
  server.answer(http_answer(200, aws_xml({{"us-east-1a", "0.10", at(-4000)}})));
  EXPECT_EQ(next_text(), b(250'000'000, -20));
  ASSERT_EQ(server.seen().size(), 3U);
  EXPECT_NE(server.seen()[1].body.find("&NextToken=page%2B2%3D"), std::string::npos);
  EXPECT_NE(server.seen()[2].body.find("&NextToken=page%203"), std::string::npos);
  EXPECT_EQ(next_text(), a(300'000'000, -10)) << "and not the one before it";
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
  int second = -60;
  for (const char* price : {"0.1", "0.2", "0.3"})
    server.answer(http_answer(200, aws_xml({{"us-east-1a", price, at(second++)}})));
  EXPECT_EQ(next_text(), a(300'000'000, -58));
  ASSERT_EQ(server.seen().size(), 3U);
  EXPECT_EQ(field_of(0, "StartTime"), "2025-12-29T12%3A00%3A00Z");
  EXPECT_EQ(field_of(0, "EndTime"), "2025-12-30T12%3A00%3A00Z");
  EXPECT_EQ(field_of(1, "StartTime"), "2025-12-30T11%3A45%3A00Z");
  EXPECT_EQ(field_of(2, "EndTime"), "2026-01-01T00%3A00%3A00Z");
  ask();
  time.run_for(options.poll.every - absl::Seconds(1));
  EXPECT_EQ(sent.size(), 3U) << "too early";
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
