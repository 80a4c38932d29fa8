// Alone in its binary, because it replaces the global operator new: what a hop from actor to actor costs the allocator.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/core/node_fixture.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

// Not inlined: g++ 12 would see malloc in one place and delete in another, and take them for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace supercloud {
namespace {

using NodeAllocation = NodeTest;

TEST_F(NodeAllocation, HopsOfVolatileEventsBetweenActorsAllocateNothing) {
  bus->keep_published = false;
  unsigned hops = 0;
  unsigned target = 0;
  const auto answer = [&](Context& context, const Event&) {
    if (++hops < target) context.publish(progress(context, hops));
  };
  spawn("ping", {"migration.progress.>"}, answer);
  Context& speaker = spawn("speaker");
  const auto play = [&](unsigned count) {
    hops = 0;
    target = count;
    speaker.publish(progress(speaker, 0));
    run();
    EXPECT_EQ(hops, count);
  };
  play(100);
  const std::size_t before = allocations.load();
  // within one block of sequence numbers: a reservation every 512 events is the log's business
  play(300);
  EXPECT_EQ(allocations.load() - before, 0U);
}

}  // namespace
}  // namespace supercloud
