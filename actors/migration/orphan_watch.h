// Holds the role "orphans" and says which VMs are down because nobody may take them over: the holder's session has ended, and
// neither heir nor in-sync replica came for it. Nobody else would say it, since whoever has a stake in such a VM is lost (21).
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

  Context& context_;
  LeaseTable& leases_;
  const OrphanWatchOptions options_;
  RoleHolder role_;
  std::map<std::string, Orphan> orphans_;  // by key of the record
};

}  // namespace supercloud
