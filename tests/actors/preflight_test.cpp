// What stands in the way of a move, as far as it can be known before a byte moves or anything is rented.
#include "actors/migration/preflight.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "tests/actors/told.h"

namespace supercloud {
namespace {

const std::string nowhere = "aws/us-east-1/us-east-1x/r3.large/spot";
constexpr Duration time_enough = absl::Seconds(30);

std::set<std::string> names(const std::vector<Failure>& failures) {
  std::set<std::string> found;
  for (const Failure& failure : failures) {
    EXPECT_FALSE(failure.detail.empty());
    EXPECT_FALSE(failure.cure.empty());
    found.insert(failure.name);
  }
  return found;
}
using NameSet = std::set<std::string>;

class PreflightRented : public testing::Test {
 protected:
  PreflightRented() { join("node-a", Told::place_a, "high"); }

  void join(const std::string& node, const std::string& place, const std::string& trust) {
    nodes_.fold(told_.tell(node + "/agent", 0, node, {}, [&](schema::Payload::Builder payload) {
      auto joined = payload.initNodeJoined();
      joined.setNode(node);
      joined.initPlace().setId(place);
      auto label = joined.getPlace().initLabels(1)[0];
      label.setName("trust");
      label.setValue(trust);
    }));
  }
  static Message<schema::VmSpec> requires_label(const std::string& name, const std::string& value) {
    return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      auto label = spec.initRequires(1)[0];
      label.setName(name);
      label.setValue(value);
    });
  }
  NameSet failed(const Message<schema::VmSpec>& spec, const std::string& place,
                 const std::string& state = "running", bool session = true,
                 Duration time = time_enough) {
    return names(preflight_rented(spec.reader(), state, nodes_, "node-a", place, session, time));
  }

  Told told_;
  NodeDirectory nodes_;
};

TEST_F(PreflightRented, judges_a_place_by_the_labels_of_its_nodes) {
  join("node-c", Told::place_c, "low");
  EXPECT_EQ(failed(requires_label("trust", "low"), Told::place_c), NameSet{});
  EXPECT_EQ(failed(requires_label("trust", "high"), Told::place_c), NameSet{"constraints"});
}

TEST_F(PreflightRented, judges_a_place_where_no_node_ever_was_by_its_id) {
  EXPECT_EQ(failed(requires_label("trust", "high"), nowhere), NameSet{}) << "it is not known";
  EXPECT_EQ(failed(requires_label("zone", "us-east-1x"), nowhere), NameSet{});
  EXPECT_EQ(failed(requires_label("zone", "us-east-1a"), nowhere), NameSet{"constraints"});
  EXPECT_EQ(failed(requires_label("market", "on-demand"), nowhere), NameSet{"constraints"});
  const auto refuses_spot = Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
    auto label = spec.initRefuses(1)[0];
    label.setName("market");
    label.setValue("spot");
  });
  EXPECT_EQ(failed(refuses_spot, nowhere), NameSet{"constraints"});
}

TEST_F(PreflightRented, knows_that_a_new_node_is_on_no_list_of_nodes) {
  const auto listed = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder spec) { spec.initNodes(1).set(0, "node-c"); });
  EXPECT_EQ(failed(listed, nowhere), NameSet{"constraints"});
}

TEST_F(PreflightRented, takes_a_new_machine_to_have_the_devices_of_those_at_its_place) {
  nodes_.fold(told_.tell("node-c/agent", 0, "node-c", {}, [](schema::Payload::Builder payload) {
    auto joined = payload.initNodeJoined();
    joined.setNode("node-c");
    joined.initPlace().setId(Told::place_c);
    joined.initDevices(1).set(0, "gpu/t4");
  }));
  const auto needs_gpu = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder spec) { spec.initDevices(1).set(0, "gpu/t4"); });
  EXPECT_EQ(failed(needs_gpu, Told::place_c), NameSet{});
  EXPECT_EQ(failed(needs_gpu, Told::place_a), NameSet{"constraints"});
  EXPECT_EQ(failed(needs_gpu, nowhere), NameSet{"constraints"}) << "nobody is known to offer it";
}

TEST_F(PreflightRented, tells_every_failed_check) {
  EXPECT_EQ(failed(requires_label("zone", "us-east-1a"), nowhere, "paused", false,
                   absl::Milliseconds(999)),
            (NameSet{"constraints", "lease", "state", "time"}));
}

class PreflightThere : public testing::Test {
 protected:
  PreflightThere() {
    facts_.name = "node-b";
    facts_.devices = {"gpu/t4", "tpm"};
    state_ = {.facts = &facts_,
              .memory_free_bytes = 256 << 20,
              .disk_free_bytes = 64 << 20,
              .session_valid = true};
  }
  static Message<schema::VmSpec> spec(const std::string& device = "") {
    return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      spec.setName("web1");
      spec.setMemoryBytes(256 << 20);
      spec.setDiskBytes(64 << 20);
      spec.setAddress("10.0.0.1");
      if (!device.empty()) spec.initDevices(1).set(0, device);
    });
  }
  NameSet failed(const Message<schema::VmSpec>& vm) {
    return names(preflight_there(vm.reader(), state_));
  }

  NodeFacts facts_;
  TargetState state_;
};

TEST_F(PreflightThere, passes_where_there_is_just_enough) { EXPECT_EQ(failed(spec()), NameSet{}); }

TEST_F(PreflightThere, wants_room_for_the_disk_or_a_replica_of_it) {
  state_.disk_free_bytes = (64 << 20) - 1;
  EXPECT_EQ(failed(spec()), NameSet{"disk"});
  state_.volume_here = true;
  state_.disk_free_bytes = 0;
  EXPECT_EQ(failed(spec()), NameSet{});
}

TEST_F(PreflightThere, wants_the_devices_that_the_vm_needs) {
  EXPECT_EQ(failed(spec("tpm")), NameSet{});
  const auto failures = preflight_there(spec("gpu/a100").reader(), state_);
  EXPECT_EQ(names(failures), NameSet{"constraints"});
  EXPECT_EQ(failures[0].detail, "it needs the device gpu/a100, which node-b does not offer");
}

TEST_F(PreflightThere, wants_a_guest_that_can_be_made) {
  state_.made = absl::FailedPreconditionError("it has no such image; name another");
  const auto failures = preflight_there(spec().reader(), state_);
  EXPECT_EQ(names(failures), NameSet{"guest"});
  EXPECT_EQ(failures[0].detail, "it has no such image; name another");
}

TEST_F(PreflightThere, tells_every_failed_check) {
  state_ = {.facts = &facts_,
            .copy_here = true,
            .owners = {{.address = "10.0.0.1", .vm = "main/db1", .node = "node-c"}}};
  EXPECT_EQ(failed(spec("gpu/a100")),
            (NameSet{"address", "constraints", "copy", "disk", "lease", "memory"}));
}

// ---- the way there

constexpr std::uint64_t way_mib = 1 << 20;

NodeFacts there() {
  NodeFacts facts;
  facts.name = "node-b";
  facts.endpoint = "tcp:10.0.0.2:5";
  return facts;
}

TEST(PreflightWay, is_no_matter_where_nothing_is_known_of_it_or_it_is_fast) {
  EXPECT_TRUE(
      preflight_way(absl::UnimplementedError("an earlier release"), there(), way_mib, time_enough)
          .empty());
  EXPECT_TRUE(
      preflight_way(Way{.round_trip = absl::Milliseconds(1)}, there(), 4096 * way_mib, time_enough)
          .empty());
  EXPECT_TRUE(
      preflight_way(Way{.bytes_per_second = 100 * way_mib}, there(), 4000 * way_mib, time_enough)
          .empty());
}

TEST(PreflightWay, that_leads_nowhere_is_told_with_the_place_and_the_cure) {
  const auto failures = preflight_way(
      absl::UnavailableError("cannot reach tcp:10.0.0.2:7 from here: Connection refused"), there(),
      way_mib, time_enough);
  EXPECT_EQ(names(failures), NameSet{"link"});
  EXPECT_EQ(failures[0].detail, "cannot reach tcp:10.0.0.2:7 from here: Connection refused");
  EXPECT_NE(failures[0].cure.find("node-b"), std::string::npos);
  EXPECT_NE(failures[0].cure.find("streams_reached_at"), std::string::npos);
  EXPECT_TRUE(failures[0].there);
}

TEST(PreflightWay, whose_links_are_not_reached_has_another_cure) {
  const auto failures =
      preflight_way(absl::UnavailableError("cannot reach tcp:10.0.0.2:5 from here: no route"),
                    there(), way_mib, time_enough);
  EXPECT_EQ(names(failures), NameSet{"link"});
  EXPECT_EQ(failures[0].cure, "see whether the network reaches the links of node-b");
}

TEST(PreflightWay, that_could_not_be_tried_is_no_reason_to_refuse) {
  EXPECT_TRUE(
      preflight_way(absl::DeadlineExceededError("late"), there(), way_mib, time_enough).empty());
  EXPECT_TRUE(
      preflight_way(absl::ResourceExhaustedError("files"), there(), way_mib, time_enough).empty());
}

TEST(PreflightWay, that_cannot_carry_the_guest_in_time_is_told_with_what_it_carries) {
  const Way way{.bytes_per_second = 10 * way_mib};
  const auto failures = preflight_way(way, there(), 1000 * way_mib, time_enough);
  EXPECT_EQ(names(failures), NameSet{"time"});
  EXPECT_TRUE(failures[0].there);
  EXPECT_NE(failures[0].detail.find("1000 MiB are left, which takes 1m40s at 10 MiB/s"),
            std::string::npos)
      << failures[0].detail;
}

TEST(PreflightWay, that_may_carry_more_than_was_seen_is_no_reason_to_refuse) {
  const Way way{.bytes_per_second = 10 * way_mib, .at_least = true};
  EXPECT_TRUE(preflight_way(way, there(), 1000 * way_mib, time_enough).empty());
}

TEST(PreflightWay, is_told_in_words_and_without_a_cure_as_it_is_no_failure) {
  const Failure told =
      way_told({.round_trip = absl::Microseconds(1500), .bytes_per_second = 812 * way_mib});
  EXPECT_EQ(told.detail, "the way of memory has a round trip of 1.5ms; it carries 812 MiB/s");
  EXPECT_EQ(told.cure, "");
  EXPECT_EQ(way_told({.round_trip = absl::Milliseconds(80)}).detail,
            "the way of memory has a round trip of 80ms; what it carries was not measured");
}

}  // namespace
}  // namespace supercloud
