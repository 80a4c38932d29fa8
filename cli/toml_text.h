// TOML as it is written, and paths as a TOML file names them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace supercloud {

std::string toml_text(std::string_view value);
std::string toml_texts(const std::vector<std::string>& values);

// As a file at `toml` names it: relative to its folder.
std::string path_beside(const std::string& toml, const std::string& path);

}  // namespace supercloud
