// Which cluster a command is about, and how to ask it.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/program.h"
#include "cli/run_directory.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/event_loop.h"
#include "core/message.h"
#include "core/time.h"
#include "core/topic.h"

namespace supercloud {

struct ClusterTarget {
  std::string name;
  std::filesystem::path directory;
  bool running = false;          // at least one of its processes
  std::vector<NodeEntry> nodes;  // that it ever had
  std::string site;
  MarketClock market;      // speed 0: it has no market
  std::string key, trust;  // files of whoever asks; empty: the bus has no keys
};

// --cluster or SUPERCLOUD_CLUSTER (a name, or a run directory), else the only cluster that runs, else the last run. Says on
// stderr which one it is, and whether it runs. NotFound and FailedPrecondition (several run) name the cure.
absl::StatusOr<ClusterTarget> find_cluster(const Program& program);
// The same in silence, under another state folder.
absl::StatusOr<ClusterTarget> find_cluster(const std::string& wanted,
                                           const std::filesystem::path& root);
absl::StatusOr<ClusterTarget> load_cluster(const std::filesystem::path& directory);

// A member of the cluster's bus that asks and listens. Thread-bound; blocking calls run its loop.
class ClusterClient {
 public:
  // Unavailable: no process of the cluster runs, or none answers within five seconds. FailedPrecondition: its bus has keys, and the target says none;
  // PermissionDenied: with a key that no node lets in. What part of it one may not see is told on stderr.
  static absl::StatusOr<std::unique_ptr<ClusterClient>> connect(const ClusterTarget& target);
  ~ClusterClient();
  ClusterClient(const ClusterClient&) = delete;
  ClusterClient& operator=(const ClusterClient&) = delete;

  // What happens while an answer is waited for. Empty ones: nothing.
  struct Waiting {
    Call::OnProgress on_progress;  // how far the request is
    // Asked now and then: once it says so the request is cancelled, and the answer is Cancelled.
    std::function<bool()> interrupted;
  };
  // Blocks. Follows redirects to other nodes; an answer that carries an error is that error.
  absl::StatusOr<Message<schema::Response>> ask(const Address& to,
                                                const Message<schema::Request>& request,
                                                Duration deadline, const Waiting& waiting = {});
  // The same without blocking and without following redirects; `then` runs in the loop.
  void send(const Address& to, const Message<schema::Request>& request, Duration deadline,
            std::function<void(absl::StatusOr<Message<schema::Response>>)> then,
            std::shared_ptr<Call> call = nullptr);
  // `each` runs in the loop. Returns when nothing published from now on is missed.
  absl::Status subscribe(const Pattern& pattern, std::function<void(const Event&)> each);
  // Told of events that are missing: a subscriber's own gaps.
  void on_gap(std::function<void(const BusGap&)> told);
  // The names of all members of its bus that are known, whether they can be reached or not; hubs among them.
  std::set<std::string> members() const;
  // Runs the loop until `done`, which is asked after every round of tasks, or `deadline`.
  void run_until(std::function<bool()> done, Instant deadline);
  EventLoop& loop();
  EventPool& pool();

 private:
  struct State;
  explicit ClusterClient(std::unique_ptr<State> state);
  void settle(const std::string& node);
  std::unique_ptr<State> state_;
};

// Null: it does not run here, or cannot be asked, which stderr then says.
std::unique_ptr<ClusterClient> connect_to_read(const ClusterTarget& target);

// All events of a cluster that match, in the order of (time, id), each once: over the bus from all of its members, on whatever machine, of
// those that do not run from their logs, where those are here, and from archives what no log has any more. Who has said what was read, and is no member,
// is asked beyond hubs. Whose log or archive can be read neither way is named on stderr. `pool` outlives the events. `forgetful`, if given, is told the logs and archives that no longer keep all of their beginning. Of what is older than `since` some
// may be left out, which is not read then.
absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool,
                                                std::vector<std::string>* forgetful = nullptr,
                                                HybridTime since = {});
// The same over a client that is there already; null: offline only.
absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool, ClusterClient* client,
                                                std::vector<std::string>* forgetful = nullptr,
                                                HybridTime since = {});
// A line that says so; empty where there are none.
std::string begins_later(const std::vector<std::string>& forgetful);

}  // namespace supercloud
