#include "hypercall/qemu/qmp_message.h"

#include <gtest/gtest.h>

namespace supercloud {
namespace {

TEST(QmpMessage, MembersOfAnotherKindReadAsDefaults) {
  const QmpValue object = {
      {"text", 3}, {"number", "x"}, {"negative", -4}, {"half", 2.5}, {"flag", 1}};
  EXPECT_EQ(qmp_text(object, "text"), "");
  EXPECT_EQ(qmp_number(object, "number"), 0U);
  EXPECT_EQ(qmp_number(object, "negative"), 0U);
  EXPECT_EQ(qmp_number(object, "half"), 2U);
  EXPECT_FALSE(qmp_flag(object, "flag"));
  EXPECT_EQ(qmp_text("no object", "text"), "");
  EXPECT_TRUE(qmp_member(QmpValue::array(), "x").is_null());
}

TEST(QmpMessage, ACommandIsOneLineWhateverItsTextsHold) {
  const std::string line = qmp_command("x", {{"path", "a\nb\xff"}}, 7, false);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(QmpValue::parse(line, nullptr, false)["id"], 7);
}

TEST(QmpMessage, AnEventWithoutDataHasAnEmptyObject) {
  const auto message = parse_qmp(R"({"event": "STOP"})");
  ASSERT_TRUE(message.ok());
  EXPECT_TRUE(std::get<QmpEvent>(*message).data.is_object());
}

TEST(QemuVersionTest, ItIsReadFromWhatTheProgramPrints) {
  const auto version = parse_qemu_version(
      "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright");
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(*version, (QemuVersion{10, 0, 2}));
  EXPECT_EQ(*parse_qemu_version("QEMU emulator version 9.2"), (QemuVersion{9, 2, 0}));
  for (const char* other : {"", "bash", "version x.y", "version 10", "version 99999999999.1"}) {
    EXPECT_FALSE(parse_qemu_version(other).ok()) << other;
  }
}

TEST(QemuVersionTest, OneThatCorruptsGuestsIsRefusedWithTheCure) {
  EXPECT_TRUE(check_qemu_version({8, 2, 0}, "qemu").ok());
  EXPECT_TRUE(check_qemu_version({10, 0, 2}, "qemu").ok());
  const absl::Status refused = check_qemu_version({7, 2, 18}, "qemu-system-x86_64");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(refused.message().find("7.2.18"), std::string::npos);
  EXPECT_NE(refused.message().find("backports"), std::string::npos);
}

}  // namespace
}  // namespace supercloud
