#include "actors/past.h"

#include "tests/actors/archive/archive_world.h"

namespace supercloud {
namespace {

using Names = std::vector<std::string>;

class PastTest : public ArchiveWorld {
 protected:
  class Asker final : public Actor {
   public:
    Asker(PastTest& test, Context& context, PastOptions options)
        : past_(context, std::move(options),
                [&test](const Event& event) { test.read.push_back(event.subject()); }) {
      context.subscribe(Pattern::of("node.capacity.>"), [this, &test] {
        past_.read([] {});
        past_.settled([&test] { test.settled = true; });
      });
    }
    void receive(const Event& event) override { past_.hear(event); }

   private:
    Past past_;
  };

  void ask_on(const std::string& name, PastOptions options) {
    nodes.at(name)->node->spawn("asker", [this, options](Context& context) {
      return std::make_unique<Asker>(*this, context, options);
    });
    run(absl::Seconds(8));
    EXPECT_TRUE(settled);
    std::ranges::sort(read);
  }

  Names read;
  bool settled = false;
};

TEST_F(PastTest, has_from_an_archive_what_a_node_said_that_is_gone) {
  start_home();
  say(start("gone"), "said by who is gone");
  say(start("there"), "said by who is there");
  run(absl::Seconds(3));
  lose("gone");
  run(absl::Seconds(5));
  start("late");
  ask_on("late", {.patterns = {"instance.>"}, .archived = {"instance.>"}});
  EXPECT_EQ(read, (Names{"said by who is gone", "said by who is there", "said by who is there"}))
      << "from its log and from the archive";
}

TEST_F(PastTest, reads_the_archive_of_its_own_node) {
  start_home_and_lose_one();
  ask_on("home", {.patterns = {"instance.>"}, .archived = {"instance.>"}});
  EXPECT_EQ(read, Names{"said by who is gone"});
}

TEST_F(PastTest, asks_no_archive_unless_it_is_told_to) {
  start_home_and_lose_one();
  start("late");
  ask_on("late", {.patterns = {"instance.>"}});
  EXPECT_EQ(read, Names{});
}

// Regression: what was lost behind the reading of its node's log, and no more repaired, was never read.
TEST_F(PastTest, has_what_the_bus_lost_and_could_not_give_in_its_place) {
  TestNode& a = start("a");
  say(a, "before");
  bus_options.gaps.repair = false;
  start("late");
  ask_on("late", {.patterns = {"instance.>"}});
  network.block("a", "late");
  say(a, "lost");
  run(absl::Milliseconds(50));
  network.unblock("a", "late");
  run(absl::Seconds(5));
  EXPECT_EQ(read, (Names{"before", "lost"}));
}

TEST_F(PastTest, takes_of_a_nodes_log_what_that_node_said) {
  TestNode& a = start("a");
  const Event real = say(a, "real");
  Draft draft = pool_.draft("forged");
  draft.payload().initInstanceLaunched().setInstance("i");
  a.disk.add(*std::move(draft).seal(
      {.origin = "b/provider", .incarnation = 1, .sequence = 1, .time = real.time()}));
  run(absl::Seconds(1));
  start("late");
  ask_on("late", {.patterns = {"instance.>"}, .archived = {"instance.>"}});
  EXPECT_EQ(read, Names{"real"});
}

}  // namespace
}  // namespace supercloud
