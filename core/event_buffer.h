// Inside core only: the buffers that events live in, and what a draft needs besides.
//
// A buffer is zeroed while it lies in the pool, as Cap'n Proto's builder expects of a segment. The framing stands directly ahead
// of the segment, so that an event that fits is never copied between its draft and the wire.
#pragma once

#include <capnp/message.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/codec.h"
#include "core/schema/event.capnp.h"

namespace supercloud {

class BufferPool;

struct EventBuffer {
  BufferPool* pool = nullptr;
  EventBuffer* next_free = nullptr;
  std::atomic<std::uint32_t> references{1};
  std::uint32_t size_class = 0;
  std::uint32_t capacity_words = 0;
  std::uint32_t used_words = 0;
  schema::Event::Reader root;  // of a sealed or validated event: looked up once

  std::byte* framed() { return reinterpret_cast<std::byte*>(this + 1); }
  capnp::word* segment() { return reinterpret_cast<capnp::word*>(framed() + codec::framing_bytes); }
  std::size_t framed_bytes() const {
    return codec::framing_bytes + used_words * sizeof(capnp::word);
  }
  void drop();
};

// A message whose first segment is a pooled buffer's; what does not fit goes to segments of its own until it is sealed.
class DraftBuilder final : public capnp::MessageBuilder {
 public:
  explicit DraftBuilder(EventBuffer& first) : first_(first) {}
  kj::ArrayPtr<capnp::word> allocateSegment(kj::uint minimum_words) override;

 private:
  EventBuffer& first_;
  bool first_given_ = false;
  std::vector<std::unique_ptr<capnp::word[]>> more_;
};

struct DraftParts {
  BufferPool* pool = nullptr;
  DraftParts* next_free = nullptr;
  EventBuffer* buffer = nullptr;  // null once sealed
  std::optional<DraftBuilder> builder;
  std::string tenant;  // these keep their capacity from draft to draft
  std::string subject;
  std::string topic;
  schema::Event::Builder root{nullptr};

  // Gives back everything, the buffer too if it is still here.
  void drop();
};

// Thread-safe.
class BufferPool {
 public:
  BufferPool() = default;
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // Zeroed, for `words` at least.
  EventBuffer* take(std::size_t words);
  // With a buffer of draft_words and an empty builder in it.
  DraftParts* take_draft();
  void give_back(EventBuffer* buffer);
  void give_back(DraftParts* parts);
  std::size_t allocated() const;

 private:
  // Buffers of 512 bytes, 1 KiB ... 64 KiB are kept; larger ones are rare and go back to the allocator.
  static constexpr std::size_t smallest_bytes = 512;
  static constexpr std::uint32_t size_classes = 8;
  // Drafts start with 2 KiB: several times the usual event, and small enough that a thousand of them stay in a cache.
  static constexpr std::uint32_t draft_class = 2;

  EventBuffer* take_class(std::uint32_t size_class);  // with mutex_ held; null: none is free
  EventBuffer* allocate(std::uint32_t size_class, std::size_t bytes);

  mutable std::mutex mutex_;
  EventBuffer* free_[size_classes] = {};
  DraftParts* free_drafts_ = nullptr;
  std::size_t allocated_ = 0;
  std::size_t outstanding_ = 0;
};

}  // namespace supercloud
