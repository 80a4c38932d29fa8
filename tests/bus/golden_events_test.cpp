// What logs of earlier builds hold (tests/storage/golden/README.md) goes from process to process byte for byte, also what this build does not understand.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "tests/bus/bus_world.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::string hex_of(const Event& event) {
  const Bytes bytes = event.bytes();
  return absl::BytesToHexString({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// Of two processes one publishes what the log has; with hubs the other is in another cloud.
void expect_to_arrive_whole(BusWorld& world, const std::vector<std::string>& written) {
  const auto to = world.start("a");
  const auto from = world.start("node-a");
  ASSERT_TRUE(world.meet(*from, *to));
  bool ready = false;
  to->bus->subscribe("", Reply<Done>(far_future, [&](const auto&) { ready = true; }));
  ASSERT_TRUE(world.run_until([&] { return ready; }));

  bool unknown = false;
  for (const std::string& hex : written) {
    const std::string bytes = absl::HexStringToBytes(hex);
    const absl::StatusOr<Event> event =
        from->pool->parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
    EXPECT_TRUE(event.ok()) << event.status();
    if (!event.ok()) continue;
    unknown = unknown || topic_of(event->type()).empty();
    from->bus->publish(*event);
  }
  EXPECT_TRUE(unknown) << "one of a type that nobody knows is among them";
  std::vector<std::string> arrived;
  const auto all_have = [&] {
    arrived.clear();
    for (const Event& event : to->events)  // hubs have a word of their own
      if (!event.origin().starts_with("hub-")) arrived.push_back(hex_of(event));
    return arrived.size() >= written.size();
  };
  EXPECT_TRUE(world.run_until(all_have));
  EXPECT_TRUE(arrived == written) << arrived.size() << " of " << written.size();
  EXPECT_TRUE(to->rejected.empty()) << to->rejected[0];
  EXPECT_TRUE(to->gaps.empty());
}

class GoldenEvents : public testing::TestWithParam<MakeBusWorld> {};

TEST_P(GoldenEvents, go_over_the_bus_byte_for_byte) {
  int logs = 0;
  for (const auto& entry : fs::directory_iterator(GOLDEN_LOGS)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().string());
    ++logs;
    expect_to_arrive_whole(*GetParam()(), lines_of(entry.path() / "events.hex"));
  }
  EXPECT_GE(logs, 1);
}

INSTANTIATE_TEST_SUITE_P(Ipc, GoldenEvents, testing::Values(MakeBusWorld(make_ipc_world)));
INSTANTIATE_TEST_SUITE_P(ThroughHubs, GoldenEvents,
                         testing::Values(MakeBusWorld(make_ipc_hub_world),
                                         MakeBusWorld(make_simulated_hub_world)));

}  // namespace
}  // namespace supercloud
