// `supercloud vm ...` as a person runs it, against a cluster of two real node processes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cli/program.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;
using Json = nlohmann::json;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr const char* trusted = "aws/us-east-1/us-east-1a/r3.large/spot";
constexpr const char* untrusted = "aws/us-east-1/us-east-1b/r3.large/spot";

class VmCommand : public testing::Test {
 protected:
  struct Said {
    int code = 0;
    std::string out, err;
  };

  VmCommand() {
    std::string made = "/tmp/scv-XXXXXX";
    folder_ = ::mkdtemp(made.data());
    files::create_directories(folder_ / "run");
    node("a", "", R"(
[market]
origin = "2015-08-22T00:00:00Z"
start = "2026-01-01T00:00:00Z"
[account]
name = "aws"
[[account.fixed]]
place = "aws/us-east-1/us-east-1a/r3.large/spot"
price = "0.02"
[[account.fixed]]
place = "aws/us-east-1/us-east-1b/r3.large/spot"
price = "0.02"
[[account.label]]
places = "aws/us-east-1/us-east-1a/"
name = "trust"
value = "high"
[[account.label]]
places = "aws/us-east-1/us-east-1b/"
name = "trust"
value = "low"
)");
    node("b", "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"", "");
  }
  ~VmCommand() override {
    for (const pid_t child : std::vector<pid_t>(children_)) kill(child);
    files::remove_all(folder_);
  }

  void node(const std::string& name, const std::string& seeds, const std::string& more) {
    const std::string at = (folder_ / "run" / name).string();
    const std::string file =
        write(name + ".toml",
              "name = \"" + name + "\"\ncluster = \"pair\"\nsite = \"a\"\nseeds = [" + seeds +
                  "]\n[bus]\npublish = \"ipc://" + at + ".pub\"\nrequest = \"ipc://" + at +
                  ".req\"\n[links]\nlisten = \"unix:" + at +
                  ".link\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
                  "\"\ntype = \"desktop\"\nmemory_mib = 4096\nstream_mib_per_second = "
                  "16\n[host.labels]\ntrust = \"high\"\n" +
                  more);
    nodes_.push_back(start({"node", "--config", file}, "node-" + name));
    ASSERT_TRUE(eventually([&] { return !content("node-" + name + ".out").empty(); }))
        << content("node-" + name + ".err");
  }

  std::string write(const std::string& name, const std::string& words) const {
    std::ofstream(folder_ / name) << words;
    return (folder_ / name).string();
  }
  std::string content(const std::string& name) const {
    std::ifstream file(folder_ / name);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static bool eventually(const std::function<bool()>& holds) {
    const absl::Time end = absl::Now() + absl::Seconds(60);
    while (!holds()) {
      if (absl::Now() > end) return false;
      ::poll(nullptr, 0, 20);
    }
    return true;
  }

  pid_t start(std::vector<std::string> arguments, const std::string& name) {
    const char* program = std::getenv("SUPERCLOUD_PROGRAM");
    EXPECT_NE(program, nullptr) << "meson sets it";
    const pid_t child = ::fork();
    if (child == 0) {
      ::setenv("XDG_STATE_HOME", folder_.c_str(), 1);
      ::setenv("XDG_RUNTIME_DIR", (folder_ / "run").c_str(), 1);
      for (const auto& [fd, ending] : {std::pair{1, ".out"}, std::pair{2, ".err"}})
        ::dup2(::open((folder_ / (name + ending)).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), fd);
      std::vector<char*> argv{const_cast<char*>(program)};
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      ::execv(program, argv.data());
      ::_exit(127);
    }
    children_.push_back(child);
    return child;
  }
  Said ended(pid_t child, const std::string& name) {
    int status = 0;
    EXPECT_TRUE(eventually([&] { return ::waitpid(child, &status, WNOHANG) == child; }))
        << name << " does not end: " << content(name + ".err");
    std::erase(children_, child);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, content(name + ".out"),
            content(name + ".err")};
  }
  Said vm(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "vm");
    const std::string name = "command";
    return ended(start(std::move(arguments), name), name);
  }
  void kill(pid_t child) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    std::erase(children_, child);
  }
  void create(const std::string& more = "") {
    const Said created =
        vm({"create", "--node", "a", "--wait",
            write("web1.toml",
                  "name = \"web1\"\nmemory = \"1GiB\"\naddress = \"10.1.0.1\"\n" + more)});
    ASSERT_EQ(created.code, exit_ok) << created.err;
  }

  files::path folder_;
  std::vector<pid_t> children_, nodes_;
};

TEST_F(VmCommand, destroy_is_done_once_and_for_all_and_a_name_that_never_was_is_not) {
  const Said file = vm({"create", write("bare.toml", "name = \"web1\"\nmemory = \"64MiB\"\n")});
  EXPECT_EQ(file.code, exit_usage);
  EXPECT_THAT(file.err, HasSubstr("bare.toml:1: address: is missing"));

  create();
  const Said near = vm({"destroy", "web2"});
  EXPECT_EQ(near.code, exit_no_match);
  EXPECT_THAT(near.err, HasSubstr("did you mean web1?"));
  const Said never = vm({"wait", "web2", "--state", "destroyed", "--timeout", "2s"});
  EXPECT_EQ(never.code, exit_no_match);
  EXPECT_THAT(never.err, HasSubstr("did you mean web1?"));

  const Said stopped = vm({"stop", "web1", "--wait", "--json"});
  EXPECT_EQ(stopped.code, exit_ok) << stopped.err;
  EXPECT_EQ(Json::parse(stopped.out).at("state"), "stopped");
  EXPECT_EQ(vm({"destroy", "web1", "--wait"}).code, exit_ok);
  const Said again = vm({"destroy", "web1", "--json"});
  EXPECT_EQ(again.code, exit_ok) << again.err;
  EXPECT_EQ(Json::parse(again.out).at("state"), "destroyed");
  EXPECT_EQ(vm({"wait", "web1", "--state", "destroyed"}).code, exit_ok);
  EXPECT_EQ(vm({"wait", "web1", "--timeout", "2s"}).code, exit_no_match);
}

TEST_F(VmCommand, migrate_knows_places_and_says_in_its_structure_what_would_be_rented) {
  create("[requires]\ntrust = \"high\"\n");
  const std::string misspelt = "aws/us-east-1/us-east-1a/r3.larg/spot";
  for (const bool dry : {true, false}) {
    std::vector<std::string> arguments = {"migrate", "web1", misspelt};
    if (dry) arguments.emplace_back("--dry-run");
    const Said unknown = vm(arguments);
    EXPECT_EQ(unknown.code, exit_no_match) << unknown.out << unknown.err;
    EXPECT_THAT(unknown.err, HasSubstr(trusted));
  }
  const Said fits = vm({"migrate", "web1", trusted, "--dry-run", "--json"});
  EXPECT_EQ(fits.code, exit_ok) << fits.out << fits.err;
  const Json yes = Json::parse(fits.out);
  EXPECT_TRUE(yes.at("possible").get<bool>());
  EXPECT_TRUE(yes.at("would_rent").get<bool>());
  const Said unfit = vm({"migrate", "web1", untrusted, "--dry-run", "--json"});
  EXPECT_EQ(unfit.code, exit_failed) << unfit.out << unfit.err;
  const Json no = Json::parse(unfit.out);
  EXPECT_FALSE(no.at("possible").get<bool>());
  EXPECT_EQ(no.at("failed").at(0).at("name"), "constraints");
}

TEST_F(VmCommand, migrate_ends_when_the_cluster_does) {
  create();
  const pid_t migrate =
      start({"vm", "migrate", "web1", "b", "--deadline", "10m"}, "migrate");  // 1 GiB at 16 MiB/s
  ASSERT_TRUE(eventually([&] {
    return content("migrate.err").find("memory begins to move") != std::string::npos;
  })) << content("migrate.err");
  for (const pid_t node : nodes_) kill(node);
  const Said said = ended(migrate, "migrate");
  EXPECT_EQ(said.code, exit_unreachable) << said.err;
  EXPECT_THAT(said.err, HasSubstr("cluster pair has ended"));
  // Between what a says and what b says there is no order.
  EXPECT_THAT(said.err, AnyOf(HasSubstr("the last word was: memory begins to move"),
                              HasSubstr("the last word was: the network is ready on b"),
                              HasSubstr("the last word was: b is ready for the guest")));
}

}  // namespace
}  // namespace supercloud
