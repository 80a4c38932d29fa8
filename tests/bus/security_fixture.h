// Processes on a bus with keys, all on one loop.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/zmq_bus.h"
#include "core/event_loop.h"
#include "tests/bus/bus_process.h"
#include "tests/bus/test_keys.h"

namespace supercloud {

inline NameRights rights(const std::vector<std::string>& publish,
                         const std::vector<std::string>& subscribe, bool requests) {
  NameRights made;
  for (const std::string& text : publish) made.publish.push_back(Pattern::of(text));
  for (const std::string& text : subscribe) made.subscribe.push_back(Pattern::of(text));
  made.requests = requests;
  return made;
}

class SecurityTest : public testing::Test {
 protected:
  ZmqBusOptions member(const std::string& name, const Trust& trust) const {
    ZmqBusOptions options;
    options.name = name;
    options.credentials = {test_key(name), std::make_shared<const Trust>(trust)};
    options.publish_bind = options.request_bind = "tcp://127.0.0.1:*";
    options.hello_interval = absl::Milliseconds(100);
    options.silence_max = absl::Seconds(2);
    return options;
  }
  std::unique_ptr<BusProcess> start(ZmqBusOptions options, BusProcess* seed = nullptr) {
    auto process = std::make_unique<BusProcess>(options.name, std::make_unique<EventPool>());
    if (seed != nullptr) options.seeds = {seed->name + "@" + bus(*seed).request_endpoint()};
    options.on_fatal = [p = process.get()](absl::Status why) { p->fatal.push_back(why); };
    auto made = ZmqBus::open(loop_, *process->pool, std::move(options));
    EXPECT_TRUE(made.ok()) << made.status();
    process->bus = *std::move(made);
    process->bus->start(*process, {});
    return process;
  }
  static ZmqBus& bus(BusProcess& process) { return dynamic_cast<ZmqBus&>(*process.bus); }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(20));
  }
  void meet(BusProcess& a, BusProcess& b) {
    ASSERT_TRUE(run_until([&] { return a.sees(b.name) && b.sees(a.name); }));
  }
  void subscribe(BusProcess& process, const std::string& prefix) {
    bool ready = false;
    process.bus->subscribe(prefix,
                           Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    ASSERT_TRUE(run_until([&] { return ready; }));
  }
  absl::StatusOr<std::string> ask(BusProcess& from, Address to, std::string bytes) {
    std::optional<absl::StatusOr<std::string>> answer;
    from.bus->request(std::move(to), std::move(bytes),
                      Reply<std::string>(far_future, [&](absl::StatusOr<std::string> value) {
                        answer = std::move(value);
                      }));
    EXPECT_TRUE(run_until([&] { return answer.has_value(); }));
    return answer.value_or(absl::InternalError("no answer"));
  }
  static bool rejected(const BusProcess& process, const std::string& words) {
    return std::any_of(
        process.rejected.begin(), process.rejected.end(),
        [&](const std::string& line) { return line.find(words) != std::string::npos; });
  }
  static bool only_of(const BusProcess& process, std::string_view lead) {
    return std::all_of(process.events.begin(), process.events.end(),
                       [&](const Event& event) { return event.topic().starts_with(lead); });
  }

  EventLoop loop_;
  Trust all_ = test_trust({"a", "b", "c"});
};

}  // namespace supercloud
