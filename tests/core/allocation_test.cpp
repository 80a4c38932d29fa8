// Alone in its binary, because it replaces the global operator new: counts what an event costs the allocator.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>

#include "core/event.h"
#include "tests/core/sealed.h"

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace supercloud {
namespace {

template <class Action>
std::size_t allocations_of(Action action) {
  const std::size_t before = allocations.load();
  action();
  return allocations.load() - before;
}

TEST(Allocation, is_counted_here) {
  EXPECT_GE(allocations_of([] {
              std::string text(100, 'x');
              EXPECT_EQ(text.size(), 100);
            }),
            1);
}

TEST(Allocation, happens_for_no_event_in_steady_state) {
  EventPool pool;
  const Event cause = released_event(pool, 1);
  const auto live = [&](std::uint64_t sequence) {
    Draft draft = pool.draft("a-subject-too-long-for-a-small-string");
    auto proposed = draft.payload().initMigrationProposed();
    proposed.setVm("web1");
    proposed.setTargetPlace("aws/us-east-1/us-east-1d/m3.medium/spot");
    proposed.setReason("12 % cheaper over the next hour");
    proposed.setGainNanoUsd(9'300'000);
    proposed.initEvidence(1)[0].setOrigin("node-b/watcher");
    draft.epoch(4);
    const Event event = *std::move(draft).seal(test_envelope(sequence, &cause));
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): what is measured
    const Event copy = event;
    if (text(copy.payload().getMigrationProposed().getVm()) != "web1") std::abort();
    if (copy.bytes().empty() || copy.topic().empty()) std::abort();
  };
  live(2);  // the pool's first buffer
  EXPECT_EQ(allocations_of([&] {
              for (std::uint64_t i = 3; i < 1000; ++i) live(i);
            }),
            0);
}

TEST(Allocation, of_parsing_is_the_validating_readers_alone) {
  EventPool pool;
  const Event event = released_event(pool, 1);
  const auto parse = [&] {
    if (!pool.parse(event.bytes()).ok()) std::abort();
  };
  parse();
  const std::size_t buffers = pool.allocated();
  const std::size_t once = allocations_of(parse);
  EXPECT_EQ(allocations_of([&] {
              for (int i = 0; i < 100; ++i) parse();
            }),
            once * 100);
  EXPECT_LE(once, 2);
  EXPECT_EQ(pool.allocated(), buffers);
}

}  // namespace
}  // namespace supercloud
