#include "cli/bench/run.h"

#include <algorithm>
#include <cstddef>

namespace supercloud {
namespace {

constexpr double warm_up_part = 0.2;

// The samples of one plan, by parts of the time.
class Gathering {
 public:
  Gathering(const BenchPlan& plan, double part_seconds) : part_seconds_(part_seconds) {
    measure_.name = plan.name;
    measure_.what = plan.what;
    measure_.rate = plan.rate;
  }

  void warm(const BenchSample& sample) { measure_.warm_up += sample.count; }
  // `at`: seconds since the measuring began, when the sample ended.
  void add(double at, const BenchSample& sample) {
    measure_.count += sample.count;
    messages_ += sample.count;
    seconds_ += sample.seconds;
    if (!measure_.rate) part_.add(sample.seconds);
    if (at >= part_end_) close(at);
  }
  BenchMeasure end() {
    close(0);
    if (!measure_.rate) measure_.took = BenchFigures::of(all_);
    return std::move(measure_);
  }

 private:
  void close(double at) {
    while (part_end_ <= at) part_end_ += part_seconds_;
    if (messages_ == 0) return;
    if (measure_.rate) {
      if (seconds_ > 0) measure_.parts.push_back(static_cast<double>(messages_) / seconds_);
    } else {
      // One alone is its own median.
      measure_.parts.push_back(part_.at(0.5).value_or(part_.mean()));
      if (const auto p99 = part_.at(0.99)) measure_.parts_p99.push_back(*p99);
      all_.add(part_);
      part_ = Percentiles();
    }
    messages_ = 0;
    seconds_ = 0;
  }

  BenchMeasure measure_;
  Percentiles all_, part_;
  std::uint64_t messages_ = 0;  // of this part
  double seconds_ = 0;
  const double part_seconds_;
  double part_end_ = part_seconds_;
};

}  // namespace

absl::Status run_bench(const std::vector<BenchPlan>& plans, const BenchRun& run,
                       BenchResult& result) {
  result.seconds = run.seconds;
  result.complete = false;
  const double warm_up = run.seconds * warm_up_part, each = warm_up + run.seconds;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const BenchPlan& plan = plans[i];
    Gathering gathering(plan, run.seconds / bench_parts);
    const absl::Time begin = run.now();
    bool any = false;
    // At least once each: a way may be so long that nothing comes back in the time.
    for (bool warm = false;;) {
      const absl::StatusOr<BenchSample> sample = plan.once();
      if (run.stop()) break;
      if (!sample.ok()) return sample.status();
      const double at = absl::ToDoubleSeconds(run.now() - begin);
      if (warm) {
        gathering.add(at - warm_up, *sample);
        any = true;
      } else {
        gathering.warm(*sample);
      }
      run.told(plan.what, (static_cast<double>(i) + std::min(1.0, at / each)) /
                              static_cast<double>(plans.size()));
      if (any && at >= each) break;
      warm = at >= warm_up;
    }
    if (any) result.measures.push_back(gathering.end());
    if (run.stop()) return absl::OkStatus();
  }
  result.complete = true;
  return absl::OkStatus();
}

}  // namespace supercloud
