#include "core/message.h"

#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/event.h"
#include "tests/core/filled.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

template <class Schema>
class EveryMessage : public testing::Test {};
using Schemas = testing::Types<schema::Request, schema::Response, schema::World, schema::Decision,
                               schema::VmSpec>;
TYPED_TEST_SUITE(EveryMessage, Schemas);

template <class Schema>
std::string canonical(const Message<Schema>& message) {
  const kj::Array<capnp::word> words = capnp::canonicalize(message.reader());
  return {words.asChars().begin(), words.asChars().size()};
}

TYPED_TEST(EveryMessage, survives_bytes_and_json) {
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    const auto message = Message<TypeParam>::build([&](typename TypeParam::Builder builder) {
      fill(capnp::DynamicStruct::Builder(builder), random);
    });
    const auto parsed = Message<TypeParam>::parse(message.bytes());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->bytes(), message.bytes());
    const auto from_json = Message<TypeParam>::from_json(message.to_json());
    ASSERT_TRUE(from_json.ok()) << from_json.status();
    EXPECT_EQ(canonical(*from_json), canonical(message)) << message.to_json();
    EXPECT_EQ(message.to_json().find('\n'), std::string::npos);
  }
}

TYPED_TEST(EveryMessage, cut_short_anywhere_is_refused) {
  Random random(4);
  const auto message = Message<TypeParam>::build([&](typename TypeParam::Builder builder) {
    fill(capnp::DynamicStruct::Builder(builder), random);
  });
  for (std::size_t size = 0; size < message.bytes().size(); ++size) {
    ASSERT_FALSE(Message<TypeParam>::parse(message.bytes().substr(0, size)).ok()) << size;
  }
}

TYPED_TEST(EveryMessage, with_any_bit_flipped_is_refused_or_read_in_full) {
  Random random(5);
  const auto message = Message<TypeParam>::build([&](typename TypeParam::Builder builder) {
    fill(capnp::DynamicStruct::Builder(builder), random);
  });
  std::string bytes(message.bytes());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto flip = [&] {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    };
    flip();
    const auto parsed = Message<TypeParam>::parse(bytes);
    if (parsed.ok()) {
      EXPECT_FALSE(parsed->to_json().empty());
    }
    flip();
  }
}

TEST(Message, larger_than_one_segment_is_framed_as_one) {
  const auto message = Message<schema::Response>::build([](schema::Response::Builder response) {
    auto vms = response.initVms(500);
    for (unsigned i = 0; i < 500; ++i) vms[i].setNode("a-node-with-quite-a-long-name");
  });
  const auto parsed = Message<schema::Response>::parse(message.bytes());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(text(parsed->reader().getVms()[499].getNode()), "a-node-with-quite-a-long-name");
}

TEST(Message, beyond_the_limit_is_refused) {
  const auto message = Message<schema::Response>::build(
      [](schema::Response::Builder response) { response.initJson(message_bytes_max); });
  const absl::Status status = Message<schema::Response>::parse(message.bytes()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("limit"));
}

TEST(Message, that_was_never_built_reads_as_defaults) {
  const Message<schema::VmSpec> spec;
  EXPECT_EQ(text(spec.reader().getTenant()), "main");
  EXPECT_TRUE(spec.bytes().empty());
}

TEST(Message, from_json_that_is_wrong_says_what_and_where) {
  const auto said = [](std::string_view json) {
    const absl::Status status = Message<schema::VmSpec>::from_json(json).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << json;
    return std::string(status.message());
  };
  EXPECT_THAT(said(R"({"nam":"web1"})"), HasSubstr("nam"));
  EXPECT_THAT(said(R"({"name":)"), HasSubstr("VmSpec"));
  EXPECT_THAT(said(R"({"diskLoss":"sometimes"})"), HasSubstr("sometimes"));
  EXPECT_THAT(said(R"({"cpus":"many"})"), HasSubstr("VmSpec"));
  EXPECT_THAT(said(R"([1])"), HasSubstr("VmSpec"));
}

}  // namespace
}  // namespace supercloud
