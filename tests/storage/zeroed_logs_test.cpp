// RocksDB's logs are written into zeros that they have already: nobody reads these, and a log that is closed has none.
#include "storage/zeroed_logs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rocksdb/file_system.h"
#include "storage/rocks_folder.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// A disk on which no file reaches further than that.
class ShortFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  ShortFile(std::unique_ptr<rocksdb::FSWritableFile>&& file, std::uint64_t longest)
      : FSWritableFileOwnerWrapper(std::move(file)), longest_(longest) {}
  rocksdb::IOStatus PositionedAppend(const rocksdb::Slice& data, std::uint64_t offset,
                                     const rocksdb::IOOptions& options,
                                     rocksdb::IODebugContext* debug) override {
    if (offset + data.size() <= longest_)
      return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
    // As much as there is room for.
    if (offset < longest_)
      FSWritableFileOwnerWrapper::PositionedAppend({data.data(), longest_ - offset}, offset,
                                                   options, debug)
          .PermitUncheckedError();
    return rocksdb::IOStatus::NoSpace("No space left on device");
  }

 private:
  const std::uint64_t longest_;
};

class ShortDisk final : public rocksdb::FileSystemWrapper {
 public:
  explicit ShortDisk(std::uint64_t longest)
      : FileSystemWrapper(rocksdb::FileSystem::Default()), longest_(longest) {}
  const char* Name() const override { return "ShortDisk"; }
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override {
    rocksdb::IOStatus made = FileSystemWrapper::NewWritableFile(path, options, file, debug);
    if (made.ok()) *file = std::make_unique<ShortFile>(std::move(*file), longest_);
    return made;
  }

 private:
  const std::uint64_t longest_;
};

class ZeroedLogsTest : public testing::Test {
 protected:
  std::unique_ptr<rocksdb::WritableFile> make(rocksdb::Env& env, const std::string& name) {
    std::unique_ptr<rocksdb::WritableFile> file;
    EXPECT_TRUE(env.NewWritableFile(folder_ / name, &file, rocksdb::EnvOptions()).ok());
    return file;
  }
  // Pieces that are told apart.
  std::string append(rocksdb::WritableFile& file, int pieces, std::size_t bytes) {
    std::string all;
    for (int i = 0; i < pieces; ++i) {
      const std::string piece(bytes, static_cast<char>('a' + i % 26));
      EXPECT_TRUE(file.Append(piece).ok());
      EXPECT_TRUE(file.Sync().ok());
      all += piece;
    }
    return all;
  }
  std::uint64_t size(const std::string& name) const { return fs::file_size(folder_ / name); }

  TemporaryFolder folder_;
  std::unique_ptr<rocksdb::Env> env_ = env_of_zeroed_logs(*rocksdb::Env::Default());
};

TEST_F(ZeroedLogsTest, grow_a_piece_at_a_time_and_not_with_each_commit) {
  const auto file = make(*env_, "000004.log");
  std::string written;
  std::set<std::uint64_t> sizes;
  for (int i = 0; i < 100; ++i) {
    written += append(*file, 1, 10'000);
    sizes.insert(size("000004.log"));
  }
  EXPECT_LE(sizes.size(), 6U);
  const std::string found = content(folder_ / "000004.log");
  ASSERT_GT(found.size(), written.size());
  EXPECT_EQ(found.substr(0, written.size()), written);
  EXPECT_EQ(found.find_first_not_of('\0', written.size()), std::string::npos);
}

TEST_F(ZeroedLogsTest, have_no_zeros_when_they_are_closed) {
  const auto file = make(*env_, "000004.log");
  const std::string written = append(*file, 30, 10'000);
  EXPECT_GT(size("000004.log"), written.size());
  ASSERT_TRUE(file->Close().ok());
  EXPECT_EQ(content(folder_ / "000004.log"), written);
}

TEST_F(ZeroedLogsTest, have_none_while_they_are_short) {
  const auto file = make(*env_, "000004.log");
  const std::string written = append(*file, 4, 1'000);
  EXPECT_EQ(size("000004.log"), written.size());
}

TEST_F(ZeroedLogsTest, other_files_are_written_as_ever) {
  const auto file = make(*env_, "000004.sst");
  const std::string written = append(*file, 30, 10'000);
  EXPECT_EQ(size("000004.sst"), written.size());
}

TEST_F(ZeroedLogsTest, a_disk_without_room_for_zeros_takes_what_it_has_room_for) {
  const std::unique_ptr<rocksdb::Env> disk =
      rocksdb::NewCompositeEnv(std::make_shared<ShortDisk>(100'000));
  const auto env = env_of_zeroed_logs(*disk);
  const auto file = make(*env, "000004.log");
  const std::string written = append(*file, 10, 10'000);
  EXPECT_EQ(size("000004.log"), written.size()) << "others may need what zeros would take";
  EXPECT_FALSE(file->Append(std::string(1, 'x')).ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_EQ(content(folder_ / "000004.log"), written);
}

class KilledLog : public ZeroedLogsTest {
 protected:
  static constexpr int rows = 40;

  RocksFolderOptions options(const std::string& name) const {
    return {.path = folder_ / name, .kind = "lease table", .owner = "test", .families = {{"rows"}}};
  }
  // A folder as a kill would leave it; the last commit is of so many bytes.
  void SetUp() override {
    const auto folder = RocksFolder::open(options("table"));
    ASSERT_TRUE(folder.ok()) << folder.status();
    for (int i = 0; i < rows; ++i) commit(**folder, std::to_string(i), 5'000);
    kill("killed");
    commit(**folder, "short", 3'000);
    kill("short");
    commit(**folder, "long", 1'200'000);
    kill("long");
  }
  static void commit(RocksFolder& folder, const std::string& key, std::size_t bytes) {
    RocksChanges changes;
    changes.put(0, key, std::string(bytes, 'v'));
    ASSERT_TRUE(folder.commit(changes).ok());
  }
  void kill(const std::string& name) {
    fs::copy(folder_ / "table", folder_ / name, fs::copy_options::recursive);
  }
  fs::path log_of(const std::string& name) const {
    fs::path log;
    for (const auto& entry : fs::directory_iterator(folder_ / (name + "/rocks")))
      if (entry.path().extension() == ".log" && fs::file_size(entry.path()) > 0) log = entry.path();
    return log;
  }
  // First by who only reads.
  void expect_rows(const std::string& name, int expected) {
    for (const bool reads : {true, false}) {
      const auto killed =
          reads ? RocksFolder::open_read_only(options(name)) : RocksFolder::open(options(name));
      ASSERT_TRUE(killed.ok()) << name << ": " << killed.status();
      const auto all = (*killed)->rows(0);
      int count = 0;
      for (all->SeekToFirst(); all->Valid(); all->Next()) ++count;
      EXPECT_EQ(count, expected) << name << (reads ? ", read only" : ", opened");
    }
  }
};

TEST_F(KilledLog, is_read_as_a_whole) {
  EXPECT_TRUE(content(log_of("killed")).ends_with('\0'));
  expect_rows("killed", rows);
  expect_rows("short", rows + 1);
  expect_rows("long", rows + 2);
}

// The one that was under way is not there; it was promised to nobody.
TEST_F(KilledLog, whose_last_commit_is_there_in_part_has_all_before) {
  for (const auto& [name, before] : {std::pair<std::string, int>("short", rows),
                                     std::pair<std::string, int>("long", rows + 1)}) {
    const std::string whole = content(log_of(name));
    const std::size_t end = whole.find_last_not_of('\0') + 1;
    const std::size_t bytes = before == rows ? 3'000 : 1'200'000;
    std::string torn = whole.substr(0, end - bytes / 2) + std::string(bytes / 2 + 1'000, '\0');
    std::ofstream(log_of(name), std::ios::binary) << torn;
    fs::remove(folder_ / (name + "/synced"));  // says that it was promised
    expect_rows(name, before);
  }
}

// A page of it was not written when power failed, though later ones were.
TEST_F(KilledLog, whose_last_commit_has_a_hole_has_all_before) {
  for (const std::size_t from_end : {1'199'000U, 600'000U, 9'000U}) {
    const std::string name = "hole" + std::to_string(from_end);
    fs::copy(folder_ / "long", folder_ / name, fs::copy_options::recursive);
    std::string holed = content(log_of(name));
    const std::size_t end = holed.find_last_not_of('\0') + 1;
    const std::size_t page = (end - from_end + 4095) / 4096 * 4096;
    std::fill_n(holed.begin() + static_cast<std::ptrdiff_t>(page), 4096, '\0');
    std::ofstream(log_of(name), std::ios::binary) << holed;
    fs::remove(folder_ / (name + "/synced"));
    expect_rows(name, rows + 1);
  }
}

}  // namespace
}  // namespace supercloud
