// AWS Signature Version 4 once more, from its description and with OpenSSL's HMAC: what a request's signature has to be.
#pragma once

#include <string>

#include "tests/core/http/http_server.h"

namespace supercloud {

// The whole Authorization header of a request without a query, by the headers that it says are signed.
std::string expected_authorization(const SeenRequest& request, const std::string& access_key_id,
                                   const std::string& secret, const std::string& region,
                                   const std::string& service);

}  // namespace supercloud
