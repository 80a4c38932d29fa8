// What QEMU says of a migration under way, as progress of a transfer.
#pragma once

#include <string>

#include "hypercall/hypervisor.h"
#include "hypercall/qemu/qmp_message.h"

namespace supercloud {

// Of query-migrate. "none", "setup", "active", "pre-switchover", "device", "completed", "failed", "cancelling", "cancelled" ...
struct QemuMigration {
  std::string status;
  std::string error;
  std::uint64_t total_bytes = 0;
  std::uint64_t remaining_bytes = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t zero_pages = 0;  // which were told, and not sent
  std::uint64_t passes = 0;
  std::uint64_t dirty_pages_per_second = 0;
  std::uint64_t page_bytes = 4096;
  Duration time;

  static QemuMigration parse(const QmpValue& value);
  bool ended() const { return status == "failed" || status == "cancelled" || status == "none"; }
};

// One transfer's figures. Not thread-safe.
class TransferMeter {
 public:
  TransferMeter(Duration blackout_budget, std::uint32_t passes_max)
      : blackout_budget_(blackout_budget), passes_max_(passes_max) {}

  // Percent never falls, and is 100 when it is complete; once converged it stays so.
  const TransferProgress& update(const QemuMigration& migration, Instant now);
  const TransferProgress& progress() const { return progress_; }

 private:
  const Duration blackout_budget_;
  const std::uint32_t passes_max_;
  TransferProgress progress_;
  Instant last_{};
  std::uint64_t last_sent_ = 0;
  std::uint64_t last_passes_ = 0;
};

}  // namespace supercloud
