// The memory of a simulated guest: a few pages that stand for all of it, each with a 64-bit
// content, with dirty tracking and a checksum that the guest keeps as it writes, by which it finds
// out later whether a move has broken anything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace supercloud {

// Thread-bound.
class GuestMemory {
 public:
  explicit GuestMemory(std::size_t pages);

  std::size_t pages() const { return contents_.size(); }
  std::uint64_t content(std::size_t page) const { return contents_[page]; }
  // By the guest: the page becomes dirty, the checksum follows.
  void write(std::size_t page, std::uint64_t content);
  // From a page stream: past the guest's own checksum.
  void load(std::size_t page, std::uint64_t content);

  // After a post-copy: pages that are here only once they are loaded.
  void miss(const std::vector<std::uint32_t>& pages);
  bool missing(std::size_t page) const { return missing_[page]; }
  std::vector<std::uint32_t> missing_pages() const;
  bool whole() const { return missing_count_ == 0; }

  bool dirty(std::size_t page) const { return dirty_[page]; }
  std::size_t dirty_pages() const { return dirty_count_; }
  // Pages written since the last take, ascending; none of them is dirty afterwards.
  std::vector<std::uint32_t> take_dirty();
  void mark_all_dirty();

  // What the guest has kept, and what its pages really come to.
  std::uint64_t checksum() const { return checksum_; }
  void set_checksum(std::uint64_t checksum) { checksum_ = checksum; }
  std::uint64_t compute_checksum() const;

 private:
  std::vector<std::uint64_t> contents_;
  std::vector<bool> dirty_;
  std::vector<bool> missing_;
  std::size_t missing_count_ = 0;
  std::size_t dirty_count_ = 0;
  std::uint64_t checksum_ = 0;
};

}  // namespace supercloud
