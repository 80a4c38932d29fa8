// Requests that take long, as a person and a service of theirs see it: how far they are, and that nobody need wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "core/message.h"
#include "core/schema/request.capnp.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

// What connects to it waits for an answer.
class SilentListener {
 public:
  explicit SilentListener(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(fd_, 64), 0);
  }
  ~SilentListener() { ::close(fd_); }
  SilentListener(const SilentListener&) = delete;
  SilentListener& operator=(const SilentListener&) = delete;

 private:
  int fd_;
};

class CallsTest : public ProgramTest {
 protected:
  CallsTest() { environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string(); }

  std::string links(const std::string& name) const {
    return (folder_ / "run" / (name + ".link")).string();
  }
  void start_node(const std::string& name) {
    const std::string seed =
        name == "a" ? "" : "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
    std::string toml = node_toml(name, "own", name, seed);
    if (name != "a")
      toml += "[links]\nlisten = \"unix:" + links(name) +
              "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
              "\"\ntype = \"desktop\"\n";
    start({"node", "--config", write(name + ".toml", toml)}, name + ".out", name + ".err");
    ASSERT_TRUE(eventually([&] { return !output(name + ".out").empty(); }, absl::Minutes(1)))
        << output(name + ".err");
  }
  // A VM on b, and a way of memory from there to c that says nothing, for as long as `way` lives.
  void SetUp() override {
    for (const char* name : {"a", "b", "c"}) start_node(name);
    const std::string file =
        write("web1.toml", "name = \"web1\"\nmemory = \"16MiB\"\naddress = \"web1\"\n");
    // It may be a moment before others hear of a new node.
    for (const auto& command :
         {std::vector<std::string>{"vm", "create", file, "--node", "b", "--wait"},
          {"vm", "migrate", "web1", "c", "--dry-run"}}) {
      Said said;
      ASSERT_TRUE(eventually(
          [&] {
            said = run(command);
            return said.code == 0;
          },
          absl::Minutes(1)))
          << said.err;
    }
    way_.emplace(links("c"));
  }
  bool silent_again() {
    // What is known of a way is used for some seconds.
    return eventually(
        [&] {
          const absl::Time begin = absl::Now();
          said_ = run({"vm", "migrate", "web1", "c", "--dry-run"});
          return absl::Now() - begin > absl::Milliseconds(1500);
        },
        absl::Minutes(1));
  }

  std::optional<SilentListener> way_;
  Said said_;
};

TEST_F(CallsTest, ADryRunSaysOnATerminalHowFarItIsAndCtrlCEndsIt) {
  ASSERT_TRUE(silent_again());
  EXPECT_EQ(said_.code, 0) << said_.err << "what the way carries is not known, and refuses nothing";
  EXPECT_THAT(said_.err, Not(HasSubstr("of 3"))) << "it is no terminal";
  const std::string far = "2 of 3: measuring the way of memory to c";
  Terminal terminal;
  const pid_t waits = start({"vm", "migrate", "web1", "c", "--dry-run"}, terminal);
  ASSERT_TRUE(eventually([&] { return terminal.shown().find(far) != std::string::npos; },
                         absl::Seconds(20)))
      << terminal.shown();
  EXPECT_EQ(ended(waits, absl::Seconds(20), &terminal), 0);
  EXPECT_THAT(terminal.shown(), HasSubstr(far + "\r\x1b[K")) << "the line goes";

  Terminal other;
  const pid_t interrupted = start({"vm", "migrate", "web1", "c", "--dry-run"}, other);
  ASSERT_TRUE(
      eventually([&] { return other.shown().find(far) != std::string::npos; }, absl::Seconds(20)))
      << other.shown();
  other.type("\x03");
  EXPECT_EQ(ended(interrupted, absl::Seconds(20), &other), 130) << other.shown();
  EXPECT_THAT(other.shown(), HasSubstr(far + "^C\r\x1b[Ksupercloud: interrupted: b/executor"));
  EXPECT_THAT(other.shown(), Not(HasSubstr("every check passes")));
}

TEST_F(CallsTest, AServiceHearsHowFarItsRequestIsAndLetsGoOfIt) {
  ASSERT_TRUE(silent_again());
  const auto request = Message<schema::Request>::build([](schema::Request::Builder builder) {
    auto migrate = builder.initMigrateVm();
    migrate.initVm().setName("web1");
    migrate.setTarget("c");
    migrate.setDryRun(true);
  });
  write("request", std::string(request.bytes()));
  const std::string program = SUPERCLOUD_SOURCE_ROOT "/examples/bus_client.py";
  const std::string seed = "ipc://" + (folder_ / "run" / "a.req").string();
  const auto client = [&](const std::string& name) {
    return with("/usr/bin/python3", [&] {
      return start({program, seed, "request", "b", "executor"}, [&] {
        const auto open = [&](const std::string& at, int flags) {
          return ::open((folder_ / at).c_str(), flags, 0600);
        };
        ::dup2(open("request", O_RDONLY), 0);
        ::dup2(open(name + ".out", O_WRONLY | O_CREAT | O_TRUNC), 1);
        ::dup2(open(name + ".err", O_WRONLY | O_CREAT | O_TRUNC), 2);
      });
    });
  };
  const std::string far = "2 of 3: measuring the way of memory to c";
  const pid_t waits = client("waits");
  EXPECT_EQ(ended(waits, absl::Seconds(20)), 0) << output("waits.err");
  EXPECT_THAT(output("waits.err"), HasSubstr(far));
  const auto response = Message<schema::Response>::parse(output("waits.out"));
  ASSERT_TRUE(response.ok()) << response.status() << output("waits.err");
  EXPECT_TRUE(response->reader().isChecks());

  const pid_t leaves = client("leaves");
  ASSERT_TRUE(eventually([&] { return says("leaves.err", far); }, absl::Seconds(20)))
      << output("leaves.err");
  ::kill(leaves, SIGINT);
  EXPECT_EQ(ended(leaves, absl::Seconds(20)), 0) << output("leaves.err");
  EXPECT_EQ(output("leaves.out"), "") << "it did not wait";
}

}  // namespace
}  // namespace supercloud
