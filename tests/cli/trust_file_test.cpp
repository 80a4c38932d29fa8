#include "cli/trust_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "core/virtual_scheduler.h"

namespace supercloud {
namespace {

const std::string node_a = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const std::string alice = "ed25519:PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw";

const std::string two_keys = R"(# ours
[[key]]
name = "node-a"
public = ")" + node_a + R"("

# a person
[[key]]
name = "alice"
public = ")" + alice + R"("

[[rights]]
names = ["node-a", "alice"]
publish = [">"]
subscribe = ["vm.*.main.>"]
)";

std::string trust_mistake(const std::string& toml) {
  const auto trust = parse_trust(toml, "trust.toml");
  return trust.ok() ? "none" : std::string(trust.status().message());
}

std::string with(const std::string& old, const std::string& replacement) {
  std::string toml = two_keys;
  toml.replace(toml.find(old), old.size(), replacement);
  return toml;
}

TEST(TrustFile, GivesKeysNamesAndNamesRights) {
  const auto trust = parse_trust(two_keys, "trust.toml");
  ASSERT_TRUE(trust.ok()) << trust.status();
  EXPECT_EQ(*trust->name_of(node_a), "node-a");
  EXPECT_TRUE(trust->rights.may_publish("alice", "vm.started.main.web1"));
  EXPECT_EQ(trust->rights.allowed("alice", "vm.started."),
            (std::vector<std::string>{"vm.started.main."}));
  EXPECT_FALSE(trust->rights.may_request("alice"));
}

TEST(TrustFile, AMistakeIsToldWithLineAndKey) {
  EXPECT_EQ(trust_mistake(with("public = \"" + alice, "public = \"ed25519:x"))
                .rfind("trust.toml:9: key.public is no public key", 0),
            0U)
      << trust_mistake(with("public = \"" + alice, "public = \"ed25519:x"));
  EXPECT_EQ(trust_mistake(with(alice, node_a)).rfind("trust.toml:9: key.public is the key of", 0),
            0U);
  EXPECT_EQ(trust_mistake(with("\"alice\"\npublic", "\"al.ice\"\npublic"))
                .rfind("trust.toml:8: key.name has \"al.ice\"", 0),
            0U);
  EXPECT_EQ(trust_mistake(with("\"vm.*.main.>\"", "\"vm.started\""))
                .rfind("trust.toml:14: rights.subscribe has a pattern that is wrong", 0),
            0U);
  EXPECT_EQ(
      trust_mistake(with("subscribe", "subscribes"))
          .rfind("trust.toml:14: rights.subscribes is not known here: did you mean subscribe?", 0),
      0U);
  EXPECT_EQ(trust_mistake(with("[\"node-a\", \"alice\"]", "[\"alice\", \"alice\"]"))
                .rfind("trust.toml:12: rights.names has alice, which has rights already", 0),
            0U);
  EXPECT_EQ(trust_mistake("[[key]\n").rfind("trust.toml:1: not TOML", 0), 0U);
}

TEST(TrustFile, AKeyIsAddedAndTakenOutAndTheRestStays) {
  const auto key = PublicKey::parse("ed25519:_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU");
  ASSERT_TRUE(key.ok()) << key.status();
  NameRights rights;
  rights.subscribe = {Pattern::of("node.>")};
  const auto more = with_key(two_keys, "trust.toml", {"bob", *key}, &rights);
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->rfind(two_keys, 0), 0U);
  EXPECT_EQ(parse_trust(*more, "t")->rights.find("bob")->subscribe, rights.subscribe);
  EXPECT_TRUE(absl::IsAlreadyExists(with_key(*more, "t", {"carl", *key}, nullptr).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(with_key(two_keys, "t", {"alice", *key}, &rights).status()));
  const auto less = without_key(two_keys, "trust.toml", *PublicKey::parse(node_a));
  ASSERT_TRUE(less.ok()) << less.status();
  EXPECT_EQ(*less, two_keys.substr(0, 7) + two_keys.substr(two_keys.find("# a person")));
  EXPECT_TRUE(absl::IsNotFound(without_key(*less, "t", *PublicKey::parse(node_a)).status()));
}

TEST(TrustFile, WhatCannotBeTakenOutSafelyIsLeftToItsAuthor) {
  const std::string inline_keys =
      "key = [{name = \"a\", public = \"" + node_a + "\"}]\nrights = []\n";
  ASSERT_EQ(trust_mistake(inline_keys), "none");
  EXPECT_TRUE(absl::IsFailedPrecondition(
      without_key(inline_keys, "t", *PublicKey::parse(node_a)).status()));
}

TEST(TrustFile, IsReadAgainWhenItChangesAndAMistakeIsTold) {
  std::string name = testing::TempDir() + "trustXXXXXX";
  const std::filesystem::path folder = mkdtemp(name.data());
  const std::string path = (folder / "trust.toml").string();
  std::ofstream(path) << two_keys;
  VirtualScheduler scheduler;
  std::vector<absl::StatusOr<Trust>> told;
  const TrustWatch watch(scheduler, path,
                         [&](absl::StatusOr<Trust> trust) { told.push_back(std::move(trust)); });
  const auto pass = [&] { scheduler.run_until(scheduler.clock().now() + absl::Seconds(2)); };
  pass();
  EXPECT_TRUE(told.empty());
  ASSERT_TRUE(change_trust_file(path, [](const std::string& content) {
                return without_key(content, "t", *PublicKey::parse(alice));
              }).ok());
  pass();
  ASSERT_EQ(told.size(), 1U);
  ASSERT_TRUE(told[0].ok()) << told[0].status();
  EXPECT_EQ(told[0]->name_of(alice), nullptr);
  std::ofstream(path) << "[[key]]\nname = 3\n";
  pass();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_EQ(told[1].status().message().find(path + ":2: key.name"), 0U) << told[1].status();
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace supercloud
