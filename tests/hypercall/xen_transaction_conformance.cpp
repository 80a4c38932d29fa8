// XenStoreConformance: transactions, and transact() over them.
#include <gmock/gmock.h>

#include <cerrno>
#include <functional>
#include <memory>

#include "hypercall/xen_error.h"
#include "tests/hypercall/xen_store_conformance.h"

namespace supercloud {

TEST_P(XenStoreConformance, nobody_sees_a_transaction_before_its_commit) {
  ASSERT_TRUE(write("/tool/t", "0").ok());
  const auto id = begin(world->store());
  ASSERT_TRUE(id.ok()) << id.status();
  ASSERT_TRUE(write("/tool/t", "1", *id).ok());
  EXPECT_EQ(*read("/tool/t", *id), "1");
  EXPECT_EQ(*read("/tool/t"), "0");
  ASSERT_TRUE(end(world->store(), *id).ok());
  EXPECT_EQ(*read("/tool/t"), "1");
}

TEST_P(XenStoreConformance, an_aborted_transaction_leaves_nothing) {
  const auto id = begin(world->store());
  ASSERT_TRUE(write("/tool/never", "1", *id).ok());
  ASSERT_TRUE(end(world->store(), *id, false).ok());
  EXPECT_TRUE(absl::IsNotFound(read("/tool/never").status()));
}

TEST_P(XenStoreConformance, what_was_read_and_then_changed_by_others_is_a_conflict) {
  ASSERT_TRUE(write("/tool/c", "0").ok());
  const auto id = begin(world->other());
  ASSERT_TRUE(get<std::string>([&](Reply<std::string> reply) {
                world->other().read(*id, at("/tool/c"), std::move(reply));
              }).ok());
  ASSERT_TRUE(write("/tool/c", "9").ok());
  ASSERT_TRUE(get<Done>([&](Reply<Done> reply) {
                world->other().write(*id, at("/tool/c"), "1", std::move(reply));
              }).ok());
  const absl::Status conflict = end(world->other(), *id);
  EXPECT_TRUE(absl::IsAborted(conflict)) << conflict;
  EXPECT_TRUE(is(conflict, "XS_TRANSACTION_END", EAGAIN)) << conflict;
  EXPECT_EQ(*read("/tool/c"), "9");
}

TEST_P(XenStoreConformance, a_transaction_is_its_clients_own) {
  const auto id = begin(world->store());
  ASSERT_TRUE(write("/tool/own", "1", *id).ok());
  EXPECT_FALSE(end(world->other(), *id, false).ok());
  ASSERT_TRUE(end(world->store(), *id).ok());
  EXPECT_EQ(*read("/tool/own"), "1");
}

TEST_P(XenStoreConformance, a_transaction_that_has_ended_is_none) {
  const auto id = begin(world->store());
  ASSERT_TRUE(end(world->store(), *id).ok());
  EXPECT_TRUE(is(read("/tool", *id).status(), "XS_READ", ENOENT)) << read("/tool", *id).status();
  EXPECT_TRUE(is(write("/tool/late", "1", *id), "XS_WRITE", ENOENT));
  EXPECT_TRUE(is(end(world->store(), *id), "XS_TRANSACTION_END", ENOENT));
  EXPECT_TRUE(absl::IsNotFound(read("/tool/late").status()));
}

TEST_P(XenStoreConformance, siblings_made_in_two_transactions_are_merged_or_a_conflict) {
  const auto first = begin(world->store());
  const auto second = begin(world->other());
  ASSERT_TRUE(write("/tool/first", "1", *first).ok());
  ASSERT_TRUE(get<Done>([&](Reply<Done> reply) {
                world->other().write(*second, at("/tool/second"), "2", std::move(reply));
              }).ok());
  ASSERT_TRUE(end(world->store(), *first).ok());
  const absl::Status ended = end(world->other(), *second);
  EXPECT_EQ(ended.ok(), GetParam().merges) << ended;
  EXPECT_EQ(absl::IsAborted(ended), !GetParam().merges) << ended;
  EXPECT_EQ(*read("/tool/first"), "1");
  EXPECT_EQ(read("/tool/second").ok(), ended.ok());
}

TEST_P(XenStoreConformance, what_was_removed_and_changed_below_is_merged_or_a_conflict) {
  ASSERT_TRUE(write("/tool/group/member", "1").ok());
  const auto id = begin(world->store());
  ASSERT_TRUE(remove("/tool/group", *id).ok());
  ASSERT_TRUE(write("/tool/group/member", "2").ok());
  const absl::Status ended = end(world->store(), *id);
  EXPECT_EQ(ended.ok(), GetParam().merges) << ended;
  EXPECT_EQ(absl::IsAborted(ended), !GetParam().merges) << ended;
  EXPECT_EQ(read("/tool/group/member").value_or("none"), ended.ok() ? "none" : "2");
}

TEST_P(XenStoreConformance, a_change_that_failed_in_a_transaction_is_not_made_by_its_commit) {
  const auto id = begin(world->store());
  EXPECT_FALSE(get<Done>([&](Reply<Done> reply) {
                 world->store().remove(*id, at("/tool/no/such"), std::move(reply));
               }).ok());
  ASSERT_TRUE(write("/tool/kept", "1", *id).ok());
  ASSERT_TRUE(write("/tool/no/such/after/all", "2").ok());
  const absl::Status ended = end(world->store(), *id);
  EXPECT_TRUE(ended.ok() || absl::IsAborted(ended)) << ended;
  EXPECT_EQ(*read("/tool/no/such/after/all"), "2");
}

namespace {

// Adds one to a number in the store, in a transaction.
XenBody increment(XenStore& store, const XenPath& path) {
  return [&store, path](XenTransactionId in, Reply<Done> done) {
    auto shared = std::make_shared<Reply<Done>>(std::move(done));
    store.read(in, path,
               Reply<std::string>(
                   far_future, [&store, path, in, shared](const absl::StatusOr<std::string>& was) {
                     if (!was.ok()) return (*shared)(was.status());
                     store.write(in, path, std::to_string(std::stoi(*was) + 1), std::move(*shared));
                   }));
  };
}

}  // namespace

TEST_P(XenStoreConformance, no_increment_is_lost_when_two_transact_at_once) {
  constexpr int each = 15;
  ASSERT_TRUE(write("/tool/number", "0").ok());
  int ended = 0;
  int failed = 0;
  std::function<void(XenStore&, int)> go = [&](XenStore& store, int left) {
    if (left == 0) return;
    transact(store, world->scheduler(), increment(store, at("/tool/number")),
             Reply<Done>(far_future,
                         [&, left](const absl::StatusOr<Done>& done) {
                           ++ended;
                           failed += done.ok() ? 0 : 1;
                           go(store, left - 1);
                         }),
             {.attempts_max = 1000, .backoff = absl::Microseconds(100)});
  };
  go(world->store(), each);
  go(world->other(), each);
  ASSERT_TRUE(world->run_until([&] { return ended == 2 * each; }));
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(*read("/tool/number"), std::to_string(2 * each));
}

TEST_P(XenStoreConformance, a_transaction_that_is_always_in_conflict_is_given_up) {
  ASSERT_TRUE(write("/tool/number", "0").ok());
  int runs = 0;
  const XenBody inner = increment(world->store(), at("/tool/number"));
  const auto always = get<Done>([&](Reply<Done> reply) {
    transact(world->store(), world->scheduler(),
             [&](XenTransactionId in, Reply<Done> done) {
               ++runs;
               // Between its reads and its commit another one writes.
               auto shared = std::make_shared<Reply<Done>>(std::move(done));
               inner(in, Reply<Done>(far_future, [&, shared](const absl::StatusOr<Done>& own) {
                       if (!own.ok()) return (*shared)(own.status());
                       world->other().write(0, at("/tool/number"), std::to_string(100 * runs),
                                            std::move(*shared));
                     }));
             },
             std::move(reply), {.attempts_max = 4});
  });
  EXPECT_TRUE(absl::IsAborted(always.status())) << always.status();
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(*read("/tool/number"), "400");
}

TEST_P(XenStoreConformance, a_bodys_error_ends_its_transaction_without_effect) {
  const auto failed = get<Done>([&](Reply<Done> reply) {
    transact(
        world->store(), world->scheduler(),
        [&](XenTransactionId in, Reply<Done> done) {
          auto shared = std::make_shared<Reply<Done>>(std::move(done));
          world->store().write(in, at("/tool/never"), "1",
                               Reply<Done>(far_future, [shared](const absl::StatusOr<Done>&) {
                                 (*shared)(absl::FailedPreconditionError("changed my mind"));
                               }));
        },
        std::move(reply));
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(failed.status())) << failed.status();
  EXPECT_TRUE(absl::IsNotFound(read("/tool/never").status()));
}

// A body that follows an index, which is changed between its two reads: what C xenstored lets it see then never was.
TEST_P(XenStoreConformance, a_torn_read_is_never_final) {
  ASSERT_TRUE(write("/tool/index", "one").ok());
  ASSERT_TRUE(write("/tool/of/one", "1").ok());
  int runs = 0;
  std::string found;
  const auto read_in = [&](XenTransactionId in, const std::string& path, auto then) {
    world->store().read(in, at(path),
                        Reply<std::string>(far_future, [then](absl::StatusOr<std::string> value) {
                          then(std::move(value));
                        }));
  };
  const auto ended = get<Done>([&](Reply<Done> reply) {
    transact(
        world->store(), world->scheduler(),
        [&](XenTransactionId in, Reply<Done> done) {
          auto shared = std::make_shared<Reply<Done>>(std::move(done));
          const auto follow = [&, in, shared](const std::string& index) {
            read_in(in, "/tool/of/" + index, [&, shared](absl::StatusOr<std::string> value) {
              if (!value.ok()) return (*shared)(value.status());
              found = *value;
              (*shared)(Done{});
            });
          };
          read_in(in, "/tool/index", [&, follow, shared](absl::StatusOr<std::string> index) {
            if (!index.ok()) return (*shared)(index.status());
            if (++runs > 1) return follow(*index);
            world->other().write(0, at("/tool/of/two"), "2", {});
            world->other().remove(0, at("/tool/of/one"), {});
            world->other().write(
                0, at("/tool/index"), "two",
                Reply<Done>(far_future, [follow, index](const auto&) { follow(*index); }));
          });
        },
        std::move(reply));
  });
  EXPECT_TRUE(ended.ok()) << ended.status();
  EXPECT_TRUE(found == "2" || (found == "1" && runs == 1)) << found << " in run " << runs;
}

TEST_P(XenStoreConformance, a_body_that_drops_its_done_has_given_up) {
  XenTransactionId dropped = 0;
  const auto ended = get<Done>([&](Reply<Done> reply) {
    transact(
        world->store(), world->scheduler(),
        [&](XenTransactionId in, const Reply<Done>&) { dropped = in; }, std::move(reply));
  });
  EXPECT_TRUE(absl::IsCancelled(ended.status())) << ended.status();
  EXPECT_FALSE(end(world->store(), dropped).ok()) << "nobody ended it in the store";
}

TEST_P(XenStoreConformance, conflicts_without_end_are_over_by_the_deadline) {
  ASSERT_TRUE(write("/tool/number", "0").ok());
  const XenBody inner = increment(world->store(), at("/tool/number"));
  const Instant deadline = world->scheduler().clock().now() + absl::Milliseconds(300);
  absl::Status ended = absl::UnknownError("no reply");
  int runs = 0;
  transact(world->store(), world->scheduler(),
           [&](XenTransactionId in, Reply<Done> done) {
             auto shared = std::make_shared<Reply<Done>>(std::move(done));
             inner(in, Reply<Done>(far_future, [&, shared](const absl::StatusOr<Done>& own) {
                     if (!own.ok()) return (*shared)(own.status());
                     world->other().write(0, at("/tool/number"), std::to_string(100 * ++runs),
                                          std::move(*shared));
                   }));
           },
           Reply<Done>(deadline, [&](const absl::StatusOr<Done>& done) { ended = done.status(); }),
           {.attempts_max = 1'000'000, .backoff = absl::Milliseconds(20)});
  ASSERT_TRUE(world->run_until([&] { return !absl::IsUnknown(ended); }));
  EXPECT_TRUE(absl::IsAborted(ended)) << ended;
  EXPECT_LT(runs, 100);
}

}  // namespace supercloud
