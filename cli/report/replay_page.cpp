#include "cli/report/replay_page.h"

#include "absl/strings/str_replace.h"
#include "cli/report/page_parts.h"
#include "cli/report/replay_data.h"

namespace supercloud {
namespace {

std::string html_text(const std::string& text) {
  return absl::StrReplaceAll(
      text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}, {"'", "&#39;"}});
}

void append(std::string& page, std::span<const std::string_view> pieces) {
  for (const std::string_view piece : pieces) page += piece;
}

}  // namespace

std::string replay_page(const ReplayResult& result) {
  std::string page;
  append(page, page_parts.before_title);
  page += html_text(result.title);
  append(page, page_parts.before_data);
  page += replay_data(result);
  append(page, page_parts.after_data);
  return page;
}

}  // namespace supercloud
