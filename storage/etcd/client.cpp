#include "storage/etcd/client.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace supercloud::etcd {
namespace {

constexpr char txn_path[] = "/v3/kv/txn";
constexpr Duration call_time_max = absl::Seconds(30);  // of who sets no deadline

// Where none answers with more: whose cure helps first.
int tells(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDeadlineExceeded:
      return 0;
    case absl::StatusCode::kUnavailable:
      return 1;
    case absl::StatusCode::kFailedPrecondition:
      return 3;
    default:
      return 2;
  }
}

// Words of etcd's that hold for all of its members; whatever else one refuses another may do.
bool is_final(const absl::Status& status) {
  const auto says = [&](const char* words) { return absl::StrContains(status.message(), words); };
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return says("requested lease not found");
    case absl::StatusCode::kOutOfRange:
      return says("has been compacted");
    case absl::StatusCode::kResourceExhausted:
      return says("database space exceeded");
    default:
      return false;
  }
}

// What etcd said of a call that it did not do, as one of the errors of Client.
absl::Status error_of(const std::string& endpoint, const absl::Status& said) {
  const auto with = [&](absl::StatusCode code, const char* cure) {
    return absl::Status(code, absl::StrCat(endpoint, ": ", said.message(), cure));
  };
  if (is_final(said))
    return with(said.code(), absl::IsResourceExhausted(said)
                                 ? "; compact and defragment etcd, or raise its "
                                   "--quota-backend-bytes"
                                 : "");
  switch (said.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
      return with(absl::StatusCode::kPermissionDenied,
                  "; nodes are known to etcd by their certificates alone: disable its users");
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return with(absl::StatusCode::kUnavailable, "; is this etcd, 3.4 or later?");
    default:
      return with(absl::StatusCode::kUnavailable, "");
  }
}

}  // namespace

template <class T>
struct Client::Call {
  const char* path;
  std::string body;
  absl::StatusOr<T> (*parse)(std::string_view json);
  Repeat repeat;
  Instant deadline;
  Done<T> done;
  std::size_t asked = 0;  // members, in this round
  absl::Status told;      // what tells most of all that members said; OK: nothing yet
  std::size_t reads = 0;  // of a transaction on the table
  bool of_table = false;
  std::int64_t revision = 0;  // which the answer of the last member asked has at least
  bool refused = false;       // the last member asked is none of the table's, and did nothing
};

Client::Client(Scheduler& scheduler, std::unique_ptr<HttpClient> http, ClientOptions options)
    : scheduler_(scheduler),
      options_(std::move(options)),
      identity_(options_.table.known),
      http_(std::move(http)) {}

Client::~Client() = default;

template <class T>
void Client::start(const char* path, std::string body, absl::StatusOr<T> (*parse)(std::string_view),
                   Repeat repeat, Instant deadline, Done<T> done) {
  start(Call<T>{.path = path,
                .body = std::move(body),
                .parse = parse,
                .repeat = repeat,
                .deadline = deadline,
                .done = std::move(done)});
}

template <class T>
void Client::start(Call<T> call) {
  call.deadline = std::min(call.deadline, scheduler_.clock().now() + call_time_max);
  attempt(std::make_shared<Call<T>>(std::move(call)));
}

template <class T>
void Client::attempt(std::shared_ptr<Call<T>> call) {
  const std::size_t member = member_;
  call->revision = revision_;
  HttpRequest request{.url = absl::StrCat(options_.endpoints[member], call->path),
                      .body = call->body,
                      .content_type = "application/json"};
  const Instant until = std::min(call->deadline, scheduler_.clock().now() + options_.attempt);
  http_->send(std::move(request),
              Reply<HttpAnswer>(until, [this, call = std::move(call),
                                        member](absl::StatusOr<HttpAnswer> answer) mutable {
                answered(std::move(call), member, std::move(answer));
              }));
}

template <class T>
absl::StatusOr<T> Client::read(Call<T>& call, const std::string& endpoint,
                               absl::StatusOr<HttpAnswer> answer) {
  if (!answer.ok()) {
    const bool silent =
        absl::IsUnavailable(answer.status()) || absl::IsDeadlineExceeded(answer.status());
    return absl::Status(
        answer.status().code(),
        absl::StrCat(answer.status().message(),
                     silent ? "; does etcd run there, and can it be reached?" : ""));
  }
  const absl::Status said = parse_error(answer->body);
  if (!said.ok()) return error_of(endpoint, said);
  absl::StatusOr<T> value = absl::InvalidArgumentError(absl::StrCat("HTTP ", answer->status));
  if (answer->status == 200) value = call.parse(answer->body);
  if constexpr (std::is_same_v<T, TxnAnswer>)
    if (value.ok() && call.of_table)
      if (absl::Status table = check_table(call, endpoint, *value); !table.ok()) return table;
  if (value.ok()) return value;
  return absl::UnavailableError(absl::StrCat(endpoint, call.path, ": ", value.status().message(),
                                             "; is this etcd, 3.4 or later, and its client port?"));
}

absl::Status Client::check_table(Call<TxnAnswer>& call, const std::string& endpoint,
                                 TxnAnswer& answer) {
  if (answer.reads.size() != (answer.succeeded ? call.reads : 1))
    return absl::UnavailableError(absl::StrCat(endpoint, ": not all keys were read"));
  std::vector<KeyValue> found;
  if (!answer.succeeded) found = std::exchange(answer.reads, {}).front();
  if (answer.succeeded || (!found.empty() && found.front().value == identity_)) {
    // Linearizable: not before whatever was answered when it was asked for.
    if (answer.header.revision < call.revision)
      return absl::FailedPreconditionError(
          absl::StrCat(endpoint, ": etcd has gone back from revision ", call.revision, " to ",
                       answer.header.revision,
                       ", as one that was restored from a backup; what was granted since is lost. "
                       "Destroy all VMs, and begin with "
                       "another prefix in [lease.etcd]"));
    revision_ = std::max(revision_, answer.header.revision);
    return absl::OkStatus();
  }
  call.refused = true;
  return absl::FailedPreconditionError(
      absl::StrCat(endpoint, " is not the etcd that has this cluster's leases: its key ",
                   options_.table_key, found.empty() ? " is missing" : " is another table's",
                   ", and this node's table is ", identity_,
                   "; check endpoints and prefix of [lease.etcd]. If that etcd is gone for good, "
                   "destroy all VMs, and remove the "
                   "file lease_table from the folder of each node"));
}

template <class T>
void Client::answered(std::shared_ptr<Call<T>> call, std::size_t member,
                      absl::StatusOr<HttpAnswer> answer) {
  call->refused = false;
  absl::StatusOr<T> value = read(*call, options_.endpoints[member], std::move(answer));
  if (value.ok() || is_final(value.status())) return std::move(call->done)(std::move(value));
  if (call->told.ok() || tells(value.status()) >= tells(call->told)) call->told = value.status();
  // Others may have gone on to the next already.
  if (member == member_) member_ = (member + 1) % options_.endpoints.size();
  const Instant now = scheduler_.clock().now();
  const bool round_over = ++call->asked >= options_.endpoints.size();
  const Instant next = round_over ? now + options_.pause : now;
  // Whoever refused it has done nothing.
  if (call->repeat == Repeat::never && (!call->refused || round_over))
    return std::move(call->done)(std::move(value));
  if (next >= call->deadline) return std::move(call->done)(call->told);
  if (!round_over) return attempt(std::move(call));
  call->asked = 0;
  scheduler_.at(next,
                [this, alive = std::weak_ptr<char>(alive_), call = std::move(call)]() mutable {
                  if (!alive.expired()) attempt(std::move(call));
                });
}

// ---- the table -----------------------------------------------------------------------------------------------------

void Client::txn(Txn txn, Repeat repeat, Instant deadline, Done<TxnAnswer> done) {
  if (identity_.empty())
    return identify(deadline,
                    [this, txn = std::move(txn), repeat, deadline,
                     done = std::move(done)](const absl::StatusOr<std::string>& identity) mutable {
                      if (!identity.ok()) return std::move(done)(identity.status());
                      this->txn(std::move(txn), repeat, deadline, std::move(done));
                    });
  txn.compares.push_back(
      {.key = options_.table_key, .what = Compare::What::value, .value = identity_});
  txn.otherwise = {{.key = options_.table_key}};
  start(Call<TxnAnswer>{.path = txn_path,
                        .body = to_json(txn),
                        .parse = parse_txn,
                        .repeat = repeat,
                        .deadline = deadline,
                        .done = std::move(done),
                        .reads = txn.reads.size(),
                        .of_table = true});
}

// An etcd at its quota takes no transaction that may write: it is read first.
void Client::identify(Instant deadline, Done<std::string> done) {
  start<RangeAnswer>(
      "/v3/kv/range", to_json(Range{.key = options_.table_key}), parse_range, Repeat::rounds,
      deadline,
      [this, deadline, done = std::move(done)](const absl::StatusOr<RangeAnswer>& answer) mutable {
        if (!answer.ok()) return std::move(done)(answer.status());
        if (answer->found.empty()) return make_table(deadline, std::move(done));
        std::move(done)(learn(answer->found));
      });
}

// By whoever is first.
void Client::make_table(Instant deadline, Done<std::string> done) {
  Txn txn;
  txn.compares = {{options_.table_key, Compare::What::created, 0}};
  txn.puts = {{options_.table_key, options_.new_identity}};
  txn.reads = {{.key = options_.table_key}};
  txn.otherwise = txn.reads;
  start<TxnAnswer>(
      txn_path, to_json(txn), parse_txn, Repeat::rounds, deadline,
      [this, done = std::move(done)](const absl::StatusOr<TxnAnswer>& answer) mutable {
        if (!answer.ok()) return std::move(done)(answer.status());
        std::move(done)(learn(answer->reads.empty() ? std::vector<KeyValue>{} : answer->reads[0]));
      });
}

absl::StatusOr<std::string> Client::learn(const std::vector<KeyValue>& found) {
  if (found.empty() || !is_table_identity(found.front().value))
    return absl::DataLossError(absl::StrCat("etcd's key ", options_.table_key,
                                            " is no table's identity; does something else write "
                                            "there? Give this cluster a prefix of its own"));
  // Another call may have been faster.
  if (!identity_.empty()) return identity_;
  identity_ = found.front().value;
  if (options_.table.on_learned) options_.table.on_learned(identity_);
  return identity_;
}

// ---- leases --------------------------------------------------------------------------------------------------------

// Twice costs a lease that ends by itself.
void Client::grant(std::int64_t ttl_seconds, Instant deadline, Done<LeaseAnswer> done) {
  start<LeaseAnswer>("/v3/lease/grant", absl::StrCat(R"({"TTL":")", ttl_seconds, "\"}"),
                     parse_grant, Repeat::rounds, deadline, std::move(done));
}

void Client::keepalive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done) {
  start<LeaseAnswer>("/v3/lease/keepalive", absl::StrCat(R"({"ID":")", lease, "\"}"),
                     parse_keepalive, Repeat::rounds, deadline, std::move(done));
}

void Client::timetolive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done) {
  start<LeaseAnswer>("/v3/lease/timetolive", absl::StrCat(R"({"ID":")", lease, "\"}"),
                     parse_timetolive, Repeat::rounds, deadline, std::move(done));
}

void Client::revoke(std::int64_t lease, Instant deadline, Done<Header> done) {
  start<Header>("/v3/lease/revoke", absl::StrCat(R"({"ID":")", lease, "\"}"), parse_revoke,
                Repeat::rounds, deadline, std::move(done));
}

}  // namespace supercloud::etcd
