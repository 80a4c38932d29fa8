// RocksDB's logs are written into zeros that they have already: nobody reads these, and a log that is closed has none.
#include "storage/zeroed_logs.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>
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
    if (offset + data.size() > longest_)
      return rocksdb::IOStatus::NoSpace("No space left on device");
    return FSWritableFileOwnerWrapper::PositionedAppend(data, offset, options, debug);
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
  EXPECT_FALSE(file->Append(std::string(1, 'x')).ok());
  EXPECT_TRUE(file->Close().ok());
  EXPECT_EQ(content(folder_ / "000004.log"), written);
}

TEST_F(ZeroedLogsTest, whose_process_was_killed_are_read_as_a_whole) {
  const auto options = [this](const std::string& name) {
    return RocksFolderOptions{
        .path = folder_ / name, .kind = "lease table", .owner = "test", .families = {{"rows"}}};
  };
  const auto folder = RocksFolder::open(options("table"));
  ASSERT_TRUE(folder.ok()) << folder.status();
  constexpr int rows = 40;
  for (int i = 0; i < rows; ++i) {
    RocksChanges changes;
    changes.put(0, std::to_string(i), std::string(5'000, 'v'));
    ASSERT_TRUE((*folder)->commit(changes).ok());
  }
  // As a kill would leave it.
  fs::copy(folder_ / "table", folder_ / "killed", fs::copy_options::recursive);
  int with_zeros = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "killed/rocks")) {
    if (entry.path().extension() == ".log" && content(entry.path()).ends_with('\0')) ++with_zeros;
  }
  EXPECT_EQ(with_zeros, 1);

  for (const bool reads : {true, false}) {
    const auto killed = reads ? RocksFolder::open_read_only(options("killed"))
                              : RocksFolder::open(options("killed"));
    ASSERT_TRUE(killed.ok()) << killed.status();
    const auto all = (*killed)->rows(0);
    int count = 0;
    for (all->SeekToFirst(); all->Valid(); all->Next()) ++count;
    EXPECT_EQ(count, rows) << (reads ? "read only" : "opened");
  }
}

}  // namespace
}  // namespace supercloud
