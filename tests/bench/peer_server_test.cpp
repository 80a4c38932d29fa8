#include "bench/peers/peer_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/measure/child.h"
#include "cli/measure/temporary_folder.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;
using testing::HasSubstr;

// Servers that the shell is, by the script in their settings. One is reached when it has written down its process, which is its address.
const ServerProgram shell{.file = "/bin/sh", .libraries = {}};

ServerPlan script(const std::string& text) {
  return {.arguments = {},
          .settings =
              [text](const files::path& folder) {
                return absl::StrCat("cd ", folder.string(), "\n", text, "\n");
              },
          .address = [](const files::path& folder) -> absl::StatusOr<std::string> {
            std::ifstream file(folder / "process");
            std::string line;
            if (!std::getline(file, line) || file.eof()) return absl::UnavailableError("not yet");
            return line;
          }};
}

constexpr const char* stays = "echo $$ > process; exec sleep 1000";

pid_t process_of(const PeerServer& server) {
  pid_t process = -1;
  EXPECT_TRUE(server
                  .reach([&](const std::string& address) {
                    return absl::SimpleAtoi(address, &process) ? absl::OkStatus()
                                                               : absl::InternalError(address);
                  })
                  .ok());
  return process;
}

TEST(PeerServer, IsReachedAndGoesWithTheMeasurement) {
  std::optional<PeerServer> server(std::in_place, shell, script(stays));
  const pid_t process = process_of(*server);
  ASSERT_GT(process, 0);
  EXPECT_EQ(::kill(process, 0), 0);
  server.reset();
  EXPECT_NE(::kill(process, 0), 0) << "it is ended and waited for";
}

TEST(PeerServer, EndsWithAProcessThatIsKilled) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const auto& [out, in] = pipe;
  const TemporaryFolder left;  // what the server's folder is in: who is killed cannot remove it
  std::optional<Child> measuring(std::in_place, [&](const std::function<std::string()>& line) {
    ::setenv("TMPDIR", left.path().c_str(), 1);
    const PeerServer server(shell, script(stays));
    const pid_t process = process_of(server);
    if (::write(in, &process, sizeof process) == sizeof process) line();
  });
  pid_t process = -1;
  ASSERT_EQ(::read(out, &process, sizeof process), static_cast<ssize_t>(sizeof process));
  ASSERT_GT(process, 0);
  measuring.reset();  // by SIGKILL, while it waits
  // The server has the pipe too, and would keep it open.
  ::close(in);
  pollfd end{.fd = out, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&end, 1, 20'000), 1);
  EXPECT_EQ(end.revents & (POLLIN | POLLHUP), POLLHUP);
  ::close(out);
}

TEST(PeerServer, ThatEndsTellsItsLastWords) {
  const PeerServer server(shell, script("echo starting; echo no such setting >&2; exit 1"));
  const absl::Status reached = server.reach([](const std::string&) { return absl::OkStatus(); });
  EXPECT_TRUE(absl::IsUnavailable(reached)) << reached;
  EXPECT_THAT(std::string(reached.message()), HasSubstr("sh has ended"));
  EXPECT_THAT(std::string(reached.message()), HasSubstr("no such setting"));
}

TEST(PeerServer, IsAskedAgainUntilItLetsOneConnect) {
  const PeerServer server(shell, script(stays));
  int asked = 0;
  EXPECT_TRUE(server
                  .reach([&](const std::string&) {
                    return ++asked < 3 ? absl::UnavailableError("not yet") : absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(asked, 3);
}

TEST(PeerServer, IsFoundWhereItIsUnpackedBeforeWhereItIsInstalled) {
  const TemporaryFolder unpacked;
  EXPECT_EQ(find_server("sh", unpacked.path())->libraries, "");
  EXPECT_TRUE(absl::IsNotFound(find_server("no-such-server", unpacked.path()).status()));
  files::create_directories(unpacked.path() / "usr/bin");
  files::create_directories(unpacked.path() / "usr/lib/some-linux-gnu");
  const std::ofstream empty(unpacked.path() / "usr/bin/sh");
  const auto found = find_server("sh", unpacked.path());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->file, unpacked.path() / "usr/bin/sh");
  EXPECT_EQ(found->libraries, (unpacked.path() / "usr/lib/some-linux-gnu").string());
}

}  // namespace
}  // namespace supercloud
