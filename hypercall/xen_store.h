// The XenStore seam: the tree of small values through which the domains of a Xen host and its tools tell each other things.
//
// Calls return at once; replies come later, never from inside the call, and may be fewer changes than happened: a watch says "look
// at this path", and is answered by reading. What a watch has told is true until it tells again.
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

// Thread-bound. Errors are those of xen_error.h; Unavailable: nobody answers, now. After that, a write may have taken effect or not.
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
  // With all below it. Done where its parent is there and it is not.
  virtual void remove(XenTransactionId in, const XenPath& path, Reply<Done> reply) = 0;
  virtual void permissions(XenTransactionId in, const XenPath& path,
                           Reply<XenPermissions> reply) = 0;
  virtual void set_permissions(XenTransactionId in, const XenPath& path,
                               const XenPermissions& permissions, Reply<Done> reply) = 0;

  // What is done in a transaction nobody sees before its commit, and its reads see one state. A commit that is Aborted was in
  // conflict with others and had no effect: begin again. Which conflicts are, stores differ in. A transaction ends with the
  // store's process: calls in it are Unavailable from then on.
  virtual void begin(Reply<XenTransactionId> reply) = 0;
  virtual void end(XenTransactionId transaction, bool commit, Reply<Done> reply) = 0;

  // `changed` runs once soon after, and then whenever `path` or something below it may have changed: with the path that did, or
  // one above it. Never from inside a call of this store. It holds on when the store's process ends and begins: then it runs again,
  // for what happened meanwhile. `registered`, if given: whether the store watches now; on Unavailable it will when it is back.
  using Changed = std::function<void(const XenPath& path)>;
  virtual XenWatchId watch(const XenPath& path, Changed changed, Reply<Done> registered = {}) = 0;
  // No call of `changed` begins after this.
  virtual void unwatch(XenWatchId watch) = 0;
};

struct XenRetry {
  int attempts_max = 8;
  Duration backoff = absl::Milliseconds(1);  // before the second attempt; then twice as long each
  Duration backoff_max = absl::Milliseconds(100);
  // Also when the store went away: for a function whose effect, made twice, is that of once; whether a commit under way then took
  // effect nobody knows.
  bool after_loss = false;
};

// What is to be done in one transaction: calls of the store with the id that it is given, then `done`, with an error to give up.
using XenBody = std::function<void(XenTransactionId in, Reply<Done> done)>;

// Runs `body` in a transaction and commits it; on a conflict, from its beginning. `reply` has the commit's status, the body's
// error, or Aborted after the last attempt. The store and the scheduler outlive it. Thread-bound to both.
void transact(XenStore& store, Scheduler& scheduler, XenBody body, Reply<Done> reply,
              XenRetry retry = {});

}  // namespace supercloud
