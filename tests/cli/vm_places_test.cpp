// Which places are known, and what speaks against one that has no node yet.
#include "cli/vm_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/actors/told.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

void price_with_label(Told& told, const std::string& place, const std::string& trust) {
  told.tell("node-a/watcher", 1000, "place", {}, [&](schema::Payload::Builder payload) {
    auto priced = payload.initSpotPriceChanged().initPlace();
    priced.setId(place);
    auto label = priced.initLabels(1)[0];
    label.setName("trust");
    label.setValue(trust);
  });
}

Message<schema::VmSpec> trusting(const std::string& trust) {
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    auto label = spec.initRequires(1)[0];
    label.setName("trust");
    label.setValue(trust);
  });
}

TEST(KnownPlaces, are_those_with_prices_and_those_with_nodes) {
  Told told;
  told.joined("node-a", Told::place_a, 0);
  told.price(Told::place_c, 14'100'000, 60'000);
  told.running("node-a", "web1", 120'000);
  KnownPlaces places;
  for (const Event& event : told.events()) places.fold(event);
  EXPECT_THAT(places.names(), ElementsAre(Told::place_a, Told::place_c));
  EXPECT_TRUE(places.contains(Told::place_c));
  EXPECT_FALSE(places.contains("aws/us-east-1/us-east-1d/m3.medium/spot"));
}

TEST(KnownPlaces, are_checked_by_the_labels_that_their_prices_tell) {
  Told told;
  price_with_label(told, Told::place_a, "high");
  price_with_label(told, Told::place_c, "low");
  told.price(Told::place_a, 14'100'000, 60'000);  // says no labels: the known ones stay
  KnownPlaces places;
  for (const Event& event : told.events()) places.fold(event);
  EXPECT_THAT(places.failures(trusting("high").reader(), Told::place_a), IsEmpty());
  const auto failures = places.failures(trusting("high").reader(), Told::place_c);
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_EQ(failures[0].name, "constraints");
  EXPECT_THAT(failures[0].detail, HasSubstr("requires trust=high"));
  EXPECT_FALSE(failures[0].cure.empty());
}

TEST(KnownPlaces, are_checked_by_what_every_place_carries) {
  Told told;
  told.tell("node-a/watcher", 1000, "place", {}, [&](schema::Payload::Builder payload) {
    auto priced = payload.initSpotPriceChanged().initPlace();
    priced.setId(Told::place_a);
    priced.setZone("us-east-1a");
    priced.setSpot(true);
  });
  KnownPlaces places;
  for (const Event& event : told.events()) places.fold(event);
  const auto in_zone = [](const std::string& zone) {
    return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
      auto label = spec.initRequires(1)[0];
      label.setName("zone");
      label.setValue(zone);
    });
  };
  EXPECT_THAT(places.failures(in_zone("us-east-1a").reader(), Told::place_a), IsEmpty());
  EXPECT_THAT(places.failures(in_zone("us-east-1b").reader(), Told::place_a), SizeIs(1));
}

TEST(KnownPlaces, have_no_node_of_a_vms_own_list) {
  const auto spec = Message<schema::VmSpec>::build(
      [](schema::VmSpec::Builder builder) { builder.initNodes(1).set(0, "node-a"); });
  EXPECT_THAT(KnownPlaces().failures(spec.reader(), Told::place_a), SizeIs(1));
}

}  // namespace
}  // namespace supercloud
