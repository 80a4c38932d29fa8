// Whether anybody is subscribed to a topic at an XPUB socket, which libzmq cannot be asked.
//
// It tells of the last that lets a topic go; but of whoever lets go what it never had it tells the same, whoever has it meanwhile (seen with 4.3.4),
// and says neither how many there are nor, of peers of early versions, who it was. So a SUB socket of this process's own subscribes the topic and
// lets it go at once, in between a topic that nobody else knows. libzmq takes all that waits of one connection before it turns to another: what it
// tells between the two is of the probe.
//
//   probe                       XPUB
//       │ subscribe    secret ────►│  tells
//       │ subscribe    topic  ────►│  may tell
//       │ unsubscribe  topic  ────►│  tells if nobody else has it
//       │ unsubscribe  secret ────►│  tells
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "bus/zmq_context.h"
#include "bus/zmq_socket.h"
#include "core/event_loop.h"

namespace supercloud {

// Thread-bound to the loop.
class ZmqProbe {
 public:
  // Of an XPUB socket that is not manual, and not bound yet. ResourceExhausted: out of sockets; Unavailable: no random numbers.
  static absl::StatusOr<std::unique_ptr<ZmqProbe>> make(const std::shared_ptr<ZmqContext>& context,
                                                        EventLoop& loop, ZmqSocket& publisher);
  ZmqProbe(const ZmqProbe&) = delete;
  ZmqProbe& operator=(const ZmqProbe&) = delete;

  // What the socket tells from now on, once, will say whether anybody has it.
  void ask(std::string_view topic);

  // Of everything the socket tells, in its order: what it is.
  enum class Told {
    others,   // a subscription or an unsubscription of a peer's, or what is neither
    nothing,  // of the probe, and no answer
    nobody,   // that nobody has the topic any more
  };
  Told told(std::string_view frame);

 private:
  ZmqProbe(std::unique_ptr<ZmqSocket> socket, std::string secret)
      : socket_(std::move(socket)), secret_(std::move(secret)) {}

  std::unique_ptr<ZmqSocket> socket_;
  const std::string secret_;
  bool speaks_ = false;
};

}  // namespace supercloud
