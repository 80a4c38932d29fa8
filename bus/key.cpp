#include "bus/key.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/base/internal/raw_logging.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "bus/base64.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::string_view public_lead = "ed25519:";
constexpr std::string_view secret_lead = "ed25519-secret:";
constexpr std::size_t file_bytes_max = 4096;

void need_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) ABSL_RAW_LOG(FATAL, "libsodium does not start: the kernel gives no random numbers");
}

using Key32 = std::array<std::uint8_t, 32>;

std::string key_text(std::string_view lead, const Key32& bytes) {
  return std::string(lead) + to_base64(bytes);
}

bool key_bytes(std::string_view lead, std::string_view text, Key32& bytes) {
  return text.starts_with(lead) && from_base64(text.substr(lead.size()), bytes);
}

absl::Status file_failed(std::string_view what, const std::filesystem::path& file) {
  const int error = errno;
  const std::string told =
      absl::StrCat(file.string(), ": ", absl_view(what), ": ", strerror(error));
  if (error == ENOENT) return absl::NotFoundError(told);
  if (error == EEXIST)
    return absl::AlreadyExistsError(
        absl::StrCat(told, "; a key is never replaced: choose another name, or move it away"));
  return absl::UnavailableError(told);
}

// The line that counts, without blanks around it.
absl::StatusOr<std::string> read_key_line(const std::filesystem::path& file, bool secret) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return file_failed("it cannot be read", file);
  const absl::Cleanup close_fd = [fd] { ::close(fd); };
  struct stat facts{};
  if (::fstat(fd, &facts) != 0) return file_failed("it cannot be looked at", file);
  if (!S_ISREG(facts.st_mode))
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " is no plain file"));
  if (secret && (facts.st_mode & 077) != 0)
    return absl::PermissionDeniedError(
        absl::StrCat(file.string(), " is a secret that others may read or write: chmod 600 ",
                     file.string(), ", and make a new key if somebody may have read it"));
  if (secret && facts.st_uid != ::geteuid() && facts.st_uid != 0)
    return absl::PermissionDeniedError(
        absl::StrCat(file.string(), " is another user's: whoever is this key owns its file"));
  std::array<char, file_bytes_max> bytes;
  const absl::Cleanup forget = [&bytes] { sodium_memzero(bytes.data(), bytes.size()); };
  const ssize_t got = ::read(fd, bytes.data(), bytes.size());
  if (got < 0) return file_failed("it cannot be read", file);
  std::string_view rest(bytes.data(), static_cast<std::size_t>(got));
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    while (!line.empty() && std::strchr(" \t\r", line.back()) != nullptr) line.remove_suffix(1);
    while (!line.empty() && std::strchr(" \t", line.front()) != nullptr) line.remove_prefix(1);
    if (!line.empty() && line.front() != '#') return std::string(line);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(file.string(), " has no key: `supercloud keys new` makes one"));
}

absl::Status write_new(const std::filesystem::path& file, mode_t mode, std::string text) {
  const absl::Cleanup forget = [&text] { sodium_memzero(text.data(), text.size()); };
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return file_failed("it cannot be made", file);
  const ssize_t written = ::write(fd, text.data(), text.size());
  const bool good = written == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0;
  absl::Status status = good ? absl::OkStatus() : file_failed("it cannot be written", file);
  ::close(fd);
  if (!good) ::unlink(file.c_str());
  return status;
}

}  // namespace

absl::StatusOr<PublicKey> PublicKey::from(const Key32& bytes) {
  need_sodium();
  PublicKey key;
  key.bytes_ = bytes;
  if (crypto_sign_ed25519_pk_to_curve25519(key.curve_.data(), bytes.data()) != 0)
    return absl::InvalidArgumentError("is no point of Ed25519 that a key can be");
  return key;
}

absl::StatusOr<PublicKey> PublicKey::parse(std::string_view text) {
  Key32 bytes{};
  if (!key_bytes(public_lead, text, bytes)) {
    const bool secret = text.starts_with(secret_lead);
    return absl::InvalidArgumentError(
        secret ? "is a secret key, which nobody but its owner may have: give the public one"
               : "is no public key: it reads \"ed25519:\" and 43 characters of base64url");
  }
  return from(bytes);
}

std::string PublicKey::text() const { return key_text(public_lead, bytes_); }

bool PublicKey::has_signed(std::string_view text, const Signature& signature) const {
  static_assert(crypto_sign_BYTES == std::tuple_size_v<Signature>);
  return crypto_sign_verify_detached(signature.data(),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size(), bytes_.data()) == 0;
}

std::shared_ptr<const KeyPair> KeyPair::from(const Key32& seed) {
  need_sodium();
  std::shared_ptr<KeyPair> pair(new KeyPair());
  pair->seed_ = seed;
  Key32 point{};
  std::array<std::uint8_t, crypto_sign_ed25519_SECRETKEYBYTES> secret{};
  crypto_sign_ed25519_seed_keypair(point.data(), secret.data(), seed.data());
  crypto_sign_ed25519_sk_to_curve25519(pair->curve_secret_.data(), secret.data());
  sodium_memzero(secret.data(), secret.size());
  const auto made = PublicKey::from(point);
  if (!made.ok()) ABSL_RAW_LOG(FATAL, "libsodium made a key pair that is none");
  pair->public_ = *made;
  return pair;
}

std::shared_ptr<const KeyPair> KeyPair::generate() {
  need_sodium();
  Key32 seed{};
  randombytes_buf(seed.data(), seed.size());
  auto pair = from(seed);
  sodium_memzero(seed.data(), seed.size());
  return pair;
}

absl::StatusOr<std::shared_ptr<const KeyPair>> KeyPair::parse(std::string_view text) {
  Key32 seed{};
  if (!key_bytes(secret_lead, text, seed))
    return absl::InvalidArgumentError(
        "has no secret key: it reads \"ed25519-secret:\" and 43 characters of base64url");
  auto pair = from(seed);
  sodium_memzero(seed.data(), seed.size());
  return pair;
}

KeyPair::~KeyPair() {
  sodium_memzero(seed_.data(), seed_.size());
  sodium_memzero(curve_secret_.data(), curve_secret_.size());
}

Signature KeyPair::sign(std::string_view text) const {
  // As libsodium has it: the seed, and behind it the public key.
  std::array<std::uint8_t, crypto_sign_SECRETKEYBYTES> secret{};
  std::ranges::copy(seed_, secret.begin());
  std::ranges::copy(public_.bytes_, secret.begin() + seed_.size());
  Signature signature;
  crypto_sign_detached(signature.data(), nullptr,
                       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                       secret.data());
  sodium_memzero(secret.data(), secret.size());
  return signature;
}

std::string KeyPair::secret_text() const { return key_text(secret_lead, seed_); }

absl::StatusOr<std::shared_ptr<const KeyPair>> read_secret_key(const std::filesystem::path& file) {
  auto line = read_key_line(file, /*secret=*/true);
  if (!line.ok()) return line.status();
  auto key = KeyPair::parse(*line);
  sodium_memzero(line->data(), line->size());
  if (key.ok()) return key;
  return absl::InvalidArgumentError(absl::StrCat(file.string(), " ", key.status().message()));
}

absl::StatusOr<NamedKey> read_public_key(const std::filesystem::path& file) {
  const auto line = read_key_line(file, /*secret=*/false);
  if (!line.ok()) return line.status();
  const std::size_t blank = line->find_first_of(" \t");
  const auto key = PublicKey::parse(std::string_view(*line).substr(0, blank));
  if (!key.ok())
    return absl::InvalidArgumentError(absl::StrCat(file.string(), " ", key.status().message()));
  NamedKey named{"", *key};
  if (blank != std::string::npos) named.name = line->substr(line->find_first_not_of(" \t", blank));
  if (!named.name.empty() && !is_token(named.name))
    return absl::InvalidArgumentError(absl::StrCat(file.string(), ": \"", named.name,
                                                   "\" is no name: 1 to ", token_bytes_max,
                                                   " of A-Z a-z 0-9 _ -"));
  return named;
}

absl::Status write_secret_key(const std::filesystem::path& file, const KeyPair& key) {
  return write_new(
      file, 0600,
      absl::StrCat("# Whoever reads this is trusted as its owner.\n", key.secret_text(), "\n"));
}

absl::Status write_public_key(const std::filesystem::path& file, const NamedKey& key) {
  return write_new(file, 0644,
                   absl::StrCat(key.key.text(), key.name.empty() ? "" : " ", key.name, "\n"));
}

}  // namespace supercloud
