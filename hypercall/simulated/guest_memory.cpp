#include "hypercall/simulated/guest_memory.h"

#include "core/random.h"

namespace supercloud {
namespace {

// XOR over all pages, so that one write costs two mixes and the order of writes does not matter.
std::uint64_t mix(std::size_t page, std::uint64_t content) {
  Random place(page);
  Random value(place.next() ^ content);
  return value.next();
}

}  // namespace

GuestMemory::GuestMemory(std::size_t pages) : contents_(pages), dirty_(pages), missing_(pages) {
  checksum_ = compute_checksum();
}

void GuestMemory::write(std::size_t page, std::uint64_t content) {
  checksum_ ^= mix(page, contents_[page]) ^ mix(page, content);
  contents_[page] = content;
  if (!dirty_[page]) {
    dirty_[page] = true;
    ++dirty_count_;
  }
}

void GuestMemory::load(std::size_t page, std::uint64_t content) {
  contents_[page] = content;
  if (missing_[page]) --missing_count_;
  missing_[page] = false;
}

void GuestMemory::miss(const std::vector<std::uint32_t>& pages) {
  for (const std::uint32_t page : pages) {
    if (!missing_[page]) ++missing_count_;
    missing_[page] = true;
  }
}

std::vector<std::uint32_t> GuestMemory::missing_pages() const {
  std::vector<std::uint32_t> pages;
  for (std::size_t page = 0; page < missing_.size(); ++page)
    if (missing_[page]) pages.push_back(static_cast<std::uint32_t>(page));
  return pages;
}

std::vector<std::uint32_t> GuestMemory::take_dirty() {
  std::vector<std::uint32_t> taken;
  taken.reserve(dirty_count_);
  for (std::size_t page = 0; page < dirty_.size(); ++page) {
    if (dirty_[page]) taken.push_back(static_cast<std::uint32_t>(page));
    dirty_[page] = false;
  }
  dirty_count_ = 0;
  return taken;
}

void GuestMemory::mark_all_dirty() {
  dirty_.assign(dirty_.size(), true);
  dirty_count_ = dirty_.size();
}

std::uint64_t GuestMemory::compute_checksum() const {
  std::uint64_t sum = 0;
  for (std::size_t page = 0; page < contents_.size(); ++page) sum ^= mix(page, contents_[page]);
  return sum;
}

}  // namespace supercloud
