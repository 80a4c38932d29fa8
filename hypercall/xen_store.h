// The XenStore seam: the tree of small values through which the domains of a Xen host and its tools tell each other things.
//
// Calls return at once; replies come later, never from inside the call. A watch tells of fewer changes than happened: it says "look at
// this path", and is answered by reading. What was read then is true until it tells again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/reply.h"
#include "core/scheduler.h"
#include "hypercall/xen_path.h"

namespace supercloud {

// Path, its end and value of one request together.
inline constexpr std::size_t xen_payload_bytes_max = 4096;

struct XenAccess {
  DomainId domain = 0;
  bool read = false;
  bool write = false;
  friend bool operator==(const XenAccess&, const XenAccess&) = default;
};
// The first is the owner, who may do all; its read and write are what domains may that are not listed. At least one.
using XenPermissions = std::vector<XenAccess>;

using XenTransactionId = std::uint64_t;  // 0: none, the call takes effect at once
using XenWatchId = std::uint64_t;        // 0: none

// Thread-bound. Errors are those of xen_error.h and keep call and errno; Unavailable: nobody answers, now. PermissionDenied: this
// process may not, whoever answers. After Unavailable, a write may have taken effect or not: its message says so where that is.
// Paths of calls are absolute or relative; a special one is InvalidArgument, but in watch().
class XenStore {
 public:
  virtual ~XenStore() = default;

  // Any bytes. NotFound.
  virtual void read(XenTransactionId in, const XenPath& path, Reply<std::string> reply) = 0;
  // The names right below. In the order of the store.
  virtual void list(XenTransactionId in, const XenPath& path,
                    Reply<std::vector<std::string>> reply) = 0;
  // Any bytes; makes the nodes above it. ResourceExhausted before anything is sent if path and value exceed a request.
  virtual void write(XenTransactionId in, const XenPath& path, std::string_view value,
                     Reply<Done> reply) = 0;
  // An empty node, and those above it. Done where it is there already.
  virtual void make(XenTransactionId in, const XenPath& path, Reply<Done> reply) = 0;
  // With all below it. Done where its parent is there and it is not. InvalidArgument: the root.
  virtual void remove(XenTransactionId in, const XenPath& path, Reply<Done> reply) = 0;
  virtual void permissions(XenTransactionId in, const XenPath& path,
                           Reply<XenPermissions> reply) = 0;
  virtual void set_permissions(XenTransactionId in, const XenPath& path,
                               const XenPermissions& permissions, Reply<Done> reply) = 0;

  // What is done in a transaction nobody sees before its commit. A commit that is Aborted was in conflict with others and had no
  // effect: begin again. Which conflicts are, stores differ in. Until its commit nothing that was read in it need be true: some
  // stores let a read see what others did since it began, and abort it at its end. A transaction is its client's own, and ends with
  // the store's process: calls in it are Unavailable from then on.
  virtual void begin(Reply<XenTransactionId> reply) = 0;
  virtual void end(XenTransactionId transaction, bool commit, Reply<Done> reply) = 0;

  // `changed` runs once soon after, and then whenever `path` or something below it may have changed: with the path that did, or
  // one above it. Never from inside a call of this store. It holds on when the store's process ends and begins: then it runs again,
  // for what happened meanwhile. `registered`, if given: whether the store watches now. A store that is away or refuses (a quota) is
  // asked again, until unwatch(); other watches and requests go on.
  using Changed = std::function<void(const XenPath& path)>;
  virtual XenWatchId watch(const XenPath& path, Changed changed, Reply<Done> registered = {}) = 0;
  // No call of `changed` begins after this.
  virtual void unwatch(XenWatchId watch) = 0;
};

struct XenRetry {
  int attempts_max = 8;                      // in conflict
  Duration backoff = absl::Milliseconds(1);  // before the second attempt; then twice as long each
  Duration backoff_max = absl::Milliseconds(100);
  // How long a store that went away is tried again: for a body whose effect, made twice, is that of once; whether a commit under way
  // then took effect nobody knows. Zero: not at all.
  Duration loss_max = absl::ZeroDuration();
};

// What is to be done in one transaction: calls of the store with the id that it is given, then `done`, with an error to give up.
using XenBody = std::function<void(XenTransactionId in, Reply<Done> done)>;

// Runs `body` in a transaction and commits it; on a conflict, from its beginning. `reply` has the commit's status, the body's
// error, or Aborted after the last attempt. An error of the body may come of reads that do not belong together: it is believed when
// the next run ends in one too. A body that drops its `done` gives up: Cancelled. The store and the scheduler outlive it, and what
// the body was given. Thread-bound to both.
void transact(XenStore& store, Scheduler& scheduler, XenBody body, Reply<Done> reply,
              XenRetry retry = {});

}  // namespace supercloud
