// A refusal, as RFC 9457 has it.
#pragma once

#include <string>
#include <string_view>

namespace supercloud {

struct Problem {
  int status = 400;       // of HTTP
  std::string detail;     // what is wrong, and where
  std::string cure;       // what to do about it
  std::string parameter;  // of the query, or a header's name; empty: none is at fault
};

inline constexpr std::string_view problem_type = "application/problem+json";
// One line.
std::string problem_json(const Problem& problem);

}  // namespace supercloud
