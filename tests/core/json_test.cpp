#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/core/sealed.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

TEST(EventJson, shows_envelope_and_payload_in_one_line) {
  EventPool pool;
  const std::string json = to_json(released_event(pool, 5));
  EXPECT_THAT(json, HasSubstr(R"("topic":"vm.released.main.web1")"));
  EXPECT_THAT(json, HasSubstr(R"("payload":{"vmReleased":{"node":"node-a"}})"));
  EXPECT_THAT(json,
              HasSubstr(R"("id":{"origin":"node-a/executor","incarnation":"3","sequence":"5"})"));
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
  for (const char* bad : {"", "{", "[]", "null", "7", "{}", "{\"id\":3}", "{\"time\":\"x\"}",
                          "{} {}", "{\"payload\":{\"vmReleased\":{},\"vmPaused\":{}}}"}) {
    const absl::Status status = event_from_json(pool, bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_FALSE(status.message().empty()) << bad;
  }
  EXPECT_FALSE(event_from_json(pool, std::string(100'000, '[')).ok());
}

TEST(EventJson, reads_every_unicode_escape_as_its_character) {
  EventPool pool;
  const auto why = [&](const std::string& escaped) {
    std::string json = to_json(released_event(pool, 5));
    json.replace(json.find("\"node-a\"}}"), 8, "\"" + escaped + "\"");
    const absl::StatusOr<Event> event = event_from_json(pool, json);
    return event.ok() ? std::string(text(event->payload().getVmReleased().getNode()))
                      : std::string(event.status().message());
  };
  EXPECT_EQ(why(R"(\u001f)"), "\x1f");
  EXPECT_EQ(why(R"(\u00fC\u20AC)"), "ü€");
  EXPECT_EQ(why(R"(\ud83d\ude00)"), "😀");
  EXPECT_EQ(why(R"(\u0022\u005c)"), "\"\\");
  EXPECT_EQ(why(R"(\\u001f)"), "\\u001f");
  EXPECT_EQ(why(R"(\u0000x)"), std::string("\0x", 2));
  for (const char* bad : {R"(\u)", R"(\u12)", R"(\u-123)", R"(\u12g4)", R"(\ud83d)", R"(\ud83dx)",
                          R"(\ude00)", R"(\ud83d\u0041)"}) {
    EXPECT_THAT(why(bad), HasSubstr("escape")) << bad;
  }
}

TEST(EventJson, keeps_every_byte_of_a_text) {
  EventPool pool;
  std::string all;
  for (int c = 1; c < 256; ++c) all.push_back(static_cast<char>(c));
  Draft draft = pool.draft("web1");
  draft.payload().initVmReleased().setNode(all.c_str());
  const Event event = *std::move(draft).seal(test_envelope(1));
  const absl::StatusOr<Event> parsed = event_from_json(pool, to_json(event));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(text(parsed->payload().getVmReleased().getNode()), all);
}

TEST(DraftJson, says_what_is_to_be_published) {
  EventPool pool;
  const absl::StatusOr<Draft> draft = draft_from_json(
      pool,
      R"({"topic":"resource.accessed.blue.a%2Eb","epoch":"4","migration":{"origin":"n/p","incarnation":"1","sequence":"2"},)"
      R"("payload":{"resourceAccessed":{"resource":"genome","bytes":"12"}}})");
  ASSERT_TRUE(draft.ok()) << draft.status();
  EXPECT_EQ(draft->topic(), "resource.accessed.blue.a%2Eb");
}

TEST(DraftJson, becomes_the_event_that_it_says) {
  EventPool pool;
  absl::StatusOr<Draft> draft = draft_from_json(
      pool,
      R"({"topic":"resource.accessed.blue.x","epoch":"4","payload":{"resourceAccessed":{"bytes":"12"}}})");
  ASSERT_TRUE(draft.ok()) << draft.status();
  const absl::StatusOr<Event> event = std::move(*draft).seal(test_envelope(8));
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->tenant(), "blue");
  EXPECT_EQ(event->subject(), "x");
  EXPECT_EQ(event->epoch(), 4);
  EXPECT_EQ(event->payload().getResourceAccessed().getBytes(), 12);
  EXPECT_TRUE(pool.parse(event->bytes()).ok());
}

TEST(DraftJson, that_says_what_its_publisher_says_or_nothing_is_refused) {
  EventPool pool;
  const std::string good = R"("topic":"latency.measured.main.x","payload":{"latencyMeasured":{}})";
  ASSERT_TRUE(draft_from_json(pool, absl::StrCat("{", good, "}")).ok());
  for (const char* more :
       {R"("id":{"origin":"a/b","sequence":"1"})", R"("time":"1")", R"("previous3":"1")",
        R"("cause":{"origin":"a/b","sequence":"1"})", R"("root":{"origin":"a/b"})",
        R"("reconstructed":true)", R"("no_such_field":1)"}) {
    const auto draft = draft_from_json(pool, absl::StrCat("{", more, ",", good, "}"));
    EXPECT_TRUE(absl::IsInvalidArgument(draft.status())) << more;
  }
  for (const char* wrong :
       {"", "[]", "{}", R"({"topic":"latency.measured.main.x"})",
        R"({"payload":{"latencyMeasured":{}}})",
        R"({"topic":"latency.measured.main","payload":{"latencyMeasured":{}}})",
        R"({"topic":"latency.measured.main.x.y","payload":{"latencyMeasured":{}}})",
        R"({"topic":"latency.measuredx.main.x","payload":{"latencyMeasured":{}}})",
        R"({"topic":"latency.measured.main.%","payload":{"latencyMeasured":{}}})",
        R"({"topic":"vm.started.main.x","payload":{"latencyMeasured":{}}})"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(draft_from_json(pool, wrong).status())) << wrong;
  }
}

}  // namespace
}  // namespace supercloud
