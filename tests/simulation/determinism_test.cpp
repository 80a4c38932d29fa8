// The same seed makes the same logs, byte for byte, in another process, whose memory lies elsewhere.
#include <gtest/gtest.h>
#include <stdio.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

std::string output_of(const std::string& command) {
  FILE* process = popen(command.c_str(), "r");
  if (process == nullptr) return "";
  std::string output;
  char part[4096];
  while (const std::size_t size = fread(part, 1, sizeof part, process)) output.append(part, size);
  EXPECT_EQ(pclose(process), 0) << command;
  return output;
}

TEST(Determinism, holds_between_two_processes) {
  const char* program = std::getenv("SUPERCLOUD_DIGESTS_PROGRAM");
  ASSERT_NE(program, nullptr) << "run by `meson test`, which says where simulation_digests is";
  const std::string command = absl::StrCat("'", program, "' 3");
  const std::string one = output_of(command);
  EXPECT_EQ(std::ranges::count(one, '\n'), 3) << one;
  EXPECT_EQ(one, output_of(command));
}

}  // namespace
}  // namespace supercloud
