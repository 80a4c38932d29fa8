// A node that is to be empty, by its user's word or because its cloud takes it: takes no guest, and moves its own off until none is left.
//
//   node.draining ─► migration.proposed (proposer "evacuation") for some guests at a time ─► … ─► node.drained
//                         ▲ refused, aborted: another target, or the same one later
//   node.undrained: it takes guests again; what is under way goes on
//
// By its user's word it lasts over restarts, until it is ended, also when the node is empty. With a deadline its moves drain (choreography,
// 16); without one a guest that does not come over in time is given more, again and again. By a notice it is a safety net: policies know
// better where to go, so it moves at once only what they leave there (policy "stay"), and what none has proposed to move when a third of
// the time has gone. Where both are, the earlier deadline counts, and nobody is spared.
//
// Level-triggered, as workers are: look() decides by what is there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/migration/leaving_order.h"
#include "actors/migration/proposals.h"
#include "actors/migration/vm_worker.h"
#include "core/actor.h"

namespace supercloud {

class Drain {
 public:
  using Workers = std::map<std::string, std::unique_ptr<VmWorker>>;
  // Both outlive it.
  Drain(ExecutorShared& shared, Proposals& proposals, const Workers& workers)
      : shared_(shared), proposals_(proposals), workers_(workers) {}

  // Answered when that is logged.
  void order(schema::Request::DrainNode::Reader request, Answer answer);
  void end(schema::Request::DrainNode::Reader request, Answer answer);

  // This node's own events, from its log, before the first look.
  void recovered(const Event& event);
  // How a move that was proposed here ended; what this node's agent says of it.
  void heard(const Event& event);
  // `all_known`: every VM that has anything to do with this node has just been asked of the table.
  void look(bool all_known);

  // By its user's word: what would come here is refused.
  bool ordered() const { return ordered_.has_value(); }

 private:
  struct Ordered {
    std::string why;
    Instant deadline = far_future;
    bool looked = false;   // with all known
    bool drained = false;  // and said so
  };
  // What became of the moves of one guest.
  struct Tried {
    EventId migration;  // under way, or asked for; empty: none is
    std::string target;
    Instant heard_by{};  // by then it is under way, or its end was not heard
    std::map<std::string, std::string> refused;  // why, by node
    Instant again{};                             // then those are asked once more
    int failures = 0;
    std::string stuck;  // why there was no target, since it began; empty: there always was
  };
  struct Stays {
    std::string vm, why, cure;
  };
  // What the node has, sorted by what is to be done about it.
  struct Here {
    std::size_t guests = 0;     // that execute, may, or come
    std::size_t under_way = 0;  // of them, leaving
    std::uint64_t dirty = 0;    // bytes per second, of those under way
    std::uint64_t to_send = 0;  // bytes, of those under way
    std::uint64_t rate = 0;     // bytes per second, of all that is sent
    std::vector<LeavingGuest> waiting;
    std::vector<Stays> stays;    // and stand in the way
    std::vector<Stays> stopped;  // and do not
  };

  // `leaving`: they have to be gone by a deadline.
  Here look_at_guests(bool leaving);
  bool leaves(const VmWorker& worker, bool leaving);
  void failed(Tried& tried, std::string why);
  std::uint64_t bytes_of(const VmWorker& worker) const;
  void move_off(Here& here, const std::string& why, Instant deadline);
  // The best node for it, or why there is none.
  const NodeFacts* target_of(const VmWorker& worker, const Tried& tried, std::string* why) const;
  // Without a deadline it has `patience`.
  bool propose(const VmWorker& worker, const NodeFacts& target, const std::string& why,
               Instant deadline, Duration patience);
  Duration patience(const Here& here, const LeavingGuest& guest, const Tried& tried) const;
  // Until the cloud takes this node's machine; far_future: nothing says that it does.
  Instant noticed() const;
  void flee();
  void say_draining(const Ordered& ordered, const Here& here,
                    std::function<void(absl::Status)> logged = nullptr);
  void say_drained(const Here& here);
  static void write(const std::vector<Stays>& stays, capnp::List<schema::Check>::Builder list);

  ExecutorShared& shared_;
  Proposals& proposals_;
  const Workers& workers_;
  std::optional<Ordered> ordered_;      // by its user
  bool changing_ = false;               // that it begins or ends is on its way to the log
  bool agent_knows_ = false;            // what this node offers to others is nothing
  Instant noticed_at_ = far_future;     // when this node heard of its notice
  std::map<std::string, Tried> tried_;  // by VM
  std::uint64_t rate_ = 0;  // bytes per second: the most that was sent at once, in this drain
  std::string said_;        // who stood in the way, as node.draining had it last
  Instant next_word_{};     // not before that is it said again
};

}  // namespace supercloud
