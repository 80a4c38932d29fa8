// Policies of a user's own, from the node's file to what explain says of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

// Processes that run, started by `parent`.
std::vector<pid_t> children_of(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : files::directory_iterator("/proc")) {
    std::ifstream stat(entry.path() / "stat");
    std::string number, name, state;
    pid_t of = 0;
    if (stat >> number >> name >> state >> of && of == parent && state != "Z")
      children.push_back(std::stoi(number));
  }
  return children;
}

class PoliciesTest : public ProgramTest {
 protected:
  pid_t start_node(const std::string& policies) {
    const std::string machine =
        "[links]\nlisten = \"unix:" + (folder_ / "run" / "a.link").string() +
        "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\ntype = \"desktop\"\n";
    environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
    const pid_t node = start(
        {"node", "--config",
         write("a.toml", node_toml("a", "own", "a", "") + machine + "[policies]\n" + policies)},
        "a.out", "a.err");
    EXPECT_TRUE(eventually([&] { return !output("a.out").empty(); }, absl::Minutes(1)))
        << output("a.err");
    return node;
  }
  Said create(const std::string& policy) {
    return run({"vm", "create",
                write("vm.toml",
                      "name = \"web1\"\nmemory = \"64MiB\"\naddress = \"10.0.0.1\"\n"
                      "policy = \"" +
                          policy + "\"\n")});
  }
  std::string script(const std::string& name, const std::string& content) const {
    const std::string path = write(name, content);
    ::chmod(path.c_str(), 0755);
    return path;
  }
};

TEST_F(PoliciesTest, OneThatFailsLeavesItsVmWhereItIsAndIsExplained) {
  script("broken.sh", "#!/bin/sh\necho there is no luck here >&2\nexit 3\n");
  start_node("broken = \"broken.sh\"\n");
  const Said unknown = create("brokn");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("there is no policy \"brokn\""));
  EXPECT_THAT(unknown.err, HasSubstr("broken"));
  const Said created = create("broken");
  ASSERT_EQ(created.code, 0) << created.err;
  Said explained;
  EXPECT_TRUE(eventually(
      [&] {
        explained = run({"explain", "web1"});
        return explained.out.find("there is no luck here") != std::string::npos;
      },
      absl::Minutes(1)))
      << explained.out << explained.err;
  EXPECT_THAT(explained.out, HasSubstr("web1 runs on a at "));
  EXPECT_THAT(explained.out, HasSubstr("policy broken failed for web1"));
  EXPECT_THAT(explained.out, HasSubstr("broken.sh ended with exit code 3, before its hello"));
  EXPECT_THAT(run({"events", "--since", "start", "policy.failed.>"}).out,
              HasSubstr("there is no luck here"));
}

TEST_F(PoliciesTest, OneInASharedObjectDecidesAndDiesWithANodeThatIsKilled) {
  const char* examples = ::getenv("SUPERCLOUD_EXAMPLES");
  ASSERT_NE(examples, nullptr) << "meson sets it";
  const pid_t node =
      start_node(absl::StrCat("preferred = \"", examples, "/preferred_zones.so\"\n"));
  ASSERT_EQ(create("preferred").code, 0);
  Said explained;
  EXPECT_TRUE(eventually(
      [&] {
        explained = run({"explain", "web1"});
        return explained.out.find("It stays because") != std::string::npos &&
               explained.out.find("failed") == std::string::npos;
      },
      absl::Minutes(1)))
      << explained.out << explained.err;
  const std::vector<pid_t> children = children_of(node);
  ASSERT_EQ(children.size(), 1U);
  ::kill(node, SIGKILL);
  EXPECT_EQ(ended(node, absl::Seconds(30)), -1);
  EXPECT_TRUE(eventually(
      [&] {
        std::ifstream stat(absl::StrCat("/proc/", children[0], "/stat"));
        std::string number, name, state;
        return !(stat >> number >> name >> state) || state == "Z";
      },
      absl::Seconds(30)));
}

TEST_F(PoliciesTest, AFileThatIsMissingIsToldWithItsLine) {
  const Said said = run(
      {"node", "--config",
       write("a.toml", node_toml("a", "own", "a", "") + "[policies]\nmine = \"nowhere.py\"\n")});
  EXPECT_EQ(said.code, 2);
  EXPECT_THAT(said.err, HasSubstr("a.toml:10: policies.mine cannot be used: "));
  EXPECT_THAT(said.err, HasSubstr("nowhere.py: no such file"));
}

}  // namespace
}  // namespace supercloud
