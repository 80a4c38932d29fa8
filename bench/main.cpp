// main() of every benchmark program: Google Benchmark's, but a benchmark whose answer is wrong fails the program.
//
//   --tiny   each benchmark for an instant, once: what the test suite runs
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <vector>

namespace {

// SkipWithError() is how a benchmark says that its answer is wrong; by itself it would only be printed.
class CheckingReporter final : public benchmark::ConsoleReporter {
 public:
  using ConsoleReporter::ConsoleReporter;
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) failures_ += run.error_occurred ? 1 : 0;
    ConsoleReporter::ReportRuns(runs);
  }
  int failures() const { return failures_; }

 private:
  int failures_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
  char min_time[] = "--benchmark_min_time=0.001";
  std::vector<char*> passed;
  for (int i = 0; i < count; ++i) {
    passed.push_back(std::strcmp(arguments[i], "--tiny") == 0 ? min_time : arguments[i]);
  }
  int passed_count = static_cast<int>(passed.size());
  benchmark::Initialize(&passed_count, passed.data());
  if (benchmark::ReportUnrecognizedArguments(passed_count, passed.data())) return 2;
  CheckingReporter reporter(benchmark::ConsoleReporter::OO_Tabular);
  const std::size_t run = benchmark::RunSpecifiedBenchmarks(&reporter);
  if (run == 0) std::fprintf(stderr, "bench: no benchmark ran\n");
  if (reporter.failures() > 0) {
    std::fprintf(stderr, "bench: %d with a wrong answer\n", reporter.failures());
  }
  return run > 0 && reporter.failures() == 0 ? 0 : 1;
}
