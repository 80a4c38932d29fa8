#include "cli/seed_runner.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

// For the signal handler, which may not make words itself: what it says if the run under way on this thread ends the process.
thread_local char last_words[512] = {};

void prepare_last_words(std::uint64_t seed, const SeedWatcher& watcher) {
  std::string words = absl::StrCat("\nsimulate: the process ends in seed ", seed);
  if (watcher.command) absl::StrAppend(&words, ": see it with `", watcher.command(seed), "`");
  words += "\n";
  last_words[words.copy(last_words, sizeof last_words - 1)] = '\0';
}

void on_crash(int signal) {
  // nothing can be done here about a failure to write
  if (write(STDERR_FILENO, last_words, std::strlen(last_words)) < 0) last_words[0] = '\0';
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
          const std::atomic<std::uint64_t>& told, const SeedRun& run, const SeedWatcher& watcher) {
  std::unique_lock lock(shared.mutex);
  while (!shared.stopped && shared.next < range.count) {
    // One slow seed does not make the others pile up.
    if (shared.next >= told.load() + ahead_max) {
      shared.changed.wait(lock);
      continue;
    }
    const std::uint64_t offset = shared.next++;
    lock.unlock();
    prepare_last_words(range.first + offset, watcher);
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
    workers.emplace_back([&] { work(shared, range, threads * 64, told, run, watcher); });

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
