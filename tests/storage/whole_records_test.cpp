// A list of files whose end was torn by a loss of power is read up to there; one that is damaged elsewhere is not made shorter.
#include "storage/whole_records.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>

#include "storage/rocks_folder.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;

class Manifest : public testing::Test {
 protected:
  void SetUp() override {
    auto folder = RocksFolder::open(options());
    ASSERT_TRUE(folder.ok()) << folder.status();
    for (int i = 0; i < 20; ++i) {
      RocksChanges changes;
      changes.put(0, "key" + std::to_string(i), std::string(100, 'v'));
      ASSERT_TRUE((*folder)->commit(changes).ok());
      // Writes a file, which the list then names.
      if (i % 4 == 0) {
        ASSERT_TRUE((*folder)->db()->Flush(rocksdb::FlushOptions()).ok());
      }
    }
    folder->reset();
    for (const auto& entry : fs::directory_iterator(path_ + "/rocks")) {
      if (entry.path().filename().string().starts_with("MANIFEST-")) file_ = entry.path();
    }
    std::ifstream stream(file_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(stream), {});
    ASSERT_EQ(whole_records_of(bytes_), bytes_.size());
  }

  RocksFolderOptions options() const {
    return {.path = path_, .kind = "lease table", .owner = "test", .families = {{"rows"}}};
  }
  void write(const std::string& bytes) const { std::ofstream(file_, std::ios::binary) << bytes; }
  // Where records end.
  std::set<std::size_t> ends() const {
    std::set<std::size_t> ends;
    for (std::size_t size = 0; size <= bytes_.size(); ++size)
      ends.insert(whole_records_of(std::string_view(bytes_).substr(0, size)));
    return ends;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "table";
  fs::path file_;
  std::string bytes_;
};

TEST_F(Manifest, that_is_cut_short_is_read_up_to_the_last_record_before) {
  const std::set<std::size_t> ends = this->ends();
  EXPECT_GE(ends.size(), 5U);
  EXPECT_EQ(*ends.begin(), 0U);
  for (std::size_t size = 0; size <= bytes_.size(); ++size) {
    EXPECT_EQ(whole_records_of(std::string_view(bytes_).substr(0, size)),
              *std::prev(ends.upper_bound(size)));
  }
}

TEST_F(Manifest, is_made_no_shorter_by_damage_with_a_record_behind_it) {
  const std::set<std::size_t> ends = this->ends();
  const std::size_t last = *std::prev(ends.end(), 2);
  for (std::size_t at = 0; at < bytes_.size(); ++at) {
    std::string damaged = bytes_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    EXPECT_EQ(whole_records_of(damaged), at < last ? bytes_.size() : last) << at;
  }
}

// What a disk may hold behind what was synced: as each tail alone, and as the rest of a record whose beginning arrived.
TEST_F(Manifest, with_a_torn_end_has_all_that_was_committed) {
  std::string noise;
  for (unsigned i = 0, x = 1; i < 700; ++i) noise += static_cast<char>((x = x * 75 + 74) >> 8U);
  const std::string record = bytes_.substr(*std::prev(this->ends().end(), 2));
  for (const std::string& tail :
       {noise, std::string(5000, '\0'), record.substr(0, record.size() / 2) + noise.substr(0, 400),
        record.substr(0, 9) + std::string(record.size(), '\0')}) {
    write(bytes_ + tail);
    for (const auto how : {&RocksFolder::open_read_only, &RocksFolder::open}) {
      const auto folder = how(options());
      ASSERT_TRUE(folder.ok()) << folder.status();
      EXPECT_EQ((*folder)->commits(), 21U);  // the first says what the folder is
      int rows = 0;
      const auto all = (*folder)->rows(0);
      for (all->SeekToFirst(); all->Valid(); all->Next()) ++rows;
      EXPECT_EQ(rows, 20);
    }
    // Whoever opened it for writing has begun a new list.
    const std::string written = file_;
    for (const auto& entry : fs::directory_iterator(path_ + "/rocks")) {
      if (entry.path().filename().string().starts_with("MANIFEST-")) file_ = entry.path();
    }
    EXPECT_NE(file_, written);
    std::ifstream stream(file_, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(stream), {});
  }
}

TEST_F(Manifest, that_is_damaged_before_its_end_is_refused_and_left) {
  std::string damaged = bytes_;
  damaged[*std::next(this->ends().begin()) + 10] ^= 0x41;
  write(damaged);
  const auto folder = RocksFolder::open(options());
  EXPECT_TRUE(absl::IsDataLoss(folder.status())) << folder.status();
  std::ifstream stream(file_, std::ios::binary);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(stream), {}), damaged);
}

}  // namespace
}  // namespace supercloud
