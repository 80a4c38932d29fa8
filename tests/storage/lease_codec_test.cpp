#include "storage/lease_codec.h"

#include <gtest/gtest.h>

#include <string>

namespace supercloud {
namespace {

LeaseRecord filled_record() {
  return {.key = "vm/main/web1",
          .holder = "a",
          .session = "a:1",
          .swap_id = "swap-1",
          .swap_kind = SwapKind::TAKEOVER,
          .epoch = 7,
          .heir = Heir{"b", EventId{"a/policy", 2, 3}},
          .in_sync = {"a", "b"},
          .loss_allowed = true,
          .value = std::string("any\0bytes\xff", 10),
          .claim = "address/10.0.0.5",
          .revision = 9,
          .session_alive = true,
          .heir_alive = true};
}

TEST(LeaseCodec, gives_back_a_stored_lease) {
  const StoredLease stored{filled_record(), "6 a:1 swap-1"};
  const auto back = decode_stored_lease(encode_stored_lease(stored));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->record, stored.record);
  EXPECT_EQ(back->last_attempt, stored.last_attempt);
}

TEST(LeaseCodec, gives_back_a_swap) {
  const Swap swap{.key = "role/ledger",
                  .kind = SwapKind::IN_SYNC,
                  .session = "a:1",
                  .swap_id = "swap-2",
                  .epoch = 4,
                  .revision = 5,
                  .heir = Heir{"b", EventId{"a/policy", 2, 3}},
                  .in_sync = {"a"},
                  .loss_allowed = true,
                  .value = "value"};
  const auto message = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { write_swap(swap, builder.initSwap()); });
  const auto back = read_swap(message.reader().getSwap());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->key, swap.key);
  EXPECT_EQ(back->kind, swap.kind);
  EXPECT_EQ(back->session, swap.session);
  EXPECT_EQ(back->swap_id, swap.swap_id);
  EXPECT_EQ(back->epoch, swap.epoch);
  EXPECT_EQ(back->revision, swap.revision);
  EXPECT_EQ(back->heir, swap.heir);
  EXPECT_EQ(back->in_sync, swap.in_sync);
  EXPECT_EQ(back->loss_allowed, swap.loss_allowed);
  EXPECT_EQ(back->value, swap.value);
}

TEST(LeaseCodec, gives_back_what_a_define_claims) {
  const Swap swap{.key = "vm/main/web1",
                  .kind = SwapKind::DEFINE,
                  .session = "a:1",
                  .swap_id = "swap-3",
                  .claim = "address/10.0.0.5"};
  const auto message = Message<schema::Request>::build(
      [&](schema::Request::Builder builder) { write_swap(swap, builder.initSwap()); });
  const auto back = read_swap(message.reader().getSwap());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->claim, swap.claim);
}

TEST(LeaseCodec, gives_back_a_session) {
  const auto back =
      decode_stored_session("a:1", encode_stored_session({"a:1", "a", "identity of its disk"}));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->id, "a:1");
  EXPECT_EQ(back->node, "a");
  EXPECT_EQ(back->identity, "identity of its disk");
}

TEST(LeaseCodec, refuses_every_prefix_of_a_stored_lease) {
  const std::string bytes = encode_stored_lease({filled_record(), "x"});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(absl::IsDataLoss(decode_stored_lease(bytes.substr(0, size)).status())) << size;
  }
}

TEST(LeaseCodec, survives_any_changed_byte) {
  const std::string bytes = encode_stored_lease({filled_record(), "x"});
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string changed = bytes;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      const auto decoded = decode_stored_lease(changed);
      if (decoded.ok()) {
        EXPECT_TRUE(validate(decoded->record).ok());
      }
    }
  }
}

TEST(LeaseCodec, carries_a_status_in_a_response) {
  const auto response = error_response(absl::NotFoundError("there is no lease x"));
  EXPECT_EQ(response_status(response.reader()), absl::NotFoundError("there is no lease x"));
  const auto good = Message<schema::Response>::build(
      [](schema::Response::Builder builder) { builder.setDone(); });
  EXPECT_TRUE(response_status(good.reader()).ok());
  const auto strange = Message<schema::Response>::build(
      [](schema::Response::Builder builder) { builder.setCode(999); });
  EXPECT_EQ(response_status(strange.reader()).code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace supercloud
