// The policy actor: for each VM whose lease this node holds it asks the policy that the VM names, and proposes the move that
// the policy wants. It never orders one: the VM's executor accepts or refuses. Budgets of moves (actors/policy/move_budget.h) hold
// back what any policy wants, but no flight. VMs that would move at the same moment take turns, by name, and are asked again at theirs, so
// that each sees what the others have proposed.
//
// What does not execute cannot move: a proposal waits until the VM was seen running (vm.resumed) at the epoch of its lease, then it is
// made at once, with whatever deadline a notice has left it. A place to which a flight has just failed is no choice for the next one.
//
// A VM that is on its way to this node, when the cloud takes that as well, is looked at as if it was here: so its next flight is proposed at
// once, and what that needs is ready when the VM arrives.
//
// Nothing is decided before it is known what was before, prices and instances above all: a VM may be here sooner than a new node has
// read the others' logs. Only flight from a notice does not wait for that.
//
// It looks when a price that may matter or a notice or a node changes, when the policy asked to be woken, when the VM arrives; several
// reasons at once are one look. A decision to stay is published (policy.considered) when choice or reason changes, at each
// time the policy asked to be woken for (the ends of billing hours), and when someone asks; other looks are counted. Who asks is told
// what would be done, and why not more; nothing is done for that.
//
// policy_actor.cpp: which VMs are here, and what happens; policy_looks.cpp: what their policies are asked; policy_moves.cpp: what comes
// of their answers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/market_time.h"
#include "actors/past.h"
#include "actors/policy/policies.h"
#include "actors/policy/policy.h"
#include "actors/policy/role_past.h"
#include "actors/policy/vm_moves.h"
#include "actors/policy/world.h"
#include "actors/recent.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct PolicyActorOptions {
  MarketClock market;
  WorldOptions world;                         // its `market` is overwritten with the one above
  Duration coalesce = absl::Milliseconds(5);  // looks within this time are one
  Duration turn =
      absl::Milliseconds(250);  // longer than an event takes through the cluster, if there is time
  Duration decide_deadline = absl::Seconds(1);  // a policy that answers later: stay
  // However soon the policy asks to be woken, of the market's time and of this node's: where a day passes in a second both count.
  absl::Duration market_wake_min = absl::Seconds(1);
  Duration wake_min = absl::Milliseconds(10);
  Duration ready_retry = absl::Milliseconds(500);  // a policy that is not ready is asked again
  // after a failure of the policy it is asked again, later each time
  Duration retry_min = absl::Seconds(5);
  Duration retry_max = absl::Minutes(10);
  // failures of one kind are told once in so long, with their number
  Duration failure_repeat = absl::Minutes(5);
  // of the executor, to a proposal: it may have to rent an instance first
  Duration answer_deadline = absl::Minutes(3);
  // a move that is not heard of for so long no longer blocks proposals
  Duration move_deadline = absl::Minutes(10);
  VmMoves::Backoff backoff{.failed = absl::Minutes(1), .changed = absl::Seconds(5)};
  // ... of a flight: there is no time to lose, and other places are tried meanwhile
  VmMoves::Backoff flight_backoff{.failed = absl::Seconds(10), .changed = absl::Seconds(1)};
  // until a VM that nobody saw running is taken to run: its executor's word may be lost with a log
  Duration start_patience = absl::Seconds(10);
  // how often the lease table is asked which VMs are here
  Duration relist = absl::Seconds(15);
  Duration lease_deadline = absl::Seconds(2);
  RolePastOptions roles;
};

class PolicyActor final : public Actor {
 public:
  PolicyActor(Context& context, LeaseTable& leases, PolicyRegistry registry,
              PolicyActorOptions options);
  void receive(const Event& event) override;
  // explainPolicy: what would be decided now, as JSON; publishes it as policy.considered too.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  struct Failures {
    Instant told;              // when one of the kind was published last
    std::uint64_t untold = 0;  // since then
  };
  struct Vm {
    std::string tenant, name;
    Message<schema::VmSpec> spec;
    bool arriving = false;  // this node is not its lease's holder, but the heir
    Epoch epoch = 0;        // of its lease
    Instant since;          // when that was read first
    // Looks.
    std::string place;               // where it was at the last decision
    absl::Time prices_matter_at;     // market time: until then, prices elsewhere change nothing
    Money price_here_matters_above;  // ... and there only such
    TimerId look = 0;                // the coalesced next one
    Instant look_due = Instant();
    TimerId wake = 0;
    bool at_wake = false;  // the next look is one that the policy asked for
    bool deciding = false;
    Instant asked_at;  // the policy, last
    // Failures of the policy.
    int failures = 0;              // in a row
    Instant retry_at = Instant();  // before that it is not asked again, unless there is notice
    std::map<std::string, Failures> failed;  // by kind
    bool again = false;                      // something came while it was deciding
    // What was last published.
    std::string choice, reason_class;
    bool published = false;
    std::uint64_t unchanged = 0;
    HybridTime last_look;
    // Moves.
    VmMoves moves;
    TimerId patience = 0;            // for what is proposed or under way
    bool budget_spent = false;       // as of the last look
    std::optional<Instant> turn_at;  // among the other VMs that would move
    bool had_turn = false;           // to leave where it has to
  };
  // Why an answer of a policy cannot be followed.
  struct Fault {
    std::string kind;  // "not ready": no failure of the policy's
    std::string why;
  };
  // What keeps a VM from the move that its policy wants.
  struct Obstacle {
    std::string why;               // as a clause; empty: nothing does
    std::optional<Instant> until;  // known to be gone by then
  };

  bool knowing() const;
  void hear_past(const Event& event);
  bool learn_prices(schema::Response::Reader answer);
  bool learn_instances(schema::Response::Reader answer);
  bool matters(const Vm& vm, const std::string& place, Money price) const;
  void list_vms();
  void list_now();
  bool concerns(const LeaseRecord& record) const;
  void listed(std::vector<LeaseRecord> records);
  void refresh(const std::string& key);
  void host(const LeaseRecord& record);
  void drop(const std::string& key);
  void hear_move(const Event& event);
  void changed(const Event& event);
  void look_soon(const std::string& key, Vm& vm);
  void look_at(const std::string& key, Vm& vm, Instant when);
  void look_at_all();
  void look(const std::string& key);
  // Of the policy that the VM names, or that there is none.
  void ask(Vm& vm, const Message<schema::World>& world, Reply<Message<schema::Decision>> reply);
  void decided(const std::string& key, const Message<schema::World>& world,
               absl::StatusOr<Message<schema::Decision>> answer);
  std::optional<Fault> fault_of(const Vm& vm, Instant asked_at, schema::World::Reader world,
                                const absl::StatusOr<Message<schema::Decision>>& decision) const;
  Message<schema::Decision> failed(Vm& vm, const Fault& fault, Instant asked_at);
  void sleep_until_wake(const std::string& key, Vm& vm, schema::World::Reader world,
                        schema::Decision::Reader decision);
  void consider(Vm& vm, schema::Decision::Reader decision, bool asked);
  void explain(const std::string& key, Vm& vm, Answer answer);
  Message<schema::World> world_of(const Vm& vm) const;
  // False: the look at its turn is armed.
  bool its_turn(const std::string& key, Vm& vm, schema::World::Reader world);
  Obstacle obstacle(const std::string& key, const Vm& vm, schema::World::Reader world,
                    schema::Decision::Reader decision) const;
  void propose(const std::string& key, Vm& vm, schema::World::Reader world,
               schema::Decision::Reader decision);
  void wait_for(const std::string& key, Vm& vm, Duration deadline);
  void hear_resumed(const Event& event);
  Policy* policy_of(const std::string& name);

  Context& context_;
  LeaseTable& leases_;
  MarketTime market_;
  const PolicyRegistry registry_;
  PolicyActorOptions options_;
  WorldState state_;
  Past past_;  // without prices and instances
  RolePast prices_;
  RolePast instances_;
  std::map<std::string, Vm> vms_;  // by lease key
  // VMs that were seen running here, by lease key, and their epoch then; also of those whose lease was not read yet.
  RecentMap<std::string, Epoch> resumed_{world_entries_max};
  std::map<std::string, std::unique_ptr<Policy>> policies_;
  bool listing_ = false;
  bool list_again_ = false;
  bool past_known_ = false;  // of all who could be asked
};

// The reason without its numbers: two reasons of one class say the same about other figures.
std::string reason_class(std::string_view reason);

}  // namespace supercloud
