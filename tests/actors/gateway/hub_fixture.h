// A hub with nodes beside it, and readers that keep what they are told.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/virtual_scheduler.h"
#include "tests/actors/gateway/gateway_world.h"

namespace supercloud {

using Json = nlohmann::json;

struct ToldMessage {
  std::string cursor, type;
  Json json;

  std::string id() const { return json["id"]; }
  std::string subject() const { return json["subject"]; }
};

// Takes up to `capacity` messages between two drains.
class TestReader final : public Outlet {
 public:
  explicit TestReader(std::size_t room) : capacity(room) {}
  bool offer(std::string_view id, std::string_view type, std::string_view json) override {
    if (told.size() - read >= capacity) return false;
    told.push_back({std::string(id), std::string(type), Json::parse(json)});
    return true;
  }
  bool has_room() override { return told.size() - read < capacity / 2; }
  void end(std::string_view id, std::optional<SlowReader> why) override {
    ended = true;
    slow = why;
    cursor = std::string(id);
  }
  std::vector<std::string> types() const {
    std::vector<std::string> types;
    for (const ToldMessage& message : told) types.push_back(message.type);
    return types;
  }

  const std::size_t capacity;
  std::size_t read = 0;
  std::vector<ToldMessage> told;
  bool ended = false;
  std::optional<SlowReader> slow;
  std::string cursor;
};

class GatewayHubTest : public testing::Test {
 protected:
  void run() {
    scheduler.run_for(absl::Milliseconds(10));
    world.deliver();
    scheduler.run_for(absl::Milliseconds(10));
  }
  std::shared_ptr<TestReader> open(Reading::Begin begin, std::size_t capacity = 10000) {
    auto reader = std::make_shared<TestReader>(capacity);
    id = world.hub.next_id();
    world.hub.open(id, std::move(begin), reader);
    scheduler.run_for(absl::Milliseconds(10));
    return reader;
  }
  std::shared_ptr<TestReader> since_start(const char* pattern) {
    return open({Cursor(Pattern::of(pattern), {}), true, std::nullopt});
  }
  std::shared_ptr<TestReader> from_now(const char* pattern) {
    return open(
        {Cursor(Pattern::of(pattern), HybridTime::at(scheduler.wall())), false, std::nullopt});
  }
  std::shared_ptr<TestReader> resume(const std::string& cursor) {
    return open({*Cursor::parse(cursor), true, std::nullopt});
  }

  VirtualScheduler scheduler;
  GatewayHubOptions options = [] {
    GatewayHubOptions small;
    small.page_events = 3;
    small.recent_events_max = 4;
    return small;
  }();
  GatewayWorld world{scheduler, options};
  GatewayHub::ReadingId id = 0;
};

}  // namespace supercloud
