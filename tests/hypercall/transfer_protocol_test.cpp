#include "hypercall/transfer_protocol.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/random.h"

namespace supercloud::transfer {
namespace {

Hello a_hello() {
  return {.epoch = 7,
          .vm = "main/web1",
          .migration = {.origin = "a/policy", .incarnation = 2, .sequence = 9},
          .page_count = 256,
          .page_bytes = 2 << 20};
}

Hello once_more() {
  Hello hello = a_hello();
  hello.again = true;
  return hello;
}

std::vector<Frame> one_of_each() {
  return {a_hello(),
          once_more(),
          Accept{},
          Refuse{"no copy of main/web1 is prepared here"},
          Pages{.pass = 3, .pages = {{1, 11}, {250, UINT64_MAX}}},
          PassEnd{3},
          Final{std::string("state\0with zero", 15)},
          Confirm{},
          Probe{},
          Probed{},
          Rest{{3, 250}},
          Want{250},
          Whole{}};
}

TEST(TransferProtocolTest, EveryFrameComesBackAsItWas) {
  for (const Frame& frame : one_of_each()) {
    const auto again = decode(encode(frame));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_TRUE(*again == frame) << "frame type " << frame.index();
  }
}

TEST(TransferProtocolTest, EveryTruncationAndEveryExtensionIsRefused) {
  for (const Frame& frame : one_of_each()) {
    const std::string bytes = encode(frame);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size)).ok())
          << "frame type " << frame.index() << " cut to " << size;
    }
    EXPECT_FALSE(decode(bytes + "x").ok());
  }
}

TEST(TransferProtocolTest, UnknownTypeVersionAndImpossibleCountsAreRefusedWithTheField) {
  EXPECT_FALSE(decode("").ok());
  EXPECT_FALSE(decode("\x63").ok());
  std::string hello = encode(a_hello());
  hello[1] = 2;
  EXPECT_NE(decode(hello).status().message().find("version"), std::string::npos);
  Hello empty = a_hello();
  empty.page_count = 0;
  EXPECT_NE(decode(encode(empty)).status().message().find("page count"), std::string::npos);
  Hello nameless = a_hello();
  nameless.vm = "";
  EXPECT_FALSE(decode(encode(nameless)).ok());
  // A count that promises far more than is there must not be believed.
  std::string pages = encode(Pages{.pass = 1, .pages = {{1, 2}}});
  pages[5] = pages[6] = pages[7] = pages[8] = '\xff';
  EXPECT_FALSE(decode(pages).ok());
}

TEST(TransferProtocolTest, DamagedFramesAreRefusedOrReadAsTheBytesSay) {
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    const std::vector<Frame> frames = one_of_each();
    std::string bytes = encode(frames[random.below(frames.size())]);
    const std::uint64_t damages = 1 + random.below(3);
    for (std::uint64_t i = 0; i < damages; ++i) {
      const std::uint64_t at = random.below(bytes.size());
      bytes[at] = static_cast<char>(random.below(256));
    }
    const auto frame = decode(bytes);
    if (!frame.ok()) continue;
    EXPECT_EQ(encode(*frame), bytes);
  }
}

}  // namespace
}  // namespace supercloud::transfer
