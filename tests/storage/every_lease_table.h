// Calls of a lease table, whichever implementation a test is about.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/storage/lease_harness.h"

namespace supercloud {

inline const EventId first_migration{"a/policy", 1, 7};
inline const EventId other_migration{"a/policy", 1, 8};

class EveryLeaseTable : public testing::TestWithParam<LeaseHarnessKind> {
 protected:
  void SetUp() override {
    harness_ = GetParam().make();
    if (!harness_)
      GTEST_SKIP() << "no " << GetParam().name << " here; make build/.unpacked-daemons";
  }

  LeaseHarness& on() { return *harness_; }
  Instant now() { return on().now(); }

  SessionId session(const std::string& node) {
    absl::StatusOr<Session> opened = on().open(node);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? opened->id : "";
  }

  Swap make(SwapKind kind, const SessionId& session, Epoch epoch) {
    return {.key = key_,
            .kind = kind,
            .session = session,
            .swap_id = "swap-" + std::to_string(++swaps_),
            .epoch = epoch};
  }

  SwapResult done(const Swap& swap) {
    absl::StatusOr<SwapResult> result = on().swap(swap);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : SwapResult{};
  }
  SwapResult won(const Swap& swap) {
    SwapResult result = done(swap);
    EXPECT_TRUE(result.won) << result.why;
    return result;
  }
  SwapResult lost(const Swap& swap) {
    SwapResult result = done(swap);
    EXPECT_FALSE(result.won);
    EXPECT_NE(result.why, "");
    return result;
  }

  LeaseRecord record() {
    absl::StatusOr<LeaseRecord> read = on().read(key_);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? *std::move(read) : LeaseRecord{};
  }

  // Moves to the moment at which the session ends that holds the record, or of its heir.
  bool holder_ends(Instant when) {
    on().run_until(when);
    return on().soon([&] { return !record().session_alive; });
  }
  bool heir_ends(Instant when) {
    on().run_until(when);
    return on().soon([&] { return !record().heir_alive; });
  }

  // "vm/main/web1" held by `holder` at epoch 1, with `heir` accepted if given.
  void define(const SessionId& holder, const std::string& heir = "",
              std::vector<std::string> in_sync = {"a", "c"}) {
    Swap define = make(SwapKind::DEFINE, holder, 0);
    define.value = "wanted";
    define.claim = "address of " + key_;
    define.in_sync = std::move(in_sync);
    won(define);
    if (heir.empty()) return;
    Swap accept = make(SwapKind::ACCEPT, holder, 1);
    accept.heir = Heir{heir, first_migration};
    won(accept);
  }

  std::string key_ = "vm/main/web1";
  int swaps_ = 0;

 private:
  std::unique_ptr<LeaseHarness> harness_;
};

}  // namespace supercloud
