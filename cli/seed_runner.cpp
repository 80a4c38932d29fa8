#include "cli/seed_runner.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace supercloud {
namespace {

// For the signal handler, which has no other way to know.
thread_local std::uint64_t seed_under_way = 0;

void say(const char* words) {
  // nothing can be done about it here
  if (write(STDERR_FILENO, words, std::strlen(words)) < 0) return;
}

void on_crash(int signal) {
  char digits[24] = {};
  std::to_chars(digits, digits + sizeof digits - 1, seed_under_way);
  say("\nsimulate: the process ends in seed ");
  say(digits);
  say(": see it with `supercloud simulate --trace --seed ");
  say(digits);
  say("`\n");
  ::signal(signal, SIG_DFL);
  raise(signal);
}

// Tells the seed of an assertion that fails or an address that faults.
class CrashTeller {
 public:
  CrashTeller() {
    struct sigaction action = {};
    action.sa_handler = on_crash;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    for (std::size_t i = 0; i < before_.size(); ++i) sigaction(signals[i], &action, &before_[i]);
  }
  ~CrashTeller() {
    for (std::size_t i = 0; i < before_.size(); ++i) sigaction(signals[i], &before_[i], nullptr);
  }
  CrashTeller(const CrashTeller&) = delete;
  CrashTeller& operator=(const CrashTeller&) = delete;

 private:
  static constexpr int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
  std::vector<struct sigaction> before_{std::size(signals)};
};

// Results wait here for those of smaller seeds.
struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t next = 0;                       // offset of the next seed to begin
  std::map<std::uint64_t, RunResult> finished;  // by offset
  unsigned working = 0;
  bool stopped = false;
};

void work(Shared& shared, SeedRange range, unsigned ahead_max,
          const std::atomic<std::uint64_t>& told, const SeedRun& run) {
  std::unique_lock lock(shared.mutex);
  while (!shared.stopped && shared.next < range.count) {
    // One slow seed does not make the others pile up.
    if (shared.next >= told.load() + ahead_max) {
      shared.changed.wait(lock);
      continue;
    }
    const std::uint64_t offset = shared.next++;
    lock.unlock();
    seed_under_way = range.first + offset;
    RunResult result = run(range.first + offset);
    lock.lock();
    shared.finished.emplace(offset, std::move(result));
    shared.changed.notify_all();
  }
  --shared.working;
  shared.changed.notify_all();
}

}  // namespace

std::uint64_t run_seeds(SeedRange range, unsigned threads, const SeedRun& run,
                        const SeedWatcher& watcher) {
  const CrashTeller teller;
  Shared shared;
  std::atomic<std::uint64_t> told = 0;
  threads = static_cast<unsigned>(
      std::clamp<std::uint64_t>(threads, 1, std::max<std::uint64_t>(range.count, 1)));
  shared.working = threads;
  std::vector<std::thread> workers;
  for (unsigned i = 0; i < threads; ++i)
    workers.emplace_back([&] { work(shared, range, threads * 64, told, run); });

  std::unique_lock lock(shared.mutex);
  while (true) {
    while (!shared.finished.empty() && shared.finished.begin()->first == told.load()) {
      const RunResult result = std::move(shared.finished.begin()->second);
      shared.finished.erase(shared.finished.begin());
      lock.unlock();
      if (watcher.told) watcher.told(result);
      lock.lock();
      ++told;
      shared.changed.notify_all();
    }
    if (shared.working == 0 && shared.finished.empty()) break;
    lock.unlock();
    if (watcher.look) watcher.look();
    const bool stop = watcher.stop && watcher.stop();
    lock.lock();
    if (stop && !shared.stopped) {
      shared.stopped = true;
      shared.changed.notify_all();
    }
    if (!shared.finished.empty() && shared.finished.begin()->first == told.load()) continue;
    if (shared.working > 0) shared.changed.wait_for(lock, std::chrono::milliseconds(100));
  }
  lock.unlock();
  for (std::thread& worker : workers) worker.join();
  return told.load();
}

}  // namespace supercloud
