#include "actors/migration/orphan_watch.h"

#include <memory>
#include <set>
#include <string>

#include "core/vm_name.h"
#include "tests/actors/market_world.h"

namespace supercloud {
namespace {

using schema::Payload;

// Stands in for the executor: takes note of the VMs that it is asked for.
class Asked final : public Actor {
 public:
  explicit Asked(std::set<std::string>& vms) : vms_(vms) {}
  void receive(const Event&) override {}
  void serve(Message<schema::Request> request, Answer) override {
    if (request.reader().isShowVm())
      vms_.insert(VmName::of(request.reader().getShowVm()).to_string());
  }

 private:
  std::set<std::string>& vms_;
};

class OrphanWatchTest : public MarketWorld {
 protected:
  void watch(TestNode& node) {
    node.node->spawn("orphans", [this, &node](Context& context) {
      return std::make_unique<OrphanWatch>(context, leases, node.session);
    });
  }
  void define(const std::string& vm, const std::string& node, bool running) {
    Swap swap;
    swap.key = "vm/main/" + vm;
    swap.kind = SwapKind::DEFINE;
    swap.session = *nodes.at(node)->session.id;
    swap.swap_id = vm;
    swap.value = std::string(Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
                               spec.setName(vm);
                               spec.setRunning(running);
                             }).bytes());
    swap_and_win(swap);
  }
  void swap_and_win(const Swap& swap) {
    leases.swap(swap, Reply<SwapResult>(far_future, [](absl::StatusOr<SwapResult> result) {
                  ASSERT_TRUE(result.ok() && result->won);
                }));
    run(absl::Seconds(1));
  }
};

TEST_F(OrphanWatchTest, says_once_that_a_vm_is_down_whose_holder_is_lost) {
  TestNode& a = start("a");
  watch(a);
  watch(start("b"));
  start("lost");
  define("web1", "lost", true);
  run(absl::Seconds(60));
  EXPECT_TRUE(of(a, Payload::VM_FAILED).empty()) << "its holder lives";
  end_session("lost");
  run(absl::Seconds(12));
  EXPECT_TRUE(of(a, Payload::VM_FAILED).empty()) << "somebody may still take it over";
  run(absl::Seconds(60));
  const auto failed = of(a, Payload::VM_FAILED);
  ASSERT_EQ(failed.size(), 1U);
  EXPECT_EQ(failed[0].subject(), "web1");
  EXPECT_EQ(failed[0].epoch(), 1U);
  EXPECT_EQ(text(failed[0].payload().getVmFailed().getWhy()),
            "its holder is lost, and nobody may take it over; it starts when lost is back with its "
            "disk");
}

TEST_F(OrphanWatchTest, says_nothing_of_a_vm_that_its_user_stopped) {
  TestNode& a = start("a");
  watch(a);
  start("lost");
  define("web1", "lost", false);
  end_session("lost");
  run(absl::Seconds(60));
  EXPECT_TRUE(of(a, Payload::VM_FAILED).empty());
}

TEST_F(OrphanWatchTest, has_the_executor_look_at_a_vm_that_a_migration_left_its_mark_on) {
  TestNode& a = start("a");
  std::set<std::string> asked;
  a.node->spawn("executor", [&](Context&) { return std::make_unique<Asked>(asked); });
  watch(a);
  start("lost");
  start("target");
  define("web1", "lost", false);
  define("web2", "lost", false);
  Swap accept;
  accept.key = "vm/main/web1";
  accept.kind = SwapKind::ACCEPT;
  accept.session = *nodes.at("lost")->session.id;
  accept.swap_id = "accept";
  accept.epoch = 1;
  accept.heir = Heir{"target", EventId{"lost/executor", 1, 7}};
  swap_and_win(accept);
  end_session("lost");
  run(absl::Seconds(60));
  EXPECT_TRUE(asked.empty()) << "the heir lives";
  end_session("target");
  run(absl::Seconds(60));
  EXPECT_EQ(asked, std::set<std::string>{"main/web1"});
  crash("a");
}

}  // namespace
}  // namespace supercloud
