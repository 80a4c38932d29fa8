#include "cli/interrupt.h"

#include <signal.h>
#include <time.h>

#include <atomic>
#include <cstdint>

namespace supercloud {
namespace {

// Signal handlers have no other way to say something.
std::atomic<std::int64_t> signalled_at_ms = 0;  // 0: not yet
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

// Programs like timeout(1) signal a process and then its group: that is still the first time.
constexpr std::int64_t once_ms = 500;

void on_signal(int number) {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t now_ms =
      static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000 + 1;
  std::int64_t first_ms = 0;
  if (signalled_at_ms.compare_exchange_strong(first_ms, now_ms) || now_ms - first_ms < once_ms)
    return;
  ::signal(number, SIG_DFL);
  raise(number);
}

void handle(void (*handler)(int)) {
  struct sigaction action = {};
  action.sa_handler = handler;  // no SA_RESTART: waits end
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    // Whoever ignores it (nohup) means to go on.
    if (number == SIGHUP && before.sa_handler == SIG_IGN) continue;
    sigaction(number, &action, nullptr);
  }
}

}  // namespace

Interrupt::Interrupt() {
  signalled_at_ms.store(0);
  handle(on_signal);
}

Interrupt::~Interrupt() { handle(SIG_DFL); }

bool Interrupt::requested() const { return signalled_at_ms.load() != 0; }

}  // namespace supercloud
