// examples/bus_client.py, which knows of us what docs/wire-format.md says, beside real nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

// The one that Debian's python3-zmq is for.
const std::string interpreter = "/usr/bin/python3";

class BusClient : public ProgramTest {
 protected:
  static std::vector<std::string> python(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), SUPERCLOUD_SOURCE_ROOT "/examples/bus_client.py");
    return arguments;
  }
  pid_t start_client(const std::vector<std::string>& arguments, const std::string& output) {
    return with(interpreter, [&] { return start(python(arguments), output, output + ".err"); });
  }
  Said run_client(const std::vector<std::string>& arguments) {
    return with(interpreter, [&] { return run(python(arguments)); });
  }
  std::string seed() const { return "ipc://" + (folder_ / "run" / "a.req").string(); }
  pid_t start_node(const std::string& output) {
    const pid_t node = start(
        {"node", "--config", write("a.toml", node_toml("a", "supercloud/pair", "a", ""))}, output);
    EXPECT_TRUE(eventually([&] { return says(output, "node a runs"); }, absl::Seconds(30)))
        << this->output(output);
    return node;
  }
  Said publish(const std::string& resource) {
    return run_client(
        {"--name", "meter", seed(), "publish", "resource.accessed.main." + resource,
         R"({"resourceAccessed": {"resource": ")" + resource + R"(", "bytes": "12"}})"});
  }
  std::vector<Json> told(const std::string& name) const {
    std::istringstream lines(output(name));
    std::vector<Json> values;
    for (std::string line; std::getline(lines, line);) {
      const Json value = Json::parse(line, nullptr, false);
      if (!value.is_discarded()) values.push_back(value);  // the last one may be half there
    }
    return values;
  }
  int events_about(const std::string& name, const std::string& topic) const {
    int count = 0;
    for (const Json& each : told(name)) count += each.value("topic", "") == topic ? 1 : 0;
    return count;
  }
  bool tells_of_a_gap(const std::string& name, const std::string& origin) const {
    for (const Json& each : told(name))
      if (each.contains("gap") && each["gap"]["origin"] == origin) return true;
    return false;
  }
};

TEST_F(BusClient, HearsWhatHappensPublishesAndGetsFromTheLogWhatItMissed) {
  pid_t node = start_node("node");
  const pid_t client = start_client({seed(), "subscribe"}, "heard");
  ASSERT_TRUE(eventually([&] { return says("heard", "nodeHeartbeat"); }, absl::Seconds(30)))
      << output("heard.err");

  const Said published = publish("genome-1");
  ASSERT_EQ(published.code, 0) << published.err;
  EXPECT_EQ(Json::parse(published.out)["id"]["origin"], "a/for-meter");
  EXPECT_TRUE(
      eventually([&] { return events_about("heard", "resource.accessed.main.genome-1") == 1; },
                 absl::Seconds(30)))
      << output("heard") << output("heard.err");

  // It is held up while its node is killed and begins anew: what is said meanwhile does not come.
  ASSERT_EQ(::kill(client, SIGSTOP), 0);
  ::kill(node, SIGKILL);
  ended(node, absl::Seconds(30));
  node = start_node("again");
  ASSERT_EQ(publish("genome-2").code, 0);
  const pid_t other = start_client({seed(), "subscribe", "node.heartbeat."}, "other");
  ASSERT_TRUE(eventually([&] { return says("other", "nodeHeartbeat"); }, absl::Seconds(30)));
  ::kill(other, SIGINT);
  EXPECT_EQ(ended(other, absl::Seconds(30)), 0) << output("other.err");
  ASSERT_EQ(::kill(client, SIGCONT), 0);

  // What was logged comes, once; of heartbeats, which are not, it says that they are missing.
  EXPECT_TRUE(
      eventually([&] { return events_about("heard", "resource.accessed.main.genome-2") > 0; },
                 absl::Seconds(30)))
      << output("heard") << output("heard.err");
  EXPECT_TRUE(eventually([&] { return tells_of_a_gap("heard", "a/node"); }, absl::Seconds(30)))
      << output("heard") << output("heard.err");
  EXPECT_FALSE(tells_of_a_gap("heard", "a/for-meter"));
  EXPECT_EQ(events_about("heard", "resource.accessed.main.genome-2"), 1);
  ASSERT_EQ(publish("genome-3").code, 0);
  EXPECT_TRUE(
      eventually([&] { return events_about("heard", "resource.accessed.main.genome-3") == 1; },
                 absl::Seconds(30)));
  std::map<std::string, std::uint64_t> newest;
  for (const Json& event : told("heard")) {
    if (event.contains("gap")) continue;
    const std::uint64_t sequence = std::stoull(event["id"]["sequence"].get<std::string>());
    std::uint64_t& before = newest[event["id"]["origin"]];
    EXPECT_GT(sequence, before) << event;
    before = sequence;
  }

  // The node's log has it, under its publisher's name.
  const Said logged = run({"events", "--json", "--since", "start", "resource.>"});
  EXPECT_EQ(logged.code, 0) << logged.err;
  EXPECT_THAT(logged.out, HasSubstr("a/for-meter"));
  ::kill(client, SIGINT);
  EXPECT_EQ(ended(client, absl::Seconds(30)), 0) << output("heard.err");
  ::kill(node, SIGTERM);
  EXPECT_EQ(ended(node, absl::Seconds(30)), 0) << output("node");
}

TEST_F(BusClient, GoesOnOverTheEndAndTheStartOfANode) {
  const pid_t node = start_node("first");
  const pid_t client = start_client({seed(), "subscribe", "node."}, "heard");
  ASSERT_TRUE(eventually([&] { return says("heard", "nodeHeartbeat"); }, absl::Seconds(30)))
      << output("heard.err");
  ::kill(node, SIGTERM);
  ASSERT_EQ(ended(node, absl::Seconds(30)), 0);
  const pid_t next = start_node("second");
  const auto beats = [&] { return events_about("heard", "node.heartbeat.main.a"); };
  const int before = beats();
  EXPECT_TRUE(eventually([&] { return beats() > before + 1; }, absl::Seconds(30)))
      << output("heard.err");
  EXPECT_EQ(events_about("heard", "node.left.main.a"), 1) << output("heard");
  ::kill(client, SIGINT);
  EXPECT_EQ(ended(client, absl::Seconds(30)), 0) << output("heard.err");
  ::kill(next, SIGTERM);
  EXPECT_EQ(ended(next, absl::Seconds(30)), 0) << output("second");
}

TEST_F(BusClient, MayHavePublishedWhatItObservesOnly) {
  const pid_t node = start_node("node");
  const Said feigned = run_client({"--name", "meter", seed(), "publish", "vm.started.main.web1",
                                   R"({"vmStarted": {"node": "a"}})"});
  EXPECT_EQ(feigned.code, 1);
  EXPECT_THAT(feigned.err, HasSubstr("vm.started.main.web1 is said by nodes only"));
  const Said other = run_client({"--name", "meter", seed(), "publish", "latency.measured.main.web1",
                                 R"({"resourceAccessed": {}})"});
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("is not that of the payload"));
  const Said nobody =
      run_client({"--name", "me.ter", seed(), "publish", "latency.measured.main.web1",
                  R"({"latencyMeasured": {"milliseconds": 1}})"});
  EXPECT_EQ(nobody.code, 1);
  EXPECT_THAT(nobody.err, HasSubstr("\"me.ter\" is no name of a publisher"));
  ::kill(node, SIGTERM);
  EXPECT_EQ(ended(node, absl::Seconds(30)), 0) << output("node");
}

}  // namespace
}  // namespace supercloud
