// HTTP over libcurl's multi interface, driven by the event loop: libcurl says which descriptors and which timer it waits for.
//
// TLS certificates are verified against the system's folder of them, read as they are needed: its bundle of all would hold up the
// loop for 60 ms with each connection. Redirects are not followed, the environment names no proxy, and what is not encrypted goes
// to this machine only. Requests are HTTP/1.1, as libcurl 7.88 signs them; a request that is signed has a body and no query, whose
// canonical form that libcurl gets wrong (curl's issues 8107, 13754).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/event_loop.h"
#include "core/http/http.h"

namespace supercloud {

struct CurlHttpOptions {
  std::size_t answer_bytes_max = 4 << 20;
  std::size_t requests_max = 8;  // under way
  Duration connect_deadline = absl::Seconds(10);
  std::string proxy;    // "http://proxy.example.com:3128"; empty: none
  std::string ca_file;  // PEM, of those who vouch for servers; empty: the system's
  // PEM, what this client shows of itself and the key of that; both or none
  std::string certificate_file, key_file;
};

// Thread-bound to its loop. May be destroyed inside a reply.
class CurlHttp final : public HttpClient {
 public:
  explicit CurlHttp(EventLoop& loop, CurlHttpOptions options = {});
  ~CurlHttp() override;
  CurlHttp(const CurlHttp&) = delete;
  CurlHttp& operator=(const CurlHttp&) = delete;

  void send(HttpRequest request, Reply<HttpAnswer> reply) override;

 private:
  struct Transfer;
  // libcurl's callbacks; `self` is this client, or the transfer.
  static int on_socket(void* easy, int fd, int what, void* self, void* unused);
  static int on_timer(void* multi, long timeout_ms, void* self);
  static std::size_t on_body(char* data, std::size_t unit, std::size_t count, void* self);

  absl::Status start(Transfer& transfer, const HttpRequest& request, Instant deadline);
  absl::StatusOr<HttpAnswer> outcome(Transfer& transfer, int code) const;
  void drive(int fd, int events);
  void finish();
  void refuse(absl::Status why, Reply<HttpAnswer> reply);

  EventLoop& loop_;
  const CurlHttpOptions options_;
  void* multi_ = nullptr;
  TimerId timer_ = 0;
  std::set<int> watched_;
  std::map<std::uint64_t, std::unique_ptr<Transfer>> transfers_;
  std::uint64_t last_transfer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
