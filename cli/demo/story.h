// What has happened in a demo's cluster so far, folded from its events: what the live view draws, the lines that are printed
// without a terminal, and the figures of the end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "actors/ledger/charges_once.h"
#include "cli/demo/plan.h"
#include "core/event.h"
#include "core/units.h"

namespace supercloud {

// Thread-bound. Pure: the same events in the same order tell the same story.
class DemoStory {
 public:
  DemoStory(const DemoPlan& plan, MarketClock clock);

  // At most one line in plain words, empty if there is nothing to say.
  std::string apply(const Event& event);
  // A line of the demo's own, which is shown with the others.
  void note(absl::Time market, std::string line, bool step = false);

  struct Place {
    std::string id;
    std::string name;
    bool spot = true;
    bool trusted = false;
    bool known = false;
    Money price;
    absl::Time since;
    std::vector<std::pair<absl::Time, Money>> prices;  // the last ones, oldest first
    std::set<std::string> nodes;                       // that joined and have not gone
    // of them, those that the cloud is about to take
    std::set<std::string> noticed;
  };
  struct Vm {
    std::string name, policy, needs;
    std::string node;               // empty: not started yet
    Epoch epoch = 0;                // of what was heard: nodes are not heard in the order of time
    std::string state = "to come";  // running, paused, lost, failed
    absl::Time since;
    std::string reason;  // of its last move, or why it stays
    int moves = 0;
  };
  struct Move {
    std::string vm, from, to, proposer, reason;
    std::string stage;
    std::uint32_t percent = 0;
    bool noticed = false;  // flees an instance that is about to be taken
    bool cheaper = false;
    bool accepted = false;
    absl::Time price = absl::
        InfinitePast();  // when the price was published that it answers; infinite past: it answers something else
  };
  struct Line {
    absl::Time market;
    std::string text;
    bool step = false;  // of a move, whose end is told too
  };
  struct Figures {
    int moves = 0;    // completed
    int cheaper = 0;  // of them, to a cheaper place
    // instances that were taken with a VM on them within the notice or until the end
    int interruptions = 0;
    int survived = 0;  // VMs that left in time, or were taken over
    int to_on_demand = 0;
    int refusals = 0;
    int aborted = 0;
    double blackout_ms_longest = 0;
    // From a price's event until memory began to move, of each move that answers one; a machine may have had to be rented.
    std::vector<double> price_to_memory_ms;
  };

  const std::vector<Place>& places() const { return places_; }
  const std::vector<Vm>& vms() const { return vms_; }
  std::vector<Move> moves_under_way() const;
  const std::deque<Line>& lines() const { return lines_; }
  const Figures& figures() const { return figures_; }
  // Of instances while they carried VMs and of what moves sent, as charged; and of instances that stood by.
  Money spent() const { return spent_; }
  Money idle() const { return idle_; }
  // What the whole hours that the VMs have run would have cost, each on an on-demand instance of its own.
  Money on_demand_cost(absl::Time market) const;
  // short; the node itself if it is not known
  std::string place_of_node(const std::string& node) const;
  // A process that ended by itself.
  void node_ended(const std::string& node) { gone(node); }

 private:
  struct Instance {
    std::string node, place;
    bool carries = false;      // a VM now
    absl::Time carried_until;  // or until then
  };
  Place* place(std::string_view id);
  Vm* vm(const std::string& name);
  Move* move(const Event& event);
  std::string tell(const Event& event);
  std::string told_vm(const Event& event);
  std::string told_migration(const Event& event);
  void note_reaction(const Event& event);
  std::string told_step(const Event& event, bool was_paused);
  std::string told_instance(const Event& event);
  void moved_to(Vm& vm, const std::string& node, absl::Time when);
  void joined(schema::NodeJoined::Reader joined);
  void gone(const std::string& node);

  const MarketClock clock_;
  const Money on_demand_price_;
  std::vector<Place> places_;
  std::vector<Vm> vms_;
  std::map<std::string, absl::Time> started_;       // by VM
  std::map<std::string, std::string> node_places_;  // ids, by node
  std::map<std::string, Instance> instances_;
  std::map<EventId, Move> moves_;
  std::map<EventId, absl::Time> price_events_;  // the latest, by when they were published
  std::set<EventId> ended_;                     // migrations whose end has been told
  std::set<std::string> gone_;                  // nodes
  std::set<std::string> noticed_;               // nodes that the cloud has said to take
  std::set<std::string> interrupted_;           // instances
  std::map<std::string, std::string> lost_;     // VM -> the node that was taken with it
  std::deque<Line> lines_;
  Figures figures_;
  ChargesOnce charges_;
  Money spent_, idle_;
};

}  // namespace supercloud
