// Who a process is on the bus: one Ed25519 key pair. What CURVE needs, an X25519 pair, is derived from it.
//
//   public = "ed25519:" base64url(32 bytes)             without padding: 43 characters
//   secret = "ed25519-secret:" base64url(32 bytes)      the seed of RFC 8032
//
// A key file has one of them in its first line that is neither empty nor begins with "#"; behind a public one its name may stand,
// after a blank. A secret file is its owner's alone (mode 0600), else it is refused.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace supercloud {

using CurveKey = std::array<std::uint8_t, 32>;   // X25519
using Signature = std::array<std::uint8_t, 64>;  // Ed25519

class PublicKey {
 public:
  PublicKey() = default;  // of nobody
  // InvalidArgument: not the text form, or no point that a key can be.
  static absl::StatusOr<PublicKey> parse(std::string_view text);

  std::string text() const;
  const CurveKey& curve() const { return curve_; }
  // Whether the key's other half has signed `text`.
  bool has_signed(std::string_view text, const Signature& signature) const;

  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.bytes_ == b.bytes_; }
  friend auto operator<=>(const PublicKey& a, const PublicKey& b) { return a.bytes_ <=> b.bytes_; }

 private:
  friend class KeyPair;
  static absl::StatusOr<PublicKey> from(const std::array<std::uint8_t, 32>& bytes);

  std::array<std::uint8_t, 32> bytes_{};
  CurveKey curve_{};
};

// Its secret leaves memory with it. Thread-safe to read.
class KeyPair {
 public:
  static std::shared_ptr<const KeyPair> generate();
  // InvalidArgument; the message has nothing of `text`.
  static absl::StatusOr<std::shared_ptr<const KeyPair>> parse(std::string_view text);
  ~KeyPair();
  KeyPair(const KeyPair&) = delete;
  KeyPair& operator=(const KeyPair&) = delete;

  const PublicKey& public_key() const { return public_; }
  const CurveKey& curve_secret() const { return curve_secret_; }
  Signature sign(std::string_view text) const;
  std::string secret_text() const;

 private:
  KeyPair() = default;
  static std::shared_ptr<const KeyPair> from(const std::array<std::uint8_t, 32>& seed);

  std::array<std::uint8_t, 32> seed_{};
  PublicKey public_;
  CurveKey curve_secret_{};
};

struct NamedKey {
  std::string name;  // empty: the file gives none
  PublicKey key;
};

// NotFound; PermissionDenied: others may read or write it; InvalidArgument: no secret key.
absl::StatusOr<std::shared_ptr<const KeyPair>> read_secret_key(const std::filesystem::path& file);
// NotFound, InvalidArgument; a secret file, too, is refused.
absl::StatusOr<NamedKey> read_public_key(const std::filesystem::path& file);
// AlreadyExists: what is there is never replaced.
absl::Status write_secret_key(const std::filesystem::path& file, const KeyPair& key);
absl::Status write_public_key(const std::filesystem::path& file, const NamedKey& key);

}  // namespace supercloud
