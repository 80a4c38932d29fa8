// The XenStore of this machine: a client of its daemon's socket, or of the kernel's device in a domain that has no daemon.
//
//            connect          watches registered anew, each told to look
//   away ───────────────▶ here ─────────────────────────────────────────▶ ...
//     ▲                     │ the other end is gone, silent, or answers nonsense
//     └─────────────────────┘ requests under way: Unavailable; transactions: void
//
// It speaks the protocol itself (wire.h), on the event loop of its actors. libxenstore cannot be told when to stop waiting: a
// daemon that hangs, or announces bytes that it does not send, keeps its caller for ever. It also gives each watcher a thread and
// a queue without limit, and finds its daemon by the process's environment alone. As it does, this client sends the next request when
// the last one is answered: oxenstored may stop reading from a connection with several under way.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/event_loop.h"
#include "hypercall/xen/wire.h"
#include "hypercall/xen_store.h"

namespace supercloud {

struct XenStoreClientOptions {
  std::string path;  // of a socket or a device; empty: default_xen_store_path()
  // So long a request may wait for its answer until the daemon counts as gone.
  Duration silence_max = absl::Seconds(5);
  Duration retry_min =
      absl::Milliseconds(20);  // between two attempts to connect; then twice as long each
  Duration retry_max = absl::Seconds(2);
  std::size_t requests_max = 1024;  // under way; ResourceExhausted beyond
};

// $XENSTORED_PATH, the socket in $XENSTORED_RUNDIR, or the usual one of Xen's tools; where there is none of these, the kernel's device.
std::string default_xen_store_path();

// Thread-bound to its loop. Its memory is bounded: requests_max requests, and the message that is arriving with 64 KiB of what
// follows; a watch is told once of what came for it in these.
class XenStoreClient final : public XenStore {
 public:
  explicit XenStoreClient(EventLoop& loop, XenStoreClientOptions options = {});
  ~XenStoreClient() override;
  XenStoreClient(const XenStoreClient&) = delete;
  XenStoreClient& operator=(const XenStoreClient&) = delete;

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

  const std::string& path() const { return options_.path; }
  bool connected() const { return fd_ >= 0; }

 private:
  // The body is valid within the call.
  using Answered = absl::AnyInvocable<void(absl::StatusOr<std::string_view> body) &&>;
  struct Request {
    xen_wire::Type type;
    std::string about;
    Instant sent;  // or made, while it waits
    bool on_wire = false;
    Answered answered;
  };
  struct Watch {
    XenPath path;
    Changed changed;
  };
  struct Listing;

  void ask(xen_wire::Type type, XenTransactionId in, std::string_view about, std::string_view body,
           Answered answered);
  void ask_done(xen_wire::Type type, XenTransactionId in, const XenPath& path,
                std::string_view body, Reply<Done> reply);
  void list_part(std::shared_ptr<Listing> listing);
  void register_watch(XenWatchId id, Reply<Done> registered);

  absl::Status connect();
  void connect_later();
  void lose(const absl::Status& why);
  void send_next();
  void send();
  void on_ready(std::uint32_t events);
  void receive();
  absl::Status take(const xen_wire::Message& message);
  void tell_watches();
  void expect_answers();
  void later(Task task);  // unless this object is gone by then

  EventLoop& loop_;
  XenStoreClientOptions options_;
  int fd_ = -1;
  bool socket_ = false;           // fd_ is one; else a device
  std::uint32_t connection_ = 0;  // counts them: a transaction is of one
  absl::Status trouble_;          // why there is none
  Instant next_try_{};
  Duration retry_;
  TimerId retry_timer_ = 0;
  TimerId silence_timer_ = 0;

  std::string out_;
  std::string in_;
  std::uint32_t last_request_ = 0;
  std::map<std::uint32_t, Request> requests_;  // by number, in the order of their making
  std::deque<std::pair<std::uint32_t, std::string>> waiting_;  // of these, what is not sent yet
  std::size_t unanswered_ = 0;                                 // what is
  XenWatchId last_watch_ = 0;
  std::map<XenWatchId, Watch> watches_;
  std::set<std::pair<XenWatchId, std::string>> fired_;  // what arrived and is not told yet
  // Posted tasks outlive this object, but do nothing then.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
