// URLs, as libcurl reads them.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace supercloud {

// As it may stand in a query or a form: RFC 3986's unreserved characters stay, all others become %XX.
std::string percent_encoded(std::string_view text);

// Who is asked.
struct UrlOrigin {
  std::string scheme;  // "https"
  std::string host;    // in lower case
  std::string port;    // the scheme's own where none is written

  bool is_default_port() const { return port == (scheme == "https" ? "443" : "80"); }
  // 127.0.0.0/8, ::1 or localhost
  bool is_loopback() const;
  friend bool operator==(const UrlOrigin&, const UrlOrigin&) = default;
};

// InvalidArgument: no http or https URL, or one with a name and password in it.
absl::StatusOr<UrlOrigin> url_origin(const std::string& url);

}  // namespace supercloud
