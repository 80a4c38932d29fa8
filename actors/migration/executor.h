// The migration executor: one per node, and the only one there that swaps a VM's lease (choreography, rule 5).
//
// It holds a VmWorker for each VM that has anything to do with this node, feeds them hints (events, the hypervisor's and the
// table's), takes proposals in (proposals.h) and serves people (commands.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/migration/drain.h"
#include "actors/migration/held_room.h"
#include "actors/migration/proposals.h"
#include "actors/migration/vm_worker.h"
#include "core/actor.h"

namespace supercloud {

class Executor final : public Actor {
 public:
  Executor(Context& context, ExecutorSeams seams, ExecutorOptions options = {});
  ~Executor() override;

  void receive(const Event& event) override;
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  friend class Commands;

  void recover();
  void recovered(const Event& event);
  void look_around();
  VmWorker& worker(const std::string& vm);
  VmWorker* find(const std::string& vm);
  void sweep();

  void noticed(const Event& event);
  void prepare_incoming(schema::Request::PrepareIncoming::Reader request, Answer answer);
  // What speaks against the VM's coming here.
  std::vector<Failure> failures_here(schema::VmSpec::Reader spec);
  // ... nothing: its room is held, if that was asked for.
  std::vector<Failure> check_incoming(schema::Request::PrepareIncoming::Reader request);
  // Asked without a migration: for one that may come, a target is kept ready here, empty, for so long.
  void keep_standby(schema::Request::PrepareIncoming::Reader request, Answer answer);

  struct Recovered {  // of a VM, from the log, while it is read
    std::map<EventId, Outgoing> outgoing;
    std::map<EventId, Incoming> incoming;
  };

  ExecutorShared shared_;
  std::map<std::string, std::unique_ptr<VmWorker>> workers_;
  std::map<std::string, Recovered> recovered_;
  std::map<EventId, Event> unanswered_;  // proposals to this node, likewise
  Proposals proposals_;
  Drain drain_;
  HeldRoom held_room_;
  bool ready_ = false;  // the log has been read
  std::shared_ptr<bool> alive_;
};

// "tenant/name" of an event about a VM.
std::string vm_of(const Event& event);

}  // namespace supercloud
