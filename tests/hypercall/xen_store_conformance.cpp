#include "tests/hypercall/xen_store_conformance.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a watch has told, in order.
struct Told {
  std::vector<std::string> paths;
  XenStore::Changed listener() {
    return [this](const XenPath& path) { paths.push_back(path.text()); };
  }
  bool has(const std::string& path) const { return std::ranges::count(paths, path) > 0; }
};

}  // namespace

void XenStoreConformance::SetUp() {
  world = GetParam().make();
  if (!world) GTEST_SKIP() << "no such daemon here; make build/.unpacked-daemons";
}

bool XenStoreConformance::eventually(absl::FunctionRef<bool()> holds) {
  constexpr int times_max = 2000;
  for (int i = 0; i < times_max; ++i) {
    if (holds()) return true;
    bool due = false;
    Scheduler& scheduler = world->scheduler();
    scheduler.at(scheduler.clock().now() + absl::Milliseconds(5), [&] { due = true; });
    world->run_until([&] { return due; });
  }
  return false;
}

absl::StatusOr<std::string> XenStoreConformance::read(const std::string& path,
                                                      XenTransactionId in) {
  return get<std::string>(
      [&](Reply<std::string> reply) { world->store().read(in, at(path), std::move(reply)); });
}
absl::StatusOr<std::vector<std::string>> XenStoreConformance::list(const std::string& path) {
  auto names = get<std::vector<std::string>>([&](Reply<std::vector<std::string>> reply) {
    world->store().list(0, at(path), std::move(reply));
  });
  if (names.ok()) std::ranges::sort(*names);
  return names;
}
absl::Status XenStoreConformance::write(const std::string& path, std::string_view value,
                                        XenTransactionId in) {
  return get<Done>([&](Reply<Done> reply) {
           world->store().write(in, at(path), value, std::move(reply));
         })
      .status();
}
absl::Status XenStoreConformance::remove(const std::string& path, XenTransactionId in) {
  return get<Done>(
             [&](Reply<Done> reply) { world->store().remove(in, at(path), std::move(reply)); })
      .status();
}
absl::StatusOr<XenTransactionId> XenStoreConformance::begin(XenStore& store) {
  return get<XenTransactionId>(
      [&](Reply<XenTransactionId> reply) { store.begin(std::move(reply)); });
}
absl::Status XenStoreConformance::end(XenStore& store, XenTransactionId id, bool commit) {
  return get<Done>([&](Reply<Done> reply) { store.end(id, commit, std::move(reply)); }).status();
}

// ---- values ----------------------------------------------------------------------------------------------------------

TEST_P(XenStoreConformance, keeps_any_bytes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  for (const std::string& value :
       {bytes, std::string(), std::string(1, '\0'), std::string(2000, 'x')}) {
    ASSERT_TRUE(write("/tool/value", value).ok());
    const auto found = read("/tool/value");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, value);
  }
}

TEST_P(XenStoreConformance, makes_the_nodes_above_what_is_written) {
  ASSERT_TRUE(write("/tool/a/b/c", "deep").ok());
  EXPECT_EQ(*read("/tool/a/b"), "");
  EXPECT_THAT(*list("/tool/a"), ElementsAre("b"));
  EXPECT_THAT(*list("/tool/a/b/c"), ElementsAre());
}

TEST_P(XenStoreConformance, tells_what_is_not_there_by_call_and_errno) {
  const auto value = read("/tool/nothing");
  EXPECT_TRUE(absl::IsNotFound(value.status())) << value.status();
  EXPECT_TRUE(is(value.status(), "XS_READ", ENOENT)) << value.status();
  EXPECT_THAT(std::string(value.status().message()), HasSubstr("/tool/nothing: ENOENT"));
  EXPECT_TRUE(is(list("/tool/nothing").status(), "XS_DIRECTORY", ENOENT));
  EXPECT_TRUE(remove("/tool/nothing").ok());
}

TEST_P(XenStoreConformance, keeps_its_root) {
  EXPECT_TRUE(is(remove("/"), "XS_RM", EINVAL));
  EXPECT_TRUE(list("/").ok());
}

TEST_P(XenStoreConformance, removes_with_all_below) {
  ASSERT_TRUE(write("/tool/tree/a", "1").ok());
  ASSERT_TRUE(write("/tool/tree/b/c", "2").ok());
  ASSERT_TRUE(write("/tool/tree-2", "3").ok());
  ASSERT_TRUE(remove("/tool/tree").ok());
  EXPECT_TRUE(absl::IsNotFound(read("/tool/tree/b/c").status()));
  EXPECT_EQ(*read("/tool/tree-2"), "3");
}

TEST_P(XenStoreConformance, makes_an_empty_node_once) {
  const auto make = [&] {
    return get<Done>(
        [&](Reply<Done> reply) { world->store().make(0, at("/tool/made"), std::move(reply)); });
  };
  EXPECT_TRUE(make().ok());
  ASSERT_TRUE(write("/tool/made", "kept").ok());
  EXPECT_TRUE(make().ok());
  EXPECT_EQ(*read("/tool/made"), "kept");
}

TEST_P(XenStoreConformance, relative_paths_are_below_the_callers_domain) {
  ASSERT_TRUE(write("data/x", "mine").ok());
  EXPECT_EQ(*read("/local/domain/0/data/x"), "mine");
}

TEST_P(XenStoreConformance, refuses_what_no_request_can_carry) {
  const absl::Status refused = write("/tool/big", std::string(5000, 'z'));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(is(refused, "XS_WRITE", E2BIG)) << refused;
  EXPECT_TRUE(absl::IsInvalidArgument(read("@releaseDomain").status()));
  EXPECT_TRUE(write("/tool/big", "small").ok()) << "and goes on";
  EXPECT_EQ(*read("/tool/big"), "small");
}

TEST_P(XenStoreConformance, lists_directories_that_no_message_holds) {
  constexpr int count = 300;
  std::set<std::string> names;
  int written = 0;
  for (int i = 0; i < count; ++i) {
    names.insert(absl::StrCat("a-name-that-is-rather-long-", i));
    world->store().write(0, at("/tool/many/" + absl::StrCat("a-name-that-is-rather-long-", i)), "",
                         Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                           written += done.ok() ? 1 : 0;
                         }));
  }
  ASSERT_TRUE(world->run_until([&] { return written == count; }));
  const auto found = list("/tool/many");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(std::set<std::string>(found->begin(), found->end()), names);
  EXPECT_EQ(found->size(), names.size());
}

TEST_P(XenStoreConformance, keeps_permissions) {
  for (const DomainId id : {1, 2, 3}) world->introduce(id);  // of others xenstored takes nothing
  ASSERT_TRUE(write("/tool/guarded", "x").ok());
  const XenPermissions wanted = {
      {.domain = 1}, {.domain = 2, .read = true}, {.domain = 3, .read = true, .write = true}};
  const auto set = get<Done>([&](Reply<Done> reply) {
    world->store().set_permissions(0, at("/tool/guarded"), wanted, std::move(reply));
  });
  ASSERT_TRUE(set.ok()) << set.status();
  const auto found = get<XenPermissions>([&](Reply<XenPermissions> reply) {
    world->store().permissions(0, at("/tool/guarded"), std::move(reply));
  });
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(*found, wanted);
}

// ---- watches ---------------------------------------------------------------------------------------------------------

TEST_P(XenStoreConformance, a_watch_tells_at_once_and_of_all_below) {
  ASSERT_TRUE(write("/tool/w/old", "1").ok());
  Told told;
  const XenWatchId id = world->store().watch(at("/tool/w"), told.listener());
  ASSERT_TRUE(world->run_until([&] { return told.has("/tool/w"); }));
  world->other().write(0, at("/tool/w/new/deep"), "2", {});
  ASSERT_TRUE(world->run_until([&] { return told.has("/tool/w/new/deep"); }));
  ASSERT_TRUE(write("/tool/outside", "3").ok());
  world->other().remove(0, at("/tool/w/old"), {});
  ASSERT_TRUE(world->run_until([&] { return told.has("/tool/w/old"); }));
  EXPECT_FALSE(told.has("/tool/outside"));
  world->store().unwatch(id);
  const std::size_t before = told.paths.size();
  ASSERT_TRUE(write("/tool/w/later", "4").ok());
  ASSERT_TRUE(read("/tool/w/later").ok());
  EXPECT_EQ(told.paths.size(), before) << "nothing is told after unwatch()";
}

TEST_P(XenStoreConformance, a_watch_tells_of_the_removal_of_what_is_above) {
  ASSERT_TRUE(write("/tool/above/below/node", "1").ok());
  Told told;
  world->store().watch(at("/tool/above/below/node"), told.listener());
  ASSERT_TRUE(world->run_until([&] { return told.paths.size() == 1; }));
  ASSERT_TRUE(remove("/tool/above").ok());
  EXPECT_TRUE(world->run_until([&] { return told.paths.size() == 2; }));
  EXPECT_EQ(told.paths.back(), "/tool/above/below/node");
}

TEST_P(XenStoreConformance, a_commit_tells_and_an_abort_does_not) {
  Told told;
  world->store().watch(at("/tool/w"), told.listener());
  ASSERT_TRUE(world->run_until([&] { return told.paths.size() == 1; }));
  for (const bool commit : {false, true}) {
    const auto id = begin(world->other());
    ASSERT_TRUE(get<Done>([&](Reply<Done> reply) {
                  world->other().write(*id, at(commit ? "/tool/w/yes" : "/tool/w/no"), "1",
                                       std::move(reply));
                }).ok());
    ASSERT_TRUE(end(world->other(), *id, commit).ok());
  }
  EXPECT_TRUE(world->run_until([&] { return told.has("/tool/w/yes"); }));
  EXPECT_FALSE(told.has("/tool/w/no"));
}

TEST_P(XenStoreConformance, of_many_changes_the_last_state_is_seen) {
  constexpr int nodes = 10;
  constexpr int rounds = 100;
  std::map<std::string, std::string> seen;
  world->store().watch(at("/tool/storm"), [&](const XenPath& path) {
    world->store().read(
        0, path, Reply<std::string>(far_future, [&, path](absl::StatusOr<std::string> value) {
          if (value.ok()) seen[path.text()] = *std::move(value);
        }));
  });
  for (int round = 1; round <= rounds; ++round)
    for (int node = 0; node < nodes; ++node)
      world->other().write(0, at(absl::StrCat("/tool/storm/", node)), std::to_string(round), {});
  EXPECT_TRUE(world->run_until([&] {
    for (int node = 0; node < nodes; ++node)
      if (seen[absl::StrCat("/tool/storm/", node)] != std::to_string(rounds)) return false;
    return true;
  }));
}

TEST_P(XenStoreConformance, tells_of_domains_that_come_and_die) {
  Told come;
  Told gone;
  world->store().watch(XenPath::introduced(), come.listener());
  world->store().watch(XenPath::released(), gone.listener());
  ASSERT_TRUE(world->run_until([&] { return come.paths.size() == 1 && gone.paths.size() == 1; }))
      << "each tells once by itself";
  world->introduce(1);
  ASSERT_TRUE(world->run_until([&] { return come.paths.size() == 2; }));
  EXPECT_EQ(gone.paths.size(), 1U);
  world->let_die(1);
  ASSERT_TRUE(world->run_until([&] { return gone.paths.size() == 2; }));
  EXPECT_EQ(come.paths.back(), "@introduceDomain");
  EXPECT_EQ(gone.paths.back(), "@releaseDomain");
}

// ---- the daemon's end ------------------------------------------------------------------------------------------------

TEST_P(XenStoreConformance, a_daemon_that_is_back_has_all_watches) {
  Told told;
  Told introduced;
  world->store().watch(at("/tool/w"), told.listener());
  world->store().watch(XenPath::introduced(), introduced.listener());
  ASSERT_TRUE(
      world->run_until([&] { return told.paths.size() == 1 && introduced.paths.size() == 1; }));
  world->kill();
  ASSERT_TRUE(eventually([&] { return absl::IsUnavailable(read("/tool").status()); }));
  world->start();
  EXPECT_TRUE(world->run_until([&] {
    return told.paths.size() == 2 && introduced.paths.size() == 2;
  })) << "look again";
  // A first request of this client may meet the end of the old connection.
  ASSERT_TRUE(eventually([&] { return write("/tool/w/x", "1").ok(); }));
  EXPECT_TRUE(world->run_until([&] { return told.has("/tool/w/x"); }));
}

TEST_P(XenStoreConformance, a_daemon_killed_within_a_transaction_ends_it) {
  ASSERT_TRUE(write("/tool/t", "0").ok());
  const auto id = begin(world->store());
  ASSERT_TRUE(write("/tool/t", "1", *id).ok());
  world->kill();
  world->start();
  ASSERT_TRUE(eventually([&] { return write("/tool/after", "1").ok(); }));
  for (const absl::Status& gone : {end(world->store(), *id), write("/tool/t", "2", *id)}) {
    EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
    EXPECT_TRUE(xen_failure(gone)) << gone;
  }
  EXPECT_TRUE(absl::IsNotFound(read("/tool/t").status()));
}

TEST_P(XenStoreConformance, a_body_is_run_again_after_a_loss_only_if_its_owner_says_so) {
  for (const bool after_loss : {false, true}) {
    ASSERT_TRUE(eventually([&] { return write("/tool/number", "0").ok(); }));
    int runs = 0;
    const XenBody inner = [&](XenTransactionId in, Reply<Done> done) {
      world->store().write(in, at("/tool/number"), "7", std::move(done));
    };
    const auto ended = get<Done>([&](Reply<Done> reply) {
      transact(world->store(), world->scheduler(),
               [&](XenTransactionId in, Reply<Done> done) {
                 if (++runs == 1) {
                   world->kill();
                   world->start();
                 }
                 inner(in, std::move(done));
               },
               std::move(reply),
               {.loss_max = after_loss ? absl::Seconds(60) : absl::ZeroDuration()});
    });
    if (after_loss) {
      EXPECT_TRUE(ended.ok()) << ended.status();
      EXPECT_GT(runs, 1);
      EXPECT_EQ(*read("/tool/number"), "7");
    } else {
      EXPECT_TRUE(absl::IsUnavailable(ended.status())) << ended.status();
      EXPECT_EQ(runs, 1);
    }
  }
}

TEST_P(XenStoreConformance, says_so_while_nobody_is_there) {
  world->kill();
  ASSERT_TRUE(eventually([&] { return absl::IsUnavailable(read("/tool").status()); }));
  const absl::Status gone = begin(world->store()).status();
  EXPECT_TRUE(absl::IsUnavailable(gone)) << gone;
  EXPECT_TRUE(xen_failure(gone)) << "without its call and errno: " << gone;
  Told told;
  const auto registered = get<Done>([&](Reply<Done> reply) {
    world->store().watch(at("/tool/w"), told.listener(), std::move(reply));
  });
  EXPECT_TRUE(absl::IsUnavailable(registered.status())) << registered.status();
  EXPECT_TRUE(told.paths.empty());
  world->start();
  EXPECT_TRUE(world->run_until([&] { return !told.paths.empty(); }))
      << "it watches once it is back";
}

}  // namespace supercloud
