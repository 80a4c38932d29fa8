// The page without its data, as tools of the build wove it from page/ and dygraphs (cli/report/weave_page.py).
#pragma once

#include <span>
#include <string_view>

namespace supercloud {

// Pieces follow each other without anything between them; the title, escaped for HTML, and the data come between the three parts.
struct PageParts {
  std::span<const std::string_view> before_title, before_data, after_data;
};

extern const PageParts page_parts;

}  // namespace supercloud
