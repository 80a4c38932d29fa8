#include "actors/policy/decision_check.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace supercloud {
namespace {

Message<schema::World> three_places() {
  return Message<schema::World>::build([](schema::World::Builder world) {
    world.setNowNs(1000);
    world.setCurrentPlace("here");
    auto places = world.initCandidates(4);
    unsigned i = 0;
    for (const char* id : {"here", "cheap", "forbidden", "priceless"}) {
      places[i].initPlace().setId(id);
      places[i].setAllowed(i != 0 && i != 2);
      places[i].setPriceKnown(i != 0 && i != 3);
      ++i;
    }
    places[2].setWhyNot("it lacks trust=high");
  });
}

std::string judged(const std::function<void(schema::Decision::Builder)>& fill) {
  const auto world = three_places();
  const auto decision =
      Message<schema::Decision>::build([&](schema::Decision::Builder builder) { fill(builder); });
  const absl::Status sound = check_decision(world.reader(), decision.reader());
  return sound.ok() ? "sound" : std::string(sound.message());
}
std::string choosing(const std::string& place) {
  return judged([&](schema::Decision::Builder decision) { decision.setChoice(place); });
}

TEST(DecisionCheck, TakesAPlaceThatIsKnownAllowedAndHasAPrice) {
  EXPECT_EQ(choosing("cheap"), "sound");
  EXPECT_EQ(choosing("nowhere"), "it chose \"nowhere\", which is no place that is known");
  EXPECT_EQ(choosing("x\x1b[2J"), "it chose \"x\\x1b[2J\", which is no place that is known");
  EXPECT_EQ(choosing("forbidden"), "it chose forbidden, which is not allowed: it lacks trust=high");
  EXPECT_EQ(choosing("priceless"), "it chose priceless, whose price is not known");
}

TEST(DecisionCheck, TakesStayingWhateverIsKnownOfThePlace) {
  EXPECT_EQ(choosing(""), "sound");
  EXPECT_EQ(choosing("here"), "sound");
}

TEST(DecisionCheck, RefusesAbsurdFigures) {
  EXPECT_EQ(judged([](schema::Decision::Builder decision) { decision.setGainNanoUsd(INT64_MAX); }),
            "its gain of 9223372036 USD is absurd: money is in nano-dollars");
  EXPECT_NE(judged([](schema::Decision::Builder decision) { decision.setCostNanoUsd(INT64_MIN); }),
            "sound");
  EXPECT_NE(judged([](schema::Decision::Builder decision) {
              auto candidate = decision.initCandidates(1)[0];
              candidate.setPlace("cheap");
              candidate.setGainNanoUsd(absurd_nano_usd + 1);
            }),
            "sound");
}

TEST(DecisionCheck, RefusesTextsThatNobodyShouldSee) {
  EXPECT_EQ(judged([](schema::Decision::Builder decision) {
              decision.setReason(std::string(reason_bytes_max + 1, 'x'));
            }),
            "its reason has 2001 bytes, more than 2000");
  EXPECT_EQ(judged([](schema::Decision::Builder decision) { decision.setReason("a\x1b[2J"); }),
            "its reason has control characters: \"a\\x1b[2J\"");
  const auto reason = [](const std::string& said) {
    return judged([&](schema::Decision::Builder decision) { decision.setReason(said); });
  };
  EXPECT_EQ(reason("\xff"), "its reason is no UTF-8: \"\\xff\"");
  for (const char* bad : {"\x80", "\xc3", "\xc0\xaf", "\xe2\x82", "\xe0\x80\x80", "\xed\xa0\x80",
                          "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "a\xe2\x28\xa1"})
    EXPECT_NE(reason(bad), "sound") << bad;
  for (const char* good : {"", "gr\xc3\xbc\xc3\x9f dich", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
                           "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf"})
    EXPECT_EQ(reason(good), "sound") << good;
  EXPECT_EQ(judged([](schema::Decision::Builder decision) {
              auto candidate = decision.initCandidates(1)[0];
              candidate.setPlace("cheap");
              candidate.setExcluded(std::string(exclusion_bytes_max + 1, 'x'));
            }),
            "why a candidate is no choice has 501 bytes, more than 500");
}

TEST(DecisionCheck, RefusesCandidatesThatAreNone) {
  const auto with = [](const std::string& a, const std::string& b) {
    return judged([&](schema::Decision::Builder decision) {
      auto candidates = decision.initCandidates(2);
      candidates[0].setPlace(a);
      candidates[1].setPlace(b);
    });
  };
  EXPECT_EQ(with("here", "cheap"), "sound");
  EXPECT_EQ(with("here", "moon"), "its candidate \"moon\" is no place that is known");
  EXPECT_EQ(with("cheap", "cheap"), "its candidate cheap is there twice");
}

TEST(DecisionCheck, RefusesMoreEvidenceThanAnybodyReads) {
  EXPECT_EQ(judged([](schema::Decision::Builder decision) { decision.initEvidence(65); }),
            "it names 65 events as evidence, more than 64");
}

TEST(DecisionCheck, TakesAWakeInThePast) {
  EXPECT_EQ(judged([](schema::Decision::Builder decision) { decision.setWakeAtNs(1); }), "sound");
}

}  // namespace
}  // namespace supercloud
