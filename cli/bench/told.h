// What people see of a measurement: a line while it runs, and a table at its end.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "cli/bench/result.h"

namespace supercloud {

// "[#####-----]  50 %  WHAT, 3 s left", at most `width` columns. `done`: 0 to 1.
std::string bench_bar(const std::string& what, double done, absl::Duration left, std::size_t width);

// One line that is rewritten, some times a second at most; nothing where `out` is no terminal.
class BenchProgress {
 public:
  BenchProgress(std::ostream& out, bool terminal, absl::Time start);
  ~BenchProgress();
  BenchProgress(const BenchProgress&) = delete;
  BenchProgress& operator=(const BenchProgress&) = delete;

  void show(absl::Time now, const std::string& what, double done);
  void clear();

 private:
  std::ostream& out_;
  const bool terminal_;
  const absl::Time start_;
  absl::Time next_;
  bool shown_ = false;
};

// "1.23 us", "45.6 ms", "2.00 s"; "-" where there is none.
std::string spell_seconds(std::optional<double> seconds);
// `comparison` may be null.
std::string bench_text(const BenchResult& result, const BenchComparison* comparison);

}  // namespace supercloud
