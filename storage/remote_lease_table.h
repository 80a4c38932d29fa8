// The lease table as every node but its site sees it: requests to the site's actor "lease", over the bus.
#pragma once

#include <memory>
#include <string>

#include "core/bus.h"
#include "core/lease_table.h"
#include "core/scheduler.h"

namespace supercloud {

struct RemoteLeaseTableOptions {
  // renew, read and list ask again, until their deadline, when they got no answer for this long ...
  Duration attempt = absl::Milliseconds(500);
  // ... or when the site was not reachable this long ago.
  Duration pause = absl::Milliseconds(100);
};

// Thread-bound to the scheduler. Opening and ending a session and swaps are asked once: only the caller knows what it may do when their
// outcome is not known. A listing of more than one message (about 1,000 VMs) is linearizable message by message. Calls that are
// unanswered when it is destroyed stay so.
class RemoteLeaseTable final : public LeaseTable {
 public:
  RemoteLeaseTable(Scheduler& scheduler, Bus& bus, std::string site_node,
                   RemoteLeaseTableOptions options = {});
  ~RemoteLeaseTable() override;

  void open_session(OpenSession open, Reply<Session> reply) override;
  void renew(SessionId session, Reply<Done> reply) override;
  void end_session(SessionId session, Reply<Done> reply) override;
  void swap(Swap swap, Reply<SwapResult> reply) override;
  void read(std::string key, Reply<LeaseRecord> reply) override;
  void list(LeaseQuery query, Reply<std::vector<LeaseRecord>> reply) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace supercloud
