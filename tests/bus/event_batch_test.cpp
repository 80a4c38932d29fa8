// What events together are made of: who wants which, what goes into one message, and how it is taken apart.
#include "bus/event_batch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bus/prefix_set.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"
#include "core/text.h"
#include "tests/bus/bus_process.h"

namespace supercloud {
namespace {

using Lines = std::vector<std::string>;

TEST(PrefixSetTest, covers_what_begins_with_one_of_them) {
  PrefixSet set;
  EXPECT_FALSE(set.covers(""));
  EXPECT_FALSE(set.covers("vm."));
  for (const char* prefix : {"vm.started.", "vm.started.main.", "vn.", "v", "node.heartbeat."})
    set.add(prefix);
  EXPECT_TRUE(set.covers("vm.started.main.web1."));
  EXPECT_TRUE(set.covers("vm.failed.main.web1.")) << "by \"v\"";
  EXPECT_FALSE(set.covers("node.heartbeat"));
  EXPECT_TRUE(set.covers("node.heartbeat."));
  set.remove("v");
  set.remove("none");
  EXPECT_FALSE(set.covers("vm.failed.main.web1."));
  EXPECT_FALSE(set.covers("vm."));
  EXPECT_TRUE(set.covers("vm.started.other.web1."));
  set.add("");
  EXPECT_TRUE(set.covers("anything"));
  // As by looking at each of them.
  const std::string letters = "ab.";
  Lines words = {""};
  for (std::size_t i = 0; words.size() < 200; ++i)
    for (const char c : letters) words.push_back(words[i] + c);
  for (std::size_t step = 3; step < 17; step += 2) {
    PrefixSet some;
    std::set<std::string> same;
    for (std::size_t i = step; i < words.size(); i += step) {
      some.add(words[i]);
      same.insert(words[i]);
    }
    for (const std::string& word : words)
      EXPECT_EQ(some.covers(word),
                std::any_of(same.begin(), same.end(),
                            [&](const auto& prefix) { return word.starts_with(prefix); }))
          << word;
  }
}

TEST(EventBatchTest, the_first_of_a_turn_leaves_at_once_and_the_rest_of_it_at_its_end) {
  EventLoop loop;
  Lines sent;
  EventBatch batch(
      loop, "!", 1000, [&](std::string_view topic, std::string_view bytes, int events) {
        sent.push_back(absl::StrCat(absl_view(topic), "=", absl_view(bytes), ":", events));
      });
  loop.post([&] {
    batch.add("a.b.c.", "1");
    EXPECT_EQ(sent, Lines{"!a.b.c.=1:1"});
    batch.add("a.b.c.", "2");
    batch.add("a.b.c.", "3");
    batch.add("a.b.d.", "4");
    EXPECT_EQ(sent.size(), 2) << "its neighbours are of another prefix";
  });
  loop.post([&] {
    EXPECT_EQ(sent, (Lines{"!a.b.c.=1:1", "!a.b.c.=23:2", "!a.b.d.=4:1"})) << "the turn has ended";
    batch.add("a.b.d.", "5");
    EXPECT_EQ(sent.size(), 4) << "another turn has begun";
    batch.add("a.b.d.", std::string(600, '6'));
    batch.add("a.b.d.", std::string(600, '7'));
    EXPECT_EQ(sent.size(), 5) << "no room for both";
    batch.add("a.b.d.", std::string(1000, '8'));
    EXPECT_EQ(sent.size(), 7) << "what fills a message travels alone, and in its place";
    EXPECT_TRUE(sent.back().starts_with("!a.b.d.=888"));
  });
  bool done = false;
  loop.post([&] { done = true; });
  ASSERT_TRUE(loop.run_until([&] { return done; }, absl::Seconds(20)));
  EXPECT_EQ(sent.size(), 7);
}

TEST(EventBatchTest, nothing_waits_long_for_what_follows_within_a_long_turn) {
  EventLoop loop;
  int sent = 0;
  EventBatch batch(loop, "!", 1 << 20,
                   [&](std::string_view, std::string_view, int events) { sent += events; });
  loop.post([&] {
    batch.add("a.b.c.", "1");
    batch.add("a.b.c.", "2");
    const Instant until = loop.clock().now() + EventBatch::wait_max;
    while (loop.clock().now() < until) {
    }
    batch.add("a.b.c.", "3");
    EXPECT_EQ(sent, 3);
  });
  bool done = false;
  loop.post([&] { done = true; });
  ASSERT_TRUE(loop.run_until([&] { return done; }, absl::Seconds(20)));
}

TEST(EventBatchTest, what_waits_in_a_long_turn_leaves_when_somebody_looks) {
  EventLoop loop;
  int sent = 0;
  EventBatch batch(loop, "!", 1 << 20,
                   [&](std::string_view, std::string_view, int events) { sent += events; });
  loop.post([&] {
    batch.look();
    batch.add("a.b.c.", "1");
    batch.add("a.b.c.", "2");
    EXPECT_EQ(sent, 1);
    const Instant until = loop.clock().now() + EventBatch::wait_max;
    while (loop.clock().now() < until) {
    }
    batch.look();
    EXPECT_EQ(sent, 2);
    batch.look();
  });
  bool done = false;
  loop.post([&] { done = true; });
  ASSERT_TRUE(loop.run_until([&] { return done; }, absl::Seconds(20)));
  EXPECT_EQ(sent, 2);
}

TEST(TakeEventTest, a_message_is_taken_apart_as_its_events_say) {
  EventPool pool;
  TestStreams streams("a");
  std::string message;
  Lines events;
  for (int i = 0; i < 3; ++i) {
    const Event event = streams.event(pool, "executor", std::string(1 + i, 'w'));
    const Bytes bytes = event.bytes();
    events.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    message += events.back();
  }
  std::string_view rest = message;
  for (const std::string& event : events) {
    const auto taken = take_event(rest);
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(*taken, event);
  }
  EXPECT_TRUE(rest.empty());
  for (std::size_t size = 0; size < events[0].size(); ++size) {
    std::string_view cut = std::string_view(message).substr(0, size);
    EXPECT_TRUE(absl::IsInvalidArgument(take_event(cut).status())) << size;
  }
  std::string two_segments = message;
  two_segments[0] = 1;
  rest = two_segments;
  EXPECT_TRUE(absl::IsInvalidArgument(take_event(rest).status()));
}

}  // namespace
}  // namespace supercloud
