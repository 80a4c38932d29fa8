#include "core/memory_link.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::string_view scheme = "memory:";

enum Kind : int { kind_open, kind_frame, kind_close };

}  // namespace

// One side of a connection. It outlives its Link object, for what is still on its way.
struct MemoryLinkHub::End {
  std::string node;
  Scheduler* scheduler = nullptr;          // null: that side's process has not accepted yet
  bool attached = false;                   // a Link object exists
  bool closed = false;                     // nothing more is delivered here
  std::shared_ptr<Link::Handler> handler;  // shared: a handler may destroy its own Link
  std::deque<std::string> waiting;         // arrived, not yet handed over
  absl::Status closed_why;
  bool closing = false;   // closed_why is to be handed over after `waiting`
  bool draining = false;  // a drain task is posted

  struct Sent {
    int kind;
    std::string frame;
    Instant due;
  };
  std::deque<Sent> sent;  // by this side, on its way; the first one has a timer
  std::size_t backlog = 0;
};

struct MemoryLinkHub::Connection {
  std::string service;
  End ends[2];  // 0: who connected
  std::weak_ptr<MemoryLinkHub*> hub;
};

class MemoryLink final : public Link {
 public:
  MemoryLink(std::shared_ptr<MemoryLinkHub::Connection> connection, int end)
      : connection_(std::move(connection)), end_(end) {
    connection_->ends[end_].attached = true;
  }
  ~MemoryLink() override {
    MemoryLinkHub::End& end = connection_->ends[end_];
    end.attached = false;
    end.handler.reset();
    end.waiting.clear();
    if (std::exchange(end.closed, true)) return;
    if (auto hub = connection_->hub.lock()) (*hub)->transmit(connection_, end_, kind_close, {});
  }
  void set_handler(Handler handler) override {
    connection_->ends[end_].handler = std::make_shared<Handler>(std::move(handler));
    MemoryLinkHub::drain(connection_, end_);
  }
  void send(std::string frame) override {
    if (frame.size() > link_frame_bytes_max)
      ABSL_RAW_LOG(FATAL, "a link frame of %zu bytes", frame.size());
    if (connection_->ends[end_].closed) return;
    if (auto hub = connection_->hub.lock())
      (*hub)->transmit(connection_, end_, kind_frame, std::move(frame));
  }
  std::size_t backlog() const override { return connection_->ends[end_].backlog; }

 private:
  std::shared_ptr<MemoryLinkHub::Connection> connection_;
  int end_;
};

class MemoryLinkNetwork final : public LinkNetwork {
 public:
  MemoryLinkNetwork(MemoryLinkHub& hub, std::string node, Scheduler& scheduler)
      : hub_(hub.self_), node_(std::move(node)), scheduler_(scheduler) {}
  ~MemoryLinkNetwork() override {
    if (auto hub = hub_.lock()) (*hub)->networks_.erase(node_);
  }

  absl::Status listen(std::string service,
                      absl::AnyInvocable<void(std::unique_ptr<Link>)> on_connection) override {
    auto listener = std::make_shared<Listener>(std::move(on_connection));
    if (!listeners_.emplace(service, std::move(listener)).second) {
      return absl::AlreadyExistsError(absl::StrCat("node ", node_, " already listens for '",
                                                   service, "': use one listener per service"));
    }
    return absl::OkStatus();
  }
  std::string endpoint() const override { return absl::StrCat(std::string(scheme), node_); }
  std::unique_ptr<Link> connect(const std::string& endpoint, const std::string& service) override;

 private:
  friend class MemoryLinkHub;
  using Listener = absl::AnyInvocable<void(std::unique_ptr<Link>)>;
  std::weak_ptr<MemoryLinkHub*> hub_;
  std::string node_;
  Scheduler& scheduler_;
  std::map<std::string, std::shared_ptr<Listener>> listeners_;
};

std::unique_ptr<Link> MemoryLinkNetwork::connect(const std::string& endpoint,
                                                 const std::string& service) {
  auto connection = std::make_shared<MemoryLinkHub::Connection>();
  connection->service = service;
  connection->hub = hub_;
  connection->ends[0].node = node_;
  connection->ends[0].scheduler = &scheduler_;
  auto link = std::make_unique<MemoryLink>(connection, 0);
  auto hub = hub_.lock();
  if (hub == nullptr || endpoint.substr(0, scheme.size()) != scheme) {
    MemoryLinkHub::End& end = connection->ends[0];
    end.closed = end.closing = true;
    end.closed_why = absl::InvalidArgumentError(absl::StrCat(
        "'", endpoint, "' is no endpoint of this network: it should read memory:NODE"));
    return link;  // told when the handler is set
  }
  connection->ends[1].node = endpoint.substr(scheme.size());
  auto& connections = (*hub)->connections_;
  connections.erase(std::remove_if(connections.begin(), connections.end(),
                                   [](const auto& old) { return old.expired(); }),
                    connections.end());
  connections.push_back(connection);
  (*hub)->transmit(connection, 0, kind_open, {});
  return link;
}

MemoryLinkHub::MemoryLinkHub(Scheduler& scheduler, MemoryLinkOptions options)
    : scheduler_(scheduler), options_(options), self_(std::make_shared<MemoryLinkHub*>(this)) {}

MemoryLinkHub::~MemoryLinkHub() = default;

void MemoryLinkHub::set_delay(Delay delay) { delay_ = std::move(delay); }
void MemoryLinkHub::set_blocked(Blocked blocked) { blocked_ = std::move(blocked); }

std::unique_ptr<LinkNetwork> MemoryLinkHub::network(std::string node, Scheduler& scheduler) {
  auto network = std::make_unique<MemoryLinkNetwork>(*this, node, scheduler);
  const bool added = networks_.emplace(node, network.get()).second;
  if (!added) ABSL_RAW_LOG(FATAL, "two networks of one node: %s", node.c_str());
  return network;
}

void MemoryLinkHub::reset(const std::string& one, const std::string& other) {
  const auto connections = connections_;
  for (const auto& weak : connections) {
    auto connection = weak.lock();
    if (connection == nullptr) continue;
    const std::string& a = connection->ends[0].node;
    const std::string& b = connection->ends[1].node;
    if (!((a == one && b == other) || (a == other && b == one))) continue;
    close(connection, 0, absl::UnavailableError(absl::StrCat("connection to ", b, " was reset")));
    close(connection, 1, absl::UnavailableError(absl::StrCat("connection to ", a, " was reset")));
  }
}

void MemoryLinkHub::transmit(const std::shared_ptr<Connection>& connection, int from, int kind,
                             std::string frame) {
  End& sender = connection->ends[from];
  const std::string& to = connection->ends[1 - from].node;
  const std::size_t bytes = frame.size();
  const Duration delay = delay_ ? delay_(sender.node, to, bytes) : options_.delay;
  Instant due = scheduler_.clock().now() + delay;
  if (!sender.sent.empty()) due = std::max(due, sender.sent.back().due);
  sender.backlog += bytes;
  sender.sent.push_back({kind, std::move(frame), due});
  if (sender.sent.size() == 1) schedule(connection, from, due, far_future);
}

void MemoryLinkHub::schedule(const std::shared_ptr<Connection>& connection, int from, Instant when,
                             Instant blocked_since) {
  std::weak_ptr<MemoryLinkHub*> self = self_;
  scheduler_.at(when, [self, connection, from, blocked_since] {
    auto hub = self.lock();
    if (hub == nullptr) return;
    End& sender = connection->ends[from];
    if (sender.sent.empty()) return;
    const End& receiver = connection->ends[1 - from];
    MemoryLinkHub& me = **hub;
    const Instant now = me.scheduler_.clock().now();
    if (me.blocked_ && me.blocked_(sender.node, receiver.node)) {
      const Instant since = std::min(blocked_since, now);
      if (now - since < me.options_.blocked_timeout) {
        me.schedule(connection, from, now + me.options_.blocked_retry, since);
        return;
      }
      sender.sent.clear();
      sender.backlog = 0;
      me.close(
          connection, from,
          absl::UnavailableError(absl::StrCat("no way to ", receiver.node, " for ",
                                              absl::FormatDuration(me.options_.blocked_timeout))));
      me.close(
          connection, 1 - from,
          absl::UnavailableError(absl::StrCat("no way from ", sender.node, " for ",
                                              absl::FormatDuration(me.options_.blocked_timeout))));
      return;
    }
    End::Sent first = std::move(sender.sent.front());
    sender.sent.pop_front();
    sender.backlog -= first.frame.size();
    if (!sender.sent.empty()) {
      me.schedule(connection, from, std::max(now, sender.sent.front().due), far_future);
    }
    me.arrive(connection, from, first.kind, std::move(first.frame));
  });
}

void MemoryLinkHub::arrive(const std::shared_ptr<Connection>& connection, int from, int kind,
                           std::string frame) {
  End& receiver = connection->ends[1 - from];
  if (kind == kind_open) {
    open(connection);
  } else if (kind == kind_close) {
    close(connection, 1 - from,
          absl::UnavailableError(
              absl::StrCat(connection->ends[from].node, " closed the connection")));
  } else if (!receiver.closed) {
    receiver.waiting.push_back(std::move(frame));
    drain(connection, 1 - from);
  }
}

void MemoryLinkHub::open(const std::shared_ptr<Connection>& connection) {
  End& acceptor = connection->ends[1];
  auto network = networks_.find(acceptor.node);
  if (network == networks_.end() || !network->second->listeners_.contains(connection->service)) {
    acceptor.closed = true;
    close(connection, 0,
          absl::UnavailableError(absl::StrCat("nothing listens for '", connection->service, "' on ",
                                              acceptor.node, ": is the node up?")));
    return;
  }
  acceptor.scheduler = &network->second->scheduler_;
  // The listener is looked up again in the accepting node's own turn: its process may have ended by then.
  std::weak_ptr<MemoryLinkHub*> self = self_;
  acceptor.draining = true;
  acceptor.scheduler->post([self, connection] {
    auto hub = self.lock();
    if (hub == nullptr) return;
    End& end = connection->ends[1];
    end.draining = false;
    auto found = (*hub)->networks_.find(end.node);
    if (end.closed && !end.closing) return;
    if (found == (*hub)->networks_.end() ||
        !found->second->listeners_.contains(connection->service)) {
      end.closed = true;
      (*hub)->close(connection, 0, absl::UnavailableError(absl::StrCat(end.node, " went away")));
      return;
    }
    auto listener = found->second->listeners_.find(connection->service)->second;
    (*listener)(std::make_unique<MemoryLink>(connection, 1));
    drain(connection, 1);
  });
}

void MemoryLinkHub::close(const std::shared_ptr<Connection>& connection, int index,
                          absl::Status why) {
  End& end = connection->ends[index];
  if (std::exchange(end.closed, true)) return;
  end.closing = true;
  end.closed_why = std::move(why);
  end.sent.clear();
  end.backlog = 0;
  drain(connection, index);
}

void MemoryLinkHub::drain(const std::shared_ptr<Connection>& connection, int index) {
  End& end = connection->ends[index];
  if (end.draining || end.scheduler == nullptr || !end.attached || end.handler == nullptr) return;
  if (end.waiting.empty() && !end.closing) return;
  end.draining = true;
  end.scheduler->post([connection, index] {
    End& here = connection->ends[index];
    here.draining = false;
    while (here.attached && here.handler != nullptr && !here.waiting.empty()) {
      std::string frame = std::move(here.waiting.front());
      here.waiting.pop_front();
      const auto handler = here.handler;
      if (handler->on_frame) handler->on_frame(std::move(frame));
    }
    if (here.attached && here.handler != nullptr && here.waiting.empty() && here.closing) {
      here.closing = false;
      const auto handler = here.handler;
      if (handler->on_closed) handler->on_closed(here.closed_why);
    }
  });
}

}  // namespace supercloud
