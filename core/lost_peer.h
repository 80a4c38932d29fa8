// That the host at the other end of a TCP connection is gone, with nobody left to say so, is an error of the connection within
// lost_peer_after_seconds: also where this end has nothing to send, or waits for room at the other one. On other sockets it does nothing.
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace supercloud {

inline constexpr int lost_peer_after_seconds = 20;

inline void notice_lost_peer(int fd) {
  constexpr int on = 1, idle = 5, between = 5, probes = 3;  // seconds, but for the last
  static_assert(idle + between * probes <= lost_peer_after_seconds);
  constexpr unsigned unanswered = lost_peer_after_seconds * 1000U;  // milliseconds
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered, sizeof unanswered);
}

}  // namespace supercloud
