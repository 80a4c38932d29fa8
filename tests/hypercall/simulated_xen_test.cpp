// The simulated XenStore does what every XenStore must; and what only it can be asked: guests, their rights and quotas.
#include <cerrno>

#include "core/virtual_scheduler.h"
#include "hypercall/simulated/xen.h"
#include "hypercall/xen_error.h"
#include "tests/hypercall/domain_list_conformance.h"
#include "tests/hypercall/xen_store_conformance.h"

namespace supercloud {
namespace {

class SimulatedXenWorld final : public XenStoreWorld {
 public:
  XenStore& store() override { return store_; }
  XenStore& other() override { return other_; }
  Scheduler& scheduler() override { return scheduler_; }
  bool run_until(absl::FunctionRef<bool()> done) override {
    const Instant limit = scheduler_.now() + absl::Seconds(60);
    while (!done()) {
      if (scheduler_.now() > limit || !scheduler_.step()) return done();
    }
    return true;
  }
  void introduce(DomainId id) override {
    EXPECT_EQ(*xen_.create_domain("web1", std::uint64_t{1} << 30U, 1), id);
  }
  void let_die(DomainId id) override { xen_.set_state(id, DomainStatus::State::dying); }
  void kill() override { xen_.stop_store(); }
  void start() override { xen_.start_store(false); }

  VirtualScheduler scheduler_;
  SimulatedXen xen_;
  SimulatedXenStore store_{scheduler_, xen_, Random(1)};
  SimulatedXenStore other_{scheduler_, xen_, Random(2)};
};

INSTANTIATE_TEST_SUITE_P(Simulated, XenStoreConformance,
                         testing::Values(XenStoreWorldMaker{
                             "simulated", [] { return std::make_unique<SimulatedXenWorld>(); }}),
                         world_name);

class SimulatedDomains final : public DomainListWorld {
 public:
  const DomainList& domains() override { return xen_; }
  DomainId create(std::uint64_t memory_bytes, std::uint32_t cpus) override {
    return *xen_.create_domain("guest", memory_bytes, cpus);
  }
  void set_state(DomainId id, DomainStatus::State state) override { xen_.set_state(id, state); }
  void destroy(DomainId id) override { xen_.destroy_domain(id); }

 private:
  SimulatedXen xen_;
};

INSTANTIATE_TEST_SUITE_P(Simulated, DomainListConformance,
                         testing::Values(DomainListWorldMaker{
                             "simulated", [] { return std::make_unique<SimulatedDomains>(); }}),
                         [](const auto& world) { return world.param.name; });

class SimulatedGuest : public testing::Test {
 protected:
  SimulatedGuest() : id(*world.xen_.create_domain("web1", 1, 1)) {}

  int error_of(const absl::Status& status) {
    const auto failure = xen_failure(status);
    return failure ? failure->error : 0;
  }
  absl::Status write(const std::string& path, std::string_view value) {
    absl::Status status = absl::UnknownError("no reply");
    guest.write(
        0, *XenPath::parse(path), value,
        Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { status = done.status(); }));
    world.run_until([&] { return !absl::IsUnknown(status); });
    return status;
  }

  SimulatedXenWorld world;
  const DomainId id;
  SimulatedXenStore guest{world.scheduler_, world.xen_, Random(3), {.domain = id}};
};

TEST_F(SimulatedGuest, writes_into_its_own_corner_alone) {
  EXPECT_TRUE(write("data/x", "1").ok());
  EXPECT_EQ(error_of(write("name", "another")), EACCES);
  EXPECT_EQ(error_of(write("/local/domain/0/data/x", "1")), EACCES);
  const XenTree::Node* node = world.xen_.tree().find("/local/domain/1/data/x");
  ASSERT_NE(node, nullptr);
  EXPECT_EQ(node->permissions.front().domain, id);
}

TEST_F(SimulatedGuest, has_quotas) {
  world.xen_.set_quota({.nodes_max = 5, .value_bytes_max = 100});
  EXPECT_EQ(error_of(write("data/big", std::string(101, 'x'))), ENOSPC);
  int fitted = 0;
  while (write("data/" + std::to_string(fitted), "x").ok()) ++fitted;
  EXPECT_EQ(fitted, 4) << "and its corner itself";
}

TEST_F(SimulatedGuest, a_watch_that_a_quota_refuses_is_there_once_there_is_room) {
  world.xen_.set_quota({.watches_max = 1});
  int told = 0;
  absl::Status refused;
  const XenWatchId first = guest.watch(*XenPath::parse("data"), [](const XenPath&) {}, {});
  guest.watch(
      *XenPath::parse("name"), [&](const XenPath&) { ++told; },
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { refused = done.status(); }));
  ASSERT_TRUE(world.run_until([&] { return !refused.ok(); }));
  EXPECT_EQ(error_of(refused), E2BIG);
  EXPECT_EQ(told, 0);
  guest.unwatch(first);
  EXPECT_TRUE(world.run_until([&] { return told == 1; }));
}

// As for the C daemon: a node's list of children is a part of it.
TEST(SimulatedXen, transactions_of_a_process_end_with_it) {
  SimulatedXenWorld world;
  const DomainId id = *world.xen_.create_domain("web1", 1, 1);
  world.xen_.set_quota({.transactions_max = 1});
  for (int life = 0; life < 3; ++life) {
    SimulatedXenStore guest(world.scheduler_, world.xen_, Random(3), {.domain = id});
    absl::Status begun = absl::UnknownError("no reply");
    guest.begin(Reply<XenTransactionId>(
        far_future, [&](const absl::StatusOr<XenTransactionId>& in) { begun = in.status(); }));
    ASSERT_TRUE(world.run_until([&] { return !absl::IsUnknown(begun); }));
    EXPECT_TRUE(begun.ok()) << life << ": " << begun;
  }
}

TEST(SimulatedXen, has_no_more_domains_than_fit) {
  SimulatedXen xen({.memory_free_bytes = 1000, .cpus = 4});
  EXPECT_TRUE(xen.create_domain("web1", 600, 2).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(xen.create_domain("web2", 600, 2).status()));
}

}  // namespace
}  // namespace supercloud
