#include "core/http/curl_http.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/http/url.h"
#include "gtest/gtest.h"
#include "tests/core/http/http_server.h"
#include "tests/core/http/signature.h"

namespace supercloud {
namespace {

constexpr Duration patience = absl::Seconds(20);

class CurlHttpTest : public testing::Test {
 protected:
  void send(HttpRequest request, Duration deadline = patience) {
    client->send(std::move(request), Reply<HttpAnswer>(loop.clock().now() + deadline,
                                                       [this](absl::StatusOr<HttpAnswer> answer) {
                                                         answers.push_back(std::move(answer));
                                                       }));
  }
  absl::StatusOr<HttpAnswer> ask(HttpRequest request, Duration deadline = patience) {
    const std::size_t before = answers.size();
    send(std::move(request), deadline);
    EXPECT_EQ(answers.size(), before) << "a reply inside the call";
    if (!loop.run_until([&] { return answers.size() > before; }, patience))
      return absl::InternalError("no answer");
    return answers.back();
  }
  absl::StatusOr<HttpAnswer> get(const std::string& path = "/") {
    return ask({.url = server.url(path)});
  }

  EventLoop loop;
  HttpServer server{loop};
  std::unique_ptr<CurlHttp> client = std::make_unique<CurlHttp>(loop);
  std::vector<absl::StatusOr<HttpAnswer>> answers;
};

TEST_F(CurlHttpTest, AnAnswerComesWithStatusBodyTypeDateAndHowLongToWait) {
  server.answer(http_answer(503, "come later",
                            "Content-Type: text/plain\r\nRetry-After: 120\r\n"
                            "Date: Thu, 01 Jan 2026 00:00:07 GMT\r\n"));
  const auto answer = get("/prices?a=b");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 503);
  EXPECT_EQ(answer->body, "come later");
  EXPECT_EQ(answer->content_type, "text/plain");
  EXPECT_EQ(answer->retry_after, absl::Seconds(120));
  EXPECT_EQ(answer->date, absl::FromUnixSeconds(1'767'225'607));
  ASSERT_EQ(server.seen().size(), 1U);
  EXPECT_EQ(server.seen()[0].method, "GET");
  EXPECT_EQ(server.seen()[0].target, "/prices?a=b");
}

TEST_F(CurlHttpTest, AFormIsPosted) {
  server.answer(http_answer(200, ""));
  ASSERT_TRUE(ask({.url = server.url(), .body = "Action=A&B=%20"}).ok());
  EXPECT_EQ(server.seen()[0].method, "POST");
  EXPECT_EQ(server.seen()[0].body, "Action=A&B=%20");
  EXPECT_EQ(server.seen()[0].headers.at("content-type"),
            "application/x-www-form-urlencoded; charset=utf-8");
}

TEST_F(CurlHttpTest, AConnectionIsUsedAgain) {
  for (int i = 0; i < 3; ++i) {
    server.answer(http_answer(200, "ok"));
    ASSERT_TRUE(get().ok());
  }
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(CurlHttpTest, ASignatureIsTheOneThatAwsComputes) {
  AwsSignature signature;
  signature.credentials = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
  signature.region = "eu-central-1";
  signature.service = "ec2";
  for (const std::size_t token_bytes : {0U, 40U, 2000U}) {
    signature.credentials.session_token =
        std::string(token_bytes, 'T') + (token_bytes > 0 ? "/+=" : "");
    server.answer(http_answer(200, ""));
    ASSERT_TRUE(ask({.url = server.url(),
                     .body = "Action=DescribeSpotPriceHistory&InstanceType.1=r3.large"
                             "&ProductDescription.1=Linux%2FUNIX&NextToken=a%2Bb%3D",
                     .signature = signature})
                    .ok());
    const SeenRequest& request = server.seen().back();
    EXPECT_EQ(request.headers.at("host"), server.host());
    EXPECT_EQ(request.headers.contains("x-amz-security-token"), token_bytes > 0);
    const std::string& authorization = request.headers.at("authorization");
    EXPECT_EQ(authorization, expected_authorization(request, "AKIDEXAMPLE",
                                                    "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                                    "eu-central-1", "ec2"));
    EXPECT_NE(authorization.find("host;x-amz-date"), std::string::npos) << authorization;
    EXPECT_EQ(authorization.find("x-amz-security-token") != std::string::npos, token_bytes > 0)
        << authorization;
  }
}

TEST_F(CurlHttpTest, AnAnswerThatIsTooLargeIsRefusedWhetherItSaysSoOrNot) {
  CurlHttpOptions options;
  options.answer_bytes_max = 1000;
  client = std::make_unique<CurlHttp>(loop, options);
  server.answer(http_answer(200, std::string(1000, 'x')));
  ASSERT_TRUE(get().ok());
  server.answer(http_answer(200, std::string(1'000'000, 'x')));
  EXPECT_TRUE(absl::IsResourceExhausted(get().status())) << answers.back().status();
  server.answer_and_close("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(1001, 'x'));
  EXPECT_TRUE(absl::IsResourceExhausted(get().status())) << answers.back().status();
  EXPECT_NE(answers.back().status().message().find("larger than 1000 bytes"), std::string::npos);
}

TEST_F(CurlHttpTest, WhatBreaksOffIsUnavailable) {
  server.answer_and_close("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of");
  EXPECT_TRUE(absl::IsUnavailable(get().status())) << answers.back().status();
  server.answer_and_close("");
  EXPECT_TRUE(absl::IsUnavailable(get().status())) << answers.back().status();
  server.answer_and_close("this is no HTTP\r\n\r\n");
  EXPECT_TRUE(absl::IsUnavailable(get().status())) << answers.back().status();
}

TEST_F(CurlHttpTest, AServerThatIsAwayIsUnavailableAndIsFoundWhenItIsBack) {
  server.stop();
  EXPECT_TRUE(absl::IsUnavailable(get("/x?secret").status())) << answers.back().status();
  const std::string told(answers.back().status().message());
  EXPECT_EQ(told.rfind("GET " + server.url("/x") + ": ", 0), 0U) << told;
  server.start();
  server.answer(http_answer(200, "back"));
  EXPECT_TRUE(get().ok()) << answers.back().status();
}

TEST_F(CurlHttpTest, ASilentServerIsGivenUpAtTheDeadline) {
  const Instant begin = loop.clock().now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(ask({.url = server.url()}, absl::Milliseconds(30)).status()))
      << answers.back().status();
  EXPECT_GE(loop.clock().now() - begin, absl::Milliseconds(25));
  EXPECT_TRUE(absl::IsDeadlineExceeded(ask({.url = server.url()}, -absl::Seconds(1)).status()));
}

TEST_F(CurlHttpTest, ARedirectIsAnAnswerAndNotFollowed) {
  server.answer(http_answer(302, "", "Location: " + server.url("/elsewhere") + "\r\n"));
  const auto answer = get();
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->status, 302);
  EXPECT_EQ(server.seen().size(), 1U);
}

TEST_F(CurlHttpTest, WhatIsNotEncryptedGoesToThisMachineOnly) {
  for (const char* url : {"http://prices.example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/",
                          "http://127.0.0.1.example.com/", "file:///etc/passwd", "",
                          "::", "https://user:secret@example.com/"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ask({.url = url}).status())) << url;
    EXPECT_EQ(answers.back().status().message().find("secret"), std::string::npos);
  }
}

TEST_F(CurlHttpTest, NoMoreThanSoManyRequestsAreUnderWay) {
  CurlHttpOptions options;
  options.requests_max = 2;
  client = std::make_unique<CurlHttp>(loop, options);
  send({.url = server.url("/1")});
  send({.url = server.url("/2")});
  EXPECT_TRUE(absl::IsResourceExhausted(get("/3").status()));
  EXPECT_EQ(answers.size(), 1U);
}

TEST_F(CurlHttpTest, ItsEndCancelsWhatIsUnderWay) {
  send({.url = server.url("/waits")});
  ASSERT_TRUE(loop.run_until([&] { return server.seen().size() == 1; }, patience));
  EXPECT_EQ(server.open_connections(), 1U);
  client.reset();
  EXPECT_TRUE(loop.run_until([&] { return server.open_connections() == 0; }, patience))
      << "the connection stays";
  EXPECT_TRUE(answers.empty());
}

TEST_F(CurlHttpTest, ItMayEndInsideAReply) {
  server.answer(http_answer(200, ""));
  bool ended = false;
  client->send({.url = server.url()},
               Reply<HttpAnswer>(loop.clock().now() + patience, [&](absl::StatusOr<HttpAnswer>) {
                 client.reset();
                 ended = true;
               }));
  send({.url = server.url("/second")});
  EXPECT_TRUE(loop.run_until([&] { return ended; }, patience));
  EXPECT_TRUE(answers.empty());
}

TEST(Url, OriginsAreComparedWithTheirPortsWrittenOut) {
  const auto origin = [](const std::string& url) { return *url_origin(url); };
  EXPECT_EQ(origin("https://Prices.Azure.com:443/api?$skip=100"),
            origin("https://prices.azure.com"));
  EXPECT_NE(origin("https://prices.azure.com:8443/"), origin("https://prices.azure.com/"));
  EXPECT_NE(origin("http://prices.azure.com/"), origin("https://prices.azure.com/"));
  EXPECT_NE(origin("https://prices.azure.com.example.org/"), origin("https://prices.azure.com/"));
  EXPECT_TRUE(origin("http://[::1]:80/").is_loopback());
  EXPECT_FALSE(origin("http://127.example.com/").is_loopback());
  EXPECT_EQ(percent_encoded("a b/'$~-._"), "a%20b%2F%27%24~-._");
}

}  // namespace
}  // namespace supercloud
