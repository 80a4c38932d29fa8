// Says to libzmq which keys may connect: the handler of RFC 27 (ZAP), in process, on the event loop.
//
// libzmq asks after each handshake: the peer has proved that it has the secret of the key that is asked about. Who is let in is known from
// then on by the text of its public key (ZmqSocket::user), so that a key which loses its name later has lost it on open connections, too.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "bus/trust.h"
#include "bus/zmq_socket.h"

namespace supercloud {

// Thread-bound to the loop. Made before, and gone after, the sockets of the context that are bound.
class ZapHandler {
 public:
  // `from`: an address, or a name where the key has one.
  using OnRefused = std::function<void(std::string from, std::string why)>;

  // ResourceExhausted: out of sockets. `credentials` outlive it, and may change.
  static absl::StatusOr<std::unique_ptr<ZapHandler>> make(
      const std::shared_ptr<ZmqContext>& context, EventLoop& loop, const Credentials& credentials,
      OnRefused refused);

 private:
  ZapHandler(const Credentials& credentials, OnRefused refused)
      : credentials_(credentials), refused_(std::move(refused)) {}
  void answer(ZmqSocket::Frames question);

  const Credentials& credentials_;
  OnRefused refused_;
  std::unique_ptr<ZmqSocket> socket_;
};

}  // namespace supercloud
