// Replays as a person runs them.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/process/program.h"

namespace supercloud {

using Json = nlohmann::json;

inline constexpr std::int64_t begin_s = 1'440'201'600;  // 2015-08-22

class ReplayTest : public ProgramTest {
 protected:
  // Three zones for two days, each in turn the cheapest for five hours.
  std::string prices() const {
    std::string rows = "epoch_s,az,usd_per_h\n";
    for (int hour = 0; hour < 48; ++hour)
      for (int zone = 0; zone < 3; ++zone)
        absl::StrAppend(&rows, begin_s + hour * 3600, ",", std::string(1, "abc"[zone]), ",",
                        (hour / 5 + zone) % 3 * 0.01 + 0.03, "\n");
    return write("r3.large.csv", rows);
  }
  static std::string example(const std::string& name) {
    const char* folder = ::getenv("SUPERCLOUD_EXAMPLES");
    EXPECT_NE(folder, nullptr) << "meson sets it";
    return absl::StrCat(folder == nullptr ? "" : folder, "/", name);
  }
  static bool has_pyzmq() {
    static const bool has = std::system("/usr/bin/python3 -c 'import zmq' 2>/dev/null") == 0;
    return has;
  }

  Json replayed(std::vector<std::string> more, int code = 0) {
    std::vector<std::string> arguments = {"replay", "--json", "--baselines", "none", "--prices"};
    for (std::string& word : more) arguments.push_back(std::move(word));
    const Said said = run(arguments);
    EXPECT_EQ(said.code, code) << said.err;
    told_ = said.err;
    Json answer = Json::parse(said.out, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(answer.is_object()) << said.out;
    answer.erase("wall_s");
    answer.erase("log");
    return answer;
  }
  std::string explained() { return run({"explain", "vm1", "--full"}).out; }
  std::string log() { return run({"events", "--since", "start", "--json", ">"}).out; }

  // In the story that `explain` tells.
  std::string place_at_end(const std::string& vm) {
    const std::string story = run({"explain", vm}).out;
    const std::size_t at = story.find(" at "), from = story.find(" from ");
    EXPECT_TRUE(at < from && from != std::string::npos) << story;
    return at < from ? story.substr(at + 4, from - at - 4) : "";
  }

  std::string told_;  // on stderr, by the last replay
};

}  // namespace supercloud
