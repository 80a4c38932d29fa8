#include "actors/policy/plugin/policy_wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/text.h"

namespace supercloud {
namespace {

using Views = std::vector<std::string_view>;

std::string mistake(const Views& frames) {
  const auto word = parse_policy_word(frames);
  if (!word.ok()) return std::string(word.status().message());
  return word->decision.ok() ? "none" : std::string(word->decision.status().message());
}

TEST(PolicyWire, AHelloReadsAsWhatWasWritten) {
  const PolicyGreeting greeting{"cheap \"quoted\"", "1.2", "prices\nand more"};
  const std::string json = to_json(greeting);
  const auto word = parse_policy_word(Views{"hello", json});
  ASSERT_TRUE(word.ok()) << word.status();
  EXPECT_EQ(word->greeting.name, greeting.name);
  EXPECT_EQ(word->greeting.version, "1.2");
  EXPECT_EQ(word->greeting.decides_on, "prices and more") << "without control characters";
}

TEST(PolicyWire, ADecisionIsReadWithItsId) {
  const auto word = parse_policy_word(
      Views{"decision", "18446744073709551615", R"({"choice": "x", "wakeAtNs": "7"})"});
  ASSERT_TRUE(word.ok() && word->decision.ok()) << word.status();
  EXPECT_EQ(word->id, UINT64_MAX);
  EXPECT_EQ(text(word->decision->reader().getChoice()), "x");
  EXPECT_EQ(word->decision->reader().getWakeAtNs(), 7);
}

TEST(PolicyWire, WhatIsWrongIsToldWithTheIdOfItsQuestionWhereItHasOne) {
  for (const Views& frames : {Views{"decision", "7"}, Views{"failed", "7", "why", "and more"},
                              Views{"decision", "7", "{}", "and more"}}) {
    const auto word = parse_policy_word(frames);
    ASSERT_TRUE(word.ok()) << word.status();
    EXPECT_EQ(word->id, 7);
    EXPECT_TRUE(absl::IsInvalidArgument(word->decision.status()));
  }
  EXPECT_EQ(mistake({"decision"}), "its \"decision\" has 1 frames, not three");
  EXPECT_EQ(mistake({"decision", "x"}), "its \"decision\" has 2 frames, not three");
}

TEST(PolicyWire, WhatIsNotOfTheGrammarIsTold) {
  EXPECT_EQ(mistake({}), "it sent an empty message");
  EXPECT_EQ(mistake({"helo"}), "it sent \"helo\"; known are hello, decision and failed");
  EXPECT_EQ(mistake({"hello"}), "its hello has not two frames");
  EXPECT_EQ(mistake({"hello", "[]"}),
            "its hello is no JSON object; it has to say {\"protocol\": 1, \"name\": \"...\"}");
  EXPECT_EQ(mistake({"hello", R"({"name": "x"})"}), "its hello lacks \"protocol\": 1");
  EXPECT_EQ(mistake({"hello", R"({"protocol": 1})"}), "its hello lacks a name");
  EXPECT_EQ(mistake({"hello", R"({"protocol": 1, "name": 7})"}),
            "the name in its hello has to be a text of at most 200 bytes");
  EXPECT_EQ(mistake({"hello", R"({"protocol": 1, "name": "x", "decidsOn": ""})"}),
            "its hello has \"decidsOn\"; known are protocol, name, version and decidesOn");
  for (const char* id : {"", "-1", "7x", "18446744073709551616"})
    EXPECT_NE(mistake({"decision", id, "{}"}).find("has the id"), std::string::npos) << id;
  EXPECT_NE(mistake({"decision", "1", R"({"choise": "x"})"}).find("choise"), std::string::npos);
  EXPECT_NE(mistake({"decision", "1", std::string(decision_json_max + 1, ' ')}).find("more than"),
            std::string::npos);
}

TEST(PolicyWire, TextForPeopleIsCutAtWholeCharacters) {
  EXPECT_EQ(printable("a\x1b[2Jb\n", 100), "a [2Jb");
  EXPECT_EQ(printable("abcdef", 3), "abc");
  EXPECT_EQ(printable("ab\xc3\xa4", 3), "ab");
}

}  // namespace
}  // namespace supercloud
