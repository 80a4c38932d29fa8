// Lease tables of several nodes on an etcd that tests maltreat, in real time.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "core/event_loop.h"
#include "storage/etcd/etcd_lease_table.h"
#include "tests/storage/etcd/etcd_server.h"

namespace supercloud {

class EtcdWorld : public testing::Test {
 protected:
  static constexpr Duration patience = absl::Seconds(60);

  void SetUp() override {
    if (!EtcdServer::available()) GTEST_SKIP() << EtcdServer::missing;
  }

  std::unique_ptr<LeaseTable> table(std::vector<std::string> endpoints,
                                    Duration ttl = absl::Seconds(3),
                                    EtcdTableIdentity identity = {}) {
    EtcdConfig config;
    config.endpoints = std::move(endpoints);
    return make_etcd_lease_table(loop, std::move(config), ttl, std::move(identity));
  }

  Instant in(Duration span) { return loop.clock().now() + span; }
  bool until(absl::FunctionRef<bool()> done) { return loop.run_until(done, patience); }
  void run_for(Duration span) {
    const Instant end = in(span);
    loop.run_until([&] { return loop.clock().now() >= end; }, span);
  }
  // Until it holds, asked again and again.
  bool eventually(absl::FunctionRef<bool()> condition) {
    const Instant end = in(patience);
    while (!condition()) {
      if (loop.clock().now() > end) return false;
      run_for(absl::Milliseconds(20));
    }
    return true;
  }
  template <class T>
  absl::StatusOr<T> wait(absl::FunctionRef<void(Reply<T>)> start,
                         Duration deadline = absl::Seconds(30)) {
    auto value = std::make_shared<std::optional<absl::StatusOr<T>>>();
    start(Reply<T>(in(deadline),
                   [value](absl::StatusOr<T> answer) { value->emplace(std::move(answer)); }));
    if (!until([&] { return value->has_value(); })) return absl::InternalError("no answer came");
    return *std::move(*value);
  }
  absl::StatusOr<Session> open(LeaseTable& table, const std::string& node,
                               Duration deadline = absl::Seconds(30)) {
    return wait<Session>(
        [&](Reply<Session> reply) {
          table.open_session({node, "disk of " + node}, std::move(reply));
        },
        deadline);
  }
  absl::Status renew(LeaseTable& table, const SessionId& session,
                     Duration deadline = absl::Seconds(30)) {
    return wait<Done>([&](Reply<Done> reply) { table.renew(session, std::move(reply)); }, deadline)
        .status();
  }
  absl::StatusOr<SwapResult> swap(LeaseTable& table, const Swap& swap,
                                  Duration deadline = absl::Seconds(30)) {
    return wait<SwapResult>([&](Reply<SwapResult> reply) { table.swap(swap, std::move(reply)); },
                            deadline);
  }
  // As executors do it: with the same id, until its outcome is known.
  SwapResult swap_until_known(LeaseTable& table, const Swap& once) {
    SwapResult known;
    EXPECT_TRUE(eventually([&] {
      absl::StatusOr<SwapResult> result = swap(table, once, absl::Seconds(5));
      const bool is_known = result.ok();
      if (is_known) known = *std::move(result);
      unknown_outcomes += is_known ? 0 : 1;
      return is_known;
    }));
    return known;
  }
  absl::StatusOr<LeaseRecord> read(LeaseTable& table, Duration deadline = absl::Seconds(30)) {
    return wait<LeaseRecord>([&](Reply<LeaseRecord> reply) { table.read(key, std::move(reply)); },
                             deadline);
  }
  Swap make(SwapKind kind, const SessionId& session, Epoch epoch) {
    return {.key = key,
            .kind = kind,
            .session = session,
            .swap_id = absl::StrCat("swap-", ++swaps),
            .epoch = epoch};
  }

  EventLoop loop;
  std::string key = "vm/main/web1";
  int swaps = 0;
  int unknown_outcomes = 0;
};

}  // namespace supercloud
