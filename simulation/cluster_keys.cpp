#include "simulation/cluster_keys.h"

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// A name has letters of base64url only: the beginning of its key's secret.
std::shared_ptr<const KeyPair> key_of(std::string_view node) {
  constexpr std::size_t letters = 43;  // 32 bytes
  std::string secret(node.substr(0, letters - 1));
  secret.resize(letters, 'A');
  auto key = KeyPair::parse("ed25519-secret:" + secret);
  if (!key.ok()) ABSL_RAW_LOG(FATAL, "no key comes of the name %s", std::string(node).c_str());
  return *std::move(key);
}

}  // namespace

std::unique_ptr<Notary> ClusterKeys::notary(EventPool& pool, const std::string& node) const {
  return std::make_unique<KeyNotary>(pool, node, key_of(node));
}

Subscriber::Prove ClusterKeys::prover() {
  return [this](absl::Span<const Event> checkpoints, std::vector<Event>& events) {
    return prove(checkpoints, events);
  };
}

absl::Status ClusterKeys::prove(absl::Span<const Event> checkpoints, std::vector<Event>& events) {
  for (const Event& checkpoint : checkpoints) {
    const std::string node(node_of(checkpoint.origin()));
    if (!trust_.keys_of(node).empty()) continue;
    if (const absl::Status enrolled = trust_.enrol(key_of(node)->public_key(), node);
        !enrolled.ok())
      return enrolled;
  }
  return keep_proven(trust_, checkpoints, events);
}

}  // namespace supercloud
