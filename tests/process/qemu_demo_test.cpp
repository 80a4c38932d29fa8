// `supercloud demo` with real guests: they are moved, are heard to count on, and nothing of them is left.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "hypercall/keeper/protocol.h"
#include "tests/guest/guest_parts.h"
#include "tests/hypercall/keeper/left_cgroup.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

class QemuDemo : public ProgramTest {
 protected:
  static constexpr absl::Duration patience = absl::Minutes(3);

  void SetUp() override {
    if (const std::string missing = GuestParts::find().missing; !missing.empty())
      GTEST_SKIP() << missing;
  }
  static std::vector<std::string> demo(std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "demo", "--qemu", files::absolute(GuestParts::find().qemu).string(), "--duration", "1000"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  std::vector<std::string> guests() const {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : files::directory_iterator("/proc", error)) {
      const std::string command = content(entry.path() / "cmdline");
      if (command.find((folder_ / "run" / "supercloud-").string()) == std::string::npos) continue;
      found.push_back(command);
      std::istringstream lines(content(entry.path() / "cgroup"));
      for (std::string line; std::getline(lines, line);)
        if (const std::string name = files::path(line).filename();
            name.starts_with(keeper::cgroup_name_begin))
          cgroups_.insert(name);
    }
    return found;
  }
  void expect_nothing_left() {
    EXPECT_TRUE(eventually([&] { return guests().empty(); }, patience))
        << testing::PrintToString(guests());
    EXPECT_TRUE(eventually([&] { return nothing_is_left(); }, patience));
    EXPECT_TRUE(
        eventually([&] { return std::ranges::none_of(cgroups_, cgroup_is_left); }, patience))
        << testing::PrintToString(cgroups_);
  }

  mutable std::set<std::string> cgroups_;  // in which guests were seen
};

TEST_F(QemuDemo, MovesRealGuestsSaysWhoseTheyAreAndHearsThemCountOn) {
  const pid_t running = start(demo({}), "demo.out");
  EXPECT_TRUE(
      eventually([&] { return says("demo.out", " counted on without a break: "); }, patience))
      << output("demo.out");
  EXPECT_FALSE(guests().empty());
  ::kill(running, SIGINT);
  EXPECT_EQ(ended(running, patience), 130) << output("demo.out");
  const std::string said = output("demo.out");
  EXPECT_THAT(said, HasSubstr("guests of QEMU "));
  EXPECT_THAT(said, HasSubstr(GuestParts::find().qemu));
  EXPECT_THAT(said, HasSubstr("copying of its memory begins"));
  EXPECT_THAT(said, HasSubstr(" counts heard, none missing, across "));
  EXPECT_THAT(said, Not(HasSubstr("broken")));
  expect_nothing_left();
}

TEST_F(QemuDemo, TellsWithJsonWhatEachGuestWasHeardToCount) {
  const pid_t running = start(
      {"demo", "--qemu", files::absolute(GuestParts::find().qemu), "--duration", "20", "--json"},
      "demo.out", "demo.err");
  EXPECT_EQ(ended(running, patience), 0) << output("demo.err");
  const auto told = nlohmann::json::parse(output("demo.out"), nullptr, false);
  ASSERT_TRUE(told.is_object()) << output("demo.out");
  EXPECT_THAT(told.value("guests", ""), HasSubstr("QEMU "));
  int moves = 0;
  for (const auto& count : told["counts"]) {
    moves += count.value("moves", 0);
    EXPECT_GT(count.value("heard", 0), 0) << count;
    EXPECT_EQ(count.value("broken", "?"), "") << count;
  }
  EXPECT_GT(moves, 0) << told;
  expect_nothing_left();
}

TEST_F(QemuDemo, ShowsTheCountsOnATerminal) {
  Terminal terminal;
  const pid_t running = start(demo({}), terminal);
  const auto shows = [&](const std::string& words) {
    return terminal.shown().find(words) != std::string::npos;
  };
  EXPECT_TRUE(eventually([&] { return shows("COUNTS") && shows("counted on without"); }, patience))
      << terminal.shown();
  EXPECT_TRUE(shows("guests of QEMU ")) << terminal.shown();
  terminal.type("\x03");
  EXPECT_EQ(ended(running, patience, &terminal), 130) << terminal.shown();
  expect_nothing_left();
}

TEST_F(QemuDemo, KilledAmongItsGuestsItLeavesNothingEither) {
  const pid_t running = start(demo({}), "demo.out");
  EXPECT_TRUE(eventually([&] { return says("demo.out", "web1 started at "); }, patience))
      << output("demo.out");
  EXPECT_FALSE(guests().empty());
  ::kill(running, SIGKILL);
  EXPECT_EQ(ended(running, patience), -1);
  expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
