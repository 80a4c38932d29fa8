#include "cli/toml_text.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace supercloud {

std::string toml_text(std::string_view value) {
  std::string result = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      absl::StrAppendFormat(&result, "\\u%04X", static_cast<unsigned>(c));
      continue;
    }
    result += c;
  }
  return result + "\"";
}

std::string toml_texts(const std::vector<std::string>& values) {
  return absl::StrCat("[",
                      absl::StrJoin(values, ", ",
                                    [](std::string* out, const std::string& value) {
                                      absl::StrAppend(out, toml_text(value));
                                    }),
                      "]");
}

std::string path_beside(const std::string& toml, const std::string& path) {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::absolute(toml, error).parent_path();
  return (folder / path).lexically_normal().string();
}

}  // namespace supercloud
