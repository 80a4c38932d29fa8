// `supercloud bench migration`, small: real guests are moved by a cluster of its own and by QEMU alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/guest/guest_parts.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using Json = nlohmann::json;

class QemuBench : public ProgramTest {
 protected:
  static constexpr absl::Duration patience = absl::Minutes(2);

  void SetUp() override {
    if (const std::string missing = GuestParts::find().missing; !missing.empty())
      GTEST_SKIP() << missing;
    environment_["TMPDIR"] = (folder_ / "run").string();
  }
  static std::vector<std::string> bench(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"bench",    "migration",
                                          "--qemu",   files::absolute(GuestParts::find().qemu),
                                          "--keeper", ::getenv("SUPERCLOUD_KEEPER")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  // Processes of its nodes, keepers and guests.
  std::vector<std::string> processes() const {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : files::directory_iterator("/proc", error)) {
      const std::string command = content(entry.path() / "cmdline");
      for (const char* where : {"run", "supercloud"})
        if (command.find((folder_ / where / "supercloud-bench-").string()) != std::string::npos)
          found.push_back(command);
    }
    return found;
  }
  bool guests_run() const {
    return std::ranges::any_of(processes(), [](const std::string& command) {
      return command.find("guest=main/dirtying") != std::string::npos;
    });
  }
  void expect_nothing_left() {
    EXPECT_TRUE(eventually([&] { return processes().empty(); }, patience))
        << testing::PrintToString(processes());
    for (const char* where : {"run", "supercloud"})
      EXPECT_TRUE(eventually(
          [&] { return !files::exists(folder_ / where) || files::is_empty(folder_ / where); },
          patience))
          << where;
  }
};

TEST_F(QemuBench, AnswersQuicklyAndLeavesNothing) {
  const absl::Time began = absl::Now();
  start(bench({"--quick", "--pairs", "5", "--json"}), "bench.out", "bench.err");
  ASSERT_EQ(ended(children_.back(), patience), 0) << output("bench.err");
  EXPECT_LT(absl::Now() - began, absl::Seconds(45));
  EXPECT_THAT(output("bench.err"), IsEmpty()) << "no bar where there is no terminal";
  const Json result = Json::parse(output("bench.out"), nullptr, false);
  ASSERT_TRUE(result.is_object()) << output("bench.out");
  EXPECT_TRUE(result.value("complete", false));
  ASSERT_EQ(result["rows"].size(), 3U);
  for (const Json& row : result["rows"]) {
    SCOPED_TRACE(row.dump(2));
    EXPECT_GE(row["bare_pairs_ms"].size(), 3U);
    EXPECT_EQ(row["bare_pairs_ms"].size(), row["supercloud_pairs_ms"].size());
    EXPECT_GT(row.value("bare_ms", 0.0), 0);
    EXPECT_GT(row.value("supercloud_ms", 0.0), 0);
    EXPECT_LE(row.value("low", 1.0), row.value("high", 0.0));
  }
  // A guest that stands still is not heard, and a move is longer than that.
  const auto value = [&](std::size_t row, const char* of) {
    return result["rows"][row].value(of, 0.0);
  };
  for (const char* of : {"bare_ms", "supercloud_ms"}) {
    EXPECT_GE(value(2, of), value(0, of) / 2);
    EXPECT_GT(value(1, of), value(0, of));
  }
  EXPECT_TRUE(result.value("prepared", false));
  ASSERT_EQ(result["prices"].size(), 2U);
  for (const Json& prices : result["prices"]) {
    SCOPED_TRACE(prices.dump(2));
    EXPECT_EQ(prices["moves_ms"].size(), 3U);
    for (const Json& ms : prices["moves_ms"]) EXPECT_GT(ms.get<double>(), 0);
    EXPECT_EQ(prices.contains("bar_verdict"), prices.value("prepared", false));
  }
  expect_nothing_left();
}

TEST_F(QemuBench, WithoutATargetThatIsReadyBothWaysStartTheirs) {
  start(bench({"--quick", "--pairs", "3", "--unprepared", "--json"}), "bench.out", "bench.err");
  ASSERT_EQ(ended(children_.back(), patience), 0) << output("bench.err");
  const Json result = Json::parse(output("bench.out"), nullptr, false);
  ASSERT_TRUE(result.is_object()) << output("bench.out");
  EXPECT_FALSE(result.value("prepared", true));
  const auto setup = [&](const char* way) {
    for (const Json& step : result["steps"])
      if (step.value("way", "") == way && step.value("name", "") == "target setup")
        return step.value("ms", 0.0);
    return 0.0;
  };
  // No QEMU starts within a few milliseconds.
  EXPECT_GT(setup("bare"), 5);
  EXPECT_GT(setup("supercloud"), 5);
  expect_nothing_left();
}

TEST_F(QemuBench, CtrlCEndsItWithWhatThereIsAndLeavesNothing) {
  Terminal terminal;
  const pid_t long_one = start(bench({"--pairs", "1000", "--json"}), terminal);
  EXPECT_TRUE(eventually(
      [&] {
        return terminal.shown().find("does nothing") != std::string::npos && !processes().empty();
      },
      patience))
      << terminal.shown();
  terminal.type("\x03");
  EXPECT_EQ(ended(long_one, patience, &terminal), 130) << terminal.shown();
  EXPECT_THAT(terminal.shown(), HasSubstr("\"complete\": false"));
  expect_nothing_left();
}

TEST_F(QemuBench, KilledAmongItsGuestsItLeavesNothingEither) {
  const pid_t long_one = start(bench({"--quick", "--pairs", "1000"}), "bench.out", "bench.err");
  EXPECT_TRUE(eventually([&] { return guests_run(); }, patience)) << output("bench.err");
  ::kill(long_one, SIGKILL);
  EXPECT_EQ(ended(long_one, patience), -1);
  expect_nothing_left();
}

TEST_F(QemuBench, SaysWhatIsMissing) {
  const Said none = run({"bench", "migration", "--qemu", "qemu-of-nobody"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("there is no qemu-of-nobody where programs are looked for; "
                                  "install it"));
  EXPECT_THAT(run({"bench", "migration", "--qemu", "/bin/true"}).err,
              HasSubstr("/bin/true does not say which QEMU it is"));
  const Said no_kernel = run(bench({"--kernel", "/nowhere/vmlinuz"}));
  EXPECT_EQ(no_kernel.code, 2);
  EXPECT_THAT(no_kernel.err, HasSubstr("--kernel /nowhere/vmlinuz: "));
  EXPECT_EQ(run({"bench", "migration", "--memory", "3MiB"}).code, 2);
  EXPECT_EQ(run({"bench", "migration", "--initrd", "/dev/null"}).code, 2);
  expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
