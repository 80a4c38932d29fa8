// Messages of other programs, in any number of segments.
#include "core/one_segment.h"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <gtest/gtest.h>

#include <string>

#include "core/message.h"

namespace supercloud {
namespace {

// As another program would write it, with segments of `words` words each.
std::string stream_of(const std::string& reason, unsigned words) {
  capnp::MallocMessageBuilder message(words, capnp::AllocationStrategy::FIXED_SIZE);
  auto decision = message.initRoot<schema::Decision>();
  decision.setReason(reason);
  for (auto candidate : decision.initCandidates(20)) candidate.setPlace("somewhere");
  const auto flat = capnp::messageToFlatArray(message);
  const auto chars = flat.asChars();
  return {chars.begin(), chars.size()};
}

TEST(OneSegment, HasTheSameContentHoweverManyThereWere) {
  const std::string expected = *one_segment(stream_of("because", 4096));
  for (const unsigned words : {1U, 10U, 100U, 4096U}) {
    const auto framed = one_segment(stream_of("because", words));
    ASSERT_TRUE(framed.ok()) << framed.status();
    EXPECT_EQ(*framed, expected) << words;
    const auto decision = Message<schema::Decision>::parse(*framed);
    ASSERT_TRUE(decision.ok()) << decision.status();
    EXPECT_EQ(std::string(decision->reader().getReason().cStr()), "because");
    EXPECT_EQ(decision->reader().getCandidates().size(), 20U);
  }
}

TEST(OneSegment, IsNotMadeOfWhatIsNoMessage) {
  const std::string good = stream_of("because", 10);
  for (std::size_t size = 0; size < good.size(); size += 4)
    EXPECT_FALSE(one_segment(good.substr(0, size)).ok()) << size;
  EXPECT_FALSE(one_segment(std::string(64, '\xff')).ok());
  EXPECT_FALSE(one_segment(std::string(message_bytes_max + 8, '\0')).ok());
}

}  // namespace
}  // namespace supercloud
