// Our client with the real daemons of Xen, C and OCaml, on a hypervisor that is a folder (stand_in.h): what every store must do, and
// what only real ones show. libxenstore, Xen's own client, is the witness of what is in the store.
#include <gmock/gmock.h>
#include <malloc.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "hypercall/xen/store_client.h"
#include "hypercall/xen_error.h"
#include "tests/hypercall/xen/guest_ring.h"
#include "tests/hypercall/xen/stand_in.h"
#include "tests/hypercall/xen/witness.h"
#include "tests/hypercall/xen_store_conformance.h"

namespace supercloud {
namespace {

using ::testing::HasSubstr;

constexpr Duration patience = absl::Seconds(60);

class DaemonWorld final : public XenStoreWorld {
 public:
  explicit DaemonWorld(XenDaemon::Kind kind) : daemon(kind, xen) { start(); }

  XenStore& store() override { return store_; }
  XenStore& other() override { return other_; }
  Scheduler& scheduler() override { return loop; }
  bool run_until(absl::FunctionRef<bool()> done) override { return loop.run_until(done, patience); }
  void introduce(DomainId id) override {
    xen.set_domain(id);
    EXPECT_TRUE(Witness(daemon.socket()).introduce(id));
  }
  void let_die(DomainId id) override {
    xen.remove_domain(id);
    xen.raise_domain_exception();
  }
  void kill() override { daemon.kill(); }
  void start() override {
    const absl::Status started = daemon.start();
    ASSERT_TRUE(started.ok()) << started;
  }

  XenStandIn xen;
  XenDaemon daemon;
  EventLoop loop;
  // Patient with daemons on a machine that is busy.
  XenStoreClientOptions options{.path = daemon.socket(),
                                .silence_max = absl::Seconds(60),
                                .retry_max = absl::Milliseconds(100)};
  XenStoreClient store_{loop, options};
  XenStoreClient other_{loop, options};
};

XenStoreWorldMaker maker(XenDaemon::Kind kind, const char* name) {
  return {name,
          [kind]() -> std::unique_ptr<XenStoreWorld> {
            if (!XenDaemon::available(kind)) return nullptr;
            return std::make_unique<DaemonWorld>(kind);
          },
          kind == XenDaemon::Kind::ocaml};
}

INSTANTIATE_TEST_SUITE_P(Daemons, XenStoreConformance,
                         testing::Values(maker(XenDaemon::Kind::c, "xenstored"),
                                         maker(XenDaemon::Kind::ocaml, "oxenstored")),
                         world_name);

class RealDaemon : public testing::TestWithParam<XenDaemon::Kind> {
 protected:
  void SetUp() override {
    if (!XenDaemon::available(GetParam()))
      GTEST_SKIP() << "no such daemon here; make build/.unpacked-daemons";
    world = std::make_unique<DaemonWorld>(GetParam());
  }
  bool ocaml() const { return GetParam() == XenDaemon::Kind::ocaml; }
  absl::Status write(const std::string& path, std::string_view value) {
    absl::Status status = absl::UnknownError("no reply");
    world->store().write(
        0, at(path), value,
        Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { status = done.status(); }));
    EXPECT_TRUE(world->run_until([&] { return !absl::IsUnknown(status); }));
    return status;
  }
  // As XenStoreConformance::eventually().
  bool eventually(absl::FunctionRef<bool()> holds) {
    const Instant limit = world->loop.clock().now() + patience;
    while (!holds()) {
      if (world->loop.clock().now() > limit) return false;
      bool due = false;
      world->loop.at(world->loop.clock().now() + absl::Milliseconds(5), [&] { due = true; });
      world->run_until([&] { return due; });
    }
    return true;
  }
  std::unique_ptr<DaemonWorld> world;
};

INSTANTIATE_TEST_SUITE_P(Daemons, RealDaemon,
                         testing::Values(XenDaemon::Kind::c, XenDaemon::Kind::ocaml),
                         [](const auto& of) { return XenDaemon::name(of.param); });

TEST_P(RealDaemon, holds_what_xens_own_client_sees) {
  Witness witness(world->daemon.socket());
  ASSERT_TRUE(write("/tool/ours", std::string_view("a\0b", 3)).ok());
  EXPECT_EQ(witness.read("/tool/ours"), std::string("a\0b", 3));
  ASSERT_TRUE(witness.write("/tool/theirs", "x"));
  std::string seen;
  world->store().read(
      0, at("/tool/theirs"),
      Reply<std::string>(far_future, [&](absl::StatusOr<std::string> value) { seen = *value; }));
  EXPECT_TRUE(world->run_until([&] { return seen == "x"; }));
}

// The C daemon takes what a request can carry; the OCaml one has a limit of its own.
TEST_P(RealDaemon, limits_values) {
  const std::string path = "/tool/big";
  EXPECT_TRUE(write(path, std::string(2048, 'x')).ok());
  const absl::Status most = write(path, std::string(xen_payload_bytes_max - path.size() - 1, 'x'));
  EXPECT_EQ(most.ok(), !ocaml()) << most;
  if (!most.ok()) {
    EXPECT_TRUE(xen_failure(most)) << most;
  }
  EXPECT_EQ(xen_failure(write(path, std::string(5000, 'x')))->error, E2BIG);
}

// Two that write without reading: a conflict for the C daemon, none for the OCaml one, which merges.
TEST_P(RealDaemon, takes_writes_without_reads_as_its_kind_does) {
  ASSERT_TRUE(write("/tool/c", "0").ok());
  std::vector<absl::Status> ends;
  std::vector<XenTransactionId> ids;
  for (XenStore* store : {&world->store(), &world->other()}) {
    store->begin(Reply<XenTransactionId>(
        far_future, [&](const absl::StatusOr<XenTransactionId>& id) { ids.push_back(*id); }));
    ASSERT_TRUE(world->run_until(
        [&] { return !ids.empty() && (store == &world->store() || ids.size() == 2); }));
  }
  // Both have written before one commits: what is written first after that is no conflict.
  int written = 0;
  const auto count = [&](const absl::StatusOr<Done>& done) { written += done.ok() ? 1 : 0; };
  world->store().write(ids[0], at("/tool/c"), "A", Reply<Done>(far_future, count));
  world->other().write(ids[1], at("/tool/c"), "B", Reply<Done>(far_future, count));
  ASSERT_TRUE(world->run_until([&] { return written == 2; }));
  const auto commit = [&](XenStore& store, XenTransactionId id) {
    const std::size_t before = ends.size();
    store.end(id, true, Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                ends.push_back(done.status());
              }));
    ASSERT_TRUE(world->run_until([&] { return ends.size() > before; }));
  };
  commit(world->store(), ids[0]);
  commit(world->other(), ids[1]);
  EXPECT_TRUE(ends[0].ok());
  EXPECT_EQ(ends[1].ok(), ocaml()) << ends[1];
}

// Likewise of two that make nodes below the same parent, and of one whose parent another removes meanwhile.
TEST_P(RealDaemon, takes_new_nodes_below_what_others_changed_as_its_kind_does) {
  ASSERT_TRUE(write("/tool/p/old", "0").ok());
  const auto commit_of = [&](const std::string& path, const std::function<void()>& meanwhile) {
    std::optional<XenTransactionId> in;
    world->other().begin(Reply<XenTransactionId>(
        far_future, [&](const absl::StatusOr<XenTransactionId>& id) { in = *id; }));
    EXPECT_TRUE(world->run_until([&] { return in.has_value(); }));
    absl::Status written = absl::UnknownError("no reply");
    world->other().write(*in, at(path), "1",
                         Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                           written = done.status();
                         }));
    EXPECT_TRUE(world->run_until([&] { return !absl::IsUnknown(written); }));
    EXPECT_TRUE(written.ok()) << written;
    meanwhile();
    absl::Status ended = absl::UnknownError("no reply");
    world->other().end(*in, true, Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
      ended = done.status();
    }));
    EXPECT_TRUE(world->run_until([&] { return !absl::IsUnknown(ended); }));
    return ended;
  };
  const absl::Status sibling =
      commit_of("/tool/p/b", [&] { ASSERT_TRUE(write("/tool/p/a", "1").ok()); });
  EXPECT_EQ(sibling.ok(), ocaml()) << sibling;
  const absl::Status orphan = commit_of("/tool/p/c", [&] {
    Witness witness(world->daemon.socket());
    ASSERT_TRUE(witness.remove("/tool/p"));
  });
  EXPECT_EQ(orphan.ok(), ocaml()) << orphan;
  EXPECT_EQ(Witness(world->daemon.socket()).read("/tool/p/c"), ocaml() ? "1" : "errno 2");
}

TEST_P(RealDaemon, tells_of_domains_that_shut_down_or_crash) {
  int released = 0;
  world->store().watch(XenPath::released(), [&](const XenPath&) { ++released; }, {});
  ASSERT_TRUE(world->run_until([&] { return released == 1; }));
  world->introduce(1);
  world->introduce(2);
  world->xen.set_domain(1, "shutdown");
  world->xen.raise_domain_exception();
  ASSERT_TRUE(world->run_until([&] { return released == 2; }));
  world->xen.set_domain(2, "crashed");
  world->xen.raise_domain_exception();
  EXPECT_TRUE(world->run_until([&] { return released == 3; }));
}

TEST_P(RealDaemon, guests_have_rights_and_quotas) {
  GuestRing guest(world->xen, 1);
  EXPECT_TRUE(Witness(world->daemon.socket()).introduce(1));
  ASSERT_TRUE(write("/local/domain/1/data", "").ok());
  ASSERT_TRUE(write("/local/domain/1/name", "web1").ok());
  bool given = false;
  world->store().set_permissions(
      0, at("/local/domain/1/data"), {{.domain = 1}},
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { given = done.ok(); }));
  ASSERT_TRUE(world->run_until([&] { return given; }));

  EXPECT_EQ(guest.write("data/x", "mine").error(), "");
  EXPECT_EQ(guest.write("name", "another").error(), "EACCES");
  EXPECT_EQ(guest.write("/local/domain/0/name", "x").error(), "EACCES");
  EXPECT_EQ(Witness(world->daemon.socket()).read("/local/domain/1/data/x"), "mine");

  // Values, nodes, transactions.
  const std::string too_big = guest.write("data/big", std::string(3000, 'x')).error();
  EXPECT_NE(xen_wire::error_number(too_big), 0) << too_big;
  std::string full;
  int nodes = 0;
  while (full.empty() && nodes < 20'000)
    full = guest.write(absl::StrCat("data/n", nodes++), "").error();
  EXPECT_TRUE(xen_error("", xen_wire::error_number(full)).code() ==
              absl::StatusCode::kResourceExhausted)
      << full;
  EXPECT_LT(nodes, 20'000);
  std::string busy;
  int open = 0;
  while (busy.empty() && open < 100) {
    busy = guest.ask(xen_wire::Type::begin, std::string_view("\0", 1)).error();
    ++open;
  }
  EXPECT_TRUE(xen_error("", xen_wire::error_number(busy)).code() ==
              absl::StatusCode::kResourceExhausted)
      << busy;
  EXPECT_TRUE(write("/tool/alive", "1").ok()) << "the control domain has no quota";
}

// Looks at what it is told to look at, a few nodes at a time.
class Looker {
 public:
  explicit Looker(XenStore& store) : store_(store) {}

  void look(const XenPath& path) {
    ++told;
    marked_.insert(path);
    pump();
  }
  int told = 0;
  std::map<std::string, std::string> seen;

 private:
  void pump() {
    constexpr int at_once = 100;
    while (reading_ < at_once && !marked_.empty()) {
      const XenPath path = *marked_.begin();
      marked_.erase(marked_.begin());
      ++reading_;
      store_.read(0, path,
                  Reply<std::string>(far_future, [this, path](absl::StatusOr<std::string> value) {
                    --reading_;
                    if (value.ok()) seen[path.text()] = *std::move(value);
                    pump();
                  }));
    }
  }
  XenStore& store_;
  std::set<XenPath> marked_;
  int reading_ = 0;
};

// 100,000 changes to 1,000 nodes, as fast as the daemon takes them. With the C daemon another one that watches stands still meanwhile,
// as a process that was stopped: what it has not read, the daemon keeps. (With oxenstored, nobody could write until it reads.)
TEST_P(RealDaemon, a_storm_of_watches_is_survived_in_bounded_memory) {
  constexpr int nodes = 1000;
  constexpr int changes = 100'000;
  constexpr int at_once = 200;
  const auto in_use = [] {
    const struct mallinfo2 heap = ::mallinfo2();
    return static_cast<std::uint64_t>(heap.uordblks) +
           heap.hblkhd;  // large blocks lie beside the heap
  };
  Looker looker(world->store());
  world->store().watch(at("/tool/storm"), [&](const XenPath& path) { looker.look(path); }, {});
  ASSERT_TRUE(world->run_until([&] { return looker.told == 1; }));
  EventLoop stopped_loop;
  XenStoreClient stopped(stopped_loop, world->options);
  Looker late(stopped);
  if (!ocaml()) {
    stopped.watch(at("/tool/storm"), [&](const XenPath& path) { late.look(path); }, {});
    ASSERT_TRUE(stopped_loop.run_until([&] { return late.told == 1; }, patience));
  }
  const std::uint64_t daemon_before = world->daemon.memory_bytes();
  const std::uint64_t before = in_use();
  std::uint64_t most = before;
  int written = 0;
  int under_way = 0;
  int failed = 0;
  absl::Status first_failure;
  std::function<void()> go = [&] {
    while (under_way < at_once && written < changes) {
      ++under_way;
      world->other().write(0, at(absl::StrCat("/tool/storm/", written % nodes)),
                           std::to_string(written / nodes),
                           Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                             --under_way;
                             if (!done.ok() && failed++ == 0) first_failure = done.status();
                             most = std::max(most, in_use());
                             go();
                           }));
      ++written;
    }
  };
  go();
  const std::string last = std::to_string(changes / nodes - 1);
  const auto all_seen = [&] {
    return under_way == 0 && std::ranges::count_if(looker.seen, [&](const auto& node) {
                               return node.second == last;
                             }) == nodes;
  };
  EXPECT_TRUE(world->loop.run_until(all_seen, patience * 3))
      << "the last state of every node is seen";
  const std::uint64_t daemon_more =
      world->daemon.memory_bytes() - std::min(daemon_before, world->daemon.memory_bytes());
  const std::uint64_t before_late = in_use();
  std::uint64_t most_late = before_late;
  const auto all_seen_late = [&] {
    most_late = std::max(most_late, in_use());
    return std::ranges::count_if(late.seen,
                                 [&](const auto& node) { return node.second == last; }) == nodes;
  };
  if (!ocaml()) {
    EXPECT_TRUE(stopped_loop.run_until(all_seen_late, patience * 3))
        << "also by who stood still all the while";
  }
  EXPECT_LT(most_late - before_late, std::uint64_t{4} << 20U);
  EXPECT_LT(daemon_more, std::uint64_t{128} << 20U);
  EXPECT_EQ(failed, 0) << first_failure;
  EXPECT_LT(most - before, std::uint64_t{4} << 20U);
  const auto kib = [](std::uint64_t bytes) {
    return static_cast<unsigned long long>(bytes >> 10U);
  };
  std::printf(
      "         told %d times of %d changes, at most %llu KiB more in use; who stood still: %d "
      "times, "
      "%llu KiB; the daemon: %llu KiB\n",
      looker.told, changes, kib(most - before), late.told, kib(most_late - before_late),
      kib(daemon_more));
}

TEST_P(RealDaemon, a_frozen_daemon_counts_as_gone_until_it_thaws) {
  XenStoreClientOptions options = world->options;
  options.silence_max = absl::Milliseconds(200);
  XenStoreClient client(world->loop, options);
  const auto read = [&] {
    absl::Status status = absl::UnknownError("no reply");
    client.list(0, XenPath::root(),
                Reply<std::vector<std::string>>(
                    far_future, [&](const absl::StatusOr<std::vector<std::string>>& names) {
                      status = names.status();
                    }));
    EXPECT_TRUE(world->run_until([&] { return !absl::IsUnknown(status); }));
    return status;
  };
  ASSERT_TRUE(read().ok());
  world->daemon.freeze(true);
  const absl::Status silent = read();
  EXPECT_TRUE(absl::IsUnavailable(silent)) << silent;
  EXPECT_THAT(std::string(silent.message()), HasSubstr("no answer for 200ms"));
  world->daemon.freeze(false);
  EXPECT_TRUE(eventually([&] { return read().ok(); }));
}

TEST_P(RealDaemon, a_socket_file_left_behind_is_nobody) {
  world->kill();
  ASSERT_TRUE(std::filesystem::exists(world->daemon.socket()));
  ASSERT_TRUE(eventually([&] {
    const auto failure = xen_failure(write("/tool/x", "1"));
    return failure && failure->error == ECONNREFUSED;
  }));
  world->start();
  EXPECT_TRUE(eventually([&] { return write("/tool/x", "1").ok(); }));
}

}  // namespace
}  // namespace supercloud
