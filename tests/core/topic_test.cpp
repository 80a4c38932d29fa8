#include "core/topic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/random.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

TEST(Token, encodes_everything_but_letters_digits_underscore_and_dash) {
  EXPECT_EQ(encode_token("web-1_A"), "web-1_A");
  EXPECT_EQ(encode_token("a.b"), "a%2Eb");
  EXPECT_EQ(encode_token("100%"), "100%25");
  EXPECT_EQ(encode_token(std::string("\0\xff", 2)), "%00%FF");
}

TEST(Token, decodes_to_what_was_encoded) {
  std::string raw;
  for (int c = 0; c < 256; ++c) {
    raw.assign(1, static_cast<char>(c));
    EXPECT_EQ(*decode_token(encode_token(raw)), raw) << c;
  }
}

TEST(Token, has_one_spelling_only) {
  for (const char* bad : {"%41", "%2e", "%", "%2", "a%", "%zz", "a.b", "a b", ""}) {
    EXPECT_EQ(decode_token(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(Topic, of_tokens_within_the_limits_is_valid) {
  EXPECT_TRUE(validate_topic("migration.proposed.main.web1").ok());
  EXPECT_TRUE(validate_topic(std::string(64, 'a')).ok());
  const std::string longest = std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                              std::string(63, 'c') + "." + std::string(62, 'd');
  EXPECT_EQ(longest.size() + 1, topic_bytes_max);
  EXPECT_TRUE(validate_topic(longest).ok());
  EXPECT_FALSE(validate_topic(longest + "d").ok());
}

TEST(Topic, that_is_malformed_is_refused_and_the_token_named) {
  EXPECT_THAT(std::string(validate_topic("").message()), HasSubstr("empty"));
  EXPECT_THAT(std::string(validate_topic("a..b").message()), HasSubstr("token 2"));
  EXPECT_THAT(std::string(validate_topic("a.b.").message()), HasSubstr("token 3"));
  EXPECT_THAT(std::string(validate_topic("a.b c").message()), HasSubstr("percent-encode"));
  EXPECT_THAT(std::string(validate_topic("a.b%4").message()), HasSubstr("two hexadecimal digits"));
  EXPECT_THAT(std::string(validate_topic("a." + std::string(65, 'b')).message()),
              HasSubstr("65 bytes"));
}

TEST(Topic, is_taken_apart_by_token) {
  EXPECT_EQ(topic_token("a.bc.d", 0), "a");
  EXPECT_EQ(topic_token("a.bc.d", 1), "bc");
  EXPECT_EQ(topic_token("a.bc.d", 2), "d");
  EXPECT_EQ(topic_token("a.bc.d", 3), "");
  EXPECT_EQ(topic_prefix("a.bc.d", 0), "");
  EXPECT_EQ(topic_prefix("a.bc.d", 2), "a.bc.");
  EXPECT_EQ(topic_prefix("a.bc.d", 3), "a.bc.d.");
  EXPECT_EQ(topic_prefix("a.bc.d", 9), "a.bc.d.");
  EXPECT_EQ(leading_tokens("a.bc.d", 0), "");
  EXPECT_EQ(leading_tokens("a.bc.d", 2), "a.bc.");
  EXPECT_EQ(leading_tokens("a.bc.d", 3), "a.bc.");
  EXPECT_EQ(leading_tokens("a.bc.d.", 3), "a.bc.d.");
  EXPECT_EQ(leading_tokens("a", 3), "");
}

TEST(Pattern, of_literals_matches_that_topic_alone) {
  const Pattern pattern = Pattern::of("vm.paused.main.web1");
  EXPECT_TRUE(pattern.matches("vm.paused.main.web1"));
  EXPECT_FALSE(pattern.matches("vm.paused.main.web12"));
  EXPECT_FALSE(pattern.matches("vm.paused.main"));
  EXPECT_FALSE(pattern.matches("vm.paused.main.web1.x"));
}

TEST(Pattern, star_matches_one_token_and_the_tail_one_or_more) {
  EXPECT_TRUE(Pattern::of("vm.*.main.web1").matches("vm.paused.main.web1"));
  EXPECT_FALSE(Pattern::of("vm.*.web1").matches("vm.paused.main.web1"));
  EXPECT_TRUE(Pattern::of("vm.>").matches("vm.paused.main.web1"));
  EXPECT_TRUE(Pattern::of("vm.>").matches("vm.paused"));
  EXPECT_FALSE(Pattern::of("vm.>").matches("vm"));
  EXPECT_TRUE(Pattern::of(">").matches("vm"));
  EXPECT_TRUE(Pattern::of("*.*.*.web1").matches("vm.paused.main.web1"));
  EXPECT_TRUE(Pattern::of("*.paused.>").matches("vm.paused.main.web1"));
}

TEST(Pattern, leaves_the_process_as_at_most_three_whole_literal_tokens) {
  EXPECT_EQ(Pattern::of(">").wire_prefix(), "");
  EXPECT_EQ(Pattern::of("*.b").wire_prefix(), "");
  EXPECT_EQ(Pattern::of("a").wire_prefix(), "a.");
  EXPECT_EQ(Pattern::of("a.b.>").wire_prefix(), "a.b.");
  EXPECT_EQ(Pattern::of("a.*.c").wire_prefix(), "a.");
  EXPECT_EQ(Pattern::of("a.b.c.d").wire_prefix(), "a.b.c.");
}

TEST(Pattern, that_is_malformed_is_refused_and_the_place_named) {
  for (const char* bad : {"", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a*", "a>", "a.**", "a b"}) {
    const auto pattern = Pattern::parse(bad);
    EXPECT_EQ(pattern.status().code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(pattern.status().message()), HasSubstr("token")) << bad;
  }
  EXPECT_FALSE(Pattern::parse(std::string(300, 'a')).ok());
}

// The definition, said recursively.
bool matches_by_definition(const std::vector<std::string>& pattern, std::size_t p,
                           const std::vector<std::string>& topic, std::size_t t) {
  if (p == pattern.size()) return t == topic.size();
  if (pattern[p] == ">") return t < topic.size();
  if (t == topic.size()) return false;
  return (pattern[p] == "*" || pattern[p] == topic[t]) &&
         matches_by_definition(pattern, p + 1, topic, t + 1);
}

TEST(Pattern, matches_as_defined_and_never_outside_of_its_wire_prefix) {
  Random random(7);
  const auto join = [](const std::vector<std::string>& tokens) {
    std::string text;
    for (const std::string& token : tokens) text += (text.empty() ? "" : ".") + token;
    return text;
  };
  int matched = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::string> topic;
    std::vector<std::string> pattern;
    const std::uint64_t topic_tokens = 1 + random.below(5);
    const std::uint64_t pattern_tokens = 1 + random.below(5);
    for (std::uint64_t i = 0; i < topic_tokens; ++i)
      topic.emplace_back(random.below(2) == 0 ? "a" : "bb");
    for (std::uint64_t i = 0; i < pattern_tokens; ++i) {
      const char* const choices[] = {"a", "bb", "*", ">"};
      pattern.emplace_back(choices[random.below(i + 1 == pattern_tokens ? 4 : 3)]);
    }
    const Pattern parsed = Pattern::of(join(pattern));
    const bool expected = matches_by_definition(pattern, 0, topic, 0);
    ASSERT_EQ(parsed.matches(join(topic)), expected) << parsed.text() << " " << join(topic);
    if (expected) {
      ++matched;
      ASSERT_TRUE((join(topic) + ".").starts_with(parsed.wire_prefix())) << parsed.text();
    }
  }
  EXPECT_GT(matched, 1000);
}

TEST(Origin, IsANodeAndAnActorBothOfThemTokens) {
  for (const char* origin : {"node-a/executor", "a/b", "host%2Eexample/x", "N_1/node"}) {
    EXPECT_TRUE(is_origin(origin)) << origin;
  }
  for (const char* origin :
       {"", "a", "a/", "/b", "a/b/c", "host1.example.com/node", "a b/c", "a/b.c", "h%2e/x"}) {
    EXPECT_FALSE(is_origin(origin)) << origin;
  }
  EXPECT_TRUE(is_origin(std::string(64, 'x') + "/node"));
  EXPECT_FALSE(is_origin(std::string(65, 'x') + "/node"));
}

}  // namespace
}  // namespace supercloud
