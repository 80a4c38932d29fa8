#include "hypercall/qemu/handshake.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>

#include "hypercall/qemu/stream_socket.h"

namespace supercloud {
namespace {

using namespace qemu_handshake;  // NOLINT(google-build-using-namespace): it is what is tested

TEST(QemuHandshake, EveryFrameIsReadAsItWasSaid) {
  const EventId migration{"a/policy", 1, 7};
  const Frame frames[] = {Hello{"main/web1", 5, migration, Hello::Kind::hello},
                          Hello{"main/web1", 5, migration, Hello::Kind::ask},
                          Hello{"main/web1", 5, migration, Hello::Kind::again},
                          Hello{"main/web1", 5, migration, Hello::Kind::hello, true},
                          Accept{"tcp:10.0.0.1:4711", std::string("0123456789\0abcde", 16)},
                          Accept{"tcp:10.0.0.1:4711", std::string("0123456789\0abcde", 16), true},
                          Whole{},
                          Refuse{"no such copy"},
                          Arrived{},
                          Probe{true},
                          Probe{false},
                          WayOffer{"tcp:10.0.0.1:4711", std::string("0123456789\0abcde", 16), 4096},
                          Lost{"QEMU ended"}};
  for (const Frame& frame : frames) {
    const auto again = decode(encode(frame));
    ASSERT_TRUE(again.ok()) << again.status() << encode(frame);
    EXPECT_TRUE(*again == frame) << encode(frame);
  }
}

TEST(QemuHandshake, NonsenseIsRefused) {
  const std::string texts[] = {
      "",
      "[]",
      "{}",
      "hello",
      R"({"arrived": true, "lost": "x"})",
      R"({"hello": {"version": 2, "vm": "a", "epoch": 1, "migration": "a/b:1:1"}})",
      R"({"hello": {"version": 1, "vm": "", "epoch": 1, "migration": "a/b:1:1"}})",
      R"({"hello": {"version": 1, "vm": "a", "epoch": 1, "migration": "x"}})",
      R"({"accept": {"address": "unix:/a", "token": "00"}})",
      R"({"accept": {"address": "", "token": "00112233445566778899aabbccddeeff"}})",
      R"({"accept": 3})",
      R"({"refuse": 3})",
      R"({"probe": {"version": 2}})",
      R"({"way": {"address": "unix:/a", "token": "00", "bytes": 1}})",
      R"({"way": {"address": "unix:/a", "token": "00112233445566778899aabbccddeeff", "bytes": 9999999}})",
      R"({"arrived": false})",
      std::string(5000, ' '),
      std::string(2000, '[')};
  for (const std::string& text : texts) EXPECT_FALSE(decode(text).ok()) << text.substr(0, 80);
}

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() {
    std::string pattern = "/tmp/supercloud-stream-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StreamTest() override { ::rmdir(folder_.c_str()); }
  std::unique_ptr<StreamListener> listen(const std::string& endpoint) {
    auto listener =
        StreamListener::open(loop_, endpoint, [this](const std::string& token, OwnFd stream) {
          token_ = token;
          stream_ = std::move(stream);
        });
    EXPECT_TRUE(listener.ok()) << listener.status();
    return listener.ok() ? *std::move(listener) : nullptr;
  }
  void connect(const std::string& endpoint) {
    connect_stream(loop_, endpoint, "0123456789abcdef",
                   Reply<OwnFd>(far_future, [this](absl::StatusOr<OwnFd> fd) {
                     connected_.emplace(std::move(fd));
                   }));
  }
  bool until(absl::FunctionRef<bool()> done) { return loop_.run_until(done, absl::Seconds(5)); }

  EventLoop loop_;
  std::string folder_;
  std::optional<std::string> token_;
  OwnFd stream_;
  std::optional<absl::StatusOr<OwnFd>> connected_;
};

TEST_F(StreamTest, ATokenComesAndWhatFollowsIsLeftForQemu) {
  for (const std::string& endpoint : {"unix:" + folder_ + "/s", std::string("tcp:127.0.0.1:0")}) {
    token_.reset();
    connected_.reset();
    const auto listener = listen(endpoint);
    connect(listener->endpoint());
    ASSERT_TRUE(until([&] { return connected_.has_value(); }));
    ASSERT_TRUE(connected_->ok()) << connected_->status();
    ASSERT_EQ(::send((*connected_)->get(), "QEVM", 4, 0), 4);
    ASSERT_TRUE(until([&] { return token_.has_value(); }));
    EXPECT_EQ(*token_, "0123456789abcdef");
    std::array<char, 8> bytes{};
    EXPECT_EQ(::recv(stream_.get(), bytes.data(), bytes.size(), 0), 4);
    EXPECT_EQ(std::string(bytes.data(), 4), "QEVM");
  }
}

TEST_F(StreamTest, WhereNobodyListensTheEndpointIsNamed) {
  const std::string endpoint = "unix:" + folder_ + "/nobody";
  connect(endpoint);
  ASSERT_TRUE(until([&] { return connected_.has_value(); }));
  EXPECT_EQ(connected_->status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(connected_->status().message().find(endpoint), std::string::npos);
  connected_.reset();
  connect("elsewhere");
  EXPECT_EQ(connected_->status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(StreamTest, WhoShowsNoTokenIsForgotten) {
  const auto listener = listen("tcp:127.0.0.1:0");
  connect_stream(loop_, listener->endpoint(), "short",
                 Reply<OwnFd>(far_future, [this](absl::StatusOr<OwnFd> fd) {
                   connected_.emplace(std::move(fd));
                 }));
  ASSERT_TRUE(until([&] { return connected_.has_value(); }));
  std::array<char, 1> byte{};
  const int fd = (*connected_)->get();
  ::shutdown(fd, SHUT_WR);
  EXPECT_TRUE(until([&] { return ::recv(fd, byte.data(), 1, MSG_DONTWAIT) == 0; }));
  EXPECT_FALSE(token_.has_value());
}

}  // namespace
}  // namespace supercloud
