// Any text as an earlier result of `supercloud bench bus`: no crash; what is taken can be written, read again, and compared with itself.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/bench/result.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  if (size > 4096) return 0;  // each comparison draws each part some thousand times
  const std::string content(reinterpret_cast<const char*>(data), size);
  const auto result = parse_bench_result(content, "before.json");
  if (!result.ok()) {
    if (result.status().message().find("before.json: ") != 0) std::abort();  // says where
    return 0;
  }
  const BenchComparison comparison = compare_bench(*result, *result, "before.json");
  for (const BenchChange& change : comparison.changes)
    if (change.verdict != "better" && change.verdict != "worse" && change.verdict != "not resolved")
      std::abort();
  const auto again = parse_bench_result(bench_json(*result, &comparison), "before.json");
  if (!again.ok() || again->measures.size() != result->measures.size()) std::abort();
  if (!check_comparable(again->subject, result->subject, "before.json").ok()) std::abort();
  return 0;
}
