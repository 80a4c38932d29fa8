// Xen's own client of the XenStore, libxenstore: the witness of what is in it.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "hypercall/xen_path.h"

extern "C" {  // it does not say so itself
#include <xenstore.h>
}

namespace supercloud {

// libxenstore's connection. It finds its daemon by the environment, of a process that has one thread.
class Witness {
 public:
  explicit Witness(const std::string& socket) {
    ::setenv("XENSTORED_PATH", socket.c_str(), 1);
    handle_ = xs_open(0);
    EXPECT_NE(handle_, nullptr);
  }
  ~Witness() { xs_close(handle_); }
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  bool introduce(DomainId id) { return xs_introduce_domain(handle_, id, 1, 1); }
  bool write(const std::string& path, std::string_view value) {
    return xs_write(handle_, XBT_NULL, path.c_str(), value.data(),
                    static_cast<unsigned>(value.size()));
  }
  bool remove(const std::string& path) { return xs_rm(handle_, XBT_NULL, path.c_str()); }
  std::string read(const std::string& path) {
    unsigned size = 0;
    char* value = static_cast<char*>(xs_read(handle_, XBT_NULL, path.c_str(), &size));
    if (value == nullptr) return absl::StrCat("errno ", errno);
    std::string copy(value, size);
    std::free(value);
    return copy;
  }

 private:
  xs_handle* handle_ = nullptr;
};

}  // namespace supercloud
