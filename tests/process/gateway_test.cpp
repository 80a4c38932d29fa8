// `supercloud gateway` beside a node, as another service meets it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/actors/gateway/http/http_client.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

class GatewayProgram : public ProgramTest {
 protected:
  // Each with an output of its own: what an earlier one said is not taken for it.
  void start_node() {
    const std::string machine =
        "[links]\nlisten = \"unix:" + (folder_ / "run" / "a.link").string() +
        "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\n"
        "zone = \"rack-1\"\ntype = \"desktop\"\n";
    const std::string out = "node-" + std::to_string(++starts);
    node = start(
        {"node", "--config", write("a.toml", node_toml("a", "supercloud/pair", "a", "") + machine)},
        out);
    ASSERT_TRUE(eventually([&] { return says(out, "node a runs"); }, absl::Seconds(30)))
        << output(out);
  }
  void start_gateway() {
    const std::string out = "gateway-" + std::to_string(++starts);
    gateway = start({"gateway", "--listen", "127.0.0.1:0"}, out, out + ".err");
    ASSERT_TRUE(eventually([&] { return says(out, "/v1/events\n"); }, absl::Seconds(30)))
        << output(out + ".err");
    const std::string told = output(out);
    const std::size_t at = told.find("http://127.0.0.1:") + 17;
    port = static_cast<std::uint16_t>(std::stoi(told.substr(at)));
  }
  void end(pid_t process) {
    ::kill(process, SIGTERM);
    EXPECT_EQ(ended(process, absl::Seconds(30)), 0);
  }

  pid_t node = 0, gateway = 0;
  int starts = 0;
  std::uint16_t port = 0;
};

TEST_F(GatewayProgram, GivesEventsOfARealNodeAndGoesOnOverItsOwnEndAndTheNodes) {
  start_node();
  start_gateway();
  std::string last;
  {
    HttpClient client(port);
    client.get("/v1/events?pattern=node.>&since=start");
    ASSERT_TRUE(client.reads("event: node.joined\n")) << client.got();
    ASSERT_TRUE(client.reads("event: node.heartbeat\n")) << client.got();
    for (const StreamMessage& message : stream_messages(client.got()))
      if (message.event == "node.joined") last = message.id;
  }
  EXPECT_THAT(last, StartsWith("1;node.>;0;a/"));
  HttpClient health(port);
  health.get("/healthz");
  EXPECT_THAT(health.answer(), HasSubstr("ok"));
  end(gateway);
  end(node);

  start_node();
  start_gateway();
  HttpClient client(port);
  client.get("/v1/events?pattern=node.joined.>&since=start");
  ASSERT_TRUE(client.reads("event: node.joined\n"));
  HttpClient again(port);
  again.get("/v1/events?pattern=node.>", "Last-Event-ID: " + last + "\r\n");
  ASSERT_TRUE(again.reads("event: node.left\n")) << again.got();
  ASSERT_TRUE(again.reads("event: node.joined\n")) << again.got();
  ASSERT_TRUE(again.reads("event: node.heartbeat\n")) << again.got();
  int joined = 0;
  bool gap = false;
  for (const StreamMessage& message : stream_messages(again.got())) {
    joined += message.event == "node.joined" ? 1 : 0;
    gap = gap || message.event == "gap";
  }
  EXPECT_EQ(joined, 1) << again.got();
  EXPECT_TRUE(gap) << "heartbeats of meanwhile are in no log: " << again.got();
  HttpClient metrics(port);
  metrics.get("/metrics");
  EXPECT_THAT(metrics.answer(), HasSubstr("events_seen_total{type=\"node.heartbeat\"}"));
  end(gateway);
  EXPECT_TRUE(again.ends());
  end(node);
}

TEST_F(GatewayProgram, RefusesWhatItCannotDo) {
  EXPECT_EQ(run({"gateway"}).code, 3) << "no cluster";
  start_node();
  const Said open = run({"gateway", "--listen", "0.0.0.0:0"});
  EXPECT_EQ(open.code, 2);
  EXPECT_THAT(open.err, HasSubstr("give --tokens FILE"));
  EXPECT_EQ(run({"gateway", "--listen", "here"}).code, 2);
  const std::string tokens = write("tokens.toml", "a = 1\n");
  files::permissions(tokens, files::perms(0644));
  EXPECT_THAT(run({"gateway", "--tokens", tokens}).err, HasSubstr("chmod 600 " + tokens));
  files::permissions(tokens, files::perms(0600));
  const Said wrong = run({"gateway", "--tokens", tokens});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("tokens.toml:1: a is no table"));
  end(node);
}

}  // namespace
}  // namespace supercloud
