// What the two ways of Mosquitto share: a client of its library, with no thread of its own. Callbacks only note what has happened.
#pragma once

#include <mosquitto.h>

#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "bench/peers/handle.h"

namespace supercloud {

// Stays where it is: the library has its address. Thread-bound.
class MosquittoClient {
 public:
  // A name: the server keeps what is published for it while it is away, from its first subscription on. Empty: it keeps nothing.
  explicit MosquittoClient(const std::string& name);
  ~MosquittoClient();
  MosquittoClient(const MosquittoClient&) = delete;
  MosquittoClient& operator=(const MosquittoClient&) = delete;

  // By the path of the server's socket. Also anew, after `disconnect`.
  absl::Status connect(const std::string& address);
  absl::Status disconnect();
  absl::Status subscribe(const std::string& topic, int quality);
  absl::Status publish(const std::string& topic, std::string_view body, int quality);
  absl::Status flush();
  // Speaks with the server until then. DeadlineExceeded.
  absl::Status until(const std::function<bool()>& reached, absl::Duration patience);

  std::deque<std::string> came;
  std::size_t acknowledged = 0;  // of what was published with quality 1; with 0: of what has left

 private:
  static absl::Status said(int code);

  Handle<mosquitto, mosquitto_destroy> client_;
  bool connected_ = false, subscribed_ = false;
};

}  // namespace supercloud
