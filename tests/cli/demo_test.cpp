// What a demo consists of, and what it tells of a cluster's events.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "actors/spot/price_names.h"
#include "cli/demo/plan.h"
#include "cli/demo/story.h"
#include "tests/actors/told.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class PriceFileTest : public testing::Test {
 protected:
  PriceFileTest() {
    std::string made = "/tmp/scd-XXXXXX";
    folder_ = ::mkdtemp(made.data());
  }
  ~PriceFileTest() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name) << content;
    return (folder_ / name).string();
  }
  absl::StatusOr<DemoPlan> plan(const std::string& name, const std::string& type = "") const {
    return plan_of({file(name,
                         "epoch_s,az,usd_per_h\n"
                         "1440201600,a,0.0169\n"
                         "1440201700,b,0.0172\n"
                         "1440201800,e,0.0168\n")},
                   type);
  }
  static absl::StatusOr<DemoPlan> plan_of(const std::vector<std::string>& files,
                                          const std::string& type = "") {
    DemoOptions options;
    options.prices = files;
    options.from = "2015-08-22";
    options.type = type;
    return plan_demo(options);
  }
  static std::string aws_row(const std::string& zone, const std::string& type,
                             const std::string& product = "Linux/UNIX") {
    return R"({"AvailabilityZone":")" + zone + R"(","InstanceType":")" + type +
           R"(","ProductDescription":")" + product +
           R"(","SpotPrice":"0.03","Timestamp":"2015-08-22T01:00:00Z"})";
  }
  std::filesystem::path folder_;
};

TEST_F(PriceFileTest, without_a_column_for_it_is_of_the_instance_type_in_its_name) {
  const auto found = plan("2015_r3.large_us-east-1_3zones_events.csv");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->spots.size(), 3U);
  EXPECT_EQ(found->on_demand.instance_type, "r3.large");
  EXPECT_EQ(found->on_demand_price.nano_usd, 175'000'000);
  EXPECT_EQ(found->account.instance_types, std::vector<std::string>{"r3.large"});
}

TEST_F(PriceFileTest, may_be_given_its_type_and_says_so_where_none_is_known) {
  const auto without = plan("prices.csv");
  EXPECT_TRUE(absl::IsInvalidArgument(without.status())) << without.status();
  EXPECT_THAT(std::string(without.status().message()), HasSubstr("--type"));
  const auto with = plan("prices.csv", "m3.medium");
  ASSERT_TRUE(with.ok()) << with.status();
  EXPECT_EQ(with->on_demand_price.nano_usd, 70'000'000);
}

TEST_F(PriceFileTest, may_have_any_form_and_stand_beside_others) {
  const auto found =
      plan_of({file("a.json", "{\"SpotPriceHistory\":[" + aws_row("us-east-1a", "r3.large") + "]}"),
               file("t.csv",
                    "instance_type,time_utc,us-east-1b,us-east-1c\n"
                    "r3.large,2015-08-22T02:00Z,0.04,0.05\n")});
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->spots.size(), 3U);
  EXPECT_EQ(found->spots[2].id(), "aws/us-east-1/us-east-1c/r3.large/spot");
  EXPECT_EQ(found->account.price_files.size(), 2U);
  EXPECT_THAT(found->prices, HasSubstr("a.json and 1 more"));
  EXPECT_EQ(absl::ToUnixSeconds(found->market.clock.origin), 1'440'205'200);
}

TEST_F(PriceFileTest, of_several_types_or_products_need_a_choice_among_those_there_are) {
  const std::string path = file("a.json", aws_row("us-east-1a", "r3.large", "Windows") +
                                              aws_row("us-east-1a", "m3.medium", "SUSE Linux") +
                                              aws_row("us-east-1b", "m3.medium", "Windows"));
  const auto none = plan_of({path});
  EXPECT_TRUE(absl::IsInvalidArgument(none.status())) << none.status();
  EXPECT_THAT(std::string(none.status().message()),
              HasSubstr("choose one with --type: m3.medium (2 rows), r3.large (1 row)"));
  const auto other = plan_of({path}, "c5.large");
  EXPECT_THAT(std::string(other.status().message()),
              HasSubstr("--type c5.large: there are no prices of it, but of m3.medium"));
  EXPECT_THAT(std::string(plan_of({path}, "m3.medium").status().message()),
              HasSubstr("\"SUSE Linux\", \"Windows\""));
  DemoOptions options;
  options.prices = {path};
  options.type = "m3.medium";
  options.product = "Windows";
  const auto found = plan_demo(options);
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_EQ(found->spots.size(), 1U);
  EXPECT_EQ(found->spots[0].zone, "us-east-1b");
  EXPECT_EQ(found->account.product, "Windows");
}

TEST(PriceFileName, tells_an_instance_type_from_other_words) {
  EXPECT_EQ(instance_type_in("2015_m3.medium_us-east-1_3zones_events.csv"), "m3.medium");
  EXPECT_EQ(instance_type_in("c4.2xlarge.csv"), "c4.2xlarge");
  EXPECT_EQ(instance_type_in("r5ad.metal_x.csv"), "r5ad.metal");
  for (const char* name : {"prices.csv", "2021_us-east-1_6zones_events.csv", "v2.csv", "", "a1."})
    EXPECT_EQ(instance_type_in(name), "") << name;
}

class DemoStoryTest : public testing::Test {
 protected:
  static DemoPlan plan() {
    DemoPlan plan;
    const auto place = [](const char* id) { return *PlaceName::parse(id); };
    plan.spots = {place(Told::place_a), place(Told::place_c)};
    plan.on_demand = place("aws/us-east-1/us-east-1a/m3.medium/on-demand");
    plan.on_demand_price = Money{70'000'000};
    plan.vms = {{"web1", "cheapest", "", plan.spots[0]}};
    return plan;
  }
  static MarketClock clock() {
    return {.origin = Told::start(), .start = Told::start(), .speed = 1200};
  }
  DemoStoryTest() {
    told_.joined("node-a", Told::place_a, 0);
    told_.joined("node-c", Told::place_c, 10);
    told_.price(Told::place_a, 33'100'000, 1000);
    told_.price(Told::place_c, 14'100'000, 1100);
    told_.running("node-a", "web1", 2000);
  }
  Event notice(std::int64_t at_ms) {
    return told_.tell("node-a/provider", at_ms, "i-1", {}, [](schema::Payload::Builder payload) {
      auto notice = payload.initSpotInterruptionNotice();
      notice.setInstance("i-1");
      notice.setNode("node-a");
      notice.setPlace(Told::place_a);
    });
  }
  void completed_again(const Event& proposal, std::int64_t at_ms) {
    told_.tell("node-a/executor", at_ms, "web1", {nullptr, &proposal},
               [](schema::Payload::Builder payload) {
                 auto completed = payload.initMigrationCompleted();
                 completed.setSource("node-a");
                 completed.setTarget("node-c");
               });
  }
  void fold() {
    for (const Event& event : told_.events())
      if (const std::string line = story_.apply(event); !line.empty()) lines_.push_back(line);
  }

  Told told_;
  DemoStory story_{plan(), clock()};
  std::vector<std::string> lines_;
};

TEST_F(DemoStoryTest, tells_every_step_of_a_move) {
  const Event proposal = told_.proposed("web1", 180'100, "it is cheaper", nullptr, {});
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  fold();
  const std::vector<std::string> last(lines_.end() - 7, lines_.end());
  EXPECT_THAT(last, testing::ElementsAre(
                        HasSubstr("policy cheapest proposes: web1 from us-east-1a to us-east-1c"),
                        "web1: us-east-1a accepts to hand it to us-east-1c",
                        "web1: us-east-1c is ready for it", "web1: copying of its memory begins",
                        "web1: paused at us-east-1a", "web1: runs at us-east-1c, epoch 2",
                        HasSubstr("web1 moved from us-east-1a to us-east-1c in 1.9 s")));
}

TEST_F(DemoStoryTest, tells_how_long_after_a_price_the_memory_of_its_move_begins_to_go) {
  const Event price = told_.price(Told::place_c, 9'100'000, 180'000);
  const Event proposal = told_.proposed("web1", 180'100, "it is cheaper", &price, {});
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  const Event other = told_.proposed("web1", 190'000, "a user wants it", nullptr, {});
  told_.moved(other, told_.accepted(other, 190'150), 190'200);
  fold();
  ASSERT_EQ(story_.figures().price_to_memory_ms.size(), 1U);
  EXPECT_GE(story_.figures().price_to_memory_ms[0], 200);
  EXPECT_LT(story_.figures().price_to_memory_ms[0], 2000);
}

TEST_F(DemoStoryTest, counts_a_move_once_however_many_tell_its_end) {
  const Event proposal = told_.proposed("web1", 180'100, "it is cheaper", nullptr, {});
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  completed_again(proposal, 190'000);
  fold();
  EXPECT_EQ(story_.figures().moves, 1);
  EXPECT_EQ(story_.figures().cheaper, 1);
  EXPECT_THAT(lines_.back(), HasSubstr("in 1.9 s"));
}

TEST_F(DemoStoryTest, what_is_heard_late_of_an_older_epoch_changes_nothing) {
  const Event proposal = told_.proposed("web1", 180'100, "it is cheaper", nullptr, {});
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  fold();
  for (const Event& event : told_.events())
    if (event.type() == schema::Payload::VM_PAUSED) story_.apply(event);
  EXPECT_EQ(story_.vms()[0].state, "running");
  EXPECT_EQ(story_.vms()[0].node, "node-c");
}

TEST_F(DemoStoryTest, a_move_under_way_when_the_notice_comes_leaves_in_time_too) {
  const Event proposal = told_.proposed("web1", 180'100, "it is cheaper", nullptr, {});
  notice(180'120);
  told_.moved(proposal, told_.accepted(proposal, 180'150), 180'200);
  fold();
  EXPECT_EQ(story_.figures().interruptions, 1);
  EXPECT_EQ(story_.figures().survived, 1);
  EXPECT_EQ(story_.figures().cheaper, 1);
  EXPECT_THAT(lines_.back(), HasSubstr("before the cloud took the instance"));
}

}  // namespace
}  // namespace supercloud
