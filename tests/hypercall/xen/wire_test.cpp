// The XenStore's wire protocol: what is written is read as it was meant, and what is none is refused.
#include "hypercall/xen/wire.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace supercloud::xen_wire {
namespace {

using namespace std::string_view_literals;

TEST(XenWire, reads_what_it_writes_in_any_pieces) {
  std::string bytes;
  encode({Type::write, 7, 3, "/a\0value"sv}, bytes);
  encode({Type::read, 8, 0, "/b\0"sv}, bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    std::string_view rest(bytes.data(), cut);
    std::size_t whole = 0;
    while (true) {
      const auto message = decode(rest);
      ASSERT_TRUE(message.ok());
      if (!*message) break;
      EXPECT_EQ((*message)->request, 7 + whole);
      EXPECT_EQ((*message)->body, whole == 0 ? "/a\0value"sv : "/b\0"sv);
      ++whole;
    }
    EXPECT_EQ(whole, cut == bytes.size() ? 2U : cut >= header_bytes + 8 ? 1U : 0U) << cut;
  }
}

TEST(XenWire, refuses_headers_that_are_none_before_it_waits_for_what_they_announce) {
  std::string bytes;
  encode({Type::read, 1, 0, {}}, bytes);
  std::string long_one = bytes;
  long_one[14] = '\x11';  // 1 MiB and 64 KiB
  std::string_view rest = long_one;
  EXPECT_TRUE(absl::IsDataLoss(decode(rest).status()));
  std::string strange = bytes;
  strange[0] = 23;
  rest = strange;
  EXPECT_TRUE(absl::IsDataLoss(decode(rest).status()));
}

TEST(XenWire, reads_bodies) {
  EXPECT_EQ(strings("a\0bc\0\0"sv)->size(), 3U);
  EXPECT_TRUE(strings("")->empty());
  EXPECT_FALSE(strings("a\0b"sv).ok());
  EXPECT_EQ(*number("17\0"sv), 17U);
  for (const auto bad :
       {""sv, "\0"sv, "17"sv, "-1\0"sv, " 1\0"sv, "1 \0"sv, "01\0"sv, "99999999999\0"sv})
    EXPECT_FALSE(number(bad).ok()) << bad;
  EXPECT_EQ(error_number("EAGAIN\0"sv), EAGAIN);
  EXPECT_EQ(error_number("EQUOTA\0"sv), EDQUOT);
  EXPECT_EQ(error_number("EWHATEVER\0"sv), 0);
  const auto event = decode_watch_event(
      "/a/b\0"
      "12\0"sv);
  ASSERT_TRUE(event.ok());
  EXPECT_EQ(event->path, "/a/b");
  EXPECT_EQ(event->token, 12U);
  for (const auto bad : {""sv, "/a\0"sv, "/a\0x\0"sv,
                         "/a\0"
                         "1\0"
                         "2\0"sv,
                         "/a\0"
                         "1"sv})
    EXPECT_FALSE(decode_watch_event(bad).ok());
}

TEST(XenWire, reads_permissions_as_it_writes_them) {
  const XenPermissions all = {{.domain = 0},
                              {.domain = 1, .read = true},
                              {.domain = 2, .write = true},
                              {.domain = 3, .read = true, .write = true}};
  EXPECT_EQ(encode_permissions(all), "n0\0r1\0w2\0b3\0"sv);
  EXPECT_EQ(*decode_permissions(encode_permissions(all)), all);
  for (const auto bad : {""sv, "n0"sv, "x0\0"sv, "n\0"sv, "n-1\0"sv, "\0"sv})
    EXPECT_FALSE(decode_permissions(bad).ok());
}

TEST(XenWire, reads_directories_in_parts) {
  const auto middle = decode_directory_part("5\0a\0bc\0"sv);
  ASSERT_TRUE(middle.ok());
  EXPECT_EQ(middle->generation, "5");
  EXPECT_EQ(middle->names.size(), 2U);
  EXPECT_EQ(middle->bytes, 5U);
  EXPECT_FALSE(middle->last);
  EXPECT_TRUE(decode_directory_part("5\0a\0\0"sv)->last);
  EXPECT_TRUE(decode_directory_part("5\0\0"sv)->last);
  for (const auto bad : {""sv, "5\0"sv, "5\0a"sv, "5\0\0a\0"sv})
    EXPECT_FALSE(decode_directory_part(bad).ok()) << bad;
}

}  // namespace
}  // namespace supercloud::xen_wire
