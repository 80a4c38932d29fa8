#include "hypercall/keeper.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr std::int64_t million = 1'000'000;

}  // namespace

Duration FencePolicy::fence_limit() const {
  // ttl_max keeps the products within 64 bits: 3.6e12 ns * 1e6 < 2^63. The first term is rounded
  // down, the second up.
  const std::int64_t ttl_ns = absl::ToInt64Nanoseconds(ttl);
  const std::int64_t stop_ns = absl::ToInt64Nanoseconds(stop_time);
  const std::int64_t drift = drift_ppm;
  const std::int64_t lease_ns = ttl_ns * (million - drift) / (million + drift);
  const std::int64_t reserve_ns = (stop_ns * (million - drift) + million - 1) / million;
  return absl::Nanoseconds(lease_ns - reserve_ns);
}

absl::Status FencePolicy::validate() const {
  const std::string figures =
      absl::StrCat("TTL ", absl::FormatDuration(ttl), ", F ", absl::FormatDuration(fence_after),
                   ", drift ", drift_ppm, " ppm, stop time ", absl::FormatDuration(stop_time));
  if (ttl <= absl::ZeroDuration() || ttl > ttl_max || fence_after <= absl::ZeroDuration() ||
      stop_time < absl::ZeroDuration() || stop_time > ttl_max || drift_ppm >= million) {
    return absl::InvalidArgumentError(absl::StrCat(
        "fence policy out of range (", figures, "): TTL and F must be above 0, TTL and stop time ",
        "at most ", absl::FormatDuration(ttl_max), ", drift below 1000000 ppm"));
  }
  const Duration limit = fence_limit();
  if (limit <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("fence policy cannot be safe (", figures,
                     "): after drift and stop time nothing is left of the TTL; raise the TTL or "
                     "stop guests faster"));
  }
  if (fence_after >= limit) {
    return absl::InvalidArgumentError(absl::StrCat(
        "fence policy is not safe (", figures, "): F must be below TTL*(1-rho)/(1+rho) - ",
        "(1-rho)*delta = ", absl::FormatDuration(limit), "; lower F or raise the TTL"));
  }
  return absl::OkStatus();
}

Keeper::Keeper(Scheduler& scheduler, std::function<void(const std::string& vm)> freeze)
    : scheduler_(scheduler), freeze_(std::move(freeze)) {}

Keeper::~Keeper() {
  for (const auto& [vm, guard] : guards_) scheduler_.cancel(guard.timer);
}

void Keeper::arm(const std::string& vm, Instant deadline) {
  Guard& guard = guards_[vm];
  scheduler_.cancel(guard.timer);
  guard.timer = 0;
  guard.deadline = deadline;
  if (deadline <= scheduler_.clock().now()) {
    freeze_(vm);
    return;
  }
  guard.timer = scheduler_.at(deadline, [this, vm] { expire(vm); });
}

void Keeper::forget(const std::string& vm) {
  const auto found = guards_.find(vm);
  if (found == guards_.end()) return;
  scheduler_.cancel(found->second.timer);
  guards_.erase(found);
}

bool Keeper::allows(const std::string& vm) const {
  const auto found = guards_.find(vm);
  return found != guards_.end() && scheduler_.clock().now() < found->second.deadline;
}

Instant Keeper::deadline(const std::string& vm) const {
  const auto found = guards_.find(vm);
  return found == guards_.end() ? Instant{} : found->second.deadline;
}

void Keeper::expire(const std::string& vm) {
  guards_[vm].timer = 0;
  freeze_(vm);
}

}  // namespace supercloud
