// Streams between two hosts, here over loopback.
#include "hypercall/qemu/stream_socket.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "core/event_loop.h"
#include "core/lost_peer.h"
#include "hypercall/qemu/handshake.h"

namespace supercloud {
namespace {

int option_of(const OwnFd& socket, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  EXPECT_EQ(::getsockopt(socket.get(), level, name, &value, &size), 0);
  return value;
}

// QEMU has the sockets as they are: nothing else tells it that the other host lost its power.
TEST(StreamSocket, BothEndsFindThatTheOtherHostIsGone) {
  EventLoop loop;
  OwnFd accepted, connected;
  auto listener = StreamListener::open(
      loop, "tcp:127.0.0.1:0",
      [&accepted](const std::string&, OwnFd stream) { accepted = std::move(stream); });
  ASSERT_TRUE(listener.ok()) << listener.status();
  connect_stream(loop, (*listener)->endpoint(), std::string(qemu_handshake::token_bytes, 't'),
                 Reply<OwnFd>(far_future, [&connected](absl::StatusOr<OwnFd> stream) {
                   ASSERT_TRUE(stream.ok()) << stream.status();
                   connected = *std::move(stream);
                 }));
  ASSERT_TRUE(loop.run_until([&] { return accepted.get() >= 0 && connected.get() >= 0; },
                             absl::Seconds(20)));
  for (const OwnFd* end : {&accepted, &connected}) {
    EXPECT_EQ(option_of(*end, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option_of(*end, IPPROTO_TCP, TCP_USER_TIMEOUT), lost_peer_after_seconds * 1000);
    const int idle = option_of(*end, IPPROTO_TCP, TCP_KEEPIDLE);
    const int between = option_of(*end, IPPROTO_TCP, TCP_KEEPINTVL);
    EXPECT_LE(idle + between * option_of(*end, IPPROTO_TCP, TCP_KEEPCNT), lost_peer_after_seconds);
  }
}

}  // namespace
}  // namespace supercloud
