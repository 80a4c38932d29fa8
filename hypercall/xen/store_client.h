// The XenStore of this machine: a client of its daemon's socket, or of the kernel's device in a domain that has no daemon.
//
//            connect          watches registered anew, each told to look
//   away ───────────────▶ here ─────────────────────────────────────────▶ ...
//     ▲                     │ the other end is gone, silent, or answers nonsense
//     └─────────────────────┘ requests under way: Unavailable; transactions: void
//
// It speaks the protocol itself (wire.h), on the event loop of its actors; why, README.md says. It sends the next request when the last
// one is answered: oxenstored may stop reading from a connection with several under way.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "core/event_loop.h"
#include "hypercall/xen/wire.h"
#include "hypercall/xen_store.h"

namespace supercloud {

struct XenStoreClientOptions {
  std::string path;  // of a socket or a device; empty: default_xen_store_path(), at each connect
  // So long a request may wait for its answer until the daemon counts as gone.
  Duration silence_max = absl::Seconds(5);
  // Between two attempts to connect, or to register a watch that was refused; then twice as long each, until it has held for
  // retry_max.
  Duration retry_min = absl::Milliseconds(20);
  Duration retry_max = absl::Seconds(2);
  // Under way; ResourceExhausted beyond. Ends of transactions and of watches always find room, as do watches.
  std::size_t requests_max = 1024;
  std::size_t listing_bytes_max = std::size_t{16} << 20U;  // of one directory's names; likewise
};

// $XENSTORED_PATH, the socket in $XENSTORED_RUNDIR, or the usual one of Xen's tools; where there is none of these, the kernel's device.
std::string default_xen_store_path();

// Thread-bound to its loop. What a daemon can make it keep is bounded: listing_bytes_max of each list() under way, and the message
// that is arriving with 64 KiB of what follows; a watch is told once of what came for it in these. What its owner asks for is
// kept until it is answered: requests_max requests, those of watches and ends of transactions, and refusals until the loop's next turn.
// A request whose deadline has passed before it was sent is not sent: DeadlineExceeded. Replies that are still to come go with the
// client, uncalled.
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

  const std::string& path() const { return path_; }  // of the last attempt to connect
  bool connected() const { return fd_ >= 0; }

 private:
  // The body is valid within the call.
  using Answered = absl::AnyInvocable<void(absl::StatusOr<std::string_view> body) &&>;
  struct Request {
    xen_wire::Type type;
    std::uint32_t number;
    std::string about;
    Instant deadline;     // of who asked; later it is not sent any more
    std::string message;  // until it is sent
    Answered answered;
  };
  struct Watch {
    XenPath path;
    Changed changed;
    Duration retry{};  // before it is asked for again, if it is refused again
    TimerId timer = 0;
  };
  struct Listing;

  void ask(xen_wire::Type type, XenTransactionId in, std::string_view about, std::string_view body,
           Instant deadline, Answered answered);
  void ask_done(xen_wire::Type type, XenTransactionId in, const XenPath& path,
                std::string_view body, Reply<Done> reply);
  void list_part(std::shared_ptr<Listing> listing);
  void register_watch(XenWatchId id, Reply<Done> registered);
  void retry_watch(XenWatchId id);

  absl::Status connect();
  void connect_later();
  void lose(std::string_view call, int error, absl::string_view why);
  // Loses the connection over an answer that cannot be read, and says so.
  absl::Status nonsense(xen_wire::Type type, const XenPath& path, absl::string_view why);
  void send_next();
  void send();
  void on_ready(std::uint32_t events);
  bool receive();
  bool take(const xen_wire::Message& message);
  void tell_watches();
  void expect_answer();
  void look_after_device();
  void later(Task task);  // unless this object is gone by then

  EventLoop& loop_;
  const XenStoreClientOptions options_;
  std::string path_;
  int fd_ = -1;
  bool socket_ = false;           // fd_ is one; else a device
  std::uint32_t connection_ = 0;  // counts them: a transaction is of one
  Instant connected_{};           // since
  absl::Status trouble_;          // why there is none
  Instant next_try_{};
  Duration retry_;
  TimerId retry_timer_ = 0;
  TimerId silence_timer_ = 0;
  TimerId device_timer_ = 0;

  std::string out_;
  std::string in_;
  std::uint32_t last_request_ = 0;
  std::optional<Request> asked_;  // and not yet answered
  Instant asked_at_{};
  std::deque<Request> waiting_;      // to be asked
  std::set<XenTransactionId> open_;  // transactions of this connection
  XenWatchId last_watch_ = 0;
  std::map<XenWatchId, Watch> watches_;
  std::set<std::pair<XenWatchId, std::string>> fired_;  // what arrived and is not told yet
  std::deque<Task> tasks_;                              // of later()
  // Posted tasks outlive this object, but do nothing then.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
