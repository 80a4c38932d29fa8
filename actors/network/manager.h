// The SDN manager of one node: teaches its fabric who owns which guest address, and says when a
// path is ready, when traffic was switched and how long there was none.
//
// The lease table is what it believes. Events are hints that come sooner: what they teach is
// checked against the table every few seconds, and what the table contradicts is unlearned. The
// executor alone opens and closes ports; what this actor does is to have a closed port ready, where
// a VM is, will be or may be taken over, and to remove it where it is not.
//
//   start ── table read ──► events that waited ──► events as they come, the table now and then
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "actors/network/fabric.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct NetworkManagerOptions {
  Duration reconcile_interval = absl::Seconds(5);
  Duration retry_interval = absl::Milliseconds(500);  // of the first read
  Duration call_deadline = absl::Seconds(2);
  Duration blackout_poll =
      absl::Milliseconds(5);  // how exactly the end of a blackout is seen; then rarer
  Duration blackout_wait =
      absl::Seconds(30);           // a guest that is silent for longer is not waited for
  std::size_t waiting_max = 4096;  // events kept until the table was read; the oldest go first
};

class NetworkManager final : public Actor {
 public:
  NetworkManager(Context& context, Fabric& fabric, LeaseTable& leases,
                 NetworkManagerOptions options = {});

  void receive(const Event& event) override;

 private:
  using Records = std::vector<LeaseRecord>;

  void handle(const Event& event);
  void read_table();
  void reconcile(const Records& records, const std::vector<AddressOwner>& known_before);
  void reconcile_vm(const LeaseRecord& record, const std::string& vm, schema::VmSpec::Reader spec,
                    const std::vector<AddressOwner>& known_before);

  void on_accepted(const Event& event);
  void on_swap_requested(const Event& event);
  void on_running(const Event& event, const std::string& node);
  void on_destroyed(const Event& event);
  void on_joined(schema::NodeJoined::Reader joined);

  // Has a closed port ready, then, if it is for a migration, says so once.
  void prepare(const std::string& vm, const std::string& address, Epoch epoch,
               const EventId& migration);
  void remove_port(const std::string& vm);
  // The table says that a VM neither runs here nor comes here.
  void not_ours(const std::string& vm);
  // Publishes if that changed the owner's node.
  void learn(AddressOwner owner, const EventId& migration);
  void measure_blackout(const std::string& vm, Epoch epoch, const EventId& migration, Instant until,
                        Duration poll);
  std::optional<AddressOwner> owner_of(const std::string& vm) const;

  Context& context_;
  Fabric& fabric_;
  LeaseTable& leases_;
  NetworkManagerOptions options_;
  bool ready_ = false;
  std::deque<Event> waiting_;                     // until ready
  std::map<std::string, std::string> endpoints_;  // of nodes' tunnels
  std::map<std::string, EventId>
      announced_;                    // by vm: the migration whose path was called ready here
  std::set<std::string> preparing_;  // vms
  std::set<std::string> prepared_;   // vms
  std::set<std::string> absent_;     // vms that the last answer of the table had elsewhere
  std::set<std::string> removed_;    // vms whose port was removed since it was last prepared
  struct Pause {
    Epoch epoch = 0;
    absl::Time at;
  };
  std::map<std::string, Pause> pauses_;  // by vm: the newest
  std::map<std::string, Epoch>
      measured_;  // by vm: the newest epoch whose blackout is, or is being, measured
};

}  // namespace supercloud
