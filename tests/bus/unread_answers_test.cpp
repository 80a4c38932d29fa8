#include "bus/unread_answers.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace supercloud {
namespace {

constexpr std::size_t half = UnreadAnswers::bytes_max / 2;

TEST(UnreadAnswers, of_one_peer_have_room_for_so_much_and_others_do_not_share_it) {
  UnreadAnswers unread;
  const std::function<void()> first = unread.take("a", half);
  EXPECT_TRUE(unread.room("a", half).ok());
  const std::function<void()> second = unread.take("a", half);
  const absl::Status full = unread.room("a", 1);
  EXPECT_TRUE(absl::IsResourceExhausted(full));
  EXPECT_EQ(full.message(),
            "64 MiB of answers wait until they are read, and there is room for 64: read them, and "
            "ask again");
  EXPECT_TRUE(unread.room("b", UnreadAnswers::bytes_max).ok());
  std::thread(first).join();
  EXPECT_TRUE(unread.room("a", half).ok());
  EXPECT_FALSE(unread.room("a", half + 1).ok());
  second();
  EXPECT_TRUE(unread.room("a", UnreadAnswers::bytes_max).ok());
}

TEST(UnreadAnswers, are_remembered_while_there_are_any_however_many_peers_come_and_go) {
  UnreadAnswers unread;
  const std::function<void()> kept = unread.take("stays", half + 1);
  for (int i = 0; i < 1000; ++i) unread.take(std::to_string(i), 1)();
  EXPECT_FALSE(unread.room("stays", half).ok());
  kept();
  EXPECT_TRUE(unread.room("stays", half).ok());
}

TEST(UnreadAnswers, may_be_let_go_of_when_nobody_counts_them_any_more) {
  auto unread = std::make_unique<UnreadAnswers>();
  const std::function<void()> late = unread->take("a", 1);
  unread.reset();
  late();
}

}  // namespace
}  // namespace supercloud
