#include "cli/bench/local_bench.h"

#include <algorithm>
#include <utility>

namespace supercloud {
namespace {

// Long enough that beginning and end do not count, short enough to end soon and to fit into the queues.
constexpr std::size_t local_burst_bytes = 16 << 20, local_burst_messages_max = 20'000;

}  // namespace

LocalBench::LocalBench(const LocalBenchOptions& options)
    : options_(options),
      lane_(bus_lane({.subscribers = 1, .bytes = options.bytes, .curve = options.tcp})) {}

absl::StatusOr<std::unique_ptr<LocalBench>> LocalBench::start(const LocalBenchOptions& options) {
  std::unique_ptr<LocalBench> bench(new LocalBench(options));
  if (absl::Status open = bench->lane_->open(); !open.ok()) return open;
  return bench;
}

BenchSubject LocalBench::subject() const {
  return {.processes = true,
          .transport = options_.tcp ? "tcp with CURVE" : "ipc",
          .bytes = options_.bytes};
}

std::vector<BenchPlan> LocalBench::plans() {
  const int messages = static_cast<int>(std::min(
      local_burst_messages_max, local_burst_bytes / std::max<std::size_t>(1, options_.bytes)));
  return {{.name = "round_trip",
           .what = "round trip: an event, and the event that answers it",
           .once = [this] { return burst(1); }},
          {.name = "throughput",
           .what = "events from one process to the other",
           .rate = true,
           .once = [this, messages] { return burst(messages); }},
          {.name = "durable_publish",
           .what = "durable event, one at a time, until it is on disk",
           .once = [this] { return store(); }}};
}

absl::StatusOr<BenchSample> LocalBench::burst(int messages) {
  const absl::StatusOr<Burst> sent = lane_->send(messages);
  if (!sent.ok()) return sent.status();
  return BenchSample{.seconds = sent->seconds, .count = static_cast<std::uint64_t>(messages)};
}

absl::StatusOr<BenchSample> LocalBench::store() {
  if (log_ == nullptr) {
    auto log = log_lane(options_.folder);
    if (!log.ok()) return log.status();
    log_ = *std::move(log);
  }
  const absl::StatusOr<double> seconds = log_->store(1);
  if (!seconds.ok()) return seconds.status();
  return BenchSample{.seconds = *seconds, .count = 1};
}

}  // namespace supercloud
