// The Xen domains of a node, as events: each that appears, changes or goes (vm.domain_changed), and the room that they leave
// (node.capacity).
//
//   @introduceDomain, @releaseDomain ──▶ look at all ──┐
//   /local/domain/N, its name ─────────▶ look at N ────┼─▶ (settle) ─▶ hypervisor's list, names in the XenStore ─▶ what differs
//   every now and then ────────────────▶ look ─────────┘               from what was said is said
//
// A watch only says where to look: any number of changes between two looks are one look. What no watch tells, that a domain was
// paused or got more memory, the next look finds. What was said before is read from the node's log, so that a domain that went while
// nobody looked is said to be gone. An event's subject is the domain's uuid, which does not change as its name and number do. Where
// the hypervisor does not list its domains, the actor fails, and says why.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/actor.h"
#include "hypercall/domains.h"
#include "hypercall/xen_store.h"

namespace supercloud {

inline constexpr const char* inventory_actor = "inventory";

struct DomainSeams {
  XenStore& store;
  const DomainList& list;
};

struct DomainInventoryOptions {
  Duration settle = absl::Milliseconds(5);  // from the end of a look to the next, at least
  Duration every = absl::Seconds(2);        // between looks that nobody asked for
  Duration patience = absl::Seconds(10);    // for an answer of the XenStore
  std::size_t reads_max = 32;               // of names, at once
  // Whether to say the node's capacity. Not where the node's agent does: the room that it tells is that for VMs of ours.
  bool capacity = true;
  std::vector<std::string> archives;  // said with it: what the node keeps of all nodes' logs
};

schema::DomainState to_schema(DomainStatus::State state);

class DomainInventory final : public Actor {
 public:
  DomainInventory(Context& context, DomainSeams seams, DomainInventoryOptions options);
  ~DomainInventory() override;
  DomainInventory(const DomainInventory&) = delete;
  DomainInventory& operator=(const DomainInventory&) = delete;
  void receive(const Event&) override {}

 private:
  // As it was last said.
  struct Said {
    DomainStatus status;
    std::string name;
    friend bool operator==(const Said&, const Said&) = default;
  };

  void remember(const Event& event);
  void begin();
  void watch(const XenPath& path);
  void changed(const XenPath& path);
  void look_soon();
  void look();
  void read_names();
  void named(DomainId id, absl::StatusOr<std::string> name);
  void say_differences();
  void say(DomainId id, const std::optional<Said>& now);
  void say_capacity();
  void end_look();

  Context& context_;
  const DomainSeams seams_;
  const DomainInventoryOptions options_;
  std::vector<XenWatchId> watches_;
  // Watches tell from outside of this actor's turns, perhaps after its end.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::map<DomainId, Said> said_;    // all of it, also what is on its way to the log
  std::map<DomainId, Said> logged_;  // what the log has
  std::optional<std::pair<HostRoom, std::uint32_t>> said_room_;  // with the number of domains
  Instant room_again_{};

  std::set<DomainId> marked_;  // whose name is to be read
  std::set<DomainId> missed_;  // likewise, at the next look: it could not be read
  bool all_marked_ = true;
  TimerId due_ = 0;
  Instant not_before_{};

  // While a look is under way.
  bool looking_ = false;
  std::map<DomainId, Said> seen_;
  std::vector<DomainId> unread_;
  std::size_t reading_ = 0;
};

}  // namespace supercloud
