#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/simulated/xen.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

constexpr Duration watch_retry = absl::Milliseconds(100);  // after it was refused

absl::Status gone(const char* call, const XenPath& path) {
  return as_xen_failure(absl::UnavailableError(absl::StrCat(call, " ", path.text(),
                                                            ": the simulated XenStore went away")),
                        call, ECONNRESET);
}

}  // namespace

SimulatedXenStore::SimulatedXenStore(Scheduler& scheduler, SimulatedXen& xen, Random random,
                                     SimulatedXenStoreOptions options)
    : scheduler_(scheduler), xen_(xen), random_(random), options_(options) {
  xen_.clients_.push_back(this);
}

SimulatedXenStore::~SimulatedXenStore() {
  *alive_ = false;
  std::erase(xen_.clients_, this);
  std::erase_if(xen_.transactions_, [this](const auto& open) { return open.second.by == this; });
  // What goes with a reply may ask for something as it goes: it is not taken any more.
  const auto under_way = std::exchange(under_way_, {});
}

void SimulatedXenStore::later(std::function<void(bool here)> work) {
  if (!*alive_) return;
  const Duration latency =
      absl::Nanoseconds(random_.between(absl::ToInt64Nanoseconds(options_.latency_min),
                                        absl::ToInt64Nanoseconds(options_.latency_max)));
  free_ = std::max(free_, scheduler_.clock().now() + latency);
  const bool runs = xen_.runs_;
  under_way_.push_back([this, runs, life = xen_.life_, work = std::move(work)] {
    work(runs && xen_.runs_ && xen_.life_ == life);
  });
  scheduler_.at(free_, [this, alive = alive_] {
    if (!*alive) return;
    const std::function<void()> next = std::move(under_way_.front());
    under_way_.pop_front();
    next();
  });
}

XenPath SimulatedXenStore::whole(const XenPath& path) const {
  if (path.absolute() || path.special()) return path;
  const auto joined = XenPath::domain(options_.domain) / path.text();
  return joined.ok() ? *joined : path;
}

template <class T>
void SimulatedXenStore::ask(const char* call, const XenPath& path, std::size_t payload,
                            Reply<T> reply,
                            std::function<absl::StatusOr<T>(const XenPath& whole)> work) {
  auto shared = std::make_shared<Reply<T>>(std::move(reply));
  later([this, call, path, payload, shared, work = std::move(work)](bool here) {
    if (path.special()) return (*shared)(xen_error(call, EINVAL, path.text()));
    if (payload > xen_payload_bytes_max) return (*shared)(xen_error(call, E2BIG, path.text()));
    if (!here) return (*shared)(gone(call, path));
    (*shared)(work(whole(path)));
  });
}

// One of an earlier daemon ended with it.
absl::Status SimulatedXenStore::no_transaction(const char* call, XenTransactionId id,
                                               const XenPath& path) const {
  return id >> 32U != xen_.life_ ? gone(call, path) : xen_error(call, ENOENT, path.text());
}

// A node that may be read, in a transaction or not.
absl::StatusOr<const XenTree::Node*> SimulatedXenStore::look(const char* call, XenTransactionId in,
                                                             const XenPath& path) {
  const XenTree* tree = &xen_.tree_;
  if (in != 0) {
    SimulatedXen::Transaction* transaction = xen_.transaction(in, *this);
    if (transaction == nullptr) return no_transaction(call, in, path);
    transaction->touched.insert(path.text());
    tree = &transaction->tree;
  }
  const XenTree::Node* node = tree->find(path.text());
  if (node == nullptr) return xen_error(call, ENOENT, path.text());
  if (!XenTree::may_read(*node, options_.domain)) return xen_error(call, EACCES, path.text());
  return node;
}

void SimulatedXenStore::change(
    const char* call, XenTransactionId in, const XenPath& path, std::size_t payload,
    std::function<int(XenTree&, const XenPath& whole, XenTree::Changed&)> change,
    Reply<Done> reply) {
  ask<Done>(
      call, path, payload, std::move(reply),
      [this, call, in, change = std::move(change)](const XenPath& whole) -> absl::StatusOr<Done> {
        XenTree::Changed changed;
        int error = 0;
        if (in == 0) {
          error = change(xen_.tree_, whole, changed);
          xen_.tell(changed);
        } else {
          SimulatedXen::Transaction* transaction = xen_.transaction(in, *this);
          if (transaction == nullptr) return no_transaction(call, in, whole);
          // A node that comes or goes changes the one above it.
          XenTree& tree = transaction->tree;
          const bool was = tree.find(whole.text()) != nullptr;
          const std::vector<std::string> below = tree.all_below(whole.text());
          XenPath nearest = whole;
          transaction->touched.insert(nearest.text());
          while (tree.find(nearest.text()) == nullptr) {
            nearest = nearest.parent();
            transaction->touched.insert(nearest.text());
          }
          error = change(tree, whole, changed);
          if (was && tree.find(whole.text()) == nullptr) {
            transaction->touched.insert(whole.parent().text());
            transaction->touched.insert(below.begin(), below.end());
          }
          if (error == 0)
            transaction->changes.push_back(
                [change, whole](XenTree& of_all, XenTree::Changed& of_commit) {
                  return change(of_all, whole, of_commit);
                });
        }
        if (error != 0) return xen_error(call, error, whole.text());
        return Done{};
      });
}

void SimulatedXenStore::read(XenTransactionId in, const XenPath& path, Reply<std::string> reply) {
  ask<std::string>("XS_READ", path, path.text().size() + 1, std::move(reply),
                   [this, in](const XenPath& whole) -> absl::StatusOr<std::string> {
                     const auto node = look("XS_READ", in, whole);
                     if (!node.ok()) return node.status();
                     return (*node)->value;
                   });
}

void SimulatedXenStore::list(XenTransactionId in, const XenPath& path,
                             Reply<std::vector<std::string>> reply) {
  ask<std::vector<std::string>>(
      "XS_DIRECTORY", path, path.text().size() + 1, std::move(reply),
      [this, in](const XenPath& whole) -> absl::StatusOr<std::vector<std::string>> {
        const auto node = look("XS_DIRECTORY", in, whole);
        if (!node.ok()) return node.status();
        const XenTree& tree = in == 0 ? xen_.tree_ : xen_.transaction(in, *this)->tree;
        return tree.children(whole.text());
      });
}

void SimulatedXenStore::write(XenTransactionId in, const XenPath& path, std::string_view value,
                              Reply<Done> reply) {
  change(
      "XS_WRITE", in, path, path.text().size() + 1 + value.size(),
      [by = options_.domain, quota = xen_.quota_, value = std::string(value)](
          XenTree& tree, const XenPath& whole, XenTree::Changed& changed) {
        return tree.write(whole, value, false, by, quota, changed);
      },
      std::move(reply));
}

void SimulatedXenStore::make(XenTransactionId in, const XenPath& path, Reply<Done> reply) {
  change(
      "XS_MKDIR", in, path, path.text().size() + 1,
      [by = options_.domain, quota = xen_.quota_](XenTree& tree, const XenPath& whole,
                                                  XenTree::Changed& changed) {
        return tree.write(whole, "", true, by, quota, changed);
      },
      std::move(reply));
}

void SimulatedXenStore::remove(XenTransactionId in, const XenPath& path, Reply<Done> reply) {
  change(
      "XS_RM", in, path, path.text().size() + 1,
      [by = options_.domain](XenTree& tree, const XenPath& whole, XenTree::Changed& changed) {
        return tree.remove(whole, by, changed);
      },
      std::move(reply));
}

void SimulatedXenStore::permissions(XenTransactionId in, const XenPath& path,
                                    Reply<XenPermissions> reply) {
  ask<XenPermissions>("XS_GET_PERMS", path, path.text().size() + 1, std::move(reply),
                      [this, in](const XenPath& whole) -> absl::StatusOr<XenPermissions> {
                        const auto node = look("XS_GET_PERMS", in, whole);
                        if (!node.ok()) return node.status();
                        return (*node)->permissions;
                      });
}

void SimulatedXenStore::set_permissions(XenTransactionId in, const XenPath& path,
                                        const XenPermissions& permissions, Reply<Done> reply) {
  change(
      "XS_SET_PERMS", in, path, path.text().size() + 1,
      [by = options_.domain, permissions](XenTree& tree, const XenPath& whole,
                                          XenTree::Changed& changed) {
        return tree.set_permissions(whole, permissions, by, changed);
      },
      std::move(reply));
}

void SimulatedXenStore::begin(Reply<XenTransactionId> reply) {
  ask<XenTransactionId>(
      "XS_TRANSACTION_START", XenPath::root(), 1, std::move(reply),
      [this](const XenPath&) -> absl::StatusOr<XenTransactionId> {
        const auto mine = std::ranges::count_if(xen_.transactions_, [this](const auto& open) {
          return open.second.by->options_.domain == options_.domain;
        });
        if (options_.domain != 0 && static_cast<std::size_t>(mine) >= xen_.quota_.transactions_max)
          return xen_error("XS_TRANSACTION_START", ENOSPC);
        const XenTransactionId id = xen_.life_ << 32U | ++xen_.last_transaction_;
        xen_.transactions_[id] = {.begun = xen_.tree_, .tree = xen_.tree_, .by = this};
        return id;
      });
}

void SimulatedXenStore::end(XenTransactionId transaction, bool commit, Reply<Done> reply) {
  auto shared = std::make_shared<Reply<Done>>(std::move(reply));
  later([this, shared, transaction, commit](bool here) {
    constexpr const char* call = "XS_TRANSACTION_END";
    if (!here) return (*shared)(gone(call, XenPath::root()));
    const auto found = xen_.transactions_.find(transaction);
    if (xen_.transaction(transaction, *this) == nullptr)
      return (*shared)(no_transaction(call, transaction, XenPath::root()));
    const SimulatedXen::Transaction ended = std::move(found->second);
    xen_.transactions_.erase(found);
    if (!commit) return (*shared)(Done{});
    const auto generation = [](const XenTree& tree, const std::string& path) {
      const XenTree::Node* node = tree.find(path);
      return node == nullptr ? std::uint64_t{0} : node->generation;
    };
    for (const std::string& path : ended.touched)
      if (generation(xen_.tree_, path) != generation(ended.begun, path))
        return (*shared)(xen_error(call, EAGAIN));
    XenTree::Changed changed;
    XenTree next = xen_.tree_;
    for (const auto& change : ended.changes)
      if (const int error = change(next, changed); error != 0)
        return (*shared)(xen_error(call, error));  // a quota that others used up meanwhile
    xen_.tree_ = std::move(next);
    xen_.tell(changed);
    (*shared)(Done{});
  });
}

// ---- watches ---------------------------------------------------------------------------------------------------------

XenWatchId SimulatedXenStore::watch(const XenPath& path, Changed changed, Reply<Done> registered) {
  const XenWatchId id = ++last_watch_;
  watches_.emplace(id, Watch{path, whole(path), std::move(changed)});
  register_watch(id, std::move(registered));
  return id;
}

void SimulatedXenStore::register_watch(XenWatchId id, Reply<Done> registered) {
  auto shared = std::make_shared<Reply<Done>>(std::move(registered));
  later([this, id, path = watches_.at(id).path, shared](bool here) {
    const auto found = watches_.find(id);
    if (!here || found == watches_.end()) return (*shared)(gone("XS_WATCH", path));
    if (found->second.registered) return (*shared)(Done{});
    const auto mine =
        std::ranges::count_if(watches_, [](const auto& watch) { return watch.second.registered; });
    if (options_.domain != 0 && static_cast<std::size_t>(mine) >= xen_.quota_.watches_max) {
      scheduler_.at(scheduler_.clock().now() + watch_retry, [this, alive = alive_, id] {
        if (*alive && watches_.contains(id)) register_watch(id, {});
      });
      return (*shared)(xen_error("XS_WATCH", E2BIG, path.text()));
    }
    found->second.registered = true;
    (*shared)(Done{});
    fire(id, path);
  });
}

void SimulatedXenStore::unwatch(XenWatchId watch) { watches_.erase(watch); }

void SimulatedXenStore::lost() {
  for (auto& [id, watch] : watches_) watch.registered = false;
  fired_.clear();
}

void SimulatedXenStore::came() {
  later([this](bool here) {
    if (!here) return;
    for (auto& [id, watch] : watches_) {
      watch.registered = true;
      fire(id, watch.path);
    }
  });
}

void SimulatedXenStore::changed(const XenPath& path, bool below) {
  if (!path.special()) {
    // Of what is gone, the nearest above it says who may see.
    XenPath nearest = path;
    while (xen_.tree_.find(nearest.text()) == nullptr) nearest = nearest.parent();
    if (!XenTree::may_read(*xen_.tree_.find(nearest.text()), options_.domain)) return;
  }
  for (const auto& [id, watch] : watches_) {
    if (!watch.registered) continue;
    const bool hit = path.within(watch.whole);
    if (!hit && !(below && watch.whole.within(path))) continue;
    // Told as the watch was made: a relative one hears relative paths.
    const bool relative = watch.path != watch.whole;
    if (!hit || (relative && path == watch.whole)) {
      fire(id, watch.path);
    } else if (relative) {
      const auto told = watch.path / path.text().substr(watch.whole.text().size() + 1);
      fire(id, told.ok() ? *told : watch.path);
    } else {
      fire(id, path);
    }
  }
}

void SimulatedXenStore::fire(XenWatchId id, const XenPath& path) {
  fired_.emplace(id, path);
  if (std::exchange(telling_, true)) return;
  later([this](bool) { tell(); });
}

void SimulatedXenStore::tell() {
  telling_ = false;
  for (const auto& [id, path] : std::exchange(fired_, {})) {
    const auto found = watches_.find(id);
    if (found == watches_.end()) continue;
    const Changed changed = found->second.changed;  // which may end its own watch
    changed(path);
  }
}

}  // namespace supercloud
