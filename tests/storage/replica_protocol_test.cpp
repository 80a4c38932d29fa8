// The wire grammar of replication: what it accepts it writes back byte for byte, what is cut or wrong it names.
#include "storage/replica_protocol.h"

#include <gtest/gtest.h>

#include "core/random.h"

namespace supercloud::replica_protocol {
namespace {

std::vector<Frame> examples() {
  std::vector<Frame> frames;
  frames.push_back(Hello{"main/web1", "node-a", 4, 1 << 20, 17, {{1, 1}, {3, 9}, {4, 18}}});
  frames.push_back(Blocks{{{1, 2, 3, true, "content"}, {7, 0, 0, false, {}}}});
  frames.push_back(Synced{17, 0xdeadbeef, 11});
  frames.push_back(Writes{{{1, 4, 18, true, "x"}, {1, 4, 19, true, {}}}});
  frames.push_back(Flushed{19});
  frames.push_back(Inventory{true, false, {{1, 2, 3, 4}, {5, 6, 7, 8}}});
  frames.push_back(Ack{19, 18});
  frames.push_back(Refuse{5, "fenced at 5"});
  return frames;
}

TEST(ReplicaProtocol, every_message_survives_the_wire) {
  for (const Frame& frame : examples()) {
    auto decoded = decode(encode(frame));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, frame);
  }
}

TEST(ReplicaProtocol, every_cut_message_is_refused_with_its_name) {
  for (const Frame& frame : examples()) {
    const std::string bytes = encode(frame);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      auto decoded = decode(std::string_view(bytes).substr(0, size));
      ASSERT_FALSE(decoded.ok()) << "message " << frame.index() << " cut to " << size;
      EXPECT_TRUE(absl::IsInvalidArgument(decoded.status()));
    }
    EXPECT_FALSE(decode(bytes + "x").ok());
  }
}

TEST(ReplicaProtocol, what_damaged_bytes_decode_to_is_written_back_the_same) {
  Random random(1);
  for (int round = 0; round < 2000; ++round) {
    const std::vector<Frame> frames = examples();
    std::string bytes = encode(frames[random.below(frames.size())]);
    const std::uint64_t flips = 1 + random.below(3);
    for (std::uint64_t i = 0; i < flips; ++i) {
      const std::size_t at = random.below(bytes.size());
      bytes[at] = static_cast<char>(random.below(256));
    }
    auto decoded = decode(bytes);
    if (decoded.ok()) {
      EXPECT_EQ(encode(*decoded), bytes);
    }
  }
}

TEST(ReplicaProtocol, writes_must_ascend_and_have_content) {
  EXPECT_FALSE(decode(encode(Writes{{{1, 4, 19, true, "x"}, {1, 4, 18, true, "y"}}})).ok());
  EXPECT_FALSE(decode(encode(Writes{{{1, 4, 19, false, {}}}})).ok());
  EXPECT_FALSE(decode(encode(Writes{{{1, 0, 19, true, "x"}}})).ok());
}

TEST(ReplicaProtocol, a_hello_names_a_vm_an_epoch_and_an_ascending_history) {
  EXPECT_FALSE(decode(encode(Hello{"", "a", 1, 0, 0, {}})).ok());
  EXPECT_FALSE(decode(encode(Hello{"main/x", "a", 0, 0, 0, {}})).ok());
  EXPECT_FALSE(decode(encode(Hello{"main/x", "a", 3, 0, 0, {{2, 1}, {2, 5}}})).ok());
  EXPECT_FALSE(decode(encode(Hello{"main/x", "a", 3, 0, 0, {{1, 5}, {2, 4}}})).ok());
  EXPECT_FALSE(decode(encode(Hello{"main/x", "a", 3, 0, 0, {{4, 1}}})).ok());
}

TEST(ReplicaProtocol, a_huge_count_reserves_nothing) {
  std::string bytes("\x04\xff\xff\x00\x00", 5);
  EXPECT_FALSE(decode(bytes).ok());
}

TEST(BranchPoint, is_the_shorter_end_in_the_newest_epoch_that_both_know) {
  // The same lineage: the replica is behind.
  EXPECT_EQ(branch_point({{1, 1}}, 100, {{1, 1}}, 90), 90U);
  // The replica wrote on in epoch 1 while another took over at 91.
  EXPECT_EQ(branch_point({{1, 1}, {2, 91}}, 95, {{1, 1}}, 100), 90U);
  // Two lineages after epoch 1.
  EXPECT_EQ(branch_point({{1, 1}, {3, 81}}, 95, {{1, 1}, {2, 91}}, 100), 80U);
  // An epoch without a write.
  EXPECT_EQ(branch_point({{1, 1}, {2, 11}, {3, 11}}, 10, {{1, 1}, {2, 11}}, 10), 10U);
  EXPECT_EQ(branch_point({{5, 1}}, 7, {{4, 1}}, 9), 0U);
  EXPECT_EQ(branch_point({{5, 1}}, 7, {}, 0), 0U);
}

}  // namespace
}  // namespace supercloud::replica_protocol
