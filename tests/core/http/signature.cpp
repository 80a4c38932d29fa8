#include "tests/core/http/signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <array>
#include <string_view>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace supercloud {
namespace {

std::string sha256_hex(const std::string& text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string hmac_sha256(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string between(const std::string& text, const std::string& begin, char end) {
  const std::size_t from = text.find(begin);
  if (from == std::string::npos) return {};
  return text.substr(from + begin.size(), text.find(end, from) - from - begin.size());
}

}  // namespace

std::string expected_authorization(const SeenRequest& request, const std::string& access_key_id,
                                   const std::string& secret, const std::string& region,
                                   const std::string& service) {
  const auto header = [&request](const std::string& name) {
    const auto found = request.headers.find(name);
    return found == request.headers.end() ? std::string() : found->second;
  };
  const std::string signed_headers = between(header("authorization"), "SignedHeaders=", ',');
  std::string canonical = absl::StrCat(request.method, "\n", request.target, "\n\n");
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(signed_headers, ';')))
    absl::StrAppend(&canonical, name, ":", header(name), "\n");
  absl::StrAppend(&canonical, "\n", signed_headers, "\n", sha256_hex(request.body));
  const std::string time = header("x-amz-date");
  const std::string day = time.substr(0, 8);
  const std::string scope = absl::StrCat(day, "/", region, "/", service, "/aws4_request");
  const std::string to_sign =
      absl::StrCat("AWS4-HMAC-SHA256\n", time, "\n", scope, "\n", sha256_hex(canonical));
  std::string key = absl::StrCat("AWS4", secret);
  for (const std::string& part : {day, region, service, std::string("aws4_request")})
    key = hmac_sha256(key, part);
  return absl::StrCat("AWS4-HMAC-SHA256 Credential=", access_key_id, "/", scope,
                      ", SignedHeaders=", signed_headers,
                      ", Signature=", absl::BytesToHexString(hmac_sha256(key, to_sign)));
}

}  // namespace supercloud
