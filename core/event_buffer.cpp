#include "core/event_buffer.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace supercloud {
namespace {

void zero_used(EventBuffer& buffer) {
  std::memset(buffer.framed(), 0, buffer.framed_bytes());
  buffer.used_words = 0;
}

void free_buffer(EventBuffer* buffer) {
  buffer->~EventBuffer();
  ::operator delete(static_cast<void*>(buffer));
}

}  // namespace

void EventBuffer::drop() {
  // The last owner must see what the others did with it before it is zeroed.
  if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) pool->give_back(this);
}

kj::ArrayPtr<capnp::word> DraftBuilder::allocateSegment(kj::uint minimum_words) {
  if (!first_given_) {
    first_given_ = true;
    assert(minimum_words <= first_.capacity_words);  // it is the root pointer's
    return {first_.segment(), first_.capacity_words};
  }
  constexpr std::size_t usual_words = 1024;
  const std::size_t words =
      std::max<std::size_t>(minimum_words, usual_words << std::min<std::size_t>(more_.size(), 6));
  more_.push_back(std::make_unique<capnp::word[]>(words));
  std::memset(static_cast<void*>(more_.back().get()), 0, words * sizeof(capnp::word));
  return {more_.back().get(), words};
}

void DraftParts::drop() {
  if (buffer != nullptr) {
    buffer->used_words = static_cast<std::uint32_t>(builder->getSegmentsForOutput()[0].size());
  }
  builder.reset();
  if (buffer != nullptr) buffer->drop();
  buffer = nullptr;
  pool->give_back(this);
}

BufferPool::~BufferPool() {
  assert(outstanding_ == 0 && "an Event or Draft outlives its EventPool");
  for (EventBuffer* list : free_) {
    while (list != nullptr) free_buffer(std::exchange(list, list->next_free));
  }
  while (free_drafts_ != nullptr) {
    delete std::exchange(free_drafts_, free_drafts_->next_free);
  }
}

EventBuffer* BufferPool::allocate(std::uint32_t size_class, std::size_t bytes) {
  void* memory = ::operator new(bytes);
  std::memset(memory, 0, bytes);
  auto* buffer = new (memory) EventBuffer;
  buffer->pool = this;
  buffer->size_class = size_class;
  buffer->capacity_words = static_cast<std::uint32_t>(
      (bytes - sizeof(EventBuffer) - codec::framing_bytes) / sizeof(capnp::word));
  return buffer;
}

EventBuffer* BufferPool::take_class(std::uint32_t size_class) {
  ++outstanding_;
  EventBuffer* buffer = free_[size_class];
  if (buffer == nullptr) {
    ++allocated_;
    return nullptr;
  }
  free_[size_class] = buffer->next_free;
  return buffer;
}

EventBuffer* BufferPool::take(std::size_t words) {
  const std::size_t bytes =
      sizeof(EventBuffer) + codec::framing_bytes + words * sizeof(capnp::word);
  std::uint32_t size_class = 0;
  while (size_class < size_classes && (smallest_bytes << size_class) < bytes) ++size_class;
  EventBuffer* buffer = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (size_class < size_classes) {
      buffer = take_class(size_class);
    } else {
      ++outstanding_;
      ++allocated_;
    }
  }
  if (buffer == nullptr) {
    buffer = allocate(size_class, size_class < size_classes ? smallest_bytes << size_class : bytes);
  }
  buffer->references.store(1, std::memory_order_relaxed);
  return buffer;
}

DraftParts* BufferPool::take_draft() {
  DraftParts* parts = nullptr;
  EventBuffer* buffer = nullptr;
  {
    const std::lock_guard lock(mutex_);
    ++outstanding_;
    parts = free_drafts_;
    if (parts != nullptr) free_drafts_ = parts->next_free;
    buffer = take_class(draft_class);
  }
  if (parts == nullptr) {
    parts = new DraftParts;
    parts->pool = this;
  }
  if (buffer == nullptr) buffer = allocate(draft_class, smallest_bytes << draft_class);
  buffer->references.store(1, std::memory_order_relaxed);
  parts->buffer = buffer;
  parts->builder.emplace(*buffer);
  parts->root = parts->builder->initRoot<schema::Event>();
  return parts;
}

void BufferPool::give_back(EventBuffer* buffer) {
  if (buffer->size_class >= size_classes) {
    free_buffer(buffer);
    const std::lock_guard lock(mutex_);
    --outstanding_;
    return;
  }
  zero_used(*buffer);
  const std::lock_guard lock(mutex_);
  buffer->next_free = std::exchange(free_[buffer->size_class], buffer);
  --outstanding_;
}

void BufferPool::give_back(DraftParts* parts) {
  const std::lock_guard lock(mutex_);
  parts->next_free = std::exchange(free_drafts_, parts);
  --outstanding_;
}

std::size_t BufferPool::allocated() const {
  const std::lock_guard lock(mutex_);
  return allocated_;
}

}  // namespace supercloud
