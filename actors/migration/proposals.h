// From a proposal to an accepted migration or a refusal that says why: finds the target (a node, or a place, where an instance is
// rented if none has room), and makes every check before a byte moves or an instance is rented (choreography, rules 17 to 19).
//
// A VM that is still on its way to a node from which it has to flee again has its next flight proposed there already: what that one needs
// is rented at once, and it begins as the VM arrives.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/migration/preflight.h"
#include "actors/migration/vm_worker.h"
#include "actors/migration/ways.h"
#include "core/actor.h"

namespace supercloud {

class Proposals {
 public:
  using FindWorker = std::function<VmWorker*(const std::string& vm)>;

  Proposals(ExecutorShared& shared, FindWorker find)
      : shared_(shared), find_(std::move(find)), ways_(shared.context, shared.seams.hypervisor) {}

  // An event migration.proposed; those that name another node as their source are that one's to answer.
  void proposed(const Event& event);
  // Whether this one is new; from the log, those that an earlier executor answered. A proposal is answered once, however often it
  // is heard.
  bool answered(const EventId& id);
  // A node joined, an instance was refused, time passed.
  void look();
  void instance_refused(const Event& event);
  // One of this VM looks for its target.
  bool waits(const std::string& vm) const { return pending_.contains(vm); }
  // ... for it has to leave.
  bool flees(const std::string& vm) const {
    const auto found = pending_.find(vm);
    return found != pending_.end() && found->second.leaving();
  }
  // The node was rented for a move (other than that with this client token) whose VM has not come yet, and may still.
  bool promised(const NodeFacts& node, std::string_view rented_with) const;
  // Ends the search for a target: true if there was one for this VM.
  bool cancel(const std::string& vm, const std::string& why);

  // All checks of a move, those at the target and of the way there too; `done` gets every failure, and what is known of the way. Where there
  // is none the target holds the room for so long. `measure`: what the way carries is waited for, else it is used where it is known.
  // `call`, if given, hears of each step; when it is cancelled nothing more is tried, and `done` gets nothing.
  using Checked = std::function<void(std::vector<Failure>, const std::optional<Way>&)>;
  void check(const std::string& vm, const std::string& target_node, Duration time_left,
             Duration hold, bool measure, Checked done, std::shared_ptr<Call> call = nullptr);
  // ... of a move to a machine that would be rented at that place.
  std::vector<Failure> check_rented(const VmWorker& worker, const std::string& place,
                                    Duration time_left) const;
  // The node for a place or node name: empty, and why, if there is none now. `rented_with`: the client token of what was rented for this
  // move, which is taken before any other; what was rented for another move is that move's.
  std::string resolve(const std::string& vm, const std::string& target,
                      std::string_view rented_with, std::string* why) const;

 private:
  struct Pending {
    Event proposal;
    std::string vm;
    EventId id;
    Instant deadline{};
    Instant no_return = far_future;  // set: the source is left for good (16)
    EventId rented_for;    // whose client token an instance was asked for with; empty: none was
    bool renting = false;  // asked, and nothing says that it has to be asked again
    bool checking = false;
    bool ahead = false;        // it was proposed before the VM was here
    std::string rent_answer;   // why it was asked again
    std::string rent_problem;  // why there will be none
    // Nodes at the place that said no, and why: another there is found, or rented. They are asked again later, if nothing was by then.
    struct No {
      Instant until{};
      std::vector<Failure> why;
    };
    std::map<std::string, No> passed_over;
    bool leaving() const { return no_return < far_future; }
  };

  // This node, as who has to leave it by then sees it: a notice that was given while it started is heard by its policy only. Nothing: it is
  // not known.
  std::optional<NodeFacts> here_until(Instant deadline) const;
  // Whether a new one may go on, for there is nothing in its way, or nothing that does not have to give way to it.
  bool make_way(Pending& pending, VmWorker& worker);
  bool holds(const VmWorker* worker) const;
  bool comes(const VmWorker* worker) const;
  void place(Pending& pending);
  // That node said no: if the place has others, or something can be rented there, the search goes on.
  bool pass_over(Pending& pending, const std::string& node, const std::vector<Failure>& failures);
  // Found out while the target prepares: what cannot be carried in time ends before a byte of it has moved.
  void measure_way(const std::string& vm, const EventId& id, const std::string& target);
  // What speaks against the way there, as it was tried; what seems too slow is measured again before that is said.
  using WayChecked = std::function<void(const std::vector<Failure>&, const absl::StatusOr<Way>&)>;
  // `again`, if given, runs before that, and says whether it is still wanted.
  void check_way(const std::string& vm, const std::string& target, Duration time_left, bool measure,
                 WayChecked done, std::function<bool()> again = nullptr);
  std::vector<Failure> way_failures(const std::string& vm, const std::string& target,
                                    const absl::StatusOr<Way>& way, Duration time_left) const;
  void rent(Pending& pending);
  void begin(const std::string& vm, const EventId& id, const std::string& target);
  void refuse(const Pending& pending, const std::string& target,
              const std::vector<Failure>& failures);

  ExecutorShared& shared_;
  FindWorker find_;
  Ways ways_;
  std::map<std::string, Pending> pending_;  // by VM
  struct Early {
    Event proposal;
    Instant until{};
  };
  std::map<EventId, Early> early_;  // of VMs whose new lease has not been read here yet
  std::set<EventId> seen_;
  std::deque<EventId> seen_in_order_;
};

}  // namespace supercloud
