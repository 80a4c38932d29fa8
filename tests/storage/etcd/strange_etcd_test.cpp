// Something answers where etcd should, and not as etcd does; or as an etcd that is in trouble.
#include "absl/strings/escaping.h"
#include "storage/etcd/wire.h"
#include "storage/lease_codec.h"
#include "tests/core/http/http_server.h"
#include "tests/storage/etcd/etcd_world.h"

namespace supercloud {
namespace {

constexpr const char* header =
    R"("header":{"cluster_id":"7","member_id":"8","revision":"9","raft_term":"2"})";

std::string base64(const std::string& bytes) { return absl::Base64Escape(bytes); }

class StrangeEtcd : public EtcdWorld {
 protected:
  void SetUp() override {}  // needs no etcd
  // Shorter than the pause before it is asked again.
  static constexpr Duration once = absl::Milliseconds(190);

  std::string row(const std::string& key_of_etcd, const std::string& value,
                  const std::string& lease = "0") const {
    return absl::StrCat(R"({"key":")", base64(key_of_etcd), R"(","value":")", base64(value),
                        R"(","create_revision":"4","mod_revision":"5","lease":")", lease, "\"}");
  }
  // A reading transaction's.
  static std::string reads(const std::vector<std::string>& rows) {
    std::string responses;
    for (const std::string& found : rows)
      absl::StrAppend(&responses, responses.empty() ? "" : ",", R"({"response_range":{"kvs":[)",
                      found, "]}}");
    return http_answer(
        200, absl::StrCat("{", header, R"(,"succeeded":true,"responses":[)", responses, "]}"));
  }
  std::string lease_key() const { return "/supercloud/lease/" + key; }
  std::string record() const {
    return encode_stored_lease({{.key = key, .holder = "a", .session = "a:1", .epoch = 1}, "x"});
  }

  const std::string identity = std::string(32, '7');
  HttpServer server{loop};
  std::unique_ptr<LeaseTable> nodes =
      table({"http://" + server.host()}, absl::Seconds(3), {.known = identity});
};

TEST_F(StrangeEtcd, whatever_is_no_answer_of_etcds_is_told_with_its_place_and_believed_in_nothing) {
  for (const std::string& answer :
       {http_answer(200, ""), http_answer(200, "no JSON"), http_answer(200, "[]"),
        http_answer(200, "{}"), http_answer(200, "null"), http_answer(404, "Not Found"),
        http_answer(500, "<html>no</html>"), http_answer(204, ""),
        http_answer(301, "", "Location: http://127.0.0.1:1/\r\n"),
        http_answer(200, absl::StrCat("{", header, R"(,"succeeded":1})")),
        http_answer(200, R"({"header":{"revision":"-1"}})"),
        http_answer(200, R"({"header":{"revision":9}})"),
        http_answer(200, absl::StrCat("{", header, R"(,"succeeded":true,"responses":{}})")),
        reads({R"({"key":"?"})", "", ""}),
        reads({R"({"key":"YQ==","create_revision":"x"})", "", ""}),
        reads({R"({"key":"YQ=="})", "", ""}), reads({"7", "", ""}), reads({""}),
        http_answer(200, std::string(9 << 20, ' '))}) {
    server.answer(answer);
    const absl::StatusOr<LeaseRecord> told = read(*nodes, once);
    ASSERT_FALSE(told.ok()) << answer;
    EXPECT_FALSE(absl::IsNotFound(told.status())) << answer << told.status();
  }
  server.answer(http_answer(200, "no JSON"));
  const absl::Status told = read(*nodes, once).status();
  EXPECT_TRUE(absl::IsUnavailable(told)) << told;
  EXPECT_NE(told.message().find(server.host()), std::string::npos) << told;
  EXPECT_NE(told.message().find("is this etcd, 3.4 or later"), std::string::npos) << told;
}

TEST_F(StrangeEtcd, half_an_answer_is_none) {
  const std::string whole = reads({"", "", ""});
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{9}, whole.size() / 2, whole.size() - 1}) {
    server.answer_and_close(whole.substr(0, bytes));
    const absl::StatusOr<LeaseRecord> told = read(*nodes, once);
    EXPECT_TRUE(absl::IsUnavailable(told.status()) || absl::IsDeadlineExceeded(told.status()))
        << bytes << " bytes: " << told.status();
  }
  server.answer(whole);
  EXPECT_TRUE(absl::IsNotFound(read(*nodes, once).status())) << "all of it says there is no record";
}

TEST_F(StrangeEtcd, what_stands_in_its_keys_and_is_none_of_ours_is_named) {
  const std::string session_key = "/supercloud/session/a";
  const std::string session = encode_stored_session({"a:1", "a", "disk"});
  const std::vector<std::vector<std::string>> strange = {
      {reads({row(lease_key(), "no record"), "", ""})},
      {reads({row(lease_key(), encode_stored_lease({{.key = "vm/main/other", .holder = "a"}, ""})),
              "", ""})},
      {reads({"", row("/supercloud/epochs_removed", "many"), ""})},
      {reads({row(lease_key(), record()), "", ""}), reads({row(session_key, "no session", "1")})},
      {reads({row(lease_key(), record()), "", ""}), reads({row(session_key, session, "0")})},
      {reads({row(lease_key(), record()), "", ""}),
       reads({row(session_key, encode_stored_session({"b:1", "b", "disk"}), "1")})}};
  for (const std::vector<std::string>& answers : strange) {
    for (const std::string& answer : answers) server.answer(answer);
    const absl::Status told = read(*nodes, once).status();
    EXPECT_TRUE(absl::IsDataLoss(told)) << told;
    EXPECT_NE(told.message().find("/supercloud/"), std::string::npos) << told;
    EXPECT_NE(told.message().find("a prefix of its own"), std::string::npos) << told;
  }
  server.answer(reads({row(lease_key(), record()), "", ""}));
  server.answer(reads({row(session_key, session, "1")}));
  EXPECT_EQ(read(*nodes, once)->holder, "a");
}

TEST_F(StrangeEtcd, what_etcd_says_of_its_troubles_is_told_with_the_cure) {
  const auto said = [&](int code, const std::string& text) {
    server.answer(http_answer(503, absl::StrCat(R"({"error":")", text, R"(","message":")", text,
                                                R"(","code":)", code, "}")));
    return read(*nodes, once).status();
  };
  const absl::Status full = said(8, "etcdserver: mvcc: database space exceeded");
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_NE(full.message().find("--quota-backend-bytes"), std::string::npos);
  for (const auto& [code, text] : {std::pair(16, "etcdserver: invalid auth token"),
                                   std::pair(7, "etcdserver: permission denied"),
                                   std::pair(3, "etcdserver: user name is empty")}) {
    const absl::Status denied = said(code, text);
    EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
    EXPECT_NE(denied.message().find("certificates"), std::string::npos);
  }
  EXPECT_TRUE(absl::IsUnavailable(said(14, "etcdserver: no leader")));
}

TEST_F(StrangeEtcd, its_errors_are_understood_in_each_form_that_its_versions_have) {
  for (
      const std::string json :
      {R"({"error":"etcdserver: no leader","code":14,"message":"etcdserver: no leader"})",
       R"({"code":14,"message":"etcdserver: no leader","details":[]})",
       R"({"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":""}})",
       R"({"error":{"code":14,"message":"etcdserver: no leader"}})"}) {
    const absl::Status said = etcd::parse_error(json);
    EXPECT_TRUE(absl::IsUnavailable(said)) << json << said;
    EXPECT_EQ(said.message(), "etcdserver: no leader");
  }
  for (const std::string json :
       {"", "[]", "7", R"({"code":"14","message":"x"})", R"({"message":"x"})", R"({"error":7})",
        R"({"error":{"message":"x"}})", R"({"error":{},"code":14})"})
    EXPECT_TRUE(etcd::parse_error(json).ok()) << json;
  for (const int code : {0, -1, 17, 1 << 20})
    EXPECT_TRUE(
        absl::IsUnknown(etcd::parse_error(absl::StrCat(R"({"message":"x","code":)", code, "}"))));
}

TEST_F(StrangeEtcd, what_one_member_refuses_another_is_asked_for) {
  HttpServer second{loop};
  for (const auto& [code, text] :
       {std::pair(14, "etcdserver: rpc not supported for learner"),
        std::pair(9, "etcdserver: rpc not supported for learner"),
        std::pair(8, "etcdserver: too many requests"), std::pair(5, "Not Found"),
        std::pair(11,
                  "etcdserver: mvcc: required revision is a future "
                  "revision"),
        std::pair(7, "etcdserver: permission denied"),
        std::pair(2, "etcdserver: what nobody has thought of")}) {
    nodes = table({"http://" + server.host(), "http://" + second.host()}, absl::Seconds(3),
                  {.known = identity});
    server.answer(
        http_answer(503, absl::StrCat(R"({"message":")", text, R"(","code":)", code, "}")));
    second.answer(reads({row(lease_key(), record()), "", ""}));
    second.answer(reads({""}));
    const absl::StatusOr<LeaseRecord> told = read(*nodes, once);
    EXPECT_TRUE(told.ok()) << text << told.status();
  }
}

TEST_F(StrangeEtcd, what_holds_for_all_members_is_asked_of_one) {
  HttpServer second{loop};
  nodes = table({"http://" + server.host(), "http://" + second.host()}, absl::Seconds(3),
                {.known = identity});
  server.answer(http_answer(
      404, R"({"code":5,"message":"etcdserver: requested lease not found","details":[]})"));
  server.answer(reads({""}));
  EXPECT_TRUE(absl::IsNotFound(renew(*nodes, "a:0000000000000001", once)));
  server.answer(
      http_answer(429, R"({"code":8,"message":"etcdserver: mvcc: database space exceeded"})"));
  EXPECT_TRUE(absl::IsResourceExhausted(read(*nodes, once).status()));
  EXPECT_TRUE(second.seen().empty());
}

TEST_F(StrangeEtcd, where_all_fail_that_is_told_which_tells_most) {
  HttpServer second{loop};
  second.stop();
  for (const bool first : {true, false}) {
    std::vector<std::string> endpoints = {"http://" + server.host(), "http://" + second.host()};
    if (!first) std::swap(endpoints[0], endpoints[1]);
    nodes = table(endpoints, absl::Seconds(3), {.known = identity});
    server.answer(
        http_answer(200, absl::StrCat("{", header, R"(,"responses":[{"response_range":{}}]})")));
    const absl::Status told = read(*nodes, once).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(told)) << told;
    EXPECT_NE(told.message().find(server.host()), std::string::npos) << told;
  }
}

TEST_F(StrangeEtcd, a_swap_whose_answer_is_strange_may_have_taken_effect) {
  const std::string session = encode_stored_session({"a:0000000000000001", "a", "disk"});
  server.answer(reads({"", "", ""}));
  server.answer(reads({row("/supercloud/session/a", session, "1")}));
  server.answer(http_answer(200, "no JSON"));
  const absl::Status told =
      swap(*nodes, make(SwapKind::DEFINE, "a:0000000000000001", 0), absl::Seconds(5)).status();
  EXPECT_TRUE(absl::IsUnavailable(told)) << told;
  EXPECT_NE(told.message().find("whether it took effect is not known"), std::string::npos) << told;
  EXPECT_EQ(server.seen().size(), 3U) << "it is sent once";
}

TEST_F(StrangeEtcd, a_renewal_counts_only_if_its_leader_was_still_the_leader_after_it) {
  const SessionId id = "a:0000000000000001";
  const std::string session =
      row("/supercloud/session/a", encode_stored_session({id, "a", "disk"}), "1");
  const auto answers = [&](const std::string& term_before, const std::string& term_after) {
    const auto in_term = [](const std::string& term) {
      return absl::StrCat(R"("header":{"member_id":"8","revision":"9","raft_term":")", term, "\"}");
    };
    server.answer(http_answer(
        200, absl::StrCat(R"({"result":{)", in_term(term_before), R"(,"ID":"1","TTL":"3"}})")));
    server.answer(http_answer(
        200, absl::StrCat("{", in_term(term_after), R"(,"succeeded":true,"responses":[)",
                          R"({"response_range":{"kvs":[)", session, "]}}]}")));
  };
  answers("2", "2");
  EXPECT_TRUE(renew(*nodes, id).ok());
  EXPECT_EQ(server.seen().size(), 2U);
  answers("2", "3");
  answers("3", "3");
  EXPECT_TRUE(renew(*nodes, id).ok());
  EXPECT_EQ(server.seen().size(), 6U) << "it is sent again where the leader has changed";
  for (int i = 0; i < 10; ++i) answers(absl::StrCat(i), absl::StrCat(i + 1));
  EXPECT_TRUE(absl::IsUnavailable(renew(*nodes, id)));
}

TEST_F(StrangeEtcd, answers_that_overtake_each_other_have_not_gone_back) {
  const auto as_of = [](int revision) {
    return http_answer(
        200, absl::StrCat(R"({"header":{"member_id":"8","raft_term":"2","revision":")", revision,
                          R"("},"succeeded":true,"responses":[{"response_range":{}},)",
                          R"({"response_range":{}},{"response_range":{}}]})"));
  };
  // Both are asked before either answers.
  server.answer(as_of(9));
  server.answer(as_of(8));
  int answered = 0;
  for (int i = 0; i < 2; ++i)
    nodes->read(key, Reply<LeaseRecord>(in(once), [&](const absl::StatusOr<LeaseRecord>& is) {
                  EXPECT_TRUE(absl::IsNotFound(is.status())) << is.status();
                  ++answered;
                }));
  ASSERT_TRUE(until([&] { return answered == 2; }));
  server.answer(as_of(8));
  EXPECT_TRUE(absl::IsFailedPrecondition(read(*nodes, once).status()));
}

TEST_F(StrangeEtcd, how_long_a_lease_lives_is_asked_before_it_is_renewed) {
  const std::string session =
      row("/supercloud/session/a", encode_stored_session({"a:1", "a", "disk of a"}), "1");
  server.answer(reads({session}));
  server.answer(
      http_answer(200, absl::StrCat("{", header, R"(,"ID":"1","TTL":"1","grantedTTL":"2"})")));
  EXPECT_TRUE(absl::IsUnavailable(open(*nodes, "a", once).status()));
  ASSERT_EQ(server.seen().size(), 2U);
  EXPECT_EQ(server.seen().back().target, "/v3/lease/timetolive");
}

TEST_F(StrangeEtcd, whoever_knows_no_table_yet_believes_only_what_is_one) {
  nodes = table({"http://" + server.host()});
  for (const std::string& value : {std::string(), std::string("none"), std::string(32, 'x')}) {
    server.answer(http_answer(
        200, absl::StrCat("{", header, R"(,"kvs":[)", row("/supercloud/table", value), "]}")));
    const absl::Status told = read(*nodes, once).status();
    EXPECT_TRUE(absl::IsDataLoss(told)) << told;
    EXPECT_NE(told.message().find("/supercloud/table"), std::string::npos) << told;
  }
  server.answer(http_answer(
      200, absl::StrCat("{", header, R"(,"kvs":[)", row("/supercloud/table", identity), "]}")));
  server.answer(reads({"", "", ""}));
  EXPECT_TRUE(absl::IsNotFound(read(*nodes, once).status()));
}

}  // namespace
}  // namespace supercloud
