#include "cli/client_bus.h"

#include <unistd.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "cli/trust_file.h"
#include "core/text.h"

namespace supercloud {

absl::StatusOr<ZmqBusOptions> client_options(const ClusterTarget& target, std::string_view kind) {
  ZmqBusOptions options;
  options.name =
      absl::StrCat(absl_view(kind), "-", ::getpid(), "-", absl::ToUnixMicros(absl::Now()));
  options.client = true;
  bool has_keys = false;
  for (const NodeEntry& node : target.nodes) {
    if (!node.alive) continue;
    const bool tcp = node.request_endpoint.starts_with("tcp://");
    has_keys = has_keys || tcp;
    options.seeds.push_back(tcp ? absl::StrCat(node.name, "@", node.request_endpoint)
                                : node.request_endpoint);
  }
  if (options.seeds.empty())
    return absl::UnavailableError(absl::StrCat("no process of cluster ", target.name, " runs"));
  if (!has_keys) return options;
  if (target.key.empty() || target.trust.empty())
    return absl::FailedPreconditionError(absl::StrCat(
        "the bus of cluster ", target.name,
        " has keys: name yours with --key (SUPERCLOUD_KEY), and with --trust (SUPERCLOUD_TRUST) "
        "the file that has the nodes'; `supercloud keys new` makes one (docs/security.md)"));
  auto credentials = read_credentials(target.key, target.trust);
  if (!credentials.ok()) return credentials.status();
  options.credentials = *std::move(credentials);
  return options;
}

absl::Status shut_out(const ClusterTarget& target, const Credentials& credentials,
                      std::string_view node) {
  return absl::PermissionDeniedError(absl::StrCat(
      "node ", absl_view(node), " of cluster ", target.name, " does not let in the key ",
      credentials.key->public_key().text(), " (", target.key,
      "): `supercloud keys enrol` adds it to the trust file, which each node has"));
}

}  // namespace supercloud
