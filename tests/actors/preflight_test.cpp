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
using Names = std::set<std::string>;

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
  Names failed(const Message<schema::VmSpec>& spec, const std::string& place,
               const std::string& state = "running", bool session = true,
               Duration time = time_enough) {
    return names(preflight_rented(spec.reader(), state, nodes_, "node-a", place, session, time));
  }

  Told told_;
  NodeDirectory nodes_;
};

TEST_F(PreflightRented, judges_a_place_by_the_labels_of_its_nodes) {
  join("node-c", Told::place_c, "low");
  EXPECT_EQ(failed(requires_label("trust", "low"), Told::place_c), Names{});
  EXPECT_EQ(failed(requires_label("trust", "high"), Told::place_c), Names{"constraints"});
}

TEST_F(PreflightRented, judges_a_place_where_no_node_ever_was_by_its_id) {
  EXPECT_EQ(failed(requires_label("trust", "high"), nowhere), Names{}) << "it is not known";
  EXPECT_EQ(failed(requires_label("zone", "us-east-1x"), nowhere), Names{});
  EXPECT_EQ(failed(requires_label("zone", "us-east-1a"), nowhere), Names{"constraints"});
  EXPECT_EQ(failed(requires_label("market", "on-demand"), nowhere), Names{"constraints"});
  const auto refuses_spot = Message<schema::VmSpec>::build([](schema::VmSpec::Builder spec) {
    auto label = spec.initRefuses(1)[0];
    label.setName("market");
    label.setValue("spot");
  });
  EXPECT_EQ(failed(refuses_spot, nowhere), Names{"constraints"});
}

TEST_F(PreflightRented, knows_that_a_new_node_is_on_no_list_of_nodes) {
  const auto listed = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder spec) { spec.initNodes(1).set(0, "node-c"); });
  EXPECT_EQ(failed(listed, nowhere), Names{"constraints"});
}

TEST_F(PreflightRented, tells_every_failed_check) {
  EXPECT_EQ(failed(requires_label("zone", "us-east-1a"), nowhere, "paused", false,
                   absl::Milliseconds(999)),
            (Names{"constraints", "lease", "state", "time"}));
}

}  // namespace
}  // namespace supercloud
