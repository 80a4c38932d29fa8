// What is kept of open requests: whose they are, how many, and what is told of them.
#include "bus/calls.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/utf8.h"

namespace supercloud {
namespace {

class OpenCallsTest : public testing::Test {
 protected:
  using Answer = std::optional<absl::StatusOr<std::string>>;
  std::shared_ptr<Answer> serve(const std::string& asker, std::string_view actor,
                                const std::string& bytes) {
    auto answer = std::make_shared<Answer>();
    calls_.serve(asker, actor, bytes,
                 Reply<std::string>(far_future, [answer](auto value) { *answer = value; }));
    return answer;
  }
  std::shared_ptr<Answer> cancel(const std::string& asker, std::uint64_t id) {
    return serve(asker, cancel_actor, encode_cancel(id));
  }
  std::shared_ptr<Answer> how_far(const std::string& asker, std::uint64_t id,
                                  std::uint64_t heard = 0) {
    return serve(asker, progress_actor, encode(ProgressQuestion{id, heard}));
  }
  static absl::StatusCode code(const Answer& answer) {
    return answer ? answer->status().code() : absl::StatusCode::kUnknown;
  }

  OpenCalls calls_;
};

TEST_F(OpenCallsTest, what_was_told_before_the_question_is_told_and_later_ones_wait_for_newer) {
  const auto call = calls_.open("a", 7);
  call->tell({1, 3, "one"});
  call->tell({2, 3, "two"});
  const auto first = how_far("a", 7);
  ASSERT_TRUE(first->has_value());
  const auto said = decode_progress_answer(***first);
  ASSERT_TRUE(said.ok()) << said.status();
  EXPECT_EQ(said->number, 2U);
  EXPECT_EQ(said->progress, (Progress{2, 3, "two"}));
  const auto second = how_far("a", 7, 2);
  EXPECT_FALSE(second->has_value());
  call->tell({3, 3, "three"});
  ASSERT_TRUE(second->has_value());
  EXPECT_EQ(decode_progress_answer(***second)->number, 3U);
}

TEST_F(OpenCallsTest, who_waits_for_progress_hears_that_the_request_is_answered) {
  const auto call = calls_.open("a", 7);
  const auto waits = how_far("a", 7);
  calls_.close("a", 7);
  EXPECT_EQ(code(*waits), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(*how_far("a", 7)), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(*cancel("a", 7)), absl::StatusCode::kNotFound);
  EXPECT_FALSE(call->cancelled());
}

TEST_F(OpenCallsTest, nobody_but_its_asker_cancels_or_watches_a_request) {
  const auto call = calls_.open("a", 7);
  call->tell({1, 3, "one"});
  EXPECT_EQ(code(*cancel("b", 7)), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(*how_far("b", 7)), absl::StatusCode::kNotFound);
  EXPECT_FALSE(call->cancelled());
  EXPECT_EQ(code(*cancel("a", 7)), absl::StatusCode::kOk);
  EXPECT_TRUE(call->cancelled());
  EXPECT_EQ(code(*cancel("a", 7)), absl::StatusCode::kNotFound);
}

TEST_F(OpenCallsTest, of_endless_questions_one_waits) {
  const auto call = calls_.open("a", 7);
  std::vector<std::shared_ptr<Answer>> asked;
  for (int i = 0; i < 1000; ++i) asked.push_back(how_far("a", 7));
  for (int i = 0; i < 999; ++i)
    EXPECT_EQ(code(*asked[static_cast<std::size_t>(i)]), absl::StatusCode::kAborted);
  EXPECT_FALSE(asked.back()->has_value());
  call->tell({1, 0, ""});
  EXPECT_EQ(code(*asked.back()), absl::StatusCode::kOk);
}

TEST_F(OpenCallsTest, one_asker_has_so_many_open_and_all_together_have) {
  std::vector<std::shared_ptr<Call>> open;
  for (std::uint64_t id = 0; id < OpenCalls::calls_of_one_max; ++id)
    open.push_back(calls_.open("a", id));
  EXPECT_EQ(calls_.open("a", 1'000'000), nullptr);
  open.pop_back();  // who should have answered has dropped it
  open.push_back(calls_.open("a", 1'000'000));
  EXPECT_NE(open.back(), nullptr);
  for (std::uint64_t asker = 0; calls_.size() < OpenCalls::calls_max; ++asker)
    for (std::uint64_t id = 0; id < 100 && calls_.size() < OpenCalls::calls_max; ++id)
      open.push_back(calls_.open("asker " + std::to_string(asker), id));
  EXPECT_EQ(calls_.open("another", 1), nullptr);
  EXPECT_EQ(calls_.size(), OpenCalls::calls_max);
}

TEST_F(OpenCallsTest, an_id_that_is_open_is_not_opened_again) {
  const auto call = calls_.open("a", 7);
  EXPECT_EQ(calls_.open("a", 7), nullptr);
  EXPECT_EQ(code(*cancel("a", 7)), absl::StatusCode::kOk);
  EXPECT_TRUE(call->cancelled());
}

TEST(CallBytes, a_text_is_cut_at_a_whole_character_and_what_is_none_left_out) {
  std::string umlauts;
  while (umlauts.size() < 2 * progress_text_max) umlauts += "\xc3\xa4";
  const auto even = decode_progress_answer(encode(ProgressAnswer{1, {0, 0, umlauts}}));
  const auto odd = decode_progress_answer(encode(ProgressAnswer{1, {0, 0, "x" + umlauts}}));
  ASSERT_TRUE(even.ok()) << even.status();
  ASSERT_TRUE(odd.ok()) << odd.status();
  EXPECT_EQ(even->progress.what.size(), progress_text_max);
  EXPECT_EQ(odd->progress.what.size(), progress_text_max - 1);
  EXPECT_TRUE(is_utf8(odd->progress.what));
  const auto none = decode_progress_answer(encode(ProgressAnswer{1, {0, 0, "\xff\xfe"}}));
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->progress.what, "");
}

TEST(CallBytes, what_is_malformed_is_refused) {
  EXPECT_FALSE(decode_cancel("").ok());
  EXPECT_FALSE(decode_cancel(encode_cancel(1) + "x").ok());
  EXPECT_FALSE(decode_progress_question(encode_cancel(1)).ok());
  EXPECT_FALSE(decode_progress_answer("").ok());
  EXPECT_FALSE(decode_progress_answer(encode(ProgressAnswer{0, {}})).ok()) << "no number";
  const std::string good = encode(ProgressAnswer{1, {2, 3, "what"}});
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_FALSE(decode_progress_answer(good.substr(0, size)).ok()) << size;
}

}  // namespace
}  // namespace supercloud
