// A client of the XenStore with a folder of its own, impatient with daemons.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <utility>

#include "hypercall/xen/store_client.h"
#include "tests/hypercall/xen/fake_daemon.h"

namespace supercloud {

class XenStoreClientTest : public testing::Test {
 protected:
  XenStoreClientTest() {
    std::string name =
        (std::filesystem::temp_directory_path() / "supercloud-client-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    options.path = (folder / "socket").string();
    options.silence_max = absl::Milliseconds(200);
    options.retry_min = absl::Milliseconds(1);
    options.retry_max = absl::Milliseconds(5);
  }
  ~XenStoreClientTest() override {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
  }
  absl::StatusOr<std::string> read(XenStoreClient& client) {
    absl::StatusOr<std::string> value = absl::UnknownError("no reply");
    client.read(0, *XenPath::parse("/tool/x"),
                Reply<std::string>(far_future, [&](absl::StatusOr<std::string> reply) {
                  value = std::move(reply);
                }));
    EXPECT_TRUE(wait([&] { return !absl::IsUnknown(value.status()); })) << "it hangs";
    return value;
  }
  bool wait(absl::FunctionRef<bool()> done) { return loop.run_until(done, absl::Seconds(20)); }

  EventLoop loop;
  std::filesystem::path folder;
  XenStoreClientOptions options;
};

}  // namespace supercloud
