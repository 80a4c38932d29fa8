#include "simulation/replay/model.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/ledger/billing.h"
#include "actors/policy/smart_spot.h"

namespace supercloud {
namespace {

std::string gib(std::uint64_t bytes) {
  return absl::StrFormat("%.4g GiB", static_cast<double>(bytes) / (1 << 30));
}

}  // namespace

Money ReplayModel::transfer_cost() const {
  return supercloud::transfer_cost(egress_per_gib, transfer_bytes());
}

std::vector<std::pair<std::string, std::string>> ReplayModel::described() const {
  const auto limit = [](std::uint32_t most) {
    return most == 0 ? std::string("no limit") : absl::StrCat(most);
  };
  return {
      {"billing",
       billing == schema::Billing::HOURLY
           ? "by the hour, at the price of its start; a partial last hour is free if the "
             "cloud ends it"
           : "by the second"},
      {"bid", bid ? to_string(*bid) + " per hour" : "the on-demand price"},
      {"notice", absl::FormatDuration(notice)},
      {"launch delay", absl::FormatDuration(launch_delay)},
      {"migration time", absl::FormatDuration(migration)},
      {"lead before an hour's end", absl::FormatDuration(lead_time())},
      {"memory", gib(memory_bytes)},
      {"dirty factor", absl::StrFormat("%.2f", dirty_percent / 100.0)},
      {"disk delta", gib(disk_delta_bytes)},
      {"egress", to_string(egress_per_gib) + " per GiB"},
      {"downtime", to_string(downtime_per_hour) + " per hour"},
      {"moves per day, all VMs", limit(moves_per_day)},
      {"VMs moving at once", limit(moving_max)},
      {"bandwidth of all moves", bandwidth == 0 ? "no limit" : gib(bandwidth) + " per second"},
      {"VMs at one spot place",
       absl::StrCat("smart-spot moves there up to ", SmartSpotOptions{}.share_max_percent,
                    " %, more only where nothing else is left")},
      {"a caught VM's user looks",
       absl::StrCat("every ", absl::FormatDuration(rescue_look), ", and starts it anew on demand")},
  };
}

}  // namespace supercloud
