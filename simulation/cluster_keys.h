// The keys of a simulated cluster's nodes, each made of its node's name: so that logs end their commits with checkpoints, and what archives
// answer has to be proven by them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "bus/checkpoint.h"
#include "core/notary.h"

namespace supercloud {

// Thread-bound.
class ClusterKeys {
 public:
  std::unique_ptr<Notary> notary(EventPool& pool, const std::string& node) const;
  // Of every node. This outlives it.
  Proofs::KeysOf keys_of();

 private:
  std::map<std::string, PublicKey, std::less<>> keys_;  // of nodes that were heard of
};

}  // namespace supercloud
