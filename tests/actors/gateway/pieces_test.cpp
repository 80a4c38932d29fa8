// What the gateway is made of, piece by piece: cursors, CloudEvents, requests, tokens, queues, figures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "actors/gateway/cloud_event.h"
#include "actors/gateway/metrics.h"
#include "actors/gateway/outlet.h"
#include "actors/gateway/problem.h"
#include "actors/gateway/request.h"
#include "actors/gateway/tokens.h"
#include "core/virtual_scheduler.h"
#include "tests/actors/gateway/gateway_world.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

TEST(GatewayCursor, ComesBackAsItWent) {
  Cursor cursor(Pattern::of("vm.*.main.web%2E1"), HybridTime{12345});
  EXPECT_TRUE(cursor.pass("node-a/executor", {1, 7}));
  EXPECT_TRUE(cursor.pass("node-a/policy", {2, 1}));
  EXPECT_TRUE(cursor.pass("node/agent", {1, 0}));
  EXPECT_EQ(cursor.text(),
            "1;vm.*.main.web%2E1;12345;node-a/executor:1:7,policy:2:1;node/agent:1:0");
  EXPECT_EQ(*Cursor::parse(cursor.text()), cursor);
  cursor.full = true;
  EXPECT_EQ(*Cursor::parse(cursor.text()), cursor);
}

TEST(GatewayCursor, GoesForwardOnlyAndIsBounded) {
  Cursor cursor(Pattern::of(">"), {});
  cursor.pass("a/b", {2, 5});
  cursor.pass("a/b", {1, 9});
  EXPECT_EQ(*cursor.find("a/b"), (Stand{2, 5}));
  const Stand far{UINT64_MAX, UINT64_MAX};
  while (cursor.pass("node-" + std::to_string(cursor.origins.size()) + "/executor", far)) {
  }
  EXPECT_GT(cursor.origins.size(), 200U);
  EXPECT_TRUE(cursor.pass("a/b", {2, 6}));
  EXPECT_LT(cursor.text().size(), Cursor::text_bytes_max);
  EXPECT_TRUE(Cursor::parse(cursor.text()).ok());
}

TEST(GatewayCursor, GarbageIsNone) {
  for (const char* text :
       {"", "1", "2;vm.>;1", "1;vm.>", "1;vm.>;x", "1;vm..;1", "1;vm.>;01", "1;vm.>;1;a",
        "1;vm.>;1;a/b", "1;vm.>;1;a/b:1", "1;vm.>;1;a/b:0:1", "1;vm.>;1;a/b:1:1:1",
        "1;vm.>;1;a/b:1:-1", "1;vm.>;1;a/b:1:1,b:1:2", "1;vm.>;1;~;a/b:1:1",
        "1;vm.>;1;a/b:1:99999999999999999999", "1;vm.>;1;a b/c:1:1"})
    EXPECT_EQ(Cursor::parse(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  EXPECT_FALSE(Cursor::parse(std::string(Cursor::text_bytes_max + 1, '1')).ok());
}

// A published event, and one that follows from it.
class GatewayCloudEvent : public testing::Test {
 protected:
  GatewayCloudEvent() {
    alpha.node->spawn("echo", [](Context& context) {
      context.subscribe(Pattern::of("vm.started.>"));
      return std::make_unique<Echo>(context);
    });
    alpha.start("web.1");
    scheduler.run_for(absl::Milliseconds(10));
  }
  class Echo final : public Actor {
   public:
    explicit Echo(Context& context) : context_(context) {}
    void receive(const Event& event) override {
      Draft draft = context_.draft(event.subject());
      draft.epoch(7).reconstructed();
      draft.payload().initVmPaused().setNode("x\xff");
      context_.publish(std::move(draft));
    }

   private:
    Context& context_;
  };

  VirtualScheduler scheduler;
  EventPool pool;
  GatewayNode alpha{scheduler, pool, "alpha"};
};

TEST_F(GatewayCloudEvent, HasWhatTheEnvelopeNeedsAndWhereItComesFrom) {
  ASSERT_EQ(alpha.bus.published.size(), 2U);
  const Event& first = alpha.bus.published[0];
  const Json json = Json::parse(cloud_event_json(first));
  EXPECT_EQ(json["specversion"], "1.0");
  EXPECT_EQ(json["id"], first.id().to_string());
  EXPECT_EQ(json["source"], "alpha/executor");
  EXPECT_EQ(json["type"], "vm.started");
  EXPECT_EQ(json["subject"], "web.1");
  EXPECT_EQ(json["tenant"], "main");
  EXPECT_THAT(std::string(json["time"]), testing::StartsWith("2026-01-01T00:00:00"));
  EXPECT_EQ(json["datacontenttype"], "application/json");
  EXPECT_EQ(json["data"]["node"], "alpha");
  EXPECT_EQ(json["correlationid"], json["id"]);
  EXPECT_FALSE(json.contains("causationid"));
  EXPECT_FALSE(json.contains("epoch"));

  const Json second = Json::parse(cloud_event_json(alpha.bus.published[1]));
  EXPECT_EQ(second["causationid"], json["id"]);
  EXPECT_EQ(second["correlationid"], json["id"]);
  EXPECT_EQ(second["epoch"], "7");
  EXPECT_EQ(second["reconstructed"], true);
  EXPECT_EQ(second["data"]["node"], "x?") << "text that is no UTF-8 does not make the event none";
}

TEST_F(GatewayCloudEvent, AMessageOfTheStreamIsThreeLinesAndAnEmptyOne) {
  EXPECT_EQ(stream_message("1;>;0", "vm.started", "{}"),
            "id: 1;>;0\nevent: vm.started\ndata: {}\n\n");
  EXPECT_EQ(cloud_event_json(alpha.bus.published[0]).find('\n'), std::string::npos);
}

TEST(GatewayGap, IsACloudEventToo) {
  MissedEvents missed{.origin = "a/b", .incarnation = 3, .after = 4, .up_to = 6, .why = "so"};
  Json json = Json::parse(gap_json(missed, "7", "gateway", absl::UnixEpoch()));
  EXPECT_EQ(json["type"], "gap");
  EXPECT_EQ(json["source"], "gateway");
  EXPECT_EQ(json["data"],
            Json::parse(R"({"origin":"a/b","incarnation":"3","after":"4","upTo":"6","why":"so"})"));
  missed.up_to.reset();
  json = Json::parse(gap_json(missed, "7", "gateway", absl::UnixEpoch()));
  EXPECT_TRUE(json["data"]["upTo"].is_null());
}

constexpr absl::Time request_time = absl::FromUnixSeconds(1'800'000'000);

EventsRequest asked(std::string_view target, bool batch = false, std::string_view last = "") {
  const auto parsed = RequestTarget::parse(target);
  auto made = EventsRequest::make(std::get<RequestTarget>(parsed), batch, last, request_time);
  return std::get<EventsRequest>(std::move(made));
}
Problem refused(std::string_view target, std::string_view last = "") {
  const auto parsed = RequestTarget::parse(target);
  if (const auto* problem = std::get_if<Problem>(&parsed)) return *problem;
  const auto made = EventsRequest::make(std::get<RequestTarget>(parsed), false, last, request_time);
  const auto* problem = std::get_if<Problem>(&made);
  return problem ? *problem : Problem{.status = 0};
}

TEST(GatewayRequest, SaysWhatIsReadAndFromWhen) {
  EXPECT_EQ(asked("/v1/events").cursor.pattern.text(), ">");
  EXPECT_FALSE(asked("/v1/events").past);
  EXPECT_FALSE(asked("/v1/events").limit);
  const EventsRequest some = asked("/v1/events?pattern=vm.%3E&since=10m");
  EXPECT_EQ(some.cursor.pattern.text(), "vm.>");
  EXPECT_EQ(some.cursor.start, HybridTime::at(request_time - absl::Minutes(10)));
  EXPECT_TRUE(some.past);
  EXPECT_EQ(asked("/v1/events?since=2026-11-22T14:00:00Z").cursor.start.wall(),
            absl::FromUnixSeconds(1'795'356'000));
  EXPECT_EQ(asked("/?since=start").cursor.start, HybridTime{});
  EXPECT_EQ(asked("/?limit=5").limit, 5U);
  EXPECT_EQ(asked("/?limit=5").cursor.start, HybridTime{}) << "a page is of the past";
  EXPECT_EQ(asked("/", true).limit, EventsRequest::limit_default);
  EXPECT_EQ(asked("/").queue, Queueing::Full::fail);
  EXPECT_EQ(asked("/?queue=drop_oldest&since=1h").queue, Queueing::Full::drop_oldest);
  EXPECT_EQ(asked("/?queue=conflate").queue, Queueing::Full::conflate);
}

TEST(GatewayRequest, GoesOnWhereACursorSays) {
  const std::string text = "1;vm.>;5;a/b:1:7";
  EXPECT_EQ(asked("/?pattern=vm.>", false, text).cursor.text(), text);
  EXPECT_EQ(asked("/?pattern=vm.>&since=start", false, text).cursor.text(), text);
  const auto parsed = Cursor::parse(text);
  const std::string next = target_after("/v1/events", *parsed, 9);
  EXPECT_EQ(asked(next).cursor, *parsed);
  EXPECT_EQ(asked(next).limit, 9U);
  EXPECT_EQ(asked(next, false, "1;vm.>;5;a/b:1:8").cursor.text(), "1;vm.>;5;a/b:1:8");
}

TEST(GatewayRequest, MistakesAreToldWithPlaceAndCure) {
  const Problem pattern = refused("/v1/events?pattern=vm.%3E.x");
  EXPECT_EQ(pattern.status, 400);
  EXPECT_EQ(pattern.parameter, "pattern");
  EXPECT_THAT(pattern.detail, HasSubstr("token 2 of pattern 'vm.>.x' is '>'"));
  EXPECT_THAT(pattern.cure, HasSubstr("vm.>"));
  for (const char* target :
       {"", "events", "/%", "/%4", "/?a=%zz", "/?patern=vm.>",
        "/?pattern=", "/?pattern=>&pattern=>", "/?limit=0", "/?limit=1001", "/?limit=x",
        "/?limit=-1", "/?since=yesterday", "/?since=-5m", "/?after=x", "/?queue=hold",
        "/?queue=", "/?queue=conflate&limit=3", "/?pattern=node.>&after=1;vm.>;5"})
    EXPECT_EQ(refused(target).status, 400) << target;
  EXPECT_EQ(refused("/", "nonsense").parameter, "Last-Event-ID");
  std::string many = "/?";
  for (int i = 0; i < 17; ++i) many += "x" + std::to_string(i) + "=&";
  EXPECT_THAT(refused(many).detail, HasSubstr("more than 16"));
  const Json json = Json::parse(problem_json(pattern));
  EXPECT_EQ(json["status"], 400);
  EXPECT_EQ(json["type"], "about:blank");
  EXPECT_EQ(json["parameter"], "pattern");
  EXPECT_FALSE(std::string(json["cure"]).empty());
}

TEST(GatewayTokens, APatternLiesWithinAnother) {
  const auto within = [](std::string_view inner, std::string_view outer) {
    return lies_within(Pattern::of(inner), Pattern::of(outer));
  };
  EXPECT_TRUE(within("vm.>", ">"));
  EXPECT_TRUE(within(">", ">"));
  EXPECT_TRUE(within("vm.started.>", "vm.>"));
  EXPECT_TRUE(within("vm.started.main.web1", "vm.*.main.*"));
  EXPECT_TRUE(within("vm.*.main.>", "*.*.main.>"));
  EXPECT_TRUE(within("*.a", "*.>"));
  EXPECT_FALSE(within(">", "vm.>"));
  EXPECT_FALSE(within("*.>", "vm.>"));
  EXPECT_FALSE(within("vm.>", "vm.*.>"));
  EXPECT_FALSE(within("vm", "vm.>"));
  EXPECT_FALSE(within("vm.*", "vm.started"));
  EXPECT_FALSE(within("vm.>", "vm.*"));
  EXPECT_FALSE(within("vm.a.b", "vm.a"));
  EXPECT_FALSE(within("vm.a", "vm.a.b"));
}

// What it says, tried on every topic of a small alphabet.
TEST(GatewayTokens, WithinMeansEveryTopicOfIt) {
  const std::vector<std::string> tokens = {"a", "b", "*"};
  std::vector<std::string> patterns = {">"}, topics;
  for (const std::string& x : tokens) {
    patterns.insert(patterns.end(), {x, x + ".>"});
    for (const std::string& y : tokens)
      for (const char* end : {"", ".>"}) patterns.push_back(x + "." + y + end);
  }
  for (const char* x : {"a", "b", "c"}) {
    topics.push_back(x);
    for (const char* y : {"a", "b", "c"}) {
      topics.push_back(std::string(x) + "." + y);
      for (const char* z : {"a", "c"}) topics.push_back(std::string(x) + "." + y + "." + z);
    }
  }
  for (const std::string& inner : patterns)
    for (const std::string& outer : patterns) {
      const Pattern in = Pattern::of(inner), out = Pattern::of(outer);
      const bool every = std::ranges::all_of(topics, [&](const std::string& topic) {
        return !in.matches(topic) || out.matches(topic);
      });
      EXPECT_EQ(lies_within(in, out), every) << inner << " in " << outer;
    }
}

// printf %s secret | sha256sum
constexpr const char* secret_digest =
    "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

std::string token_line(const std::string& name, const std::string& patterns) {
  return name + " = { sha256 = \"" + secret_digest + "\", patterns = " + patterns + " }\n";
}

TEST(GatewayTokens, AreFoundByTheirDigest) {
  const auto file =
      TokenFile::parse("# who\n" + token_line("billing", "[\"ledger.>\", \"vm.>\"]"), "t");
  ASSERT_TRUE(file.ok()) << file.status();
  const GatewayToken* token = file->find("secret");
  ASSERT_NE(token, nullptr);
  EXPECT_EQ(token->name, "billing");
  EXPECT_TRUE(token->allows(Pattern::of("vm.started.>")));
  EXPECT_FALSE(token->allows(Pattern::of(">")));
  for (const char* wrong : {"", "secre", "secret ", "Secret", secret_digest})
    EXPECT_EQ(file->find(wrong), nullptr) << wrong;
  EXPECT_EQ(bearer_token("Bearer secret"), "secret");
  EXPECT_EQ(bearer_token("bearer  secret "), "secret");
  EXPECT_EQ(bearer_token("Basic secret"), std::nullopt);
  EXPECT_EQ(bearer_token("Bearer "), std::nullopt);
}

TEST(GatewayTokens, MistakesInTheFileAreToldWithTheirLine) {
  const auto said = [](const std::string& content) {
    return std::string(TokenFile::parse(content, "tokens.toml").status().message());
  };
  EXPECT_THAT(said(""), HasSubstr("no token"));
  EXPECT_THAT(said("\na = ["), HasSubstr("tokens.toml:2: not TOML"));
  EXPECT_THAT(said("\na = 1"), HasSubstr("tokens.toml:2: a is no table"));
  EXPECT_THAT(said("a = { sha256 = \"12\", patterns = [\">\"] }"), HasSubstr("sha256sum"));
  EXPECT_THAT(said(token_line("a", "[]")), HasSubstr("a.patterns"));
  EXPECT_THAT(said(token_line("a", "[\"vm..\"]")), HasSubstr("tokens.toml:1: a.patterns: token 2"));
  EXPECT_THAT(said(token_line("a", "[1]")), HasSubstr("no text"));
  EXPECT_THAT(said("a = { sha265 = \"\" }"), HasSubstr("a.sha265: no such key"));
  EXPECT_THAT(said(token_line("a", "[\">\"]") + token_line("b", "[\">\"]")),
              HasSubstr("tokens.toml:2: b: the same token as a"));
}

TEST(GatewayTokens, AFileThatOthersMayUseIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder / "tokens.toml";
  EXPECT_EQ(TokenFile::read(path).status().code(), absl::StatusCode::kNotFound);
  std::ofstream(path) << token_line("a", "[\">\"]");
  ::chmod(path.c_str(), 0640);
  EXPECT_THAT(std::string(TokenFile::read(path).status().message()),
              HasSubstr("chmod 600 " + path));
  ::chmod(path.c_str(), 0600);
  const auto file = TokenFile::read(path);
  EXPECT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(TokenFile::read(folder.path()).ok());
}

TEST(GatewayOutlet, TakesNoMoreThanItsRoomAndTellsWhenThereIsMore) {
  GatewayMetrics metrics;
  int readable = 0, room = 0;
  StreamOutlet outlet(300, metrics, {[&] { ++readable; }, [&] { ++room; }});
  const std::string json(100, 'x');
  EXPECT_TRUE(outlet.has_room());
  EXPECT_TRUE(outlet.offer("1", "t", json));
  EXPECT_TRUE(outlet.offer("2", "t", json));
  EXPECT_FALSE(outlet.has_room());
  EXPECT_FALSE(outlet.offer("3", "t", json));
  EXPECT_EQ(readable, 1) << "until it is taken";
  EXPECT_GT(metrics.queued_bytes, 200U);
  const auto taken = outlet.take();
  EXPECT_EQ(taken.bytes, stream_message("1", "t", json) + stream_message("2", "t", json));
  EXPECT_FALSE(outlet.offer("3", "t", json)) << "what is being written takes room too";
  EXPECT_EQ(room, 0);
  outlet.written();
  EXPECT_EQ(room, 1);
  EXPECT_EQ(metrics.queued_bytes, 0U);
  EXPECT_TRUE(outlet.offer("3", "t", std::string(1000, 'x'))) << "alone, if need be";
  EXPECT_EQ(readable, 2);
  outlet.end("3", SlowReader::buffer);
  EXPECT_TRUE(outlet.cut());
  EXPECT_EQ(outlet.take().bytes, "");
  EXPECT_EQ(metrics.slow[0], 1U);
  EXPECT_EQ(metrics.queued_bytes, 0U);
}

TEST(GatewayOutlet, ABatchIsAnArray) {
  std::string array, cursor;
  const auto done = [&](std::string a, std::string c) {
    array = std::move(a);
    cursor = std::move(c);
  };
  BatchOutlet two(done), none(done);
  EXPECT_TRUE(two.offer("1", "t", "{\"a\":1}"));
  EXPECT_TRUE(two.offer("2", "t", "{\"a\":2}"));
  two.end("2", std::nullopt);
  EXPECT_EQ(Json::parse(array).size(), 2U);
  EXPECT_EQ(cursor, "2");
  none.end("0", std::nullopt);
  EXPECT_EQ(Json::parse(array), Json::array());
}

TEST(GatewayMetricsText, NamesWhatIsCounted) {
  GatewayMetrics metrics;
  metrics.saw(schema::Payload::VM_STARTED);
  metrics.saw(static_cast<schema::Payload::Which>(9999));
  metrics.rejected(401);
  ++metrics.slow[1];
  const std::string text = prometheus_text(metrics);
  EXPECT_THAT(text, HasSubstr("supercloud_gateway_events_seen_total{type=\"vm.started\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("supercloud_gateway_events_seen_total{type=\"unknown\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("supercloud_gateway_rejected_total{reason=\"unauthorized\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("supercloud_gateway_slow_readers_total{reason=\"stalled\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE supercloud_gateway_queue_bytes gauge\n"));
}

}  // namespace
}  // namespace supercloud
