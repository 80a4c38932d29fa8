#include "storage/etcd/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud::etcd {
namespace {

constexpr Duration call_time_max = absl::Seconds(30);  // of who sets no deadline

// Whether another member may do better.
bool says_nothing(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kPermissionDenied:
      return false;
    default:
      return true;
  }
}

// What etcd said of a call that it did not do, as one of the errors of Client.
absl::Status error_of(const std::string& endpoint, const absl::Status& said) {
  const auto with = [&](absl::StatusCode code, const char* cure) {
    return absl::Status(code, absl::StrCat(endpoint, ": ", said.message(), cure));
  };
  switch (said.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
      return with(said.code(), "");
    case absl::StatusCode::kResourceExhausted:
      return with(said.code(), "; compact and defragment etcd, or raise its --quota-backend-bytes");
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
      return with(absl::StatusCode::kPermissionDenied,
                  "; nodes are known to etcd by their certificates alone: disable its users");
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
};

Client::Client(Scheduler& scheduler, std::unique_ptr<HttpClient> http, ClientOptions options)
    : scheduler_(scheduler), options_(std::move(options)), http_(std::move(http)) {}

Client::~Client() = default;

template <class T>
void Client::start(const char* path, std::string body, absl::StatusOr<T> (*parse)(std::string_view),
                   Repeat repeat, Instant deadline, Done<T> done) {
  deadline = std::min(deadline, scheduler_.clock().now() + call_time_max);
  attempt(std::make_shared<Call<T>>(
      Call<T>{path, std::move(body), parse, repeat, deadline, std::move(done)}));
}

template <class T>
void Client::attempt(std::shared_ptr<Call<T>> call) {
  const std::size_t member = member_;
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
absl::StatusOr<T> Client::read(const Call<T>& call, const std::string& endpoint,
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
  if (value.ok()) return value;
  return absl::UnavailableError(absl::StrCat(endpoint, call.path, ": ", value.status().message(),
                                             "; is this etcd, 3.4 or later, and its client port?"));
}

template <class T>
void Client::answered(std::shared_ptr<Call<T>> call, std::size_t member,
                      absl::StatusOr<HttpAnswer> answer) {
  absl::StatusOr<T> value = read(*call, options_.endpoints[member], std::move(answer));
  if (value.ok() || !says_nothing(value.status())) return std::move(call->done)(std::move(value));
  // Others may have gone on to the next already.
  if (member == member_) member_ = (member + 1) % options_.endpoints.size();
  const Instant now = scheduler_.clock().now();
  const bool round_over = ++call->asked >= options_.endpoints.size();
  const Instant next = round_over ? now + options_.pause : now;
  if (call->repeat == Repeat::never || next >= call->deadline)
    return std::move(call->done)(std::move(value));
  if (!round_over) return attempt(std::move(call));
  call->asked = 0;
  scheduler_.at(next,
                [this, alive = std::weak_ptr<char>(alive_), call = std::move(call)]() mutable {
                  if (!alive.expired()) attempt(std::move(call));
                });
}

void Client::range(const Range& range, Instant deadline, Done<RangeAnswer> done) {
  start<RangeAnswer>("/v3/kv/range", to_json(range), parse_range, Repeat::rounds, deadline,
                     std::move(done));
}

void Client::txn(const Txn& txn, Repeat repeat, Instant deadline, Done<TxnAnswer> done) {
  start<TxnAnswer>("/v3/kv/txn", to_json(txn), parse_txn, repeat, deadline, std::move(done));
}

// Twice costs a lease that ends by itself.
void Client::grant(std::int64_t ttl_seconds, Instant deadline, Done<LeaseAnswer> done) {
  start<LeaseAnswer>("/v3/lease/grant", absl::StrCat(R"({"TTL":")", ttl_seconds, "\"}"),
                     parse_grant, Repeat::rounds, deadline, std::move(done));
}

void Client::keepalive(std::int64_t lease, Instant deadline, Done<LeaseAnswer> done) {
  start<LeaseAnswer>("/v3/lease/keepalive", absl::StrCat(R"({"ID":")", lease, "\"}"),
                     parse_keepalive, Repeat::rounds, deadline, std::move(done));
}

void Client::revoke(std::int64_t lease, Instant deadline, Done<Header> done) {
  start<Header>("/v3/lease/revoke", absl::StrCat(R"({"ID":")", lease, "\"}"), parse_revoke,
                Repeat::rounds, deadline, std::move(done));
}

}  // namespace supercloud::etcd
