#include "storage/etcd/wire.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud::etcd {
namespace {

using Json = nlohmann::json;

std::string base64(std::string_view bytes) { return absl::Base64Escape(absl_view(bytes)); }

absl::Status strange(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("the answer is no etcd's: ", absl_view(what)));
}

// Reads members of an object, and keeps what is wrong first. Of what is missing the value is that of an empty one.
class Reader {
 public:
  explicit Reader(const Json& object, absl::Status& wrong) : object_(object), wrong_(wrong) {
    if (!object_.is_object()) fail("no object where there should be one");
  }

  const Json* member(const char* name) const {
    if (!object_.is_object()) return nullptr;
    const auto found = object_.find(name);
    return found == object_.end() ? nullptr : &*found;
  }
  std::int64_t integer(const char* name) const { return number<std::int64_t>(name); }
  std::uint64_t natural(const char* name) const { return number<std::uint64_t>(name); }
  bool boolean(const char* name) const {
    const Json* value = member(name);
    if (value == nullptr) return false;
    if (!value->is_boolean()) fail(absl::StrCat(name, " is neither true nor false"));
    return value->is_boolean() && value->get<bool>();
  }
  std::string bytes(const char* name) const {
    const Json* value = member(name);
    std::string decoded;
    if (value == nullptr) return decoded;
    if (!value->is_string() ||
        !absl::Base64Unescape(value->get_ref<const std::string&>(), &decoded))
      fail(absl::StrCat(name, " is no base64"));
    return decoded;
  }
  // Of objects.
  const std::vector<Json>& array(const char* name) const {
    static const std::vector<Json> empty;
    const Json* value = member(name);
    if (value == nullptr) return empty;
    if (!value->is_array()) {
      fail(absl::StrCat(name, " is no list"));
      return empty;
    }
    return value->get_ref<const Json::array_t&>();
  }
  void fail(std::string_view what) const {
    if (wrong_.ok()) wrong_ = strange(what);
  }

 private:
  template <class T>
  T number(const char* name) const {
    const Json* value = member(name);
    T result = 0;
    if (value == nullptr) return result;
    if (!value->is_string() || !absl::SimpleAtoi(value->get_ref<const std::string&>(), &result))
      fail(absl::StrCat(name, " is no integer"));
    return result;
  }

  const Json& object_;
  absl::Status& wrong_;
};

Header read_header(const Reader& answer, absl::Status& wrong) {
  const Json* member = answer.member("header");
  if (member == nullptr) {
    answer.fail("it has no header");
    return {};
  }
  const Reader header(*member, wrong);
  Header read{.member = header.natural("member_id"),
              .term = header.natural("raft_term"),
              .revision = header.integer("revision")};
  if (read.revision <= 0) header.fail("its header has no revision");
  return read;
}

std::vector<KeyValue> read_found(const Reader& range, absl::Status& wrong) {
  std::vector<KeyValue> found;
  for (const Json& item : range.array("kvs")) {
    const Reader row(item, wrong);
    found.push_back({.key = row.bytes("key"),
                     .value = row.bytes("value"),
                     .create_revision = row.integer("create_revision"),
                     .mod_revision = row.integer("mod_revision"),
                     .lease = row.integer("lease")});
    if (found.back().create_revision <= 0 ||
        found.back().mod_revision < found.back().create_revision)
      row.fail("a key has no revisions");
  }
  return found;
}

// Of the whole text, by `read`.
template <class T, class Read>
absl::StatusOr<T> parse(std::string_view text, Read read) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return strange("it is no JSON");
  absl::Status wrong;
  T value = read(Reader(json, wrong), wrong);
  if (!wrong.ok()) return wrong;
  return value;
}

LeaseAnswer read_lease_answer(const Reader& answer, absl::Status& wrong) {
  return {.header = read_header(answer, wrong),
          .id = answer.integer("ID"),
          .ttl_seconds = answer.integer("TTL")};
}

}  // namespace

std::string to_json(const Range& range) {
  std::string json = absl::StrCat(R"({"key":")", base64(range.key), "\"");
  if (!range.end.empty()) absl::StrAppend(&json, R"(,"range_end":")", base64(range.end), "\"");
  if (range.limit != 0) absl::StrAppend(&json, R"(,"limit":")", range.limit, "\"");
  if (range.revision != 0) absl::StrAppend(&json, R"(,"revision":")", range.revision, "\"");
  return json + "}";
}

std::string to_json(const Txn& txn) {
  std::string json = R"({"compare":[)";
  const char* comma = "";
  for (const Compare& compare : txn.compares) {
    absl::StrAppend(&json, std::exchange(comma, ","), R"({"key":")", base64(compare.key),
                    R"(","result":"EQUAL","target":")");
    switch (compare.what) {
      case Compare::What::created:
        absl::StrAppend(&json, R"(CREATE","create_revision":")", compare.revision, "\"}");
        break;
      case Compare::What::modified:
        absl::StrAppend(&json, R"(MOD","mod_revision":")", compare.revision, "\"}");
        break;
      case Compare::What::value:
        absl::StrAppend(&json, R"(VALUE","value":")", base64(compare.value), "\"}");
        break;
    }
  }
  json += R"(],"success":[)";
  comma = "";
  for (const Put& put : txn.puts)
    absl::StrAppend(&json, std::exchange(comma, ","), R"({"request_put":{"key":")", base64(put.key),
                    R"(","value":")", base64(put.value), R"(","lease":")", put.lease, "\"}}");
  for (const std::string& key : txn.deletes)
    absl::StrAppend(&json, std::exchange(comma, ","), R"({"request_delete_range":{"key":")",
                    base64(key), "\"}}");
  for (const Range& range : txn.reads)
    absl::StrAppend(&json, std::exchange(comma, ","), R"({"request_range":)", to_json(range), "}");
  json += R"(],"failure":[)";
  comma = "";
  for (const Range& range : txn.otherwise)
    absl::StrAppend(&json, std::exchange(comma, ","), R"({"request_range":)", to_json(range), "}");
  return json + "]}";
}

absl::StatusOr<RangeAnswer> parse_range(std::string_view json) {
  return parse<RangeAnswer>(json, [](const Reader& answer, absl::Status& wrong) {
    return RangeAnswer{.header = read_header(answer, wrong),
                       .found = read_found(answer, wrong),
                       .more = answer.boolean("more")};
  });
}

absl::StatusOr<TxnAnswer> parse_txn(std::string_view json) {
  return parse<TxnAnswer>(json, [](const Reader& answer, absl::Status& wrong) {
    TxnAnswer txn{.header = read_header(answer, wrong), .succeeded = answer.boolean("succeeded")};
    for (const Json& item : answer.array("responses")) {
      const Reader response(item, wrong);
      const Json* range = response.member("response_range");
      if (range != nullptr) txn.reads.push_back(read_found(Reader(*range, wrong), wrong));
    }
    return txn;
  });
}

absl::StatusOr<LeaseAnswer> parse_grant(std::string_view json) {
  return parse<LeaseAnswer>(json, [](const Reader& answer, absl::Status& wrong) {
    LeaseAnswer granted = read_lease_answer(answer, wrong);
    if (granted.id <= 0 || granted.ttl_seconds <= 0) answer.fail("a lease without id or TTL");
    return granted;
  });
}

absl::StatusOr<LeaseAnswer> parse_keepalive(std::string_view json) {
  return parse<LeaseAnswer>(json, [](const Reader& answer, absl::Status& wrong) {
    const Json* result = answer.member("result");
    if (result == nullptr) {
      answer.fail("it has no result");
      return LeaseAnswer{};
    }
    return read_lease_answer(Reader(*result, wrong), wrong);
  });
}

absl::StatusOr<LeaseAnswer> parse_timetolive(std::string_view json) {
  return parse<LeaseAnswer>(json, [](const Reader& answer, absl::Status& wrong) {
    LeaseAnswer lease = read_lease_answer(answer, wrong);
    lease.ttl_seconds = lease.ttl_seconds < 0 ? 0 : answer.integer("grantedTTL");
    return lease;
  });
}

absl::StatusOr<Header> parse_revoke(std::string_view json) {
  return parse<Header>(
      json, [](const Reader& answer, absl::Status& wrong) { return read_header(answer, wrong); });
}

absl::Status parse_error(std::string_view json) {
  const Json answer = Json::parse(json, nullptr, false);
  if (!answer.is_object()) return absl::OkStatus();
  const auto stream = answer.find("error");
  const Json& body = stream != answer.end() && stream->is_object() ? *stream : answer;
  const auto code = body.find(body.contains("grpc_code") ? "grpc_code" : "code");
  const auto text = body.find("message");
  if (code == body.end() || !code->is_number_integer() || text == body.end() || !text->is_string())
    return absl::OkStatus();
  const auto number = code->get<std::int64_t>();
  const bool known =
      number > 0 && number <= static_cast<std::int64_t>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(number) : absl::StatusCode::kUnknown,
                      text->get_ref<const std::string&>());
}

std::string behind_prefix(std::string prefix) {
  while (prefix.back() == '\xff') prefix.pop_back();
  prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace supercloud::etcd
