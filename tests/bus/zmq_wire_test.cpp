#include "bus/zmq_wire.h"

#include <gtest/gtest.h>

#include "core/event.h"

namespace supercloud {
namespace {

const Member member{"node-a", 7, "ipc:///run/a.pub", "ipc:///run/a.req"};

std::vector<std::string> one_of_each() {
  return {encode(Control(Hello{3, member, true})),
          encode(Control(Welcome{3, member, {member, member}})),
          encode(Control(Refusal{absl::AlreadyExistsError("twin")})),
          encode(Control(WireRequest{9, "executor", std::string("x\0y", 3)})),
          encode(Control(WireAnswer{9, std::string("z")})),
          encode(Control(WireOnward{9, "node-z", "", ""})),
          encode(Control(WireAnswer{9, absl::NotFoundError("nobody")}))};
}

TEST(ZmqWire, frames_say_the_same_after_a_journey) {
  for (const std::string& frame : one_of_each()) {
    const auto control = decode_control(frame);
    ASSERT_TRUE(control.ok()) << control.status();
    EXPECT_EQ(encode(*control), frame);
  }
  const auto answer = decode_control(one_of_each().back());
  EXPECT_TRUE(absl::IsNotFound(std::get<WireAnswer>(*answer).value.status()));
  const std::string marker = encode(Marker{"node-a", 7, {{"node-a/executor", 1, 5}}});
  EXPECT_EQ(encode(*decode_marker(marker)), marker);
}

TEST(ZmqWire, a_frame_that_is_cut_or_goes_on_is_refused) {
  for (const std::string& frame : one_of_each()) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      EXPECT_FALSE(decode_control(frame.substr(0, size)).ok()) << frame[0] << " cut at " << size;
    }
    EXPECT_FALSE(decode_control(frame + "x").ok());
  }
}

TEST(ZmqWire, lengths_and_counts_beyond_the_frame_are_refused) {
  std::string frame = encode(Control(Welcome{3, member, {}}));
  for (std::size_t at = frame.size() - 8; at < frame.size(); ++at) frame[at] = '\xff';
  EXPECT_FALSE(decode_control(frame).ok());
  const std::string large =
      encode(Control(WireRequest{1, "executor", std::string(request_bytes_max + 1, 'x')}));
  EXPECT_FALSE(decode_control(large).ok());
}

TEST(ZmqWire, a_hub_tells_of_each_tail_from_where_on_it_follows_it) {
  Marker marker{
      "hub-a", 7, {{"node-z/executor", 1, 9, 3, 5}, {"node-z/log", 1, 2, 2, 2}}, true, true};
  const auto again = decode_marker(encode(marker));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->relays);
  EXPECT_EQ(again->tails[0].since, 3);
  EXPECT_EQ(again->tails[0].passed, 5);
  EXPECT_EQ(encode(*again), encode(marker));
  marker.relays = false;
  const auto plain = decode_marker(encode(marker));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_FALSE(plain->relays);
  std::string cut = encode(*again);
  cut.resize(cut.size() - 8);
  EXPECT_FALSE(decode_marker(cut).ok());
  EXPECT_FALSE(decode_control(encode(Control(WireOnward{1, "", "executor", ""}))).ok())
      << "of nobody";
}

TEST(ZmqWire, a_hub_tells_to_who_asks_under_which_prefixes_something_was_said) {
  const OriginTail tail{"node-z/executor", 1, 9, 3, 5, {{"", 9, 3, 3}, {"vm.", 5, 3, 0}}};
  const Marker marker{
      .publisher = "hub-a", .nonce = 7, .tails = {tail}, .relays = true, .under = true};
  const auto again = decode_marker(encode(marker));
  ASSERT_TRUE(again.ok()) << again.status();
  ASSERT_EQ(again->tails[0].under.size(), 2);
  EXPECT_EQ(again->tails[0].under[0].begun, 3);
  EXPECT_EQ(again->tails[0].under[1].prefix, "vm.");
  EXPECT_EQ(encode(*again), encode(marker));
  Marker turned = marker;
  std::swap(turned.tails[0].under[0], turned.tails[0].under[1]);
  const auto sorted = decode_marker(encode(turned));
  ASSERT_TRUE(sorted.ok()) << sorted.status();
  EXPECT_EQ(encode(*sorted), encode(marker));
  EXPECT_TRUE(asks_under("x/1/2prb/") && asks_relay("x/1/2prb/"));
  EXPECT_FALSE(asks_under("x/1/2rb/"));
}

TEST(ZmqWire, a_name_that_is_none_is_refused) {
  for (const char* name : {"", "a/b"}) {
    EXPECT_FALSE(decode_control(encode(Control(Hello{1, {name, 1, "", ""}, false}))).ok());
  }
}

}  // namespace
}  // namespace supercloud
