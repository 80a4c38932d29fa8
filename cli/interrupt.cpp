#include "cli/interrupt.h"

#include <signal.h>

#include <atomic>

namespace supercloud {
namespace {

// Signal handlers have no other way to say something.
std::atomic<bool> signalled = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void on_signal(int) { signalled.store(true); }

}  // namespace

Interrupt::Interrupt() {
  signalled.store(false);
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // and no SA_RESTART: waits end
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Interrupt::~Interrupt() {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupt::requested() const { return signalled.load(); }

}  // namespace supercloud
