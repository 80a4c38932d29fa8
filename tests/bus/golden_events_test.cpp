// What logs of earlier builds hold (tests/storage/golden/README.md) goes from process to process byte for byte, also what this build does not understand.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "tests/bus/bus_process.h"

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

// Two processes, one of which publishes what the log has.
void expect_to_arrive_whole(const std::vector<std::string>& written) {
  EventLoop loop;
  std::string made = testing::TempDir() + "goldenXXXXXX";
  ASSERT_NE(::mkdtemp(made.data()), nullptr);
  const auto endpoint = [&](const std::string& name) { return "ipc://" + made + "/" + name; };
  const auto start = [&](const std::string& name, std::vector<std::string> seeds) {
    auto process = std::make_unique<BusProcess>(name, std::make_unique<EventPool>());
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = endpoint(name + ".pub");
    options.request_bind = endpoint(name + ".req");
    options.seeds = std::move(seeds);
    auto bus = ZmqBus::open(loop, *process->pool, std::move(options));
    EXPECT_TRUE(bus.ok()) << bus.status();
    process->bus = *std::move(bus);
    process->bus->start(*process, {});
    return process;
  };
  const auto from = start("node-a", {});
  const auto to = start("node-b", {endpoint("node-a.req")});
  bool ready = false;
  to->bus->subscribe("", Reply<Done>(far_future, [&](const auto&) { ready = true; }));
  EXPECT_TRUE(loop.run_until([&] { return ready && to->sees("node-a"); }, absl::Seconds(20)));

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
  EXPECT_TRUE(
      loop.run_until([&] { return to->events.size() >= written.size(); }, absl::Seconds(20)));
  std::vector<std::string> arrived;
  for (const Event& event : to->events) arrived.push_back(hex_of(event));
  EXPECT_EQ(arrived, written);
  EXPECT_TRUE(to->rejected.empty()) << to->rejected[0];
  EXPECT_TRUE(to->gaps.empty());
  fs::remove_all(made);
}

TEST(GoldenEvents, go_over_the_bus_byte_for_byte) {
  int logs = 0;
  for (const auto& entry : fs::directory_iterator(GOLDEN_LOGS)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().string());
    ++logs;
    expect_to_arrive_whole(lines_of(entry.path() / "events.hex"));
  }
  EXPECT_GE(logs, 1);
}

}  // namespace
}  // namespace supercloud
