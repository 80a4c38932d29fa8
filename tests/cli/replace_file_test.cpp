#include "cli/replace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/text.h"

namespace supercloud {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ReplaceFile : public ::testing::Test {
 protected:
  ReplaceFile()
      : folder_(std::filesystem::temp_directory_path() / ("page-" + std::to_string(::getpid()))) {
    std::filesystem::create_directories(folder_);
  }
  ~ReplaceFile() override { std::filesystem::remove_all(folder_); }

  std::string read(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    return names;
  }

  std::filesystem::path folder_;
};

TEST_F(ReplaceFile, replaces_the_whole_file_and_leaves_nothing_beside_it) {
  const std::filesystem::path path = folder_ / "report.html";
  ASSERT_TRUE(replace_file(path, "a longer old page").ok());
  ASSERT_TRUE(replace_file(path, "new").ok());
  EXPECT_EQ(read(path), "new");
  EXPECT_THAT(names(), ElementsAre("report.html"));
}

TEST_F(ReplaceFile, may_be_ones_own_alone) {
  const std::filesystem::path path = folder_ / "secret";
  ASSERT_TRUE(replace_file(path, "old").ok());
  ASSERT_TRUE(replace_file(path, "new", 0600).ok());
  struct stat facts{};
  ASSERT_EQ(::stat(path.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
}

TEST_F(ReplaceFile, follows_a_link) {
  ASSERT_TRUE(replace_file(folder_ / "real.html", "old").ok());
  std::filesystem::create_symlink("real.html", folder_ / "link.html");
  ASSERT_TRUE(replace_file(folder_ / "link.html", "new").ok());
  EXPECT_EQ(read(folder_ / "real.html"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder_ / "link.html"));
}

TEST_F(ReplaceFile, names_a_missing_folder_and_how_to_make_it) {
  const absl::Status status = replace_file(folder_ / "none" / "report.html", "page");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(str(std_view(status.message())),
              HasSubstr("mkdir -p " + (folder_ / "none").string()));
}

TEST_F(ReplaceFile, names_a_folder_given_for_a_file) {
  const absl::Status status = replace_file(folder_, "page");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(str(std_view(status.message())),
              HasSubstr(folder_.string() + ": it is a folder; name a file in it"));
}

TEST_F(ReplaceFile, replaces_no_device) {
  EXPECT_TRUE(absl::IsInvalidArgument(replace_file("/dev/null", "page")));
}

// A page that is too large for the file's limit fails after it has begun.
TEST_F(ReplaceFile, keeps_the_old_page_when_writing_fails) {
  const std::filesystem::path path = folder_ / "report.html";
  ASSERT_TRUE(replace_file(path, "old").ok());
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  struct rlimit small = before;
  small.rlim_cur = 1000;
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = replace_file(path, std::string(5000, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, ignored);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(str(std_view(status.message())), HasSubstr(path.string()));
  EXPECT_EQ(read(path), "old");
  EXPECT_THAT(names(), ElementsAre("report.html"));
}

}  // namespace
}  // namespace supercloud
