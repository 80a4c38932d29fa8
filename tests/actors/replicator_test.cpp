// The replicator: three nodes in virtual time over the simulated bus, table and volumes.
#include "actors/replication/replicator.h"

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/simulated/network.h"
#include "bus/simulated/simulated_bus.h"
#include "core/memory_link.h"
#include "core/node.h"
#include "core/virtual_scheduler.h"
#include "storage/simulated/memory_event_log.h"
#include "storage/simulated/memory_lease_table.h"
#include "storage/simulated/memory_volume.h"

namespace supercloud {
namespace {

using Which = schema::Payload::Which;
const std::string vm = "main/web1";
const std::string key = "vm/main/web1";

class Hand final : public Actor {
 public:
  explicit Hand(std::vector<Event>& seen) : seen_(seen) {}
  void receive(const Event& event) override { seen_.push_back(event); }

 private:
  std::vector<Event>& seen_;
};

struct Host {
  EventPool pool;
  MemoryLogDisk log_disk;
  MemoryDisk disk;
  std::unique_ptr<MemoryEventLog> log;
  std::unique_ptr<SimulatedBus> bus;
  std::unique_ptr<LinkNetwork> links;
  std::unique_ptr<MemoryVolumeStore> volumes;
  std::unique_ptr<Node> node;
  Context* hand = nullptr;
  std::vector<Event> seen;
  SessionId session;

  void stop() {
    seen.clear();
    node.reset();
    volumes.reset();
    links.reset();
    bus.reset();
    log.reset();
  }
};

class ReplicatorTest : public testing::Test {
 protected:
  ReplicatorTest() {
    for (const char* name : {"a", "b", "c"}) start(name, std::string("cloud/region/") + name);
    run(absl::Seconds(3));
    for (auto& [name, host] : hosts_) join(name);
    run(absl::Seconds(2));
  }
  ~ReplicatorTest() override {
    for (auto& [name, host] : hosts_) host->stop();
  }

  void run(Duration span) { scheduler_.run_for(span); }

  void start(const std::string& name, const std::string& place) {
    auto& host = hosts_[name];
    if (host == nullptr) host = std::make_unique<Host>();
    places_[name] = place;
    host->log = std::make_unique<MemoryEventLog>(scheduler_, host->pool, host->log_disk);
    host->bus = std::make_unique<SimulatedBus>(name, network_, scheduler_, host->pool);
    host->links = hub_.network(name, scheduler_);
    MemoryVolumeOptions options;
    options.node = name;
    host->volumes =
        std::make_unique<MemoryVolumeStore>(host->disk, scheduler_, *host->links, options);
    host->node = std::make_unique<Node>(NodeSeams{scheduler_, *host->bus, *host->log, host->pool},
                                        NodeOptions{.name = name, .random_seed = 1});
    host->node->spawn("hand", [&h = *host](Context& context) {
      h.hand = &context;
      context.subscribe(Pattern::of("storage.>"));
      return std::make_unique<Hand>(h.seen);
    });
    host->node->spawn("replicator", [this, &h = *host](Context& context) {
      return std::make_unique<Replicator>(context, ReplicatorSeams{leases_, *h.volumes});
    });
  }
  void join(const std::string& name) {
    Host& host = *hosts_[name];
    Draft draft = host.hand->draft(name);
    auto joined = draft.payload().initNodeJoined();
    joined.setNode(name);
    joined.initPlace().setId(places_[name]);
    joined.setDataEndpoint(host.links->endpoint());
    host.hand->publish(std::move(draft));
  }
  void leave(const std::string& name) {
    Host& host = *hosts_[name == "a" ? "b" : "a"];
    Draft draft = host.hand->draft(name);
    draft.payload().initNodeLeft().setNode(name);
    host.hand->publish(std::move(draft));
    run(absl::Seconds(2));
  }

  SessionId session(const std::string& node) {
    SessionId& id = hosts_[node]->session;
    if (id.empty()) {
      leases_.open_session({node, node},
                           Reply<Session>(far_future, [&](absl::StatusOr<Session> opened) {
                             ASSERT_TRUE(opened.ok()) << opened.status();
                             id = opened->id;
                           }));
      run(absl::Milliseconds(10));
    }
    return id;
  }
  void swap(Swap swap) {
    swap.key = key;
    swap.swap_id = std::to_string(++swaps_);
    bool won = false;
    leases_.swap(swap, Reply<SwapResult>(far_future, [&](absl::StatusOr<SwapResult> result) {
                   ASSERT_TRUE(result.ok()) << result.status();
                   won = result->won;
                   EXPECT_TRUE(won) << result->why;
                   if (result->record) record_ = *result->record;
                 }));
    run(absl::Milliseconds(10));
    ASSERT_TRUE(won);
  }
  // A VM on "a" at epoch 1 with a few blocks.
  void define(std::uint32_t replicas) {
    volumes("a").create(vm, 1 << 20, {});
    volumes("a").serve(vm, 1, {});
    Swap define;
    define.kind = SwapKind::DEFINE;
    define.session = session("a");
    define.in_sync = {"a"};
    define.value = std::string(Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
                                 spec.setName("web1");
                                 spec.setReplicas(replicas);
                               }).bytes());
    swap(std::move(define));
    for (std::uint64_t i = 0; i < 20; ++i) write("a", 1, i);
    run(absl::Seconds(3));
  }
  void write(const std::string& node, Epoch epoch, std::uint64_t block) {
    volumes(node).write(vm, epoch, block, block + 1, {});
  }
  void accept(const std::string& target) {
    Swap accept;
    accept.kind = SwapKind::ACCEPT;
    accept.session = session("a");
    accept.epoch = 1;
    accept.heir = Heir{target, migration_};
    session(target);
    swap(std::move(accept));
    run(absl::Seconds(3));
  }
  MemoryVolumeStore& volumes(const std::string& node) { return *hosts_[node]->volumes; }
  std::vector<std::string> replicas_of(const std::string& node) {
    std::vector<std::string> names;
    for (const ReplicaStatus& replica : volumes(node).replicas(vm)) names.push_back(replica.node);
    return names;
  }
  bool has_volume(const std::string& node) { return !volumes(node).list().empty(); }
  // Events of `type` that `node`'s hand has seen.
  std::vector<Event> told(const std::string& node, Which type) {
    std::vector<Event> found;
    for (const Event& event : hosts_[node]->seen) {
      if (event.type() == type) found.push_back(event);
    }
    return found;
  }

  VirtualScheduler scheduler_;
  SimulatedNetwork network_{scheduler_, Random(1)};
  MemoryLinkHub hub_{scheduler_};
  MemoryLeaseDisk lease_disk_;
  MemoryLeaseTable leases_{scheduler_, lease_disk_, {.table = {.ttl = absl::Hours(1)}}};
  std::map<std::string, std::unique_ptr<Host>> hosts_;
  std::map<std::string, std::string> places_;
  LeaseRecord record_;
  std::uint64_t swaps_ = 0;
  const EventId migration_{"a/user", 1, 7};
};

using Names = std::vector<std::string>;

TEST_F(ReplicatorTest, keeps_as_many_replicas_as_the_vm_asks_for) {
  define(1);
  EXPECT_EQ(replicas_of("a"), Names{"b"});
  EXPECT_TRUE(has_volume("b"));
  EXPECT_FALSE(has_volume("c"));
  EXPECT_EQ(volumes("b").list()[0].digest, volumes("a").list()[0].digest);
  ASSERT_EQ(told("c", Which::STORAGE_REPLICA_READY).size(), 1U);
  const Event ready = told("c", Which::STORAGE_REPLICA_READY)[0];
  EXPECT_EQ(text(ready.payload().getStorageReplicaReady().getNode()), "b");
  EXPECT_EQ(ready.epoch(), 1U);
  EXPECT_EQ(ready.subject(), "web1");
  EXPECT_TRUE(ready.migration().empty());
  EXPECT_FALSE(told("c", Which::STORAGE_REPLICA_LAG).empty());
}

TEST_F(ReplicatorTest, feeds_the_heir_besides_and_says_when_it_is_ready_for_this_migration) {
  define(1);
  accept("c");
  EXPECT_EQ(replicas_of("a"), (Names{"b", "c"}));
  Event ready;
  for (const Event& event : told("b", Which::STORAGE_REPLICA_READY)) {
    if (!event.migration().empty()) ready = event;
  }
  ASSERT_TRUE(ready);
  EXPECT_EQ(ready.migration(), migration_);
  EXPECT_EQ(text(ready.payload().getStorageReplicaReady().getNode()), "c");
}

TEST_F(ReplicatorTest, a_replica_that_becomes_the_heir_is_ready_for_the_migration_too) {
  define(1);
  accept("b");
  // b is the heir, and the VM has one more besides.
  EXPECT_EQ(replicas_of("a"), (Names{"b", "c"}));
  EXPECT_EQ(told("c", Which::STORAGE_REPLICA_READY).size(), 3U);  // b, b for the migration, c
}

TEST_F(ReplicatorTest, says_sealed_and_verified_once_and_replicates_in_reverse_after_the_commit) {
  define(1);
  accept("c");
  Seal seal;
  volumes("a").seal(vm, 1,
                    Reply<Seal>(far_future, [&](absl::StatusOr<Seal> sealed) { seal = *sealed; }));
  run(absl::Milliseconds(50));
  bool verified = false;
  volumes("c").verify(
      vm, seal, Reply<Done>(far_future, [&](absl::StatusOr<Done> done) { verified = done.ok(); }));
  run(absl::Milliseconds(50));
  ASSERT_TRUE(verified);
  ASSERT_EQ(told("b", Which::STORAGE_SEALED).size(), 1U);
  ASSERT_EQ(told("b", Which::STORAGE_VERIFIED).size(), 1U);
  const Event said = told("b", Which::STORAGE_VERIFIED)[0];
  EXPECT_EQ(said.payload().getStorageVerified().getDigest(), seal.digest);
  EXPECT_EQ(said.migration(), migration_);
  EXPECT_EQ(said.epoch(), 1U);

  Swap commit;
  commit.kind = SwapKind::COMMIT;
  commit.session = session("c");
  commit.epoch = 1;
  commit.heir = Heir{"c", migration_};
  commit.in_sync = {"c", "a"};
  swap(std::move(commit));
  volumes("c").serve(vm, 2, {});
  run(absl::Milliseconds(10));
  write("c", 2, 100);
  run(absl::Seconds(20));
  EXPECT_EQ(replicas_of("c"), Names{"a"}) << "the old source is in sync: it comes first";
  EXPECT_TRUE(replicas_of("a").empty());
  EXPECT_EQ(volumes("a").list()[0].digest, volumes("c").list()[0].digest);
  EXPECT_FALSE(has_volume("b")) << "nobody needs it any more";
  EXPECT_TRUE(has_volume("a"));
  EXPECT_EQ(told("b", Which::STORAGE_SEALED).size(), 1U);
}

TEST_F(ReplicatorTest, an_aborted_heirs_copy_goes_after_the_grace_when_the_others_are_good) {
  define(1);
  accept("c");
  ASSERT_TRUE(has_volume("c"));
  Swap clear;
  clear.kind = SwapKind::CLEAR_HEIR;
  clear.session = session("a");
  clear.epoch = 1;
  clear.heir = Heir{"c", migration_};
  swap(std::move(clear));
  run(absl::Seconds(5));
  EXPECT_EQ(replicas_of("a"), Names{"b"});
  EXPECT_TRUE(has_volume("c")) << "within the grace";
  run(absl::Seconds(15));
  EXPECT_FALSE(has_volume("c"));
  EXPECT_TRUE(has_volume("b"));
}

TEST_F(ReplicatorTest, a_copy_stays_while_the_holder_has_too_few) {
  define(1);
  accept("c");
  hosts_["b"]->stop();
  Swap clear;
  clear.kind = SwapKind::CLEAR_HEIR;
  clear.session = session("a");
  clear.epoch = 1;
  clear.heir = Heir{"c", migration_};
  swap(std::move(clear));
  run(absl::Seconds(60));
  EXPECT_TRUE(has_volume("c"));
  EXPECT_EQ(replicas_of("a"), (Names{"c"}));
}

// It may soon be back, with its copy.
TEST_F(ReplicatorTest, a_node_that_left_in_order_is_replaced_when_its_copy_is_down) {
  define(1);
  leave("b");
  EXPECT_EQ(replicas_of("a"), Names{"b"});
  hosts_["b"]->stop();
  run(absl::Seconds(30));
  EXPECT_EQ(replicas_of("a"), Names{"c"});
}

TEST_F(ReplicatorTest, a_node_whose_instance_has_ended_is_replaced_at_once) {
  define(1);
  Context& hand = *hosts_["a"]->hand;
  Draft launched = hand.draft("i-b");
  launched.payload().initInstanceLaunched().setInstance("i-b");
  launched.payload().getInstanceLaunched().setNode("b");
  hand.publish(std::move(launched));
  Draft revoked = hand.draft("i-b");
  revoked.payload().initInstanceRevoked().setInstance("i-b");
  hand.publish(std::move(revoked));
  run(absl::Seconds(2));
  EXPECT_EQ(replicas_of("a"), Names{"c"});
}

// Its executors take them away: they know whether one of that name is being made.
TEST_F(ReplicatorTest, copies_of_a_destroyed_vm_are_not_its_to_discard) {
  define(2);
  ASSERT_TRUE(has_volume("c"));
  Swap remove;
  remove.kind = SwapKind::REMOVE;
  remove.session = session("a");
  remove.epoch = 1;
  remove.revision = record_.revision;
  swap(std::move(remove));
  run(absl::Seconds(30));
  for (const char* node : {"a", "b", "c"}) EXPECT_TRUE(has_volume(node)) << node;
}

TEST_F(ReplicatorTest, nothing_is_discarded_while_the_table_is_out_of_reach) {
  define(1);
  leases_.set_outage(true);
  run(absl::Minutes(2));
  EXPECT_TRUE(has_volume("a"));
  EXPECT_TRUE(has_volume("b"));
  EXPECT_EQ(replicas_of("a"), Names{"b"});
}

TEST_F(ReplicatorTest, a_restarted_replicator_goes_on_and_repeats_nothing) {
  define(1);
  hosts_["a"]->node->fail_actor("replicator", absl::InternalError("test"));
  run(absl::Seconds(5));
  EXPECT_EQ(replicas_of("a"), Names{"b"});
  EXPECT_EQ(told("c", Which::STORAGE_REPLICA_READY).size(), 1U);
}

TEST_F(ReplicatorTest, says_what_is_where_as_json) {
  define(1);
  std::string json;
  hosts_["c"]->hand->request(
      {"a", "replicator"}, Message<schema::Request>::build([](schema::Request::Builder request) {
        request.initVolumeState().setName("web1");
      }),
      absl::Seconds(2), [&](absl::StatusOr<Message<schema::Response>> answer) {
        ASSERT_TRUE(answer.ok()) << answer.status();
        json = text(answer->reader().getJson());
      });
  run(absl::Seconds(1));
  EXPECT_NE(json.find("\"role\":\"serving\""), std::string::npos) << json;
  EXPECT_NE(json.find("\"caught_up\":true"), std::string::npos) << json;
}

TEST(Placement, prefers_in_sync_then_other_places_then_names) {
  EventPool pool;
  NodeDirectory nodes;
  const auto join = [&](const std::string& name, const std::string& place,
                        const std::string& jurisdiction) {
    Draft draft = pool.draft(name);
    auto joined = draft.payload().initNodeJoined();
    joined.setNode(name);
    joined.initPlace().setId(place);
    auto label = joined.getPlace().initLabels(1)[0];
    label.setName("jurisdiction");
    label.setValue(jurisdiction);
    joined.setDataEndpoint("memory:" + name);
    ASSERT_TRUE(draft.set_topic().ok());
    auto event = std::move(draft).seal({.origin = "x/node", .incarnation = 1, .sequence = 1});
    ASSERT_TRUE(event.ok());
    nodes.fold(*event);
  };
  join("home", "p1", "eu");
  join("near", "p1", "eu");
  join("far", "p2", "eu");
  join("yonder", "p3", "eu");
  join("abroad", "p4", "us");
  LeaseRecord record;
  record.holder = "home";
  record.in_sync = {"home", "yonder"};
  const auto place = [&](std::uint32_t replicas,
                         const std::map<std::string, CopyFacts>& copies = {}) {
    const auto spec = Message<schema::VmSpec>::build([&](schema::VmSpec::Builder builder) {
      builder.setReplicas(replicas);
      auto label = builder.initRefuses(1)[0];
      label.setName("jurisdiction");
      label.setValue("us");
    });
    return place_replicas(record, spec.reader(), nodes, copies).nodes;
  };
  EXPECT_EQ(place(0), Names{});
  EXPECT_EQ(place(1), Names{"yonder"});
  EXPECT_EQ(place(2), (Names{"far", "yonder"}));
  EXPECT_EQ(place(9), (Names{"far", "near", "yonder"}));
  EXPECT_EQ(place(1, {{"yonder", {false, true}}}), (Names{"far", "yonder"}))
      << "kept, but it does not count";
  EXPECT_EQ(place(2, {{"near", {true, false}}}), (Names{"near", "yonder"}))
      << "what has caught up stays";
  EXPECT_EQ(place(2, {{"unheard-of", {true, false}}}), (Names{"unheard-of", "yonder"}))
      << "fed already";
  record.heir = Heir{"near", {}};
  EXPECT_EQ(place(1), (Names{"near", "yonder"}));
}

}  // namespace
}  // namespace supercloud
