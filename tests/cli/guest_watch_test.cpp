// What a measurement reads of a QEMU's monitor.
#include "cli/bench/migration/guest_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace supercloud {
namespace {

using testing::Optional;

std::string at(const std::string& seconds, const std::string& microseconds,
               const std::string& rest) {
  return R"({"timestamp": {"seconds": )" + seconds + R"(, "microseconds": )" + microseconds +
         "}, " + rest + "}";
}

TEST(GuestSign, IsAStopAGoOrAStateOfAMigrationAtItsTime) {
  const auto stop = read_guest_sign(at("1700000000", "250000", R"("event": "STOP")"));
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->what, "STOP");
  EXPECT_EQ(stop->at, absl::FromUnixMicros(1'700'000'000'250'000));
  const auto sent =
      read_guest_sign(at("1", "2", R"("event": "MIGRATION", "data": {"status": "completed"})"));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->what, "completed");
  EXPECT_EQ(read_guest_sign(at("1", "2", R"("event": "RESUME")"))->what, "RESUME");
}

TEST(GuestSign, IsNothingElse) {
  for (const std::string& line :
       {std::string(), std::string("{"), std::string(R"({"return": {}, "id": 1})"),
        std::string(R"({"event": "STOP"})"), std::string(R"({"event": "STOP", "timestamp": 7})"),
        at("1", "2", R"("event": "SHUTDOWN")"), at("1", "2", R"("event": "MIGRATION")"),
        at("1", "2", R"("event": "MIGRATION", "data": {"status": 5})")})
    EXPECT_FALSE(read_guest_sign(line)) << line;
}

TEST(GuestSign, OfAnyTimeIsRead) {
  for (const char* time : {"-1", "1e300", "18446744073709551615", "\"x\"", "null"})
    EXPECT_TRUE(read_guest_sign(at(time, time, R"("event": "STOP")"))) << time;
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
