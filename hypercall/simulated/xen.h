// A simulated Xen on one machine: its domains, and the daemon with the XenStore. It outlives the processes that ask it.
//
// The store is as C xenstored in this: a transaction is in conflict when anything that it read or wrote was changed meanwhile, the list
// of a node's children too; domains but the control domain have quotas and see what they may. And as oxenstored in this: all that a
// transaction reads is of one moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/random.h"
#include "core/scheduler.h"
#include "hypercall/domains.h"
#include "hypercall/xen_store.h"

namespace supercloud {

struct XenQuota {
  std::size_t nodes_max = 1000;
  std::size_t value_bytes_max = 2048;
  std::size_t watches_max = 128;
  std::size_t transactions_max = 10;
};

// One state of the tree. Paths are absolute.
class XenTree {
 public:
  struct Node {
    std::string value;
    XenPermissions permissions;
    std::uint64_t generation = 0;  // of its last change: value, permissions or list of children
  };

  XenTree();
  const Node* find(const std::string& path) const;
  std::vector<std::string> children(const std::string& path) const;
  // At any depth; paths.
  std::vector<std::string> all_below(const std::string& path) const;
  std::size_t owned_by(DomainId domain) const;

  // `by`: who asks. Each gives 0 or an errno, and adds to `changed` what watches are told of.
  using Changed = std::vector<std::pair<XenPath, bool>>;  // true: with all below it
  int write(const XenPath& path, std::string_view value, bool keep, DomainId by,
            const XenQuota& quota, Changed& changed);
  int remove(const XenPath& path, DomainId by, Changed& changed);
  int set_permissions(const XenPath& path, const XenPermissions& permissions, DomainId by,
                      Changed& changed);
  static bool may_read(const Node& node, DomainId by);
  static bool may_write(const Node& node, DomainId by);

 private:
  void touch(const std::string& path);
  std::map<std::string, Node> nodes_;
  std::uint64_t generation_ = 0;
};

class SimulatedXenStore;

// Thread-bound.
class SimulatedXen final : public DomainList {
 public:
  // `boot`: goes into the uuids of its domains, whose numbers begin anew with each boot.
  explicit SimulatedXen(HostRoom room = {.memory_free_bytes = std::uint64_t{16} << 30U, .cpus = 8},
                        std::uint32_t boot = 0);

  // ---- what the toolstack and the domains do

  // Its name and uuid are in the store before it is introduced. ResourceExhausted: no room.
  absl::StatusOr<DomainId> create_domain(const std::string& name, std::uint64_t memory_bytes,
                                         std::uint32_t cpus);
  // Running and paused: nobody is told. Suspended, shut down, crashed, dying: the store's daemon tells.
  void set_state(DomainId id, DomainStatus::State state);
  void destroy_domain(DomainId id);

  absl::StatusOr<std::vector<DomainStatus>> list() const override;
  absl::StatusOr<HostRoom> room() const override;

  // ---- the store's daemon

  void stop_store();
  // `keep`: with what it held; else as a daemon that was killed: empty.
  void start_store(bool keep);
  bool store_runs() const { return runs_; }
  const XenTree& tree() const { return tree_; }
  void set_quota(const XenQuota& quota) { quota_ = quota; }

 private:
  friend class SimulatedXenStore;
  struct Transaction {
    XenTree begun;  // as the store was then
    XenTree tree;   // with what it did since
    const SimulatedXenStore* by = nullptr;
    std::set<std::string> touched;
    std::vector<std::function<int(XenTree&, XenTree::Changed&)>> changes;  // to be made again
  };

  void write(const XenPath& path, std::string_view value);
  void tell(const XenTree::Changed& changed);
  void tell_special(const XenPath& path);
  Transaction* transaction(XenTransactionId id, const SimulatedXenStore& by);

  HostRoom room_;
  const std::uint32_t boot_;
  std::map<DomainId, DomainStatus> domains_;
  DomainId last_domain_ = 0;
  bool runs_ = true;
  std::uint64_t life_ =
      1;  // of the daemon: counts its starts; the high half of its transactions' numbers
  XenTree tree_;
  XenQuota quota_;
  std::map<XenTransactionId, Transaction> transactions_;
  XenTransactionId last_transaction_ = 0;
  std::vector<SimulatedXenStore*> clients_;  // in the order of their beginnings
};

struct SimulatedXenStoreOptions {
  DomainId domain = 0;  // who asks
  Duration latency_min = absl::Microseconds(20);
  Duration latency_max = absl::Microseconds(200);
};

// A client of it. Thread-bound. Dies with its process; what it had under way is not answered then, and its transactions end.
class SimulatedXenStore final : public XenStore {
 public:
  SimulatedXenStore(Scheduler& scheduler, SimulatedXen& xen, Random random,
                    SimulatedXenStoreOptions options = {});
  ~SimulatedXenStore() override;
  SimulatedXenStore(const SimulatedXenStore&) = delete;
  SimulatedXenStore& operator=(const SimulatedXenStore&) = delete;

  void read(XenTransactionId in, const XenPath& path, Reply<std::string> reply) override;
  void list(XenTransactionId in, const XenPath& path,
            Reply<std::vector<std::string>> reply) override;
  void write(XenTransactionId in, const XenPath& path, std::string_view value,
             Reply<Done> reply) override;
  void make(XenTransactionId in, const XenPath& path, Reply<Done> reply) override;
  void remove(XenTransactionId in, const XenPath& path, Reply<Done> reply) override;
  void permissions(XenTransactionId in, const XenPath& path, Reply<XenPermissions> reply) override;
  void set_permissions(XenTransactionId in, const XenPath& path, const XenPermissions& permissions,
                       Reply<Done> reply) override;
  void begin(Reply<XenTransactionId> reply) override;
  void end(XenTransactionId transaction, bool commit, Reply<Done> reply) override;
  XenWatchId watch(const XenPath& path, Changed changed, Reply<Done> registered) override;
  void unwatch(XenWatchId watch) override;

 private:
  friend class SimulatedXen;
  struct Watch {
    XenPath path;   // as its maker gave it
    XenPath whole;  // absolute
    Changed changed;
    bool registered = false;
  };

  // In order, each after its latency; `work` is told whether the daemon is still the one that was asked.
  void later(std::function<void(bool here)> work);
  template <class T>
  void ask(const char* call, const XenPath& path, std::size_t payload, Reply<T> reply,
           std::function<absl::StatusOr<T>(const XenPath& whole)> work);
  void change(const char* call, XenTransactionId in, const XenPath& path, std::size_t payload,
              std::function<int(XenTree&, const XenPath& whole, XenTree::Changed&)> change,
              Reply<Done> reply);
  absl::Status no_transaction(const char* call, XenTransactionId id, const XenPath& path) const;
  absl::StatusOr<const XenTree::Node*> look(const char* call, XenTransactionId in,
                                            const XenPath& path);
  void register_watch(XenWatchId id, Reply<Done> registered);
  XenPath whole(const XenPath& path) const;
  void lost();
  void came();
  void changed(const XenPath& path, bool below);
  void fire(XenWatchId id, const XenPath& path);
  void tell();

  Scheduler& scheduler_;
  SimulatedXen& xen_;
  Random random_;
  SimulatedXenStoreOptions options_;
  Instant free_{};  // when the last request under way is done
  std::deque<std::function<void()>> under_way_;
  std::map<XenWatchId, Watch> watches_;
  XenWatchId last_watch_ = 0;
  std::set<std::pair<XenWatchId, XenPath>> fired_;
  bool telling_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
