// Links inside one process: for tests in virtual time, and for the simulator's network.
//
// A hub knows every endpoint of a cluster. What the network does to a frame is asked of two hooks at the moment it matters:
// how long it travels, and whether the way is blocked. A blocked frame waits, as in a kernel's send queue; what is blocked for
// longer than the timeout closes its connection at both ends with Unavailable. Frames of one direction never overtake.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "core/link.h"
#include "core/scheduler.h"

namespace supercloud {

struct MemoryLinkOptions {
  Duration delay = absl::Microseconds(100);  // of every frame, where no hook says otherwise
  Duration blocked_timeout = absl::Seconds(5);
  Duration blocked_retry = absl::Milliseconds(50);
};

class MemoryLinkNetwork;

// Thread-bound to its scheduler. Outlived by nothing that it made.
class MemoryLinkHub {
 public:
  using Delay = absl::AnyInvocable<Duration(const std::string& from, const std::string& to,
                                            std::size_t bytes)>;
  using Blocked = absl::AnyInvocable<bool(const std::string& from, const std::string& to)>;

  explicit MemoryLinkHub(Scheduler& scheduler, MemoryLinkOptions options = {});
  ~MemoryLinkHub();
  MemoryLinkHub(const MemoryLinkHub&) = delete;
  MemoryLinkHub& operator=(const MemoryLinkHub&) = delete;

  void set_delay(Delay delay);
  void set_blocked(Blocked blocked);

  // The network of `node`, whose handlers run as posted tasks of `scheduler`: a scheduler that is stopped is a frozen node.
  // One at a time per name; destroying it is the end of that node's listeners, and its links live on until they are destroyed.
  std::unique_ptr<LinkNetwork> network(std::string node, Scheduler& scheduler);

  // Closes every connection between the two at once, as a reset would.
  void reset(const std::string& one, const std::string& other);

 private:
  friend class MemoryLinkNetwork;
  friend class MemoryLink;
  struct Connection;
  struct End;

  void transmit(const std::shared_ptr<Connection>& connection, int from, int kind,
                std::string frame);
  void arrive(const std::shared_ptr<Connection>& connection, int from, int kind, std::string frame);
  void schedule(const std::shared_ptr<Connection>& connection, int from, Instant when,
                Instant blocked_since);
  void open(const std::shared_ptr<Connection>& connection);
  void close(const std::shared_ptr<Connection>& connection, int index, absl::Status why);
  static void drain(const std::shared_ptr<Connection>& connection, int index);

  Scheduler& scheduler_;
  MemoryLinkOptions options_;
  Delay delay_;
  Blocked blocked_;
  std::map<std::string, MemoryLinkNetwork*> networks_;
  std::vector<std::weak_ptr<Connection>> connections_;
  std::shared_ptr<MemoryLinkHub*> self_;  // timers and links hold it weakly
};

}  // namespace supercloud
