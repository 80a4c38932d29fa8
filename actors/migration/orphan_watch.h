// Holds the role "orphans" and looks after VMs of which everybody who has a stake in them is lost: the holder's session has ended,
// and neither heir nor in-sync replica came for it. It says which of them are down (21), and has this node's executor look at those
// that a migration has left its mark on, or that their users have destroyed: it settles that (6).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "actors/role.h"
#include "actors/session_view.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct OrphanWatchOptions {
  std::string role = "orphans";
  Duration interval = absl::Seconds(5);
  // From when a session was first seen ended: longer than those who may take over wait for each other.
  Duration patience = absl::Seconds(15);
  Duration call_deadline = absl::Seconds(2);
  std::string executor = "executor";  // on this node
};

// Publishes `vm.failed` once for each VM and epoch; a new holder of the role may say it again. The VM starts as soon as its holder or
// one of the nodes in sync is back.
class OrphanWatch final : public Actor {
 public:
  OrphanWatch(Context& context, LeaseTable& leases, const SessionView& session,
              OrphanWatchOptions options = {});
  void receive(const Event& event) override;

 private:
  struct Orphan {
    Epoch epoch = 0;
    Instant since{};
    bool said = false;
  };
  void look();
  void judge(const std::vector<LeaseRecord>& records);
  void say_failed(const LeaseRecord& record);
  void ask_to_settle(const LeaseRecord& record);

  Context& context_;
  LeaseTable& leases_;
  const OrphanWatchOptions options_;
  RoleHolder role_;
  std::map<std::string, Orphan> orphans_;  // by key of the record
};

}  // namespace supercloud
