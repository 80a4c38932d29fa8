// Memory that is written all the time, and knows what must be in it.
//
// Page p was written version[p] times. The first word of each of its 64 cache lines says so, the other words never change: a page
// that is older than it should be, or part of one, or a page of zeros, is found; and the versions, which lie elsewhere, add up to
// what was written.
#pragma once

#include <sys/mman.h>

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace supercloud::workload {

// Not thread-safe.
class Memory {
 public:
  static constexpr std::uint64_t page_bytes = 4096;
  static constexpr std::uint64_t pages_per_mib = (std::uint64_t{1} << 20U) / page_bytes;

  Memory() = default;
  ~Memory() { release(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // A working set of so many MiB, made anew if it has another size. False, and none, if there is no room.
  bool resize(std::uint64_t mib) {
    if (mib * pages_per_mib == pages_ && pages_ > 0) return true;
    release();
    if (mib == 0 || mib >= 1U << 20U) return false;
    pages_ = mib * pages_per_mib;
    words_ = map<std::uint64_t>(pages_ * page_bytes);
    versions_ = map<std::uint32_t>(pages_ * sizeof(std::uint32_t));
    if (words_ == nullptr || versions_ == nullptr) {
      release();
      return false;
    }
    for (std::uint64_t page = 0; page < pages_; ++page) {
      for (std::uint64_t word = 0; word < page_words; ++word)
        page_of(page)[word] = constant(page, word);
      stamp(page);
    }
    return true;
  }

  // So many pages, one after the other and round again.
  void write(std::uint64_t count) {
    for (; count > 0 && pages_ > 0; --count) {
      ++versions_[next_];
      stamp(next_);
      ++written_;
      if (++next_ == pages_) next_ = 0;
    }
  }
  std::uint64_t written() const { return written_; }  // pages, of this working set

  // "ok", or the first that is wrong.
  void check(char* verdict, std::size_t size) const {
    std::uint64_t sum = 0;
    for (std::uint64_t page = 0; page < pages_; ++page) {
      sum += versions_[page];
      for (std::uint64_t word = 0; word < page_words; ++word)
        if (page_of(page)[word] != expected(page, word))
          return void(std::snprintf(verdict, size, "page_%" PRIu64 "_word_%" PRIu64, page, word));
    }
    if (sum != written_)
      return void(std::snprintf(verdict, size, "versions_%" PRIu64 "_of_%" PRIu64, sum, written_));
    std::snprintf(verdict, size, "ok");
  }

  // One bit, of a word that is not written again.
  bool damage() {
    if (pages_ == 0) return false;
    page_of(pages_ / 2)[page_words / 2 + 1] ^= std::uint64_t{1} << 17U;
    return true;
  }

 private:
  static constexpr std::uint64_t page_words = page_bytes / sizeof(std::uint64_t);
  static constexpr std::uint64_t line_words = 8;

  static std::uint64_t constant(std::uint64_t page, std::uint64_t word) {
    return (page * page_words + word + 1) * 0x9e37'79b9'7f4a'7c15U;
  }
  std::uint64_t expected(std::uint64_t page, std::uint64_t word) const {
    return word % line_words == 0 ? constant(page, word) + versions_[page] : constant(page, word);
  }
  void stamp(std::uint64_t page) {
    for (std::uint64_t word = 0; word < page_words; word += line_words)
      page_of(page)[word] = expected(page, word);
  }
  std::uint64_t* page_of(std::uint64_t page) const { return words_ + page * page_words; }

  template <class T>
  static T* map(std::uint64_t bytes) {
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? nullptr : static_cast<T*>(at);
  }
  void release() {
    if (words_ != nullptr) ::munmap(words_, pages_ * page_bytes);
    if (versions_ != nullptr) ::munmap(versions_, pages_ * sizeof(std::uint32_t));
    words_ = nullptr;
    versions_ = nullptr;
    pages_ = next_ = written_ = 0;
  }

  std::uint64_t pages_ = 0;
  std::uint64_t* words_ = nullptr;
  std::uint32_t* versions_ = nullptr;
  std::uint64_t next_ = 0;
  std::uint64_t written_ = 0;
};

}  // namespace supercloud::workload
