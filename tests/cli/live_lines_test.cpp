// What a command that waits tells on a terminal.
#include "cli/live_lines.h"

#include <gtest/gtest.h>

#include "core/utf8.h"

namespace supercloud {
namespace {

TEST(ProgressLine, says_how_far_of_what_as_far_as_it_is_known) {
  EXPECT_EQ(progress_line({2, 3, "measuring the way"}, 79), "2 of 3: measuring the way");
  EXPECT_EQ(progress_line({2, 0, "measuring the way"}, 79), "measuring the way");
}

TEST(ProgressLine, fits_and_cuts_no_character) {
  const std::string line = progress_line({1, 2, "Stück für Stück"}, 11);
  EXPECT_EQ(line, "1 of 2: St");
  EXPECT_TRUE(is_utf8(line));
  EXPECT_EQ(progress_line({1, 2, "x"}, 0), "");
}

TEST(ProgressLine, moves_no_cursor_whoever_says_it) {
  EXPECT_EQ(progress_line({0, 0, "a\r\x1b[2Jb\nc\x7f"}, 79), "a[2Jbc");
  EXPECT_EQ(progress_line({0, 0,
                           "ü\xc2\x9b"
                           "2Jü"},
                          79),
            "ü2Jü");
}

}  // namespace
}  // namespace supercloud
