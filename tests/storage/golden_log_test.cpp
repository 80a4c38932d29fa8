// Logs that earlier builds wrote are read by this one, say what they said, and go on byte for byte.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "bus/history.h"
#include "core/json.h"
#include "storage/rocks_event_log.h"
#include "tests/core/golden_events.h"
#include "tests/storage/driven_scheduler.h"
#include "tests/storage/stored_events.h"
#include "tests/storage/temporary_folder.h"

namespace supercloud {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::string_view node_a = "node-a";

std::vector<std::string> lines_of(const fs::path& path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// What the older of two tellings says, the newer one says too; it may say more, of fields that have been added.
bool goes_on_saying(const Json& now, const Json& then) {
  if (then.is_object()) {
    if (!now.is_object()) return false;
    for (const auto& [name, value] : then.items())
      if (!now.contains(name) || !goes_on_saying(now[name], value)) return false;
    return true;
  }
  if (!then.is_array()) return now == then;
  if (!now.is_array() || now.size() != then.size()) return false;
  for (std::size_t i = 0; i < then.size(); ++i)
    if (!goes_on_saying(now[i], then[i])) return false;
  return true;
}

class GoldenLog : public testing::TestWithParam<std::string> {
 protected:
  GoldenLog()
      : told_(lines_of(folder() / "events.json")), written_(lines_of(folder() / "events.hex")) {}

  static fs::path folder() { return fs::path(GOLDEN_LOGS) / GetParam(); }
  // Not where it is: opening a log writes to it.
  std::unique_ptr<RocksEventLog> open(const std::string& name) {
    auto log = RocksEventLog::open(scheduler_, pool_,
                                   {.path = temporary_ / name, .node = std::string(node_a)});
    EXPECT_TRUE(log.ok()) << log.status();
    return log.ok() ? *std::move(log) : nullptr;
  }
  std::unique_ptr<RocksEventLog> open_copy() {
    fs::copy(folder() / "log", temporary_ / "log", fs::copy_options::recursive);
    return open("log");
  }
  std::vector<Event> all_of(RocksEventLog& log) {
    std::vector<Event> events;
    LogPage page;
    do {
      auto read = scheduler_.wait<LogPage>(
          [&](Reply<LogPage> reply) { log.read(page.next, Pattern::of(">"), 7, std::move(reply)); },
          true);
      EXPECT_TRUE(read.ok()) << read.status();
      if (!read.ok()) break;
      page = *std::move(read);
      for (const Event& event : page.events) events.push_back(event);
    } while (!page.end);
    return events;
  }
  void expect_whole(const std::vector<Event>& events) const {
    ASSERT_EQ(events.size(), written_.size());
    for (std::size_t i = 0; i < events.size(); ++i)
      EXPECT_EQ(absl::BytesToHexString(bytes_of(events[i])), written_[i]) << told_[i];
  }

  const std::vector<std::string> told_, written_;  // an event a line
  TemporaryFolder temporary_;
  DrivenScheduler scheduler_;
  EventPool pool_;
};

TEST_P(GoldenLog, is_read_as_it_was_written) {
  ASSERT_GE(written_.size(), 53);
  ASSERT_EQ(told_.size(), written_.size());
  const auto log = open_copy();
  ASSERT_NE(log, nullptr);
  const std::vector<Event> events = all_of(*log);
  expect_whole(events);
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Json now = Json::parse(to_json(events[i]));
    EXPECT_TRUE(goes_on_saying(now, Json::parse(told_[i]))) << to_json(events[i]) << "\nwas\n"
                                                            << told_[i];
  }
}

TEST_P(GoldenLog, knows_where_its_origin_stood) {
  const auto log = open_copy();
  ASSERT_NE(log, nullptr);
  ASSERT_EQ(log->origins(), std::vector<std::string>{"node-a/executor"});
  const OriginState state = log->origin("node-a/executor");
  const Json last = Json::parse(told_.back());
  EXPECT_EQ(std::to_string(state.incarnation), last["id"]["incarnation"].get<std::string>());
  EXPECT_EQ(state.sequence_reserved, written_.size() + 1024);
  EXPECT_EQ(std::to_string(state.newest.value), last["time"].get<std::string>());
  std::set<std::string> prefixes;
  for (const auto& [prefix, sequence] : state.tails) prefixes.insert(prefix);
  EXPECT_TRUE(prefixes.count("vm.started.main.")) << "kept by three tokens";
  EXPECT_TRUE(prefixes.count("future.happened.main.")) << "of a type that nobody knows, too";
}

TEST_P(GoldenLog, answers_for_repair_byte_for_byte) {
  const auto log = open_copy();
  ASSERT_NE(log, nullptr);
  StreamRange range{
      "node-a/executor", log->origin("node-a/executor").incarnation, {""}, 0, written_.size()};
  std::vector<Event> events;
  while (range.after < range.up_to) {
    auto part = scheduler_.wait<StreamPart>(
        [&](Reply<StreamPart> reply) { log->read_stream(range, 4096, std::move(reply)); }, true);
    ASSERT_TRUE(part.ok()) << part.status();
    const std::string wire = encode_answer(*part);
    const auto answer = decode_answer(wire, range);
    ASSERT_TRUE(answer.ok()) << answer.status();
    for (const std::string_view bytes : answer->events) {
      auto event = pool_.parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
      ASSERT_TRUE(event.ok()) << event.status();
      events.push_back(*std::move(event));
    }
    range.after = answer->through;
  }
  expect_whole(events);
}

TEST_P(GoldenLog, goes_whole_into_a_log_of_today) {
  const auto log = open_copy();
  ASSERT_NE(log, nullptr);
  std::vector<Event> taken;  // as it comes from a wire
  for (const Event& event : all_of(*log)) {
    auto parsed = pool_.parse(event.bytes());
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    taken.push_back(*std::move(parsed));
  }
  {
    const auto fresh = open("fresh");
    ASSERT_NE(fresh, nullptr);
    const auto done = scheduler_.wait<Done>(
        [&](Reply<Done> reply) { fresh->append(taken, std::nullopt, std::move(reply)); }, true);
    ASSERT_TRUE(done.ok()) << done.status();
  }
  const auto fresh = open("fresh");
  ASSERT_NE(fresh, nullptr);
  expect_whole(all_of(*fresh));
}

TEST_P(GoldenLog, has_what_only_a_newer_build_understands) {
  ASSERT_FALSE(written_.empty());
  bool unknown_type = false, unknown_fields = false;
  for (const std::string& hex : written_) {
    const std::string bytes = absl::HexStringToBytes(hex);
    const auto event =
        pool_.parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
    ASSERT_TRUE(event.ok()) << event.status();
    unknown_type = unknown_type || topic_of(event->type()).empty();
    unknown_fields = unknown_fields || bytes.find("of what started") != std::string::npos;
  }
  EXPECT_TRUE(unknown_type);
  EXPECT_TRUE(unknown_fields);
}

std::vector<std::string> golden_logs() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(GOLDEN_LOGS))
    if (entry.is_directory()) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenLog, testing::ValuesIn(golden_logs()),
                         [](const auto& log) { return log.param; });

// "payload.vmStarted.node" and all others that it names.
void add_fields(const Json& value, const std::string& path, std::set<std::string>& fields) {
  fields.insert(path);
  if (value.is_object()) {
    for (const auto& [name, inner] : value.items()) add_fields(inner, path + "." + name, fields);
  } else if (value.is_array()) {
    for (const Json& inner : value) add_fields(inner, path, fields);
  }
}

TEST(GoldenLogs, have_every_field_of_every_event_type_there_is) {
  std::set<std::string> told;
  for (const std::string& name : golden_logs()) {
    for (const std::string& line : lines_of(fs::path(GOLDEN_LOGS) / name / "events.json"))
      add_fields(Json::parse(line), "", told);
  }
  EXPECT_FALSE(told.empty());
  std::set<std::string> known;
  EventPool pool;
  for (const Event& event : golden_events(pool)) add_fields(Json::parse(to_json(event)), "", known);
  for (const std::string& field : known) {
    EXPECT_TRUE(told.count(field)) << field << " is in no golden log: write a further one, as "
                                   << GOLDEN_LOGS << "/README.md tells";
  }
}

}  // namespace
}  // namespace supercloud
