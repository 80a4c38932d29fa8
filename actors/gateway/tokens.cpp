#include "actors/gateway/tokens.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t token_file_bytes_max = 1 << 20;

struct PatternTokens {
  std::vector<std::string_view> tokens;
  bool tail = false;
};

PatternTokens tokens_of(const Pattern& pattern) {
  PatternTokens out;
  for (std::size_t i = 0;; ++i) {
    const std::string_view token = topic_token(pattern.text(), i);
    if (token.empty()) return out;
    if (token == ">") {
      out.tail = true;
      return out;
    }
    out.tokens.push_back(token);
  }
}

absl::Status wrong(const std::string& file, const toml::node& at, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(file, ":", at.source().begin.line, ": ", what));
}

absl::StatusOr<GatewayToken> read_token(const std::string& file, const std::string& name,
                                        const toml::node& node) {
  const toml::table* table = node.as_table();
  if (table == nullptr)
    return wrong(file, node,
                 absl::StrCat(name, " is no table; write ", name,
                              " = { sha256 = \"...\", patterns = [\"vm.>\"] }"));
  for (const auto& [key, value] : *table)
    if (key.str() != "sha256" && key.str() != "patterns")
      return wrong(file, value,
                   absl::StrCat(name, ".", std::string(key.str()),
                                ": no such key; there are sha256 and patterns"));
  GatewayToken token;
  token.name = name;
  const auto digest = (*table)["sha256"].value<std::string>();
  const auto is_hex = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
  if (!digest || digest->size() != 2 * token.sha256.size() || !std::ranges::all_of(*digest, is_hex))
    return wrong(file, node,
                 absl::StrCat(name,
                              ".sha256: not 64 hexadecimal digits; "
                              "`printf %s TOKEN | sha256sum` tells them"));
  const std::string bytes = absl::HexStringToBytes(*digest);
  std::copy(bytes.begin(), bytes.end(), token.sha256.begin());
  const toml::array* patterns = (*table)["patterns"].as_array();
  if (patterns == nullptr || patterns->empty())
    return wrong(file, node,
                 absl::StrCat(name, ".patterns: no list of patterns; [\">\"] allows everything"));
  for (const toml::node& element : *patterns) {
    const auto text = element.value<std::string>();
    auto pattern = text ? Pattern::parse(*text)
                        : absl::StatusOr<Pattern>(absl::InvalidArgumentError("no text"));
    if (!pattern.ok())
      return wrong(file, element,
                   absl::StrCat(name, ".patterns: ", pattern.status().message(),
                                "; write them as in \"vm.>\""));
    token.patterns.push_back(*std::move(pattern));
  }
  return token;
}

}  // namespace

bool lies_within(const Pattern& inner, const Pattern& outer) {
  const PatternTokens in = tokens_of(inner), out = tokens_of(outer);
  for (std::size_t i = 0; i < out.tokens.size(); ++i) {
    if (i == in.tokens.size()) return false;  // it ends here, or may be anything from here on
    if (out.tokens[i] != "*" && out.tokens[i] != in.tokens[i]) return false;
  }
  const bool longer = in.tokens.size() > out.tokens.size();
  return out.tail ? longer || in.tail : !longer && !in.tail;
}

bool GatewayToken::allows(const Pattern& pattern) const {
  return std::ranges::any_of(patterns,
                             [&](const Pattern& allowed) { return lies_within(pattern, allowed); });
}

absl::StatusOr<TokenFile> TokenFile::parse(std::string_view content, const std::string& name) {
  toml::table root;
  try {
    root = toml::parse(content, name);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ":", error.source().begin.line, ": not TOML: ", std::string(error.description())));
  }
  TokenFile file;
  for (const auto& [key, node] : root) {
    auto token = read_token(name, std::string(key.str()), node);
    if (!token.ok()) return token.status();
    for (const GatewayToken& other : file.tokens_)
      if (other.sha256 == token->sha256)
        return wrong(name, node,
                     absl::StrCat(token->name, ": the same token as ", other.name,
                                  "; put its patterns into one line"));
    file.tokens_.push_back(*std::move(token));
  }
  if (file.tokens_.empty())
    return absl::InvalidArgumentError(absl::StrCat(
        name, ": no token; write a line NAME = { sha256 = \"...\", patterns = [\"vm.>\"] }"));
  return file;
}

absl::StatusOr<TokenFile> TokenFile::read(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return absl::NotFoundError(absl::StrCat(path, ": no such file, or it may not be read"));
  const absl::Cleanup close_fd = [fd] { ::close(fd); };
  struct stat status = {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
    return absl::FailedPreconditionError(absl::StrCat(path, ": no regular file"));
  if ((status.st_mode & 077) != 0)
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": others than its owner may use it; chmod 600 ", path));
  if (status.st_uid != ::geteuid() && status.st_uid != 0)
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": it is another user's; chown it to the gateway's"));
  std::string content;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(fd, buffer, sizeof buffer)) > 0) {
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > token_file_bytes_max)
      return absl::InvalidArgumentError(absl::StrCat(path, ": more than 1 MiB of tokens"));
  }
  if (got < 0) return absl::UnavailableError(absl::StrCat(path, ": it cannot be read"));
  return parse(content, path);
}

const GatewayToken* TokenFile::find(std::string_view token) const {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest.data());
  const GatewayToken* found = nullptr;
  for (const GatewayToken& known : tokens_)
    if (CRYPTO_memcmp(known.sha256.data(), digest.data(), digest.size()) == 0) found = &known;
  return found;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (!absl::StartsWithIgnoreCase(absl_view(authorization), absl_view(scheme))) return std::nullopt;
  const std::string_view token =
      std_view(absl::StripAsciiWhitespace(absl_view(authorization.substr(scheme.size()))));
  if (token.empty()) return std::nullopt;
  return token;
}

}  // namespace supercloud
