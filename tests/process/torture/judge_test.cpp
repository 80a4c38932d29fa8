// The judge finds each thing that may be wrong, and only that.
#include "tests/process/torture/judge.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace supercloud::torture {
namespace {

Record event(Note note, std::uint64_t sequence, Kind kind = Kind::price,
             std::uint64_t previous = 0) {
  Record record{.note = note, .kind = kind, .incarnation = 1, .sequence = sequence};
  record.previous = previous != 0 || sequence == 0 ? previous : sequence - 1;
  record.digest = 1000 + sequence;
  record.published_ns = static_cast<std::int64_t>(sequence) * 10;
  record.at_ns = record.published_ns + 5;
  return record;
}

Record gap(std::uint64_t after, std::uint64_t up_to, std::uint8_t mask = 0xf) {
  return {.note = Note::gap,
          .kinds_mask = mask,
          .incarnation = 1,
          .sequence = after,
          .previous = up_to,
          .digest = 0};
}

// Ten prices, all acknowledged, and one life that was ready from the beginning and got them all.
struct Judged {
  Judged() {
    life.name = "sub0";
    life.to_the_end = true;
    life.records.push_back({.note = Note::ready});
    for (std::uint64_t i = 1; i <= 10; ++i) {
      origin.log.push_back(event(Note::received, i));
      origin.acknowledged.push_back(event(Note::acknowledged, i));
      life.records.push_back(event(Note::received, i));
    }
  }
  // In place of the record of event `sequence`.
  void instead(std::uint64_t sequence, const std::vector<Record>& records) {
    auto& all = life.records;
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(sequence);
    all.insert(all.erase(at), records.begin(), records.end());
  }
  Verdict judge() const { return torture::judge({origin}, {life}); }

  OriginTruth origin{"pub0/durable", {}, {}};
  SubscriberLife life;
};

TEST(Judge, finds_nothing_wrong_where_all_is_right) {
  const Judged judged;
  const Verdict verdict = judged.judge();
  EXPECT_TRUE(verdict.good());
  EXPECT_TRUE(verdict.wrong.empty());
  EXPECT_EQ(verdict.received, 10U);
  EXPECT_EQ(verdict.owed, 10U);
}

TEST(Judge, finds_what_is_missing_and_names_the_first) {
  Judged judged;
  judged.instead(4, {});
  const Verdict verdict = judged.judge();
  EXPECT_EQ(verdict.unreached, 1U);
  EXPECT_GE(verdict.silent, 1U);
  ASSERT_FALSE(verdict.wrong.empty());
  EXPECT_NE(verdict.wrong[0].find("pub0/durable:1:4"), std::string::npos) << verdict.wrong[0];
}

TEST(Judge, finds_the_last_missing_of_who_lived_to_the_end_alone) {
  Judged judged;
  judged.instead(10, {});
  EXPECT_EQ(judged.judge().silent, 1U);
  judged.life.to_the_end = false;
  EXPECT_TRUE(judged.judge().good());
}

TEST(Judge, takes_a_gap_for_an_answer_but_not_in_the_place_of_what_was_acknowledged) {
  Judged judged;
  judged.instead(4, {gap(3, 4)});
  EXPECT_EQ(judged.judge().silent, 0U);
  EXPECT_EQ(judged.judge().unreached, 1U);
  EXPECT_EQ(judged.judge().named, 1U);
  judged.origin.acknowledged.erase(judged.origin.acknowledged.begin() + 3);
  EXPECT_TRUE(judged.judge().good());
}

TEST(Judge, takes_no_gap_of_other_events) {
  for (const Record& other :
       {gap(4, 9), gap(1, 3), gap(3, 4, 1U << static_cast<unsigned>(Kind::paused))}) {
    Judged judged;
    judged.instead(4, {other});
    EXPECT_GE(judged.judge().silent, 1U);
  }
}

TEST(Judge, finds_doubles_and_disorder) {
  Judged judged;
  judged.instead(4, {event(Note::received, 4), event(Note::received, 4)});
  EXPECT_EQ(judged.judge().disordered, 1U);
  judged = {};
  judged.instead(4, {event(Note::received, 5)});
  judged.instead(5, {event(Note::received, 4)});
  EXPECT_EQ(judged.judge().disordered, 1U);
}

TEST(Judge, finds_other_bytes) {
  Judged judged;
  Record other = event(Note::received, 4);
  other.digest = 1;
  judged.instead(4, {other});
  EXPECT_EQ(judged.judge().altered, 1U);
}

TEST(Judge, finds_what_is_in_no_log) {
  Judged judged;
  judged.origin.log.pop_back();
  EXPECT_EQ(judged.judge().unlogged, 2U) << "acknowledged, and delivered";
}

TEST(Judge, owes_nothing_that_was_published_before_the_subscriber_was_ready) {
  Judged judged;
  judged.instead(4, {});
  judged.life.records.front().at_ns = 41;
  EXPECT_TRUE(judged.judge().good());
  judged.life.records.front().at_ns = 40;
  EXPECT_FALSE(judged.judge().good());
}

TEST(Judge, sees_by_its_successor_what_is_in_no_log) {
  Judged judged;
  judged.origin.name = "pub0/mixed";
  judged.life.tokens = 1;
  // 11 is telemetry, and lost; 12 says that it was there.
  judged.origin.log.push_back(event(Note::received, 12, Kind::started));
  judged.life.records.push_back(event(Note::received, 12, Kind::started));
  EXPECT_EQ(judged.judge().silent, 1U);
  judged.life.records.insert(judged.life.records.end() - 1, gap(10, 11));
  EXPECT_TRUE(judged.judge().good());
}

}  // namespace
}  // namespace supercloud::torture
