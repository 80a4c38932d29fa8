// What waits in a hub for its proof. A node's log signs at the end of each group commit what that has taken (bus/checkpoint.h): whoever is behind
// the hub takes an event that is logged only with its checkpoint, so the hub lets it pass when it has that, and sends the checkpoint ahead.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "bus/checkpoint.h"
#include "core/event.h"
#include "core/scheduler.h"

namespace supercloud {

// Thread-bound. The order of each origin's events stays.
class AwaitingProof {
 public:
  // Checkpoints follow what they list at once, or at the next group commit. What has none by then passes without: who is behind asks for it.
  static constexpr Duration wait_max = absl::Seconds(1);
  // That wait; beyond, those of the origin pass that has waited longest.
  static constexpr std::size_t events_max = 16'384;
  static constexpr std::size_t bytes_max = 64 << 20;

  // `proofs`: what is known where events come from; null: nothing waits.
  using Pass = std::function<void(const Event& event, const Event* checkpoint)>;
  AwaitingProof(Scheduler& scheduler, const Proofs* proofs, Pass pass)
      : scheduler_(scheduler), proofs_(proofs), pass_(std::move(pass)) {}
  ~AwaitingProof() { scheduler_.cancel(timer_); }
  AwaitingProof(const AwaitingProof&) = delete;
  AwaitingProof& operator=(const AwaitingProof&) = delete;

  void take(Event event);
  // `checkpoint` is known from now on.
  void proven_by(const Event& checkpoint);

 private:
  struct Waiting {
    std::deque<Event> events;  // the first has no proof yet
    Instant since;
  };
  using Origins = std::map<std::string, Waiting, std::less<>>;

  bool passes(const Event& event);
  void release(Origins::iterator origin);
  void let_all_pass(Origins::iterator origin);
  void arm();

  Scheduler& scheduler_;
  const Proofs* const proofs_;
  const Pass pass_;
  Origins origins_;
  std::size_t waiting_ = 0;  // events
  std::size_t bytes_ = 0;    // of them
  TimerId timer_ = 0;
};

// Which checkpoints were sent ahead under which prefixes: once is enough. Of each log it remembers the last few.
class SentProofs {
 public:
  // Whether it is still to be sent.
  bool add(const Event& checkpoint, std::string_view prefix);

 private:
  struct Sent {
    EventId checkpoint;
    std::set<std::string, std::less<>> prefixes;
  };
  static constexpr std::size_t nodes_max = 4096, remembered_max = 8;
  std::map<std::string, std::deque<Sent>, std::less<>> last_;  // by origin of the checkpoint
};

}  // namespace supercloud
