#include "simulation/cluster_keys.h"

#include "absl/base/internal/raw_logging.h"

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

Proofs::KeysOf ClusterKeys::keys_of() {
  return [this](std::string_view node) -> std::vector<PublicKey> {
    auto found = keys_.find(node);
    if (found == keys_.end())
      found = keys_.emplace(std::string(node), key_of(node)->public_key()).first;
    return {found->second};
  };
}

}  // namespace supercloud
