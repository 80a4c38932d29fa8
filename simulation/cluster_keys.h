// The keys of a simulated cluster's nodes, each made of its node's name: so that logs end their commits with checkpoints, and what archives
// answer has to be proven by them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "bus/subscriber.h"
#include "bus/trust.h"
#include "core/notary.h"

namespace supercloud {

// Thread-bound.
class ClusterKeys {
 public:
  std::unique_ptr<Notary> notary(EventPool& pool, const std::string& node) const;
  // By the keys of all nodes. This outlives it.
  Subscriber::Prove prover();

 private:
  absl::Status prove(absl::Span<const Event> checkpoints, std::vector<Event>& events);

  Trust trust_;  // nodes that were heard of
};

}  // namespace supercloud
