// How long most of many took, and how long the slowest: percentiles of any number of durations, in memory of a fixed size.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

namespace supercloud {

// Counts in a histogram with a logarithmic axis (Boost.Histogram), whose bins are 1.5 % apart. Value type; not thread-safe.
class Percentiles {
 public:
  // What a bin stands for is within 1 % of each value in it, from a nanosecond to 10,000 seconds. Outside of these a value counts as
  // shorter, or longer, than all within.
  static constexpr double error = 0.01;
  static constexpr double seconds_min = 1e-9, seconds_max = 1e4;

  Percentiles();
  ~Percentiles();
  Percentiles(const Percentiles& other);
  Percentiles& operator=(const Percentiles& other);
  Percentiles(Percentiles&&) noexcept;
  Percentiles& operator=(Percentiles&&) noexcept;

  // Not less than 0.
  void add(double seconds);
  void add(const Percentiles& other);
  std::uint64_t count() const { return count_; }

  // The smallest value that is not exceeded by this part of all (0 to 1): with 1,000 values, `at(0.99)` is the 990th. Empty where so few were
  // counted that none is above it: 0.999 takes 1,000.
  std::optional<double> at(double part) const;
  // Exact; 0: nothing was counted.
  double min() const { return min_; }
  double max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

 private:
  struct Bins;
  std::unique_ptr<Bins> bins_;
  std::uint64_t count_ = 0;
  double min_ = 0, max_ = 0, sum_ = 0;
};

}  // namespace supercloud
