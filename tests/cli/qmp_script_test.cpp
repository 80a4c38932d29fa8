// What a measurement reads of a QEMU's monitor, and what it takes from that.
#include "cli/guests/qmp_script.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "cli/guests/guest_watch.h"

namespace supercloud {
namespace {

using testing::Optional;

std::string at(const std::string& seconds, const std::string& microseconds,
               const std::string& rest) {
  return R"({"timestamp": {"seconds": )" + seconds + R"(, "microseconds": )" + microseconds +
         "}, " + rest + "}";
}

TEST(QmpWord, IsAnEventAtItsTimeWithTheStateOfAMigration) {
  const auto stop = read_qmp_word(at("1700000000", "250000", R"("event": "STOP")"));
  ASSERT_TRUE(stop);
  EXPECT_FALSE(stop->answer);
  EXPECT_EQ(stop->event, "STOP");
  EXPECT_EQ(stop->at, absl::FromUnixMicros(1'700'000'000'250'000));
  const auto sent =
      read_qmp_word(at("1", "2", R"("event": "MIGRATION", "data": {"status": "completed"})"));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->event, "MIGRATION");
  EXPECT_EQ(sent->status, "completed");
}

TEST(QmpWord, IsAnAnswerWithItsError) {
  const auto done = read_qmp_word(R"({"return": {"status": "running"}})");
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->answer);
  EXPECT_EQ(done->error, "");
  const auto failed = read_qmp_word(R"({"error": {"class": "GenericError", "desc": "no"}})");
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->error, "no");
  EXPECT_NE(read_qmp_word(R"({"error": {}})")->error, "");
}

TEST(QmpWord, IsAGreeting) {
  const auto greeting = read_qmp_word(R"({"QMP": {"version": {}, "capabilities": []}})");
  ASSERT_TRUE(greeting);
  EXPECT_TRUE(greeting->greeting);
}

TEST(QmpWord, IsNothingElse) {
  const std::string deep = std::string(20'000, '[') + std::string(20'000, ']');
  for (const std::string& line :
       {std::string(), std::string("{"), std::string("7"), deep, std::string(R"({"QMP": 1})"),
        std::string(R"({"event": "STOP"})"), std::string(R"({"event": "STOP", "timestamp": 7})"),
        std::string(R"({"event": 5, "timestamp": {}})")})
    EXPECT_FALSE(read_qmp_word(line)) << line.substr(0, 99);
}

TEST(QmpWord, OfAnyTimeIsRead) {
  for (const char* time : {"-1", "1e300", "18446744073709551615", "\"x\"", "null"})
    EXPECT_TRUE(read_qmp_word(at(time, time, R"("event": "STOP")"))) << time;
}

TEST(GuestSeen, StandsStillFromTheSourcesStopToTheTargetsGo) {
  const auto sign = [](const char* what, int ms, int machine) {
    return GuestSign{what, absl::FromUnixMillis(ms), machine};
  };
  GuestSeen seen;
  EXPECT_FALSE(seen.stood_still());
  seen.signs = {sign("STOP", 100, 1)};
  EXPECT_FALSE(seen.stood_still());
  seen.signs = {sign("STOP", 100, 1), sign("completed", 105, 1), sign("RESUME", 112, 2)};
  EXPECT_THAT(seen.stood_still(), Optional(absl::Milliseconds(12)));
  seen.signs = {sign("RESUME", 112, 2), sign("STOP", 100, 1)};  // as their sockets are read
  EXPECT_THAT(seen.stood_still(), Optional(absl::Milliseconds(12)));
  seen.signs = {sign("STOP", 100, 1), sign("RESUME", 112, 1)};  // where it was: no move
  EXPECT_FALSE(seen.stood_still());
}

}  // namespace
}  // namespace supercloud
