// From files to policies: shared objects good and bad, loaded here and in a process of their own.
#include "actors/policy/plugin/policy_file.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "actors/policy/plugin/shared_object_policy.h"
#include "tests/actors/policy/plugin/worlds.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

// What the build has made of objects/, beside this program.
std::string object(const std::string& name) {
  return (files::read_symlink("/proc/self/exe").parent_path() / (name + ".so")).string();
}

std::string example(const std::string& name) {
  const char* folder = ::getenv("SUPERCLOUD_EXAMPLES");
  EXPECT_NE(folder, nullptr) << "meson sets it";
  return std::string(folder == nullptr ? "" : folder) + "/" + name;
}

// Why it cannot be loaded, without the folder of its file.
std::string refusal(const std::string& name) {
  const std::string file = object(name);
  const auto loaded = SharedObjectPolicy::load(file);
  if (loaded.ok()) return "loaded";
  std::string why(loaded.status().message());
  for (std::size_t at = why.find(file); at != std::string::npos; at = why.find(file))
    why.replace(at, file.size(), name + ".so");
  return why;
}

std::string failure(const std::string& name) {
  const std::string file = object(name);
  const auto loaded = SharedObjectPolicy::load(file);
  if (!loaded.ok()) return loaded.status().ToString();
  const Slot slot = ask(**loaded);
  if (!slot->has_value() || (*slot)->ok()) return "decided";
  std::string why((*slot)->status().message());
  EXPECT_EQ(why.find(file), 0U) << why;
  return why.substr(std::min(file.size(), why.size()));
}

class PolicyFileTest : public testing::Test {
 protected:
  PolicyFileTest() {
    std::string made = "/tmp/scf-XXXXXX";
    folder_ = ::mkdtemp(made.data());
  }
  ~PolicyFileTest() override { files::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& content, mode_t mode) const {
    std::ofstream(folder_ / name) << content;
    ::chmod((folder_ / name).c_str(), mode);
    return (folder_ / name).string();
  }
  files::path folder_;
};

TEST(SharedObjectPolicy, IsRefusedWithFileAndCureWhenItIsNone) {
  EXPECT_EQ(refusal("nowhere"), "nowhere.so: no such file");
  EXPECT_EQ(refusal("no_entry"),
            "no_entry.so is no policy: it exports no supercloud_policy_entry; define it with C "
            "linkage, as policy_abi.h declares it");
  EXPECT_EQ(
      refusal("other_version"),
      "other_version.so has version 9 of the policy ABI, this program has version 1: build it "
      "against this program's policy_abi.h");
  EXPECT_EQ(refusal("null_members"),
            "null_members.so has null pointers in its table: fill in every member of "
            "supercloud_policy");
  EXPECT_EQ(refusal("not_created"), "not_created.so will not be created: its license has ended");
}

TEST_F(PolicyFileTest, WhatIsNoSharedObjectIsNotLoaded) {
  const std::string file = write("text.so", "a text", 0644);
  const auto loaded = SharedObjectPolicy::load(file);
  ASSERT_TRUE(absl::IsInvalidArgument(loaded.status())) << loaded.status();
  const std::string why(loaded.status().message());
  EXPECT_EQ(why.find(file + " cannot be loaded: "), 0U) << why;
  EXPECT_NE(why.find("build it as a shared object for this machine"), std::string::npos) << why;
}

TEST(SharedObjectPolicy, FailsWithFileAndCureWhenItMisbehaves) {
  EXPECT_EQ(
      failure("throws"),
      ": an exception left decide (no price for zone x): catch it there and call sink->failed");
  EXPECT_TRUE(failure("garbage").starts_with(": what it gave is no Decision: "));
  EXPECT_EQ(failure("no_answer"),
            ": decide returned without an answer: call sink->decided or sink->failed");
}

TEST(SharedObjectPolicy, DecidesWithTheBytesOfAWorld) {
  const auto policy = SharedObjectPolicy::load(example("preferred_zones.so"));
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->name(), "preferred zones");
  EXPECT_EQ(choice_of(**ask(**policy)), place_in("b"));
}

TEST(SharedObjectPolicy, InAProcessOfItsOwnTakesNobodyAlong) {
  EventLoop loop;
  const std::string file = object("crashes");
  auto factory =
      policy_from_file(loop, {.name = "bad", .file = file, .deadline = absl::Seconds(30)});
  ASSERT_TRUE(factory.ok()) << factory.status();
  const auto policy = (*factory)();
  const Decided decided = answer_of(loop, ask(*policy));
  EXPECT_EQ(decided.status().message(), file + " ended with signal 6 (ABRT)");
}

TEST(SharedObjectPolicy, ThatCannotBeLoadedIsAFailureOfItsProcessWithTheReason) {
  const auto greeting = greet_policy({.name = "bad", .file = object("other_version")});
  const std::string why(greeting.status().message());
  EXPECT_NE(why.find("has version 9 of the policy ABI"), std::string::npos) << why;
}

TEST_F(PolicyFileTest, AFileThatCannotBeAPolicyIsRefusedBeforeItRuns) {
  const std::string missing = (folder_ / "x.py").string();
  EXPECT_EQ(check_policy_file(missing).message(),
            missing + ": no such file; give the path of a program or of a shared object");
  EXPECT_TRUE(absl::IsInvalidArgument(check_policy_file(folder_.string())));
  EXPECT_TRUE(check_policy_file(write("a.py", "", 0755)).ok());
  const std::string plain = write("b.py", "", 0644);
  EXPECT_EQ(check_policy_file(plain).message(),
            plain +
                " may not be executed; chmod +x it, and let a script's first line name its "
                "interpreter (#!/usr/bin/python3)");
}

}  // namespace
}  // namespace supercloud
