// The gateway's server over loopback, with nodes in the same process.
#include "actors/gateway/http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/event_loop.h"
#include "tests/actors/gateway/gateway_world.h"
#include "tests/actors/gateway/http/http_client.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

class GatewayServerTest : public testing::Test {
 protected:
  ~GatewayServerTest() override {
    server.reset();
    loop.stop();
    if (thread.joinable()) thread.join();
  }
  void start(HttpServerOptions options = {}) {
    auto started = HttpServer::start(loop, world.hub, world.metrics, std::move(options));
    ASSERT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
    thread = std::thread([this] { loop.run(); });
  }
  template <class Function>
  auto in_loop(Function function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto done = task.get_future();
    loop.post([&task] { task(); });
    return done.get();
  }
  static bool eventually(const std::function<bool()>& holds) {
    const absl::Time end = absl::Now() + absl::Seconds(30);
    while (!holds()) {
      if (absl::Now() > end) return false;
      ::poll(nullptr, 0, 1);
    }
    return true;
  }
  // Logged, and heard by the hub.
  void publish(const std::string& name, int count = 1) {
    in_loop([&] {
      for (int i = 0; i < count; ++i)
        world.alpha.start(count == 1 ? name : name + std::to_string(i));
      return 0;
    });
    std::ptrdiff_t heard = 0;
    EXPECT_TRUE(eventually([&] {
      return in_loop([&] {
        heard += std::ranges::count_if(world.alpha.bus.published, [](const Event& event) {
          return event.type() == schema::Payload::VM_STARTED;
        });
        world.deliver();
        return heard >= count;
      });
    })) << heard;
  }
  std::string ask(const std::string& target, const std::string& headers = "") const {
    HttpClient client(server->port());
    client.get(target, headers);
    return client.answer();
  }
  static std::vector<std::string> subjects(const std::vector<StreamMessage>& messages) {
    std::vector<std::string> out;
    for (const StreamMessage& message : messages)
      out.push_back(Json::parse(message.data)["subject"]);
    return out;
  }

  EventLoop loop;
  GatewayWorld world{loop};
  std::unique_ptr<HttpServer> server;
  std::thread thread;
};

HttpServerOptions with_tokens() {
  // printf %s secret | sha256sum
  auto tokens = TokenFile::parse(
      "web = { sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\", "
      "patterns = [\"vm.>\"] }",
      "tokens.toml");
  EXPECT_TRUE(tokens.ok()) << tokens.status();
  HttpServerOptions options;
  options.tokens = *tokens;
  return options;
}

TEST_F(GatewayServerTest, StreamsThePastAndWhatHappens) {
  start();
  publish("web1");
  HttpClient client(server->port());
  client.get("/v1/events?pattern=vm.>&since=start", "Accept: text/event-stream\r\n");
  ASSERT_TRUE(client.reads("web1\"")) << client.got();
  publish("web2");
  ASSERT_TRUE(client.reads("\"web2\"")) << client.got();
  ASSERT_TRUE(eventually([&] { return world.metrics.queued_bytes == 0; }));
  EXPECT_THAT(client.got(), StartsWith("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
  publish("web3");
  ASSERT_TRUE(client.reads("\"web3\""));
  const auto messages = stream_messages(client.got());
  ASSERT_GE(messages.size(), 2U);
  EXPECT_EQ(messages[0].event, "vm.started");
  EXPECT_TRUE(Cursor::parse(messages[0].id).ok());
  EXPECT_EQ(Json::parse(messages[0].data)["specversion"], "1.0");
}

TEST_F(GatewayServerTest, ResumesWithoutAHoleAndWithoutADouble) {
  start();
  publish("a", 5);
  std::string last;
  {
    HttpClient client(server->port());
    client.get("/v1/events?pattern=vm.>&since=start");
    ASSERT_TRUE(client.reads("\"a4\""));
    const auto messages = stream_messages(client.got());
    ASSERT_GE(messages.size(), 4U);
    last = messages[2].id;  // the rest was lost on the way
  }
  publish("b", 5);
  HttpClient client(server->port());
  client.get("/v1/events?pattern=vm.>&since=start", "Last-Event-ID: " + last + "\r\n");
  ASSERT_TRUE(client.reads("\"b4\""));
  publish("c");
  ASSERT_TRUE(client.reads("\"c\""));
  publish("d");
  ASSERT_TRUE(client.reads("\"d\""));
  auto told = subjects(stream_messages(client.got()));
  told.resize(8);
  EXPECT_THAT(told, testing::ElementsAre("a3", "a4", "b0", "b1", "b2", "b3", "b4", "c"));
  EXPECT_EQ(world.metrics.gaps, 0U);
}

TEST_F(GatewayServerTest, AsksForTokens) {
  start(with_tokens());
  const std::string good = "Authorization: Bearer secret\r\n";
  const std::string none = ask("/v1/events?pattern=vm..");
  EXPECT_THAT(none, StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(none, HasSubstr("WWW-Authenticate: Bearer"));
  EXPECT_THAT(none, HasSubstr("Content-Type: application/problem+json"));
  EXPECT_THAT(ask("/v1/events", "Authorization: Bearer Secret\r\n"), StartsWith("HTTP/1.1 401"));
  const std::string wide = ask("/v1/events?pattern=>", good);
  EXPECT_THAT(wide, StartsWith("HTTP/1.1 403"));
  EXPECT_THAT(wide, HasSubstr("ask within vm.>"));
  EXPECT_THAT(ask("/v1/events?pattern=vm..", good), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("/metrics"), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(ask("/metrics", good), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask("/healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(ask("/v1/events?pattern=vm.started.>&limit=1", good), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(world.metrics.unauthorized, 3U);
  EXPECT_EQ(world.metrics.forbidden, 1U);
  EXPECT_EQ(world.metrics.bad_request, 1U);
}

TEST_F(GatewayServerTest, SaysWhatIsWrongWithARequest) {
  start();
  EXPECT_THAT(ask("/nowhere"), StartsWith("HTTP/1.1 404"));
  const std::string pattern = ask("/v1/events?pattern=vm.%3E.x");
  EXPECT_THAT(pattern, StartsWith("HTTP/1.1 400"));
  const Json json = Json::parse(pattern.substr(pattern.find("\r\n\r\n") + 4));
  EXPECT_EQ(json["parameter"], "pattern");
  EXPECT_THAT(std::string(json["detail"]), HasSubstr("token 2"));
  EXPECT_FALSE(std::string(json["cure"]).empty());
  EXPECT_THAT(ask("/v1/events", "Last-Event-ID: x\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("/v1/events", "Accept: application/json\r\n"), StartsWith("HTTP/1.1 406"));
  EXPECT_THAT(ask("/v1/events", "X: " + std::string(30'000, 'x') + "\r\n"),
              StartsWith("HTTP/1.1 431"));
  const std::vector<std::pair<std::string, std::string>> requests = {
      {"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"},
      {"nonsense\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "404"},
      {"GET /v1/events HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421"}};
  for (const auto& [request, code] : requests) {
    HttpClient client(server->port());
    client.send(request);
    EXPECT_THAT(client.answer(), StartsWith("HTTP/1.1 " + code)) << request;
  }
  // One connection, several requests.
  HttpClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    client.get("/healthz");
    EXPECT_THAT(client.answer(), HasSubstr("ok"));
  }
}

TEST_F(GatewayServerTest, AnswersWithPagesOfHistory) {
  start();
  publish("web", 5);
  std::string target = "/v1/events?pattern=vm.>&limit=2";
  std::vector<std::string> told;
  for (const std::size_t expected : {2U, 2U, 1U, 0U}) {
    const std::string page = ask(target, "Accept: application/cloudevents-batch+json\r\n");
    ASSERT_THAT(page, HasSubstr("Content-Type: application/cloudevents-batch+json"));
    const Json events = Json::parse(page.substr(page.find("\r\n\r\n") + 4));
    EXPECT_EQ(events.size(), expected);
    for (const Json& event : events) told.push_back(event["subject"]);
    const std::size_t link = page.find("Link: <") + 7;
    target = page.substr(link, page.find(">; rel=\"next\"") - link);
  }
  EXPECT_THAT(told, testing::ElementsAre("web0", "web1", "web2", "web3", "web4"));
}

TEST_F(GatewayServerTest, ASlowReaderIsEndedSlowsNoOtherAndGoesOnFromItsLast) {
  HttpServerOptions options;
  options.stream_bytes_max = 32 << 10;
  options.socket_bytes_max = 4 << 10;
  start(options);
  publish("first");
  HttpClient slow(server->port(), 4 << 10), other(server->port());
  slow.get("/v1/events?pattern=vm.>&since=start");
  other.get("/v1/events?pattern=vm.>&since=start");
  ASSERT_TRUE(slow.reads("\"first\""));
  ASSERT_TRUE(other.reads("\"first\""));
  int rounds = 0;
  for (; world.metrics.slow[0] == 0 && rounds < 1000; ++rounds) {
    publish("round" + std::to_string(rounds) + "-", 10);
    ASSERT_TRUE(other.reads("\"round" + std::to_string(rounds) + "-9\""));
  }
  EXPECT_EQ(world.metrics.slow[0], 1U);
  EXPECT_THAT(ask("/metrics"), HasSubstr("slow_readers_total{reason=\"buffer\"} 1\n"));
  ASSERT_TRUE(slow.ends());
  const auto had = stream_messages(slow.got());
  ASSERT_FALSE(had.empty());
  EXPECT_LT(had.size(), static_cast<std::size_t>(rounds) * 10);
  HttpClient again(server->port());
  again.get("/v1/events?pattern=vm.>", "Last-Event-ID: " + had.back().id + "\r\n");
  publish("last");
  publish("end");
  ASSERT_TRUE(again.reads("\"end\""));
  auto all = subjects(had);
  for (const std::string& subject : subjects(stream_messages(again.got()))) all.push_back(subject);
  ASSERT_TRUE(other.reads("\"end\""));
  const auto complete = subjects(stream_messages(other.got()));
  all.resize(static_cast<std::size_t>(rounds) * 10 + 2);
  ASSERT_GE(complete.size(), all.size());
  EXPECT_TRUE(std::equal(all.begin(), all.end(), complete.begin()));
}

TEST_F(GatewayServerTest, ASlowReaderThatChoseAQueueGoesOnAndIsToldWhatWent) {
  HttpServerOptions options;
  options.stream_bytes_max = 64 << 10;
  options.socket_bytes_max = 4 << 10;
  start(options);
  publish("first");
  HttpClient slow(server->port(), 4 << 10), other(server->port());
  slow.get("/v1/events?pattern=vm.>&since=start&queue=drop_oldest");
  other.get("/v1/events?pattern=vm.>&since=start");
  ASSERT_TRUE(slow.reads("\"first\""));
  for (int round = 0; round < 600; ++round) {
    publish("round" + std::to_string(round) + "-", 10);
    ASSERT_TRUE(other.reads("\"round" + std::to_string(round) + "-9\""));
  }
  EXPECT_EQ(world.metrics.slow[0], 0U);
  publish("last");
  ASSERT_TRUE(slow.reads("\"last\""));
  EXPECT_THAT(slow.got(), HasSubstr("and it lets the oldest go"));
  EXPECT_THAT(ask("/v1/events?queue=hold"), HasSubstr("give drop_oldest or conflate"));
}

TEST_F(GatewayServerTest, AReaderThatTakesNothingIsEnded) {
  HttpServerOptions options;
  options.stream_bytes_max = 16 << 10;
  options.socket_bytes_max = 4 << 10;
  options.stall_max = absl::Milliseconds(200);
  start(options);
  for (int i = 0; i < 20; ++i) publish("web" + std::to_string(i) + "-", 100);
  HttpClient stalled(server->port(), 4 << 10);
  stalled.get("/v1/events?pattern=vm.>&since=start");
  EXPECT_TRUE(eventually([&] { return world.metrics.slow[1] == 1; }));
  EXPECT_TRUE(eventually([&] { return world.metrics.streams == 0; }));
  EXPECT_EQ(world.metrics.slow[0], 0U) << "the past waits for its reader";
}

TEST_F(GatewayServerTest, AReaderThatGoesIsForgotten) {
  start();
  {
    HttpClient client(server->port());
    client.get("/v1/events?since=start");
    ASSERT_TRUE(client.reads("retry: 1000"));
    EXPECT_EQ(world.metrics.streams, 1U);
  }
  EXPECT_TRUE(eventually([&] { return world.metrics.streams == 0; }));
  EXPECT_TRUE(eventually([&] { return world.metrics.connections == 0; }));
}

TEST_F(GatewayServerTest, ASilentStreamIsKeptAlive) {
  HttpServerOptions options;
  options.keep_alive = absl::Milliseconds(20);
  start(options);
  HttpClient client(server->port());
  client.get("/v1/events?pattern=vm.>");
  EXPECT_TRUE(client.reads("\n\n:\n\n:\n\n"));
}

TEST_F(GatewayServerTest, MoreConnectionsThanAllowedAreRefused) {
  HttpServerOptions options;
  options.connections_max = 1;
  start(options);
  HttpClient first(server->port());
  first.get("/v1/events");
  ASSERT_TRUE(first.reads("retry: 1000"));
  HttpClient second(server->port());
  const std::string refused = second.answer();
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(refused, HasSubstr("Retry-After: 1"));
}

TEST_F(GatewayServerTest, ARequestThatDoesNotComeToItsEndIsNotWaitedFor) {
  HttpServerOptions options;
  options.request_time = absl::Milliseconds(100);
  start(options);
  HttpClient client(server->port());
  client.send("GET /healthz HTTP/1.1\r\nHost: loc");
  EXPECT_TRUE(client.ends());
  EXPECT_TRUE(eventually([&] { return world.metrics.connections == 0; }));
}

TEST_F(GatewayServerTest, EndsWithItsStreamsOpen) {
  start();
  HttpClient client(server->port());
  client.get("/v1/events?since=start");
  ASSERT_TRUE(client.reads("retry: 1000"));
  server.reset();
  EXPECT_TRUE(client.ends());
  publish("web1");
  EXPECT_EQ(world.metrics.connections, 0U);
}

TEST_F(GatewayServerTest, WithoutTokensOnlyThisMachineIsServed) {
  const auto refusal = [&](HttpServerOptions options) {
    return HttpServer::start(loop, world.hub, world.metrics, std::move(options)).status();
  };
  HttpServerOptions options;
  options.address = "0.0.0.0";
  EXPECT_THAT(std::string(refusal(options).message()), HasSubstr("--tokens"));
  options.address = "localhost";
  EXPECT_EQ(refusal(options).code(), absl::StatusCode::kInvalidArgument);
  HttpServerOptions all = with_tokens();
  all.address = "0.0.0.0";
  start(all);
  HttpServerOptions taken;
  taken.port = server->port();
  EXPECT_EQ(refusal(taken).code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace supercloud
