#include "core/http/url.h"

#include <curl/curl.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

std::string url_part(CURLU* url, CURLUPart part) {
  char* found = nullptr;
  if (curl_url_get(url, part, &found, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
  std::string value = found;
  curl_free(found);
  return value;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_' ||
        c == '~') {
      encoded += c;
    } else {
      absl::StrAppendFormat(&encoded, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

bool UrlOrigin::is_loopback() const {
  if (host == "localhost" || host == "[::1]") return true;
  if (!host.starts_with("127.")) return false;
  return host.find_first_not_of("0123456789.") == std::string::npos;
}

absl::StatusOr<UrlOrigin> url_origin(const std::string& url) {
  const std::unique_ptr<CURLU, void (*)(CURLU*)> parsed(curl_url(), curl_url_cleanup);
  const auto refuse = [&url](const char* why) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", url.substr(0, 200), "\" ", why, "; write it as \"https://host/path\""));
  };
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    return refuse("is no URL");
  UrlOrigin origin;
  origin.scheme = absl::AsciiStrToLower(url_part(parsed.get(), CURLUPART_SCHEME));
  origin.host = absl::AsciiStrToLower(url_part(parsed.get(), CURLUPART_HOST));
  origin.port = url_part(parsed.get(), CURLUPART_PORT);
  if ((origin.scheme != "https" && origin.scheme != "http") || origin.host.empty())
    return refuse("is no URL of HTTP");
  if (!url_part(parsed.get(), CURLUPART_USER).empty())
    return absl::InvalidArgumentError(
        absl::StrCat("the URL of ", origin.host, " has a user's name in it; remove that"));
  return origin;
}

}  // namespace supercloud
