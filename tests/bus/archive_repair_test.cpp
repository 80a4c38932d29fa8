// What a publisher cannot give any more comes from the archive of another: with keys, if checkpoints prove that it is the publisher's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>

#include "tests/bus/bus_world.h"

namespace supercloud {
namespace {

struct Kind {
  std::string name;
  std::unique_ptr<BusWorld> (*make)();
};

void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class ArchiveRepair : public testing::TestWithParam<Kind> {
 protected:
  static constexpr std::uint64_t lost = 40;

  bool run_until(const std::function<bool()>& condition) { return world_->run_until(condition); }

  // b lacks 2 to 41 of a, whose log is gone; c has archived them up to `archived`, with a checkpoint of them.
  void lose(std::uint64_t archived) {
    lose([&] { archive(*c, 2, archived); });
  }
  void archive(BusProcess& keeper, std::uint64_t from, std::uint64_t to) {
    for (const Event& event : a->log)
      if (event.sequence() >= from && event.sequence() <= to)
        keeper.log.push_back(*keeper.pool->parse(event.bytes()));
    if (!keeper.log.empty() && proves)
      keeper.checkpoints.push_back(a->streams.checkpoint(*keeper.pool, keeper.log, signer));
  }
  void lose(const std::function<void()>& keep) {
    for (const auto& [from, to] : {std::pair(a.get(), b.get()), std::pair(b.get(), c.get())})
      ASSERT_TRUE(run_until([&] { return from->sees(to->name) && to->sees(from->name); }));
    bool ready = false;
    b->bus->subscribe("vm.", Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                        EXPECT_TRUE(done.ok());
                        ready = true;
                      }));
    ASSERT_TRUE(run_until([&] { return ready; }));
    a->publish("executor", "web1");
    ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
    a->keeps_log = c->keeps_log = true;
    world_->cut("a", "b");
    for (std::uint64_t i = 0; i < lost; ++i) a->publish("executor", "web1");
    keep();
    a->keeps_log = false;
    a->log.clear();
    world_->mend(lost);
    a->publish("executor", "web1");
  }
  std::vector<std::uint64_t> arrived() const { return b->sequences("a/executor"); }

  bool proves = true;
  std::string signer = "a";
  std::unique_ptr<BusWorld> world_ = GetParam().make();
  std::unique_ptr<BusProcess> a = world_->start_lossy("a");
  std::unique_ptr<BusProcess> b = world_->start("b");
  std::unique_ptr<BusProcess> c = world_->start("c");
};

TEST_P(ArchiveRepair, gives_all_in_its_place) {
  lose(lost + 1);
  ASSERT_TRUE(run_until([&] { return arrived().size() == lost + 2 || !b->gaps.empty(); }));
  EXPECT_TRUE(b->gaps.empty());
  ASSERT_EQ(arrived().size(), lost + 2);
  for (std::uint64_t i = 0; i < lost + 2; ++i) EXPECT_EQ(arrived()[i], i + 1);
  EXPECT_GT(c->asked, 1) << "it comes in parts";
}

TEST_P(ArchiveRepair, says_what_no_archive_has) {
  lose(lost - 1);
  ASSERT_TRUE(run_until([&] { return arrived().size() == lost; }));
  ASSERT_EQ(b->gaps.size(), 1);
  EXPECT_EQ(b->gaps[0].after, lost - 1);
  EXPECT_EQ(b->gaps[0].up_to, lost + 1);
  EXPECT_THAT(b->gaps[0].why, testing::HasSubstr("there is no log"));
  EXPECT_EQ(arrived().back(), lost + 2);
  EXPECT_TRUE(std::ranges::is_sorted(arrived()));
}

TEST_P(ArchiveRepair, asks_nobody_who_has_said_that_there_is_none) {
  lose(0);
  c->keeps_log = false;
  ASSERT_TRUE(run_until([&] { return !b->gaps.empty(); }));
  const std::size_t asked = c->asked;
  EXPECT_GE(asked, 1);
  a->streams.event(*a->pool, "executor", "web1");  // is lost
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->gaps.size() == 2; }));
  EXPECT_EQ(c->asked, asked);
}

// Archives that keep unequally much. Regression: who answered first with anything settled all up to there.
class UnequalArchiveRepair : public ArchiveRepair {
 protected:
  void expect_all() {
    ASSERT_TRUE(run_until([&] { return arrived().size() == lost + 2 || !b->gaps.empty(); }));
    EXPECT_TRUE(b->gaps.empty()) << b->gaps[0].after << " to " << b->gaps[0].up_to << " "
                                 << b->gaps[0].why;
    ASSERT_EQ(arrived().size(), lost + 2);
    EXPECT_TRUE(std::ranges::is_sorted(arrived()));
  }
  void keep_in_both(std::uint64_t c_from, std::uint64_t c_to, std::uint64_t d_from,
                    std::uint64_t d_to) {
    for (BusProcess* other : {a.get(), b.get()})
      ASSERT_TRUE(run_until([&] { return d->sees(other->name) && other->sees("d"); }));
    d->keeps_log = true;
    lose([&] {
      archive(*c, c_from, c_to);
      archive(*d, d_from, d_to);
    });
  }
  std::unique_ptr<BusProcess> d = world_->start("d");
};

TEST_P(UnequalArchiveRepair, the_first_that_is_asked_has_only_the_newest) {
  keep_in_both(31, lost + 1, 2, lost + 1);
  expect_all();
}

TEST_P(UnequalArchiveRepair, each_has_a_part) {
  keep_in_both(2, 20, 15, lost + 1);
  expect_all();
}

TEST_P(UnequalArchiveRepair, one_has_what_is_between_in_another) {
  keep_in_both(2, lost + 1, 12, 14);
  std::erase_if(
      c->log, [](const Event& event) { return event.sequence() >= 12 && event.sequence() <= 14; });
  expect_all();
}

TEST_P(UnequalArchiveRepair, one_begins_with_a_part_that_is_empty) {
  c->nothing_to = 9;
  keep_in_both(10, lost + 1, 2, 9);
  expect_all();
}

TEST_P(UnequalArchiveRepair, an_empty_part_is_no_end) {
  c->nothing_to = 9;
  keep_in_both(10, lost + 1, 2, 0);
  ASSERT_TRUE(run_until([&] { return arrived().size() == lost + 2 - 8; }));
  ASSERT_EQ(b->gaps.size(), 1U);
  EXPECT_EQ(b->gaps[0].after, 1);
  EXPECT_EQ(b->gaps[0].up_to, 9);
}

TEST_P(UnequalArchiveRepair, what_neither_has_is_told) {
  keep_in_both(2, 10, 21, lost + 1);
  ASSERT_TRUE(run_until([&] { return arrived().size() == lost + 2 - 10; }));
  ASSERT_EQ(b->gaps.size(), 1U);
  EXPECT_EQ(b->gaps[0].after, 10);
  EXPECT_EQ(b->gaps[0].up_to, 20);
  EXPECT_THAT(b->gaps[0].why, testing::HasSubstr("no archive that answers has it"));
}

// What comes is not taken, and is a gap; of a forgery its archive is named.
class UnprovenArchiveRepair : public ArchiveRepair {
 protected:
  void expect_nothing_of_it(bool forged = true) {
    ASSERT_TRUE(run_until([&] { return !b->gaps.empty() && arrived().size() == 2; }));
    EXPECT_EQ(arrived(), (std::vector<std::uint64_t>{1, lost + 2}));
    ASSERT_EQ(b->gaps.size(), 1);
    EXPECT_EQ(b->gaps[0].after, 1);
    EXPECT_EQ(b->gaps[0].up_to, lost + 1);
    EXPECT_EQ(std::ranges::any_of(b->rejected,
                                  [](const std::string& why) { return why.starts_with("c: "); }),
              forged);
  }
};

TEST_P(UnprovenArchiveRepair, is_not_believed) {
  proves = false;
  lose(lost + 1);
  expect_nothing_of_it(/*forged=*/false);
}

TEST_P(UnprovenArchiveRepair,
       with_a_checkpoint_that_the_archive_has_signed_itself_is_not_believed) {
  signer = "c";
  lose(lost + 1);
  expect_nothing_of_it();
}

TEST_P(UnprovenArchiveRepair, of_events_that_say_something_else_is_not_believed) {
  lose(lost + 1);
  TestStreams other("a");
  for (Event& event : c->log) {
    while (event.topic() != "vm.dirty_rate.main.web2")
      event = other.event(*c->pool, "executor", "web2");
  }
  expect_nothing_of_it();
}

TEST_P(UnprovenArchiveRepair, gives_the_part_that_is_proven) {
  lose(lost + 1);
  const std::vector<Event> first(c->log.begin(), c->log.begin() + 10);
  c->checkpoints = {a->streams.checkpoint(*c->pool, first, "a")};
  ASSERT_TRUE(run_until([&] { return !b->gaps.empty() && arrived().size() == 12; }));
  ASSERT_EQ(b->gaps.size(), 1);
  EXPECT_EQ(b->gaps[0].after, 11);
  EXPECT_EQ(b->gaps[0].up_to, lost + 1);
}

INSTANTIATE_TEST_SUITE_P(Over, ArchiveRepair,
                         testing::Values(Kind{"simulated", make_simulated_world},
                                         Kind{"ipc", make_ipc_world}, Kind{"tcp", make_tcp_world}),
                         [](const auto& kind) { return kind.param.name; });
INSTANTIATE_TEST_SUITE_P(Over, UnequalArchiveRepair,
                         testing::Values(Kind{"simulated", make_simulated_world},
                                         Kind{"ipc", make_ipc_world}, Kind{"tcp", make_tcp_world}),
                         [](const auto& kind) { return kind.param.name; });
INSTANTIATE_TEST_SUITE_P(Over, UnprovenArchiveRepair, testing::Values(Kind{"tcp", make_tcp_world}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace supercloud
