// Two clouds of one node each that have nothing in common but their hubs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/hub_config.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class HubProgram : public ProgramTest {
 protected:
  std::string ipc(const std::string& name) const {
    return "ipc://" + (folder_ / "run" / name).string();
  }
  void started(const std::string& name) {
    ASSERT_TRUE(eventually([&] { return !output(name + ".out").empty(); }, absl::Minutes(1)))
        << output(name + ".err");
  }
  // In a run of its own, as on another machine; node a has the lease table.
  void start_node(const std::string& name, const std::string& seeds) {
    const std::string machine =
        "[links]\nlisten = \"unix:" + (folder_ / "run" / (name + ".link")).string() +
        "\"\n[host]\ncloud = \"cloud-" + name + "\"\nregion = \"r\"\nzone = \"z\"\ntype = \"t\"\n";
    start({"node", "--config", write(name + ".toml", node_toml(name, name, name, seeds) + machine)},
          name + ".out", name + ".err");
    started(name);
  }
  // Of its cloud it knows a node, or is known to it; of the other hubs `seed`.
  pid_t start_hub(const std::string& cloud, const std::string& node, const std::string& seed) {
    const std::string name = "hub-" + cloud;
    const std::string toml = "name = \"" + name + "\"\n[cloud]\npublish = \"" + ipc(name + ".pub") +
                             "\"\nrequest = \"" + ipc(name + ".req") + "\"\nseeds = [" + node +
                             "]\n[hubs]\npublish = \"" + ipc(name + ".wide.pub") +
                             "\"\nrequest = \"" + ipc(name + ".wide.req") + "\"\nseeds = [" + seed +
                             "]\n";
    const pid_t hub =
        start({"hub", "--config", write(name + ".toml", toml)}, name + ".out", name + ".err");
    started(name);
    return hub;
  }
  Said at(const std::string& node, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--cluster", (folder_ / node).string()});
    return run(arguments);
  }
};

TEST_F(HubProgram, AMachineMovesFromOneCloudToTheOther) {
  const auto quoted = [&](const std::string& socket) { return "\"" + ipc(socket) + "\""; };
  start_node("a", "");
  const pid_t hub_a = start_hub("a", quoted("a.req"), "");
  start_hub("b", "", quoted("hub-a.wide.req"));
  start_node("b", quoted("hub-b.req"));
  const std::string vm = write(
      "vm.toml", "name = \"web1\"\nmemory = \"64MiB\"\ndisk = \"64MiB\"\naddress = \"10.1.0.1\"\n");
  Said said;
  EXPECT_TRUE(eventually(
      [&] {
        said = at("a", {"vm", "create", vm, "--node", "a"});
        return said.code == 0;
      },
      absl::Minutes(1)))
      << said.out << said.err;
  const auto moves = [&](const std::string& from, const std::string& to) {
    return eventually(
        [&] {
          said = at(from, {"vm", "migrate", "web1", to, "--wait"});
          return said.code == 0;
        },
        absl::Minutes(1));
  };
  EXPECT_TRUE(moves("a", "b")) << said.out << said.err;
  // Who asks in the other cloud is told by the lease table of this one.
  said = at("b", {"vm", "list"});
  EXPECT_THAT(said.out, HasSubstr("web1"));
  EXPECT_THAT(said.out, HasSubstr("cloud-b/r/z/t"));
  // A hub that is killed takes nothing along.
  ::kill(hub_a, SIGKILL);
  ended(hub_a, absl::Seconds(10));
  start_hub("a", quoted("a.req"), quoted("hub-b.wide.req"));
  EXPECT_TRUE(moves("b", "a")) << said.out << said.err;
}

TEST_F(HubProgram, TheExampleIsOne) {
  const auto config = read_hub_config(SUPERCLOUD_SOURCE_ROOT "/examples/hub.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->name, "hub-a");
  EXPECT_EQ(config->cloud.seeds.size(), 1);
}

TEST_F(HubProgram, AMistakeInItsFileIsToldWithItsPlace) {
  const Said said =
      run({"hub", "--config", write("hub.toml", "name = \"hub.a\"\n[cloud]\npublish = \"x\"\n")});
  EXPECT_EQ(said.code, 2);
  EXPECT_THAT(said.err, HasSubstr("hub.toml:1"));
  EXPECT_THAT(said.err, HasSubstr("name"));
}

}  // namespace
}  // namespace supercloud
