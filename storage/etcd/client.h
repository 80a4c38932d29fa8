// Calls of one etcd cluster: at one of its members after the other, until one answers.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "core/http/http.h"
#include "core/scheduler.h"
#include "storage/etcd/wire.h"

namespace supercloud::etcd {

struct ClientOptions {
  std::vector<std::string> endpoints;   // "https://address:2379", each a member; at least one
  Duration attempt = absl::Seconds(1);  // how long one member is waited for
  Duration pause =
      absl::Milliseconds(200);  // when none has answered, until the first is asked again
};

// What a call does twice, if it has to.
enum class Repeat {
  never,  // a second one may do harm: it is sent to one member, and its failure tells nothing of its effect
  rounds,  // all members are asked, again and again, until the deadline
};

// Thread-bound. Calls under way when it is destroyed are never answered.
//
// Errors name the member and the cure. Unavailable and DeadlineExceeded: none answered, or not as etcd does. NotFound, OutOfRange: as etcd
// says it. ResourceExhausted: its disk quota. FailedPrecondition, PermissionDenied: whom it or we do not trust.
class Client {
 public:
  template <class T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  Client(Scheduler& scheduler, std::unique_ptr<HttpClient> http, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void range(const Range& range, Instant deadline, Done<RangeAnswer> done);
  void txn(const Txn& txn, Repeat repeat, Instant deadline, Done<TxnAnswer> done);
  void grant(std::int64_t ttl_seconds, Instant deadline, Done<LeaseAnswer> done);
  void keepalive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done);
  void revoke(std::int64_t lease, Instant deadline, Done<Header> done);

 private:
  template <class T>
  struct Call;
  template <class T>
  void start(const char* path, std::string body, absl::StatusOr<T> (*parse)(std::string_view),
             Repeat repeat, Instant deadline, Done<T> done);
  template <class T>
  void attempt(std::shared_ptr<Call<T>> call);
  template <class T>
  void answered(std::shared_ptr<Call<T>> call, std::size_t member,
                absl::StatusOr<HttpAnswer> answer);
  template <class T>
  static absl::StatusOr<T> read(const Call<T>& call, const std::string& endpoint,
                                absl::StatusOr<HttpAnswer> answer);

  Scheduler& scheduler_;
  const ClientOptions options_;
  std::size_t member_ = 0;  // that is asked first: the last that answered
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<HttpClient> http_;
};

}  // namespace supercloud::etcd
