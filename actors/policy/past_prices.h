// What prices were before a policy's node listened. They are asked of the watcher that holds the feed's role: nobody reads every price
// since the beginning, but where no watcher tells them; then they come from the logs.
#pragma once

#include <functional>
#include <string>

#include "actors/past.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct PastPricesOptions {
  // Until prices count as known though no watcher has told them, and how often one is asked meanwhile.
  Duration patience = absl::Milliseconds(4500);
  Duration retry = absl::Milliseconds(500);
  Duration deadline = absl::Seconds(2);      // of the lease table, and of the watcher
  Duration quiet = absl::Milliseconds(150);  // PastOptions::quiet, of the logs
};

// Thread-bound to its actor, which owns it.
class PastPrices {
 public:
  using Told = std::function<void(schema::Response::KnownPrices::Reader)>;
  // `told`: of each place by a watcher; `read`: each price of the logs.
  PastPrices(Context& context, LeaseTable& leases, PastPricesOptions options, Told told,
             Past::Each read);

  // Once. `known`: then nothing more will be told; from logs more may be read.
  void ask(std::function<void()> known);
  // To be given every event that the actor receives.
  void hear(const Event& event);
  bool known() const { return known_; }

 private:
  void ask_again();
  void ask_watcher(const std::string& node);
  void read_logs();
  void know();

  Context& context_;
  LeaseTable& leases_;
  const PastPricesOptions options_;
  Told told_;
  Past logs_;
  std::function<void()> when_known_;
  bool known_ = false;
  bool reading_ = false;  // logs: no watcher tells them
};

}  // namespace supercloud
