// Random numbers with the same sequence from every compiler and library: what <random>'s distributions do not promise.
#pragma once

#include <cstdint>

namespace supercloud {

// SplitMix64 (Steele, Lea, Flood 2014): one word of state, passes BigCrush, good enough for everything but keys.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  // Uniform in [0, bound); 0 when bound is 0. The modulo's bias is below 2^-32 for bounds below 2^32.
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  // Uniform in [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  // True `per_million` times in a million.
  bool chance(std::uint64_t per_million) { return below(1'000'000) < per_million; }
  // An independent stream.
  Random fork() { return Random(next()); }

 private:
  std::uint64_t state_;
};

}  // namespace supercloud
