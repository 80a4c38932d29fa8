// The demo's cluster: a site process, a process for every instance that the simulated cloud has launched, and the demo itself
// as a client on their bus.
#pragma once

#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/cluster_target.h"
#include "cli/demo/guests.h"
#include "cli/demo/plan.h"
#include "cli/demo/processes.h"
#include "cli/demo/story.h"

namespace supercloud {

// Thread-bound. Ends with every process that it started, and without its sockets; the run directory stays.
class DemoCluster {
 public:
  // Blocks until the site answers. `line` gets each line of the story as it happens.
  static absl::StatusOr<std::unique_ptr<DemoCluster>> start(
      const DemoPlan& plan, std::function<void(const DemoStory::Line&)> line);
  ~DemoCluster();
  DemoCluster(const DemoCluster&) = delete;
  DemoCluster& operator=(const DemoCluster&) = delete;

  // Runs for `span`, or until `stop` holds, which is asked five times a second.
  void run(Duration span, const std::function<bool()>& stop);
  // Every process ends.
  void stop();

  const DemoStory& story() const { return story_; }
  // Null: they are simulated.
  const DemoGuests* guests() const { return guests_.get(); }
  const MarketClock& market() const { return plan_.market.clock; }
  absl::Time market_now() const { return plan_.market.clock.at(absl::Now()); }
  // Cluster time until the market opens; zero when it has.
  Duration until_market() const {
    return std::max(absl::ZeroDuration(), plan_.market.clock.start - absl::Now());
  }
  const std::filesystem::path& directory() const { return directory_; }
  std::size_t processes() const { return processes_.size(); }

 private:
  explicit DemoCluster(DemoPlan plan, std::filesystem::path directory,
                       std::filesystem::path sockets,
                       std::function<void(const DemoStory::Line&)> line);
  absl::Status start_site();
  absl::Status start_node(schema::InstanceLaunched::Reader launched);
  NodeConfig config_of(const std::string& node) const;
  void heard(const Event& event);
  // The same of events that may have been heard before.
  void heard_or_read(const Event& event);
  void fill_gaps();
  void read_log(const std::function<bool(const std::string& node)>& whose,
                const std::function<bool(const Event&)>& which);
  void say(const std::string& line);
  void look();
  void create_vms();
  void ask_the_impossible();

  DemoPlan plan_;
  const std::filesystem::path directory_, sockets_;
  std::function<void(const DemoStory::Line&)> line_;
  DemoStory story_;
  std::unique_ptr<DemoGuests> guests_;
  NodeProcesses processes_;
  std::unique_ptr<ClusterClient> client_;
  std::map<std::string, std::string> node_of_instance_;
  // Ids of what was heard last, as the past and gaps are read from logs that have it too.
  std::set<EventId> heard_;
  std::deque<EventId> heard_order_;
  std::vector<BusGap> gaps_;                               // to be filled
  std::vector<std::pair<Instant, std::string>> catch_up_;  // when whose log is read
  std::set<std::string> created_, creating_;
  bool asked_ = false, asking_ = false;
};

}  // namespace supercloud
