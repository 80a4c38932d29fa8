// The same seed makes the same logs, byte for byte, in another process, whose memory lies elsewhere.
//
// SUPERCLOUD_DIGESTS=N makes this binary print the digests of N seeds and no more: the second process here, and what
// compare_compilers.py asks of builds by different compilers.
#include <gtest/gtest.h>
#include <stdio.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "simulation/run.h"

namespace supercloud {
namespace {

constexpr const char* how_many = "SUPERCLOUD_DIGESTS";
constexpr const char* only_this = " --gtest_filter=Determinism.says_its_digests";

// Every second one with a market: its floating point decides nothing, which is to be seen.
std::string digests(std::uint64_t seeds) {
  std::string lines;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    RunOptions run;
    run.seed = seed;
    run.cluster.market = seed % 2 == 0;
    const RunResult result = run_simulation(run);
    absl::StrAppendFormat(&lines, "digest of seed %d: %016x, %d events, %d steps\n", seed,
                          result.log_digest, result.events, result.steps);
  }
  return lines;
}

std::string lines_of_digests(const std::string& output) {
  std::string lines;
  for (std::size_t begin = 0; begin < output.size();) {
    const std::size_t end = output.find('\n', begin);
    const std::string line = output.substr(begin, end - begin);
    if (line.starts_with("digest of seed")) lines += line + "\n";
    begin = end == std::string::npos ? output.size() : end + 1;
  }
  return lines;
}

std::string this_program() {
  std::string path(4096, '\0');
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length < 0 ? 0 : static_cast<std::size_t>(length));
  return path;
}

std::string output_of(const std::string& command) {
  FILE* process = popen(command.c_str(), "r");
  if (process == nullptr) return "";
  std::string output;
  char part[4096];
  while (const std::size_t size = fread(part, 1, sizeof part, process)) output.append(part, size);
  EXPECT_EQ(pclose(process), 0) << command;
  return output;
}

TEST(Determinism, says_its_digests) {
  const char* seeds = std::getenv(how_many);
  if (seeds == nullptr) GTEST_SKIP() << "what the other process runs: set " << how_many;
  std::cout << digests(std::strtoull(seeds, nullptr, 10));
}

TEST(Determinism, holds_between_two_processes) {
  const std::string here = digests(2);
  const std::string there = output_of(std::string("env -u GTEST_OUTPUT ") + how_many + "=2 '" +
                                      this_program() + "'" + only_this);
  EXPECT_EQ(here, lines_of_digests(there)) << there;
}

}  // namespace
}  // namespace supercloud
