// The client over a device, as in a domain that has no daemon of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "hypercall/xen_error.h"
#include "tests/hypercall/xen/store_client_fixture.h"

namespace supercloud {
namespace {

using xen_wire::Type;

TEST_F(XenStoreClientTest, a_device_that_is_no_store_says_the_kernels_errno) {
  options.path = "/dev/null";
  XenStoreClient client(loop, options);
  const absl::Status absent = read(client).status();
  EXPECT_TRUE(absl::IsUnavailable(absent)) << absent;
  ASSERT_TRUE(xen_failure(absent)) << absent;
  EXPECT_EQ(xen_failure(absent)->error, EPERM);
  EXPECT_EQ(xen_failure(absent)->call, "epoll_ctl");
}

// A terminal stands in for /dev/xen/xenbus: a character device with a daemon behind it, whose end does not end the descriptor.
class Device {
 public:
  Device(EventLoop& loop, FakeDaemon::Answer answer) : loop_(loop), answer_(std::move(answer)) {
    EXPECT_EQ(::grantpt(far_), 0);
    EXPECT_EQ(::unlockpt(far_), 0);
    termios raw = {};
    ::cfmakeraw(&raw);
    EXPECT_EQ(::tcsetattr(far_, TCSANOW, &raw), 0);
    near_ = ::open(path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);  // else it ends with its client
    EXPECT_TRUE(loop_.watch_fd(far_, EPOLLIN, [this](std::uint32_t) { receive(); }).ok());
  }
  ~Device() {
    loop_.unwatch_fd(far_);
    ::close(near_);
    ::close(far_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  std::string path() const { return ::ptsname(far_); }
  // Whether it takes no bytes: a write is EAGAIN then.
  void stop(bool stopped) const { EXPECT_EQ(::tcflow(near_, stopped ? TCOOFF : TCOON), 0); }

 private:
  void receive() {
    char bytes[4096];
    const ssize_t count = ::read(far_, bytes, sizeof bytes);
    if (count > 0) in_.append(bytes, static_cast<std::size_t>(count));
    std::string_view rest = in_;
    while (true) {
      const auto request = xen_wire::decode(rest);
      ASSERT_TRUE(request.ok()) << request.status();
      if (!*request) break;
      const std::string said = answer_(**request);
      EXPECT_EQ(::write(far_, said.data(), said.size()), static_cast<ssize_t>(said.size()));
    }
    in_.erase(0, in_.size() - rest.size());
  }
  EventLoop& loop_;
  FakeDaemon::Answer answer_;
  const int far_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  int near_ = -1;
  std::string in_;
};

TEST_F(XenStoreClientTest, a_device_is_asked_now_and_then_whether_anybody_is_there) {
  bool silent = false;
  int watches = 0;
  Device device(loop, [&](const xen_wire::Message& request) {
    if (silent) return std::string();
    watches += request.type == Type::watch ? 1 : 0;
    return ok(request);
  });
  options.path = device.path();
  XenStoreClient client(loop, options);
  client.watch(*XenPath::parse("/tool"), [](const XenPath&) {}, {});
  ASSERT_TRUE(wait([&] { return watches == 1; }));
  ASSERT_TRUE(read(client).ok());
  silent = true;
  ASSERT_TRUE(wait([&] { return !client.connected(); })) << "though nobody asks for anything";
  silent = false;
  EXPECT_TRUE(wait([&] { return watches >= 2; }));
  EXPECT_TRUE(read(client).ok());
}

TEST_F(XenStoreClientTest, a_device_that_takes_nothing_for_a_while_gets_all_of_it_later) {
  std::string written;
  Device device(loop, [&](const xen_wire::Message& request) {
    if (request.type == Type::write) written = request.body;
    return ok(request);
  });
  options.path = device.path();
  options.silence_max = absl::Seconds(20);
  XenStoreClient client(loop, options);
  ASSERT_TRUE(read(client).ok());
  device.stop(true);
  absl::Status done = absl::UnknownError("no reply");
  const std::string value(4000, 'x');
  client.write(
      0, XenPath::root(), value,
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& reply) { done = reply.status(); }));
  bool later = false;
  loop.post([&] { later = true; });
  ASSERT_TRUE(wait([&] { return later; }));
  EXPECT_EQ(written, "");
  device.stop(false);
  ASSERT_TRUE(wait([&] { return !absl::IsUnknown(done); }));
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(written, std::string("/\0", 2) + value);
}

}  // namespace
}  // namespace supercloud
