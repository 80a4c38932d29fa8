// The storage replicator: one per node. Keeps the disks of the VMs held here replicated to where they belong, says what it sees of them, and
// discards the copies that nobody needs any more. (Of a VM that is gone the executor takes the disk away.)
//
// Level-triggered: events and the store's watch only say "look"; what to do follows from the lease records and the volumes. It swaps no
// lease: who is in sync is the executor's to write (choreography, rule 5), from VolumeStore::replicas() or storage.replica_ready.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "actors/migration/node_directory.h"
#include "actors/replication/placement.h"
#include "core/actor.h"
#include "core/lease_table.h"
#include "storage/volume.h"

namespace supercloud {

struct ReplicatorSeams {
  LeaseTable& leases;
  VolumeStore& volumes;
};

struct ReplicatorOptions {
  Duration interval = absl::Seconds(1);
  Duration call_deadline = absl::Seconds(2);
  Duration grace = absl::Seconds(10);  // between "nobody needs this copy" and its end
  Duration confirm_deadline = absl::Milliseconds(300);  // below ExecutorOptions::takeover_stagger
  Duration down_after = absl::Seconds(10);  // a replica not connected for longer counts as down
};

class Replicator final : public Actor {
 public:
  Replicator(Context& context, ReplicatorSeams seams, ReplicatorOptions options = {});
  ~Replicator() override;

  void receive(const Event& event) override;
  // volumeState: JSON {node, volumes: [{vm, role, epoch, ..., replicas: [...]}]}, of one VM, or of all if no name is given.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  struct Said {  // told on the bus: once per fact
    std::string vm;
    Epoch epoch = 0;
    std::string node;
    std::string migration;
    friend auto operator<=>(const Said&, const Said&) = default;
  };

  void recover();
  void recovered(const Event& event);
  void start();
  void tick();
  void look();
  void consider(std::vector<LeaseRecord> records);
  void feed(const VolumeStatus& volume, const LeaseRecord& record);
  void rest(const std::string& vm);
  void say_lags();
  void say_states(const VolumeStatus& volume);
  void say_ready(const LeaseRecord& record, const std::string& heir);
  // Copies that no record names: whether they may go is asked of the table, then of the holder.
  void doubt(const VolumeStatus& volume);
  void ask_table(const std::string& vm);
  void ask_holder(const LeaseRecord& record);
  void confirm(const std::string& vm, Epoch epoch);
  void discard(const std::string& vm);
  Draft draft(const std::string& vm, Epoch epoch, const EventId* migration);

  Context& context_;
  ReplicatorSeams seams_;
  ReplicatorOptions options_;
  NodeDirectory nodes_;
  // by vm: as last read, of those that name this node
  std::map<std::string, LeaseRecord> records_;
  std::map<std::string, std::map<std::string, Instant>> down_since_;  // by vm and node
  std::map<std::string, Instant> unneeded_since_;                     // by vm
  // by vm: the latest under an heir
  std::map<std::string, EventId> migrations_;
  std::set<Said> sealed_, verified_, ready_;
  bool recovered_ = false;
  bool looked_ = false;  // what stands before that is not new: said now, it is said again
  bool looking_ = false;
  bool look_again_ = false;
  std::set<std::string> asking_;
  std::shared_ptr<bool> alive_;  // for the store's watch, which outlives an actor
};

}  // namespace supercloud
