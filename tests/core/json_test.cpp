#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/core/sealed.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

TEST(EventJson, shows_envelope_and_payload_in_one_line) {
  EventPool pool;
  const std::string json = to_json(released_event(pool, 5));
  EXPECT_THAT(json, HasSubstr(R"("topic":"vm.released.main.web1")"));
  EXPECT_THAT(json, HasSubstr(R"("payload":{"vmReleased":{"node":"node-a"}})"));
  EXPECT_THAT(json, HasSubstr(R"("id":{"origin":"node-a/executor","incarnation":"3","sequence":"5"})"));
  EXPECT_THAT(json, HasSubstr(R"("epoch":"7")"));
}

TEST(EventJson, with_a_misspelt_field_is_refused_by_name) {
  EventPool pool;
  std::string json = to_json(released_event(pool, 5));
  json.replace(json.find("\"node\""), 6, "\"nodd\"");
  const absl::Status status = event_from_json(pool, json).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("nodd"));
}

TEST(EventJson, is_validated_as_bytes_are) {
  EventPool pool;
  std::string json = to_json(released_event(pool, 5));
  json.replace(json.find("vm.released"), 11, "vm.paused");
  const absl::Status status = event_from_json(pool, json).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("vm.released"));
}

TEST(EventJson, that_is_none_is_refused) {
  EventPool pool;
  for (const char* bad : {"", "{", "[]", "null", "7", "{}", "{\"id\":3}", "{\"time\":\"x\"}", "{} {}",
                          "{\"payload\":{\"vmReleased\":{},\"vmPaused\":{}}}"}) {
    const absl::Status status = event_from_json(pool, bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(status.message().empty()) << bad;
  }
  EXPECT_FALSE(event_from_json(pool, std::string(100'000, '[')).ok());
}

}  // namespace
}  // namespace supercloud
