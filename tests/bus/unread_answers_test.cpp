#include "bus/unread_answers.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>

namespace supercloud {
namespace {

constexpr std::size_t half = UnreadAnswers::bytes_max / 2;

TEST(UnreadAnswers, of_one_peer_have_room_for_so_much_and_others_do_not_share_it) {
  UnreadAnswers unread;
  UnreadAnswers::Share first = unread.take("a", half);
  EXPECT_TRUE(unread.room("a", half).ok());
  UnreadAnswers::Share second = unread.take("a", half);
  const absl::Status full = unread.room("a", 1);
  EXPECT_TRUE(absl::IsUnavailable(full));
  EXPECT_EQ(full.message(),
            "67108864 bytes of answers wait to be read, and 1 more find no room in 67108864: read "
            "them, and ask again");
  EXPECT_TRUE(unread.has_room_for_short("a", 1));
  EXPECT_FALSE(unread.has_room_for_short("a", UnreadAnswers::bytes_max));
  EXPECT_TRUE(unread.room("b", UnreadAnswers::bytes_max).ok());
  std::thread([gone = std::move(first)] {}).join();
  EXPECT_TRUE(unread.room("a", half).ok());
  EXPECT_FALSE(unread.room("a", half + 1).ok());
  second.reset();
  EXPECT_TRUE(unread.room("a", UnreadAnswers::bytes_max).ok());
}

TEST(UnreadAnswers, are_remembered_while_there_are_any_however_many_peers_come_and_go) {
  UnreadAnswers unread;
  UnreadAnswers::Share kept = unread.take("stays", half + 1);
  for (int i = 0; i < 1000; ++i) unread.take(std::to_string(i), 1).reset();
  EXPECT_FALSE(unread.room("stays", half).ok());
  kept.reset();
  EXPECT_TRUE(unread.room("stays", half).ok());
}

TEST(UnreadAnswers, may_go_when_nobody_counts_them_any_more) {
  auto unread = std::make_unique<UnreadAnswers>();
  UnreadAnswers::Share late = unread->take("a", 1);
  unread.reset();
  late.reset();
}

}  // namespace
}  // namespace supercloud
