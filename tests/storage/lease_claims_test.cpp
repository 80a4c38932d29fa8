// What records claim: no two the same, over each implementation of the lease table.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/storage/every_lease_table.h"

namespace supercloud {
namespace {

class EveryLeaseTablesClaims : public EveryLeaseTable {};

INSTANTIATE_TEST_SUITE_P(Over, EveryLeaseTablesClaims, testing::ValuesIn(lease_harness_kinds()),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(EveryLeaseTablesClaims, lets_one_record_at_a_time_have_a_claim) {
  const SessionId a = session("a");
  Swap first = make(SwapKind::DEFINE, a, 0);
  first.claim = "address/10.0.0.5";
  won(first);
  won(first);  // asked again
  for (const bool restarted : {false, true}) {
    if (restarted) on().restart();
    Swap second = make(SwapKind::DEFINE, a, 0);
    second.key = "vm/main/web2";
    second.claim = first.claim;
    const SwapResult refused = lost(second);
    EXPECT_EQ(refused.claimed_by, first.key);
    EXPECT_NE(refused.why.find(first.key), std::string::npos) << refused.why;
    EXPECT_FALSE(refused.record.has_value());
    EXPECT_TRUE(absl::IsNotFound(on().read(second.key).status()));
  }
  won(make(SwapKind::RESTART, a, 1));
  EXPECT_EQ(record().claim, first.claim) << "whatever else of the record changes";
  Swap removal = make(SwapKind::REMOVE, a, 2);
  removal.revision = record().revision;
  won(removal);
  Swap third = make(SwapKind::DEFINE, a, 0);
  third.key = key_ = "vm/main/web3";
  third.claim = first.claim;
  won(third);
  EXPECT_EQ(record().claim, first.claim);
}

TEST_P(EveryLeaseTablesClaims, lets_any_number_of_records_claim_nothing) {
  const SessionId a = session("a");
  for (const char* key : {"vm/main/web1", "vm/main/web2"}) {
    Swap define = make(SwapKind::DEFINE, a, 0);
    define.key = key;
    won(define);
  }
}

TEST_P(EveryLeaseTablesClaims, gives_what_two_claim_at_once_to_one_of_them) {
  const SessionId a = session("a");
  const SessionId b = session("b");
  std::vector<SwapResult> results(2);
  int answers = 0;
  for (const std::size_t i : {0U, 1U}) {
    Swap define = make(SwapKind::DEFINE, i == 0 ? a : b, 0);
    define.key = i == 0 ? "vm/main/web1" : "vm/main/web2";
    define.claim = "address/10.0.0.5";
    on().table().swap(define, Reply<SwapResult>(now() + absl::Seconds(30),
                                                [&, i](absl::StatusOr<SwapResult> result) {
                                                  ASSERT_TRUE(result.ok()) << result.status();
                                                  results[i] = *std::move(result);
                                                  ++answers;
                                                }));
  }
  ASSERT_TRUE(on().drive([&] { return answers == 2; }));
  EXPECT_NE(results[0].won, results[1].won);
  EXPECT_EQ(results[results[0].won ? 1 : 0].claimed_by,
            results[0].won ? "vm/main/web1" : "vm/main/web2");
}

}  // namespace
}  // namespace supercloud
