// What another host says on a stream by which it tries the way here: it is closed, and what is answered before is a pong, and a report that
// can be read.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>

#include "hypercall/qemu/way_probe.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  static EventLoop loop;
  WayTarget target(loop);
  const std::string token(qemu_handshake::token_bytes, 't');
  std::array<int, 2> ends{};
  if (!target.offer({.measure = true}, "tcp:127.0.0.1:1", token).ok() ||
      ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    std::abort();
  const OwnFd source(ends[0]);
  OwnFd stream(ends[1]);
  (void)::send(source.get(), data, std::min<std::size_t>(size, 64 << 10),
               MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(source.get(), SHUT_WR);
  if (!target.take(token, stream)) std::abort();
  std::string said;
  const bool closed = loop.run_until(
      [&] {
        std::array<char, 64> bytes{};
        const ssize_t got = ::recv(source.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        if (got > 0) said.append(bytes.data(), static_cast<std::size_t>(got));
        return got == 0 || (got < 0 && errno != EAGAIN);
      },
      absl::Seconds(10));
  const bool pong = said.empty() || said[0] == 1;
  const bool report = said.size() <= 1 || decode_way_report(said.substr(1)).ok();
  if (!closed || !pong || !report) std::abort();
  return 0;
}
