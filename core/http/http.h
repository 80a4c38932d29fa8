// The HTTP seam: one request, one answer in memory.
#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "core/reply.h"

namespace supercloud {

// Of a user or role of AWS. Never written to a log, an event or an error.
struct AwsCredentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // of temporary ones; else empty
};

// What a request is signed for: AWS Signature Version 4.
struct AwsSignature {
  AwsCredentials credentials;
  std::string region;
  std::string service;
};

struct HttpRequest {
  std::string url;
  std::string body;  // sent with POST; empty: GET
  std::string content_type = "application/x-www-form-urlencoded; charset=utf-8";  // of the body
  std::optional<AwsSignature> signature;
};

struct HttpAnswer {
  int status = 0;
  std::string body;
  std::string content_type;
  std::optional<absl::Time> date;                     // the server's clock
  absl::Duration retry_after = absl::ZeroDuration();  // how long it wants to be left alone
};

// Thread-bound.
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  // Any status is an answer. Until the reply's deadline, and never inside the call: Unavailable, the server is out of reach or broke
  // off; DeadlineExceeded; ResourceExhausted, the answer is larger than is taken, or too many requests are under way;
  // FailedPrecondition, the server is not who it has to be; InvalidArgument, the URL. Messages name the URL and hold no secret.
  // Requests under way when the client is destroyed are never answered.
  virtual void send(HttpRequest request, Reply<HttpAnswer> reply) = 0;
};

}  // namespace supercloud
