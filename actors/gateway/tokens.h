// Who may read what: a file with the digests of tokens, so that who reads the file has none of them.
//
//   billing = { sha256 = "<64 hexadecimal digits>", patterns = ["ledger.>", "vm.*.main.>"] }
//
// one line a token, TOML; the name is for people. A token may read every pattern that lies within one of its own.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/topic.h"

namespace supercloud {

// Whether every topic that `inner` matches is one that `outer` matches.
bool lies_within(const Pattern& inner, const Pattern& outer);

struct GatewayToken {
  std::string name;
  std::array<unsigned char, 32> sha256{};
  std::vector<Pattern> patterns;

  bool allows(const Pattern& pattern) const;
};

// Immutable; thread-safe.
class TokenFile {
 public:
  // InvalidArgument: `name`, line, what is wrong, and its cure.
  static absl::StatusOr<TokenFile> parse(std::string_view content, const std::string& name);
  // Also FailedPrecondition: others than its owner may read or change it, or its owner is neither this user nor root.
  static absl::StatusOr<TokenFile> read(const std::string& path);

  // In a time that tells nothing of how much of a token is right. Null: it is none of these.
  const GatewayToken* find(std::string_view token) const;
  std::size_t size() const { return tokens_.size(); }

 private:
  std::vector<GatewayToken> tokens_;
};

// The token of an Authorization header; nothing: it has none.
std::optional<std::string_view> bearer_token(std::string_view authorization);

}  // namespace supercloud
