// The moves of one VM as its policy's actor sees them: what was proposed and waits for the executor's answer, what is under way, and
// which targets failed so lately that they are not proposed again yet. Pure: told what happens, and when.
//
//            propose            accepted             completed (once its lease is read), aborted, not heard of
//   nothing ────────▶ proposed ──────────▶ under way ──────────▶ nothing
//                        └── refused, aborted, no answer ──────▶ nothing
//
// A flight may be proposed while another move is under way: that one makes way (aborted), or goes on (the flight is refused, aborted, or
// never answered).
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/event.h"
#include "core/time.h"

namespace supercloud {

class VmMoves {
 public:
  struct Backoff {
    Duration failed;   // before a target that failed is proposed again
    Duration changed;  // ... and if something about it has changed meanwhile
  };

  enum class Heard {
    nothing,    // new about these moves
    begins,     // what was proposed, or what another proposed: it may take as long as a move takes
    goes_on,    // what is under way, though what was proposed has failed: as long, again
    failed,     // nothing is proposed or under way any more
    completed,  // the lease will say where the VM is; until that is read it counts as moving
  };
  // Of an event of the domain migration about this VM.
  Heard hear(const Event& event, Instant now);

  void propose(const EventId& migration, std::string place, bool leaving);
  // What is proposed, or else what is under way, was not heard of, or failed: for something about its place, or not.
  void fail(Instant now, bool of_place = true);
  // All is over, as the lease says. What failed may be tried again.
  void settle();

  bool idle() const { return proposed_.empty() && under_way_.empty(); }
  bool under_way() const { return !under_way_.empty(); }
  bool waits_for_answer() const { return !proposed_.empty(); }
  const EventId& proposed() const { return proposed_; }
  const std::string& proposed_place() const { return place_; }
  // Empty: nothing was proposed, or not because of a notice.
  std::string flight_to() const { return proposed_leaving_ && waits_for_answer() ? place_ : ""; }
  // The node to which a move is under way.
  const std::string& target() const { return target_; }

  // Until when that place is not proposed again because it failed; empty: it may be.
  std::optional<Instant> held_until(const std::string& place, Instant now,
                                    const Backoff& backoff) const;
  // All of them that failed for something about the place, and until when.
  std::map<std::string, Instant> held(Instant now, const Backoff& backoff) const;
  // Something about a place, or about all, has changed.
  void place_changed(const std::string& place);
  void all_changed();

 private:
  void over();

  struct Failure {
    Instant at;
    bool changed = false;
    bool of_place = true;
  };

  EventId proposed_;
  std::string place_;
  bool proposed_leaving_ = false;
  EventId under_way_;
  std::string under_way_place_;  // empty: another proposed it
  std::string target_;
  std::map<std::string, Failure> failures_;  // by place
};

}  // namespace supercloud
