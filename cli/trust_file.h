// The trust file: whose keys a process of a cluster believes, and what they may. examples/trust.toml is one with every key explained; what
// it is for is told in docs/security.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bus/trust.h"
#include "core/scheduler.h"

namespace supercloud {

// InvalidArgument with file, line, key and cure; NotFound.
absl::StatusOr<Trust> read_trust(const std::string& path);
absl::StatusOr<Credentials> read_credentials(const std::string& key, const std::string& trust);
absl::StatusOr<Trust> parse_trust(std::string_view content, const std::string& name);

// The file's text with a key more, and with `rights` of its name if given. The rest stays as it is, comments too. AlreadyExists: the key has a
// name, or the name has rights already; InvalidArgument: the text is no trust file.
absl::StatusOr<std::string> with_key(const std::string& content, const std::string& name,
                                     const NamedKey& key, const NameRights* rights);
// Without that key; its name's rights stay. NotFound; FailedPrecondition: it is written in a way that only its author can change.
absl::StatusOr<std::string> without_key(const std::string& content, const std::string& name,
                                        const PublicKey& key);
// Replaces the file as a whole with what `change` makes of its text; a missing one is empty.
absl::Status change_trust_file(
    const std::string& path,
    const std::function<absl::StatusOr<std::string>(const std::string& content)>& change);

// Reads the file again, within a second, when it is another. Thread-bound to the scheduler.
class TrustWatch {
 public:
  using Changed = std::function<void(absl::StatusOr<Trust> trust)>;

  TrustWatch(Scheduler& scheduler, std::string path, Changed changed);
  ~TrustWatch();
  TrustWatch(const TrustWatch&) = delete;
  TrustWatch& operator=(const TrustWatch&) = delete;

 private:
  using Version = std::tuple<std::uint64_t, std::uint64_t, std::int64_t, std::int64_t>;
  Version version() const;
  void look();

  Scheduler& scheduler_;
  const std::string path_;
  Changed changed_;
  Version seen_;
  TimerId timer_ = 0;
};

}  // namespace supercloud
