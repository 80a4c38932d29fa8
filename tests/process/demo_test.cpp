// The program as a person runs it: processes, sockets and signals are real.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cli/run_directory.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

std::string content(const files::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool eventually(const std::function<bool()>& holds, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (!holds()) {
    if (absl::Now() > end) return false;
    ::poll(nullptr, 0, 20);
  }
  return true;
}

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string made = "/tmp/scp-XXXXXX";
    folder_ = ::mkdtemp(made.data());
    files::create_directories(folder_ / "run");
  }
  ~ProgramTest() override {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    files::remove_all(folder_);
  }

  pid_t start(const std::vector<std::string>& arguments, const std::string& output) {
    const char* program = ::getenv("SUPERCLOUD_PROGRAM");
    EXPECT_NE(program, nullptr) << "meson sets it";
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("XDG_STATE_HOME", folder_.c_str(), 1);
      ::setenv("XDG_RUNTIME_DIR", (folder_ / "run").c_str(), 1);
      const int fd = ::open((folder_ / output).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(fd, 1);
      ::dup2(fd, 2);
      std::vector<char*> argv{const_cast<char*>(program)};
      for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execv(program, argv.data());
      ::_exit(127);
    }
    children_.push_back(child);
    return child;
  }

  // The exit code, -1 for a death by signal, -2 if it does not end.
  int ended(pid_t child, absl::Duration limit) {
    int status = 0;
    if (!eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }, limit)) return -2;
    std::erase(children_, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string output(const std::string& name) const { return content(folder_ / name); }
  bool says(const std::string& name, const std::string& words) const {
    return output(name).find(words) != std::string::npos;
  }
  ClusterFile cluster() const {
    return read_cluster_file(folder_ / "supercloud" / "latest").value_or(ClusterFile{});
  }
  bool nothing_is_left() const {
    for (const NodeEntry& node : cluster().nodes)
      if (node.alive) return false;
    return files::is_empty(folder_ / "run");
  }
  std::string node_toml(const std::string& name, const std::string& folder,
                        const std::string& sockets, const std::string& seeds) const {
    const std::string at = (folder_ / "run" / sockets).string();
    return "name = \"" + name + "\"\ncluster = \"pair\"\nsite = \"a\"\ndirectory = \"" +
           (folder_ / folder).string() + "\"\nseeds = [" + seeds + "]\n[bus]\npublish = \"ipc://" +
           at + ".pub\"\nrequest = \"ipc://" + at + ".req\"\n";
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  files::path folder_;
  std::vector<pid_t> children_;
};

TEST_F(ProgramTest, ADemoWithoutATerminalMovesVmsEndsByItselfAndLeavesNothingButItsRunDirectory) {
  const pid_t demo = start({"demo", "--duration", "20"}, "out");
  EXPECT_EQ(ended(demo, absl::Seconds(120)), 0) << output("out");
  EXPECT_TRUE(says("out", " moved from ")) << output("out");
  EXPECT_TRUE(says("out", "simulated")) << output("out");
  EXPECT_TRUE(says("out", "supercloud explain web1")) << output("out");
  EXPECT_TRUE(nothing_is_left());
  EXPECT_TRUE(files::exists(folder_ / "supercloud" / "latest" / "site" / "log"));
}

TEST_F(ProgramTest, CtrlCEndsADemoAndLeavesNothingBehind) {
  const pid_t demo = start({"demo"}, "out");
  ASSERT_TRUE(eventually([&] { return says("out", " started at "); }, absl::Seconds(60)))
      << output("out");
  ::kill(demo, SIGINT);
  EXPECT_EQ(ended(demo, absl::Seconds(30)), 130) << output("out");
  EXPECT_TRUE(nothing_is_left());
}

TEST_F(ProgramTest, NodesDieWithADemoThatIsKilled) {
  const pid_t demo = start({"demo"}, "out");
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
  const pid_t demo = start({"demo", "--seed", "1", "--duration", "40"}, "out");
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
  EXPECT_TRUE(says("second", "supercloud node: ")) << output("second");
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
