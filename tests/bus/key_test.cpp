#include "bus/key.h"

#include <gtest/gtest.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bus/trust.h"

namespace supercloud {
namespace {

class KeyTest : public testing::Test {
 protected:
  KeyTest() {
    std::string name = testing::TempDir() + "keyXXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~KeyTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    ::chmod((folder_ / name).c_str(), 0600);
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

// RFC 8032, 7.1, test 1.
TEST_F(KeyTest, a_seed_gives_the_key_of_the_standard_and_a_pair_for_curve) {
  const auto pair = KeyPair::parse("ed25519-secret:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A");
  ASSERT_TRUE(pair.ok()) << pair.status();
  EXPECT_EQ((*pair)->public_key().text(), "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
  CurveKey point;
  crypto_scalarmult_base(point.data(), (*pair)->curve_secret().data());
  EXPECT_EQ(point, (*pair)->public_key().curve());
}

TEST_F(KeyTest, what_is_written_reads_as_the_same) {
  const auto pair = KeyPair::generate();
  ASSERT_TRUE(write_secret_key(folder_ / "a.key", *pair).ok());
  ASSERT_TRUE(write_public_key(folder_ / "a.pub", {"a", pair->public_key()}).ok());
  const auto secret = read_secret_key(folder_ / "a.key");
  ASSERT_TRUE(secret.ok()) << secret.status();
  EXPECT_EQ((*secret)->secret_text(), pair->secret_text());
  const auto known = read_public_key(folder_ / "a.pub");
  ASSERT_TRUE(known.ok()) << known.status();
  EXPECT_EQ(known->key, pair->public_key());
  EXPECT_EQ(known->name, "a");
  EXPECT_NE(KeyPair::generate()->secret_text(), pair->secret_text());
}

TEST_F(KeyTest, a_key_is_never_replaced) {
  const auto pair = KeyPair::generate();
  ASSERT_TRUE(write_secret_key(folder_ / "a.key", *pair).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(write_secret_key(folder_ / "a.key", *KeyPair::generate())));
  EXPECT_EQ((*read_secret_key(folder_ / "a.key"))->secret_text(), pair->secret_text());
}

TEST_F(KeyTest, a_secret_that_others_may_read_is_refused) {
  ASSERT_TRUE(write_secret_key(folder_ / "a.key", *KeyPair::generate()).ok());
  for (const mode_t mode : {0640, 0604, 0620, 0666}) {
    ::chmod((folder_ / "a.key").c_str(), mode);
    const auto read = read_secret_key(folder_ / "a.key");
    EXPECT_TRUE(absl::IsPermissionDenied(read.status())) << mode << read.status();
    EXPECT_NE(read.status().message().find("chmod 600"), std::string::npos);
  }
}

TEST_F(KeyTest, what_is_no_key_is_said_to_be_none) {
  const auto pair = KeyPair::generate();
  const std::string good = pair->public_key().text();
  for (const std::string& text :
       {std::string(), std::string("ed25519:"), good.substr(1), good + "A",
        good.substr(0, good.size() - 1), "ed25519:" + std::string(43, 'A'),  // of low order
        "ed25519:" + std::string(43, '*')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(PublicKey::parse(text).status())) << text;
  }
  const auto secret = PublicKey::parse(pair->secret_text());
  EXPECT_NE(secret.status().message().find("secret"), std::string::npos);
  EXPECT_EQ(secret.status().message().find(pair->secret_text().substr(20)), std::string::npos);
  EXPECT_TRUE(absl::IsInvalidArgument(read_secret_key(write("p", good)).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(read_secret_key(write("e", "# nothing\n\n")).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(read_public_key(write("n", good + " a.b\n")).status()));
  EXPECT_TRUE(absl::IsNotFound(read_secret_key(folder_ / "none").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(read_secret_key(folder_).status()));
}

TEST_F(KeyTest, a_key_has_one_name_and_a_name_may_have_two_keys) {
  const auto first = KeyPair::generate()->public_key();
  const auto second = KeyPair::generate()->public_key();
  Trust trust;
  ASSERT_TRUE(trust.enrol(first, "a").ok());
  ASSERT_TRUE(trust.enrol(second, "a").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(trust.enrol(first, "b")));
  EXPECT_EQ(trust.keys_of("a"), (std::vector<PublicKey>{first, second}));
  EXPECT_EQ(*trust.name_of(second.text()), "a");
  EXPECT_EQ(trust.find(second.curve())->key, second);
  EXPECT_EQ(trust.name_of(KeyPair::generate()->public_key().text()), nullptr);
}

}  // namespace
}  // namespace supercloud
