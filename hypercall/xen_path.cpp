#include "hypercall/xen_path.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

bool may_stand_in_a_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '@';
}

absl::Status wrong(std::string_view text, std::string_view why) {
  constexpr std::size_t shown_max = 80;  // of what may be anything
  std::string shown;
  for (const char c : text.substr(0, shown_max)) shown += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > shown_max) shown += "...";
  return absl::InvalidArgumentError(
      absl::StrCat("\"", shown, "\" is no path of the XenStore: ", absl_view(why)));
}

}  // namespace

absl::StatusOr<XenPath> XenPath::parse(std::string_view text) {
  if (text.empty()) return wrong(text, "it is empty");
  const bool is_absolute = text.front() == '/';
  const std::size_t bytes_max = is_absolute ? absolute_bytes_max : relative_bytes_max;
  if (text.size() > bytes_max)
    return wrong(
        text, absl::StrCat("it has ", text.size(), " bytes, at most ", bytes_max, " are allowed"));
  if (text == "/") return root();
  if (text.front() == '@') {
    if (text == introduced().text() || text == released().text()) return XenPath(std::string(text));
    return wrong(text, "of those that begin with @ there are @introduceDomain and @releaseDomain");
  }
  if (text.back() == '/') return wrong(text, "it ends with a slash");
  if (text.find("//") != std::string_view::npos) return wrong(text, "it has two slashes in a row");
  if (!std::ranges::all_of(text, [](char c) { return c == '/' || may_stand_in_a_name(c); }))
    return wrong(text, "letters, digits and - _ @ may stand between slashes");
  return XenPath(std::string(text));
}

absl::StatusOr<XenPath> XenPath::operator/(std::string_view below) const {
  if (special() || below.starts_with('/'))
    return wrong(below, absl::StrCat("it cannot stand below ", text_));
  return parse(text_ == "/" ? absl::StrCat("/", absl_view(below))
                            : absl::StrCat(text_, "/", absl_view(below)));
}

XenPath XenPath::parent() const {
  const std::size_t slash = text_.rfind('/');
  if (slash == std::string::npos) return *this;
  return slash == 0 ? root() : XenPath(text_.substr(0, slash));
}

bool XenPath::within(const XenPath& other) const {
  if (text_ == other.text_) return true;
  if (other.text_ == "/") return absolute();
  return text_.starts_with(other.text_) && text_[other.text_.size()] == '/';
}

std::optional<DomainId> XenPath::domain_id() const {
  const XenPath above = domains();
  if (!within(above) || text_ == above.text_) return std::nullopt;
  std::string_view rest = std::string_view(text_).substr(above.text_.size() + 1);
  rest = rest.substr(0, rest.find('/'));
  DomainId id = 0;
  if (!absl::SimpleAtoi(absl_view(rest), &id)) return std::nullopt;
  return id;
}

}  // namespace supercloud
