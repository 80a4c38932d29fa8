// The gateway's place on the bus: it hears everything, remembers the newest of it, and has a reading for every reader.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "actors/gateway/metrics.h"
#include "actors/gateway/outlet.h"
#include "actors/reading/reading.h"
#include "core/actor.h"
#include "core/bus.h"
#include "core/scheduler.h"

namespace supercloud {

struct GatewayHubOptions {
  std::string name = "gateway";    // the source of its gaps
  std::vector<std::string> nodes;  // that the cluster has, whether they run or not
  Duration page_deadline = absl::Seconds(5);
  std::uint32_t page_events = 128;
  std::size_t pages_under_way_max =
      8;  // of all readings together: more would keep the nodes' logs from their own
  std::size_t recent_events_max = 4096;
  std::size_t recent_bytes_max = 8 << 20;
  // Of one reader that chose a queue: behind what its outlet has.
  std::size_t waiting_events_max = 4096;
  std::size_t waiting_bytes_max = 1 << 20;
};

// Thread-bound to the scheduler; next_id() is thread-safe. Publishes nothing. The bus outlives it.
class GatewayHub final : public BusReceiver, private ReadingHost {
 public:
  using ReadingId = std::uint64_t;

  GatewayHub(Scheduler& scheduler, Bus& bus, EventPool& pool, GatewayMetrics& metrics,
             GatewayHubOptions options);
  ~GatewayHub() override;

  // Joins the bus; `joined` when nothing published from then on is missed.
  void start(Reply<Done> joined);

  ReadingId next_id() { return ++last_id_; }
  // `queue`: what becomes of what happens when the outlet has no room for it; `fail`: the reading ends.
  void open(ReadingId id, Reading::Begin begin, std::shared_ptr<Outlet> outlet,
            Queueing::Full queue = Queueing::Full::fail);
  // Its outlet has room again.
  void go_on(ReadingId id);
  // Without effect on one that has ended.
  void close(ReadingId id);

  // BusReceiver
  void on_event(Event event) override;
  void on_gap(const BusGap& gap) override;
  void on_request(std::string actor, std::string bytes, Reply<std::string> answer) override;
  void on_rejected(std::string from, std::string why) override;
  void on_peer(std::string node, bool alive) override;

 private:
  class Reader;  // a reading, and its outlet
  struct Wanted {
    ReadingId reading;
    Source source;
    LogQuestion question;
    std::function<void(Page)> then;
  };

  // ReadingHost
  void page(std::uint64_t reading, const Source& source, LogQuestion question,
            std::function<void(Page)> then) override;
  absl::StatusOr<Event> parse(Bytes bytes) override { return pool_.parse(bytes); }
  const std::map<std::string, bool>& nodes() const override { return nodes_; }
  const std::deque<Event>& recent() const override { return recent_; }

  // Made once for all who read it.
  const std::string& json_of(const Event& event);
  std::string gap(const MissedEvents& missed);
  void ask();
  void answered(Wanted wanted, const Page& page);
  void reap(ReadingId id);

  Scheduler& scheduler_;
  Bus& bus_;
  EventPool& pool_;
  GatewayMetrics& metrics_;
  const GatewayHubOptions options_;
  std::map<std::string, bool> nodes_;
  std::deque<Event> recent_;
  std::size_t recent_bytes_ = 0;
  std::map<ReadingId, std::unique_ptr<Reader>> readings_;
  Event rendered_;  // the last one, and its JSON
  std::string rendered_json_;
  std::deque<Wanted> wanted_;
  std::size_t under_way_ = 0;
  std::uint64_t gaps_ = 0;
  std::int64_t began_us_ = 0;
  std::atomic<ReadingId> last_id_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
