// A gap detector, what arrives at it, and what it tells, in short words.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "bus/gap_detector.h"
#include "tests/bus/bus_process.h"

namespace supercloud {

class GapDetectorTest : public testing::Test {
 protected:
  explicit GapDetectorTest(bool repair = false) : detector_({.repair = repair}) {
    detector_.subscribe("vm.");
  }

  Event vm() { return streams_.event(pool_, "executor", "web1"); }
  Event migration() { return streams_.other(pool_, "executor", "web1"); }
  std::vector<Event> vms(std::size_t count) {
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) events.push_back(vm());
    return events;
  }
  void arrive(const Event& event) { ASSERT_TRUE(detector_.arrived(event, now_).ok()); }
  void beat(const Event& heartbeat) {
    detector_.tails("a", heartbeat.payload().getNodeHeartbeat(), now_);
  }
  void wait(Duration span) {
    now_ = now_ + span;
    detector_.expire(now_);
  }
  // "3" is event 3, "gap vm. 1-2" is a gap, "ask vm. 1-2" is a question.
  std::vector<std::string> told() {
    std::vector<std::string> told;
    while (auto output = detector_.next()) {
      if (const BusGap* gap = std::get_if<BusGap>(&*output)) {
        told.push_back("gap " + gap->prefix + " " + std::to_string(gap->after + 1) + "-" +
                       (gap->up_to == BusGap::unknown ? "?" : std::to_string(gap->up_to)));
      } else if (const BusRepair* repair = std::get_if<BusRepair>(&*output)) {
        asked_ = *repair;
        std::string prefixes;
        for (const std::string& prefix : repair->range.prefixes) prefixes += prefix + " ";
        told.push_back("ask " + prefixes + std::to_string(repair->range.after + 1) + "-" +
                       std::to_string(repair->range.up_to));
      } else {
        told.push_back(std::to_string(std::get<Event>(*output).sequence()));
      }
    }
    return told;
  }
  using Told = std::vector<std::string>;

  EventPool pool_;
  TestStreams streams_{"a"};
  Instant now_{1'000'000'000};
  GapDetector detector_;
  BusRepair asked_;  // last
};

}  // namespace supercloud
