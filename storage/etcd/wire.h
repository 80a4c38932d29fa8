// What is said to etcd and what it answers: version 3 of its API as JSON, over HTTP (etcd's gateway). Keys and values are bytes, base64 on
// the wire; integers of 64 bits come as strings, and those that are 0 not at all.
//
//   POST /v3/kv/range         {"key","range_end","limit","revision"}     {"header","kvs":[…],"more"}
//   POST /v3/kv/txn           {"compare","success","failure"}            {"header","succeeded","responses":[…]}
//   POST /v3/lease/grant      {"TTL"}                                    {"header","ID","TTL"}
//   POST /v3/lease/keepalive  {"ID"}                                     {"result":{"header","ID","TTL"}} or {"error":{…}}
//   POST /v3/lease/timetolive {"ID"}                                     {"header","ID","TTL","grantedTTL"}, TTL -1: it has ended
//   POST /v3/lease/revoke     {"ID"}                                     {"header"}
//   errors                                                               {"code","message"}, code: as gRPC's, and absl's
//   ... of a stream, as renewals are                                     {"error":{"code","message"}}, before 3.6 {"error":{"grpc_code",…}}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace supercloud::etcd {

// Who answered, and as of when.
struct Header {
  std::uint64_t member = 0;
  std::uint64_t term = 0;     // of the leader that the member knew
  std::int64_t revision = 0;  // of the whole store; grows with every change
};

struct KeyValue {
  std::string key, value;
  std::int64_t create_revision = 0;  // that of the change which made it
  std::int64_t mod_revision = 0;     // of its last change
  std::int64_t lease = 0;            // with which it goes; 0: none
};

struct Range {
  std::string key;
  std::string end;            // first key that is not meant; empty: `key` alone
  std::int64_t limit = 0;     // 0: all
  std::int64_t revision = 0;  // as of when; 0: of now, linearizable
};
struct RangeAnswer {
  Header header;
  std::vector<KeyValue> found;  // by key
  bool more = false;
};

// A key that does not exist has the revision 0, and no value.
struct Compare {
  std::string key;
  enum class What { created, modified, value } what = What::modified;
  std::int64_t revision = 0;
  std::string value;  // where that is what is compared
};
struct Put {
  std::string key, value;
  std::int64_t lease = 0;
};
// All of it, in this order; where one comparison fails, only what is read otherwise.
struct Txn {
  std::vector<Compare> compares;
  std::vector<Put> puts;
  std::vector<std::string> deletes;
  std::vector<Range> reads;
  std::vector<Range> otherwise;
};
struct TxnAnswer {
  Header header;
  bool succeeded = false;
  std::vector<std::vector<KeyValue>> reads;  // one of each that was read
};

struct LeaseAnswer {
  Header header;
  std::int64_t id = 0;
  std::int64_t ttl_seconds = 0;  // of a renewal, 0: it has ended
};

std::string to_json(const Range& range);
std::string to_json(const Txn& txn);

// InvalidArgument: no etcd's answer.
absl::StatusOr<RangeAnswer> parse_range(std::string_view json);
absl::StatusOr<TxnAnswer> parse_txn(std::string_view json);
absl::StatusOr<LeaseAnswer> parse_grant(std::string_view json);
absl::StatusOr<LeaseAnswer> parse_keepalive(std::string_view json);
// The TTL is that which a renewal would give; 0: it has ended.
absl::StatusOr<LeaseAnswer> parse_timetolive(std::string_view json);
absl::StatusOr<Header> parse_revoke(std::string_view json);
// What an answer that is an error says; OK: it is none of etcd's.
absl::Status parse_error(std::string_view json);

// First key behind all that begin with `prefix`, of which some byte is not 0xff.
std::string behind_prefix(std::string prefix);

}  // namespace supercloud::etcd
