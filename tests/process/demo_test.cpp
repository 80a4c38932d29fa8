// Demos and nodes as a person runs them: processes, sockets and signals are real.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

TEST_F(ProgramTest, ADemoWithoutATerminalMovesVmsEndsByItselfAndLeavesNothingButItsRunDirectory) {
  const pid_t demo = start({"demo", "--simulated", "--duration", "20"}, "out");
  EXPECT_EQ(ended(demo, absl::Seconds(120)), 0) << output("out");
  EXPECT_TRUE(says("out", " moved from ")) << output("out");
  EXPECT_TRUE(says("out", "guests are simulated: --simulated asks for it")) << output("out");
  EXPECT_TRUE(nothing_is_left());
  // What it ends with works, as it stands there.
  const std::string said = output("out");
  const std::size_t ask = said.find("Ask it:\n");
  ASSERT_NE(ask, std::string::npos) << said;
  const std::vector<std::string> commands =
      absl::StrSplit(said.substr(ask + 8), '\n', absl::SkipWhitespace());
  ASSERT_EQ(commands.size(), 2U) << said;
  for (const std::string& command : commands) {
    std::vector<std::string> words = absl::StrSplit(command, ' ', absl::SkipEmpty());
    EXPECT_EQ(words.front(), ::getenv("SUPERCLOUD_PROGRAM")) << command;
    words.erase(words.begin());
    for (std::string& word : words) std::erase(word, '\'');
    const Said answer = run(words);
    EXPECT_EQ(answer.code, 0) << command << "\n" << answer.err;
    EXPECT_FALSE(answer.out.empty()) << command;
  }
  EXPECT_TRUE(files::exists(folder_ / "supercloud" / "latest" / "site" / "log"));
}

TEST_F(ProgramTest, ADemoThatFindsNothingForRealGuestsSimulatesThemAndSaysWhy) {
  const std::string alone = (folder_ / "supercloud-alone").string();
  files::copy_file(::getenv("SUPERCLOUD_PROGRAM"), alone);
  const pid_t demo = with(alone, [&] { return start({"demo", "--duration", "1"}, "out"); });
  EXPECT_EQ(ended(demo, absl::Seconds(60)), 0) << output("out");
  EXPECT_TRUE(says("out", "guests are simulated: there is no ")) << output("out");
  EXPECT_TRUE(says("out",
                   "supercloud-keeper, which stands beside each real guest; build or "
                   "install it"))
      << output("out");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(ProgramTest, AQemuThatIsAskedForAndNotThereEndsADemoBeforeItBegins) {
  const Said said = run({"demo", "--qemu", "qemu-of-nobody"});
  EXPECT_EQ(said.code, 1);
  EXPECT_NE(said.err.find("there is no qemu-of-nobody"), std::string::npos) << said.err;
  EXPECT_EQ(run({"demo", "--qemu", "qemu-of-nobody", "--simulated"}).code, 2);
  EXPECT_FALSE(files::exists(folder_ / "supercloud"));
}

TEST_F(ProgramTest, AWordThatIsNoCommandGetsTheNamesOfThoseThatAre) {
  for (const auto& [words, near] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"evnts"}, "supercloud: there is no command \"evnts\"; did you mean events?"},
           {{"vm", "lst"}, "supercloud vm: there is no command \"lst\"; did you mean list?"}}) {
    const Said said = run(words);
    EXPECT_EQ(said.code, 2);
    EXPECT_NE(said.err.find(near), std::string::npos) << said.err;
  }
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"vm"}).code, 2);
}

TEST_F(ProgramTest, EveryCommandHasHelpWithExamplesThatAShellTakes) {
  const std::vector<std::string> verbs = {"create", "list",    "show",   "start",   "stop", "pause",
                                          "resume", "migrate", "cancel", "destroy", "wait"};
  std::vector<std::vector<std::string>> commands = {{},
                                                    {"demo"},
                                                    {"node"},
                                                    {"vm"},
                                                    {"events"},
                                                    {"explain"},
                                                    {"doctor"},
                                                    {"simulate"},
                                                    {"replay"},
                                                    {"policy"},
                                                    {"policy", "list"},
                                                    {"policy", "test"},
                                                    {"policy", "compare"},
                                                    {"policy", "explain"}};
  for (const std::string& verb : verbs) commands.push_back({"vm", verb});
  for (std::vector<std::string> command : commands) {
    command.push_back("--help");
    const Said said = run(command);
    EXPECT_EQ(said.code, 0) << said.err;
    const std::size_t examples = said.out.find("Examples:\n");
    ASSERT_NE(examples, std::string::npos) << said.out;
    for (const std::string& line :
         std::vector<std::string>(absl::StrSplit(said.out.substr(examples), '\n'))) {
      // A pattern out of quotes would be a file's name to the shell.
      bool quoted = false;
      for (const char c : line) {
        if (c == '\'') quoted = !quoted;
        EXPECT_TRUE(quoted || (c != '>' && c != '*')) << line;
      }
    }
  }
}

TEST_F(ProgramTest, CtrlCEndsADemoAndLeavesNothingBehind) {
  const pid_t demo = start({"demo", "--simulated"}, "out");
  ASSERT_TRUE(eventually([&] { return says("out", " started at "); }, absl::Seconds(60)))
      << output("out");
  ::kill(demo, SIGINT);
  EXPECT_EQ(ended(demo, absl::Seconds(30)), 130) << output("out");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(ProgramTest, OnATerminalADemoDrawsOnItsOtherScreenAndGivesItBack) {
  Terminal terminal;
  const pid_t demo = start({"demo", "--simulated"}, terminal);
  const auto shows = [&](const std::string& words) {
    return terminal.shown().find(words) != std::string::npos;
  };
  ASSERT_TRUE(eventually([&] { return shows("us-east-1a") && shows("web1") && shows("running"); },
                         absl::Seconds(60)))
      << terminal.shown();
  EXPECT_TRUE(shows("simulated")) << terminal.shown();
  terminal.type("\x03");  // Ctrl-C
  EXPECT_EQ(ended(demo, absl::Seconds(30), &terminal), 130) << terminal.shown();
  // Drawn between the two, and the last words where the person's own lines are.
  const std::size_t taken = terminal.shown().find("\x1b[?1049h");
  const std::size_t given_back = terminal.shown().rfind("\x1b[?1049l");
  ASSERT_NE(given_back, std::string::npos);
  EXPECT_LT(taken, terminal.shown().find("us-east-1a"));
  EXPECT_EQ(terminal.shown().find("\x1b[H", given_back), std::string::npos);
  EXPECT_NE(terminal.shown().find("Ask it:", given_back), std::string::npos) << terminal.shown();
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(ProgramTest, ATerminalThatIsClosedEndsADemoAndLeavesNothingBehind) {
  const pid_t demo = start({"demo", "--simulated"}, "out");
  ASSERT_TRUE(eventually([&] { return says("out", " joined at ") || says("out", " launched at "); },
                         absl::Seconds(60)))
      << output("out");
  ::kill(demo, SIGHUP);
  EXPECT_EQ(ended(demo, absl::Seconds(30)), 130) << output("out");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(ProgramTest, ADemoOfAPriceFileWithoutATypeColumnTakesTheTypeFromItsName) {
  const std::string prices = write("2015_r3.large_3zones.csv",
                                   "epoch_s,az,usd_per_h\n1440201600,a,0.03\n1440201600,b,0.02\n"
                                   "1440201600,e,0.04\n1440203400,b,0.05\n1440207000,e,0.01\n");
  const pid_t demo = start({"demo", "--simulated", "--prices", prices, "--duration", "15"}, "out");
  EXPECT_EQ(ended(demo, absl::Seconds(120)), 0) << output("out");
  EXPECT_TRUE(says("out", "i-aws-4 launched at us-east-1")) << output("out");
  EXPECT_TRUE(says("out", " moved from on-demand to us-east-1")) << output("out");
}

TEST_F(ProgramTest, ASpeedThatIsNoWholeNumberIsRefused) {
  const Said said = run({"demo", "--speed", "1.5"});
  EXPECT_EQ(said.code, 2);
  EXPECT_NE(said.err.find("--speed"), std::string::npos) << said.err;
  EXPECT_FALSE(files::exists(folder_ / "supercloud"));
}

TEST_F(ProgramTest, NodesDieWithADemoThatIsKilled) {
  const pid_t demo = start({"demo", "--simulated"}, "out");
  ASSERT_TRUE(eventually([&] { return says("out", " started at "); }, absl::Seconds(60)))
      << output("out");
  ::kill(demo, SIGKILL);
  EXPECT_EQ(ended(demo, absl::Seconds(10)), -1);
  EXPECT_TRUE(eventually(
      [&] {
        for (const NodeEntry& node : cluster().nodes)
          if (node.alive) return false;
        return true;
      },
      absl::Seconds(10)));
}

TEST_F(ProgramTest, AVmWhoseNodeProcessIsKilledIsTakenOverOrDeclaredFailed) {
  const pid_t demo = start({"demo", "--simulated", "--seed", "1", "--duration", "40"}, "out");
  ASSERT_TRUE(
      eventually([&] { return says("out", "log1 started at us-east-1d"); }, absl::Seconds(60)))
      << output("out");
  for (const NodeEntry& node : cluster().nodes)
    if (node.name == "node-us-east-1d") ::kill(node.pid, SIGKILL);
  EXPECT_TRUE(eventually(
      [&] { return says("out", "taken over from node-us-east-1d") || says("out", "log1 failed"); },
      absl::Seconds(60)))
      << output("out");
  ::kill(demo, SIGTERM);
  EXPECT_NE(ended(demo, absl::Seconds(30)), -2);
}

TEST_F(ProgramTest, ASecondNodeOfANameIsTurnedAwayAndTheFirstGoesOn) {
  const pid_t first =
      start({"node", "--config", write("a.toml", node_toml("a", "one", "a", ""))}, "first");
  ASSERT_TRUE(eventually([&] { return says("first", "node a runs"); }, absl::Seconds(30)))
      << output("first");
  const std::string seed = "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
  const pid_t second =
      start({"node", "--config", write("b.toml", node_toml("a", "two", "b", seed))}, "second");
  EXPECT_EQ(ended(second, absl::Seconds(30)), 1) << output("second");
  EXPECT_TRUE(
      says("second", "a node named \"a\" is already on the bus; give this one another name"))
      << output("second");
  ::kill(first, SIGTERM);
  EXPECT_EQ(ended(first, absl::Seconds(30)), 0) << output("first");
}

TEST_F(ProgramTest, ABadConfigurationIsToldWithFileLineKeyAndCure) {
  const std::string path = write(
      "bad.toml",
      "name = \"a\"\ncluster = \"c\"\nsite = \"a\"\n[bus]\npublish = 7\nrequest = \"ipc:///x\"\n");
  const pid_t node = start({"node", "--config", path}, "out");
  EXPECT_EQ(ended(node, absl::Seconds(30)), 2);
  EXPECT_TRUE(says("out", "bad.toml:5: bus.publish has to be a text")) << output("out");
}

}  // namespace
}  // namespace supercloud
