// A folder that goes with this object: below `parent`, or below the system's for temporary files (TMPDIR). Its path is empty where none can be made.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace supercloud {

class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::filesystem::path& parent = {}) {
    std::error_code error;
    if (!parent.empty()) std::filesystem::create_directories(parent, error);
    std::string name = ((parent.empty() ? std::filesystem::temp_directory_path() : parent) /
                        "supercloud-bench-XXXXXX")
                           .string();
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace supercloud
