// Plain tables for people: columns two blanks apart, as wide as they need to be.
#pragma once

#include <string>
#include <vector>

namespace supercloud {

// `rows[0]` is the heading. Every line ends with a newline and without blanks.
std::string text_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace supercloud
