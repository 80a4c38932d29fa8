// What the two ends of a call that takes long tell each other beside its answer: how far it is, and that nobody waits for it any more.
//
// Who asks makes one and gives it along with the Reply; who answers finds it there (Reply::call), wherever it is: the bus carries
// what is said between processes, hubs included. Whoever has nothing to say, or does not listen, leaves it alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace supercloud {

// Newer ones replace older ones: nobody is owed each of them.
struct Progress {
  std::uint64_t done = 0;
  std::uint64_t total = 0;  // 0: not known
  std::string what;         // for people: what is being done

  friend bool operator==(const Progress&, const Progress&) = default;
};

// Thread-bound, as both its ends are in one process.
class Call {
 public:
  using OnProgress = std::function<void(const Progress&)>;

  Call() = default;
  explicit Call(OnProgress on_progress) : on_progress_(std::move(on_progress)) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  // ---- who answers
  // Whether anybody hears what is told.
  bool wants_progress() const { return on_progress_ != nullptr && !cancelled_; }
  void tell(const Progress& progress) {
    if (wants_progress()) on_progress_(progress);
  }
  // Nobody waits any more: the answer may still be given, and goes nowhere.
  bool cancelled() const { return cancelled_; }
  // `then` runs when that is so, inside cancel(); at once, if it is so already.
  void when_cancelled(std::function<void()> then) {
    if (cancelled_) return then();
    cancelled_then_.push_back(std::move(then));
  }

  // ---- who asks
  // The answer is of no use any more. A second one does nothing.
  void cancel() {
    if (std::exchange(cancelled_, true)) return;
    for (const auto& then : std::exchange(cancelled_then_, {})) then();
  }

 private:
  OnProgress on_progress_;
  bool cancelled_ = false;
  std::vector<std::function<void()>> cancelled_then_;
};

}  // namespace supercloud
