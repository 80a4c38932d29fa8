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
#include "storage/etcd/etcd_config.h"
#include "storage/etcd/wire.h"

namespace supercloud::etcd {

struct ClientOptions {
  std::vector<std::string> endpoints;   // "https://address:2379", each a member; at least one
  Duration attempt = absl::Seconds(1);  // how long one member is waited for
  Duration pause =
      absl::Milliseconds(200);  // when none has answered, until the first is asked again
  std::string table_key;        // where the table's identity stands
  EtcdTableIdentity table;
  std::string new_identity;  // of a table that is made
};

// What a call does twice, if it has to.
enum class Repeat {
  never,  // a second one may do harm: it is sent to one member, and its failure tells nothing of its effect
  rounds,  // all members are asked, again and again, until the deadline
};

// Thread-bound. Calls under way when it is destroyed are never answered.
//
// Errors name the member and the cure; where members said different ones it is that which tells most. Unavailable and DeadlineExceeded: none
// answered, or not as etcd does. NotFound: there is no such lease. OutOfRange: it is compacted. ResourceExhausted: etcd's disk quota. FailedPrecondition, PermissionDenied: whom it or we do not trust.
//
// What is there and what is not is told of one table: each transaction compares its identity, and a member that has another one, or none, is
// FailedPrecondition. So is one that has gone back behind what it had answered before. What etcd says of a lease is tied to no table.
class Client {
 public:
  template <class T>
  using Done = absl::AnyInvocable<void(absl::StatusOr<T>) &&>;

  Client(Scheduler& scheduler, std::unique_ptr<HttpClient> http, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // What it reads otherwise is the client's.
  void txn(Txn txn, Repeat repeat, Instant deadline, Done<TxnAnswer> done);
  void grant(std::int64_t ttl_seconds, Instant deadline, Done<LeaseAnswer> done);
  void keepalive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done);
  // Renews nothing.
  void timetolive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done);
  void revoke(std::int64_t lease, Instant deadline, Done<Header> done);

 private:
  template <class T>
  struct Call;
  template <class T>
  void start(const char* path, std::string body, absl::StatusOr<T> (*parse)(std::string_view),
             Repeat repeat, Instant deadline, Done<T> done);
  template <class T>
  void start(Call<T> call);
  template <class T>
  void attempt(std::shared_ptr<Call<T>> call);
  template <class T>
  void answered(std::shared_ptr<Call<T>> call, std::size_t member,
                absl::StatusOr<HttpAnswer> answer);
  template <class T>
  absl::StatusOr<T> read(Call<T>& call, const std::string& endpoint,
                         absl::StatusOr<HttpAnswer> answer);
  absl::Status check_table(Call<TxnAnswer>& call, const std::string& endpoint, TxnAnswer& answer);

  void identify(Instant deadline, Done<std::string> done);
  void make_table(Instant deadline, Done<std::string> done);
  absl::StatusOr<std::string> learn(const std::vector<KeyValue>& found);

  Scheduler& scheduler_;
  const ClientOptions options_;
  std::size_t member_ = 0;     // that is asked first: the last that answered
  std::string identity_;       // of the table; empty: none has answered yet
  std::int64_t revision_ = 0;  // the highest of the table's answers
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<HttpClient> http_;
};

}  // namespace supercloud::etcd
