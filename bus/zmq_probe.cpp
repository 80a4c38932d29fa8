#include "bus/zmq_probe.h"

#include <sodium.h>
#include <zmq.h>

#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "bus/zmq_wire.h"

namespace supercloud {
namespace {

// Who knew it could speak in the probe's place: it is never sent, and no peer learns what another subscribes.
std::string make_secret() {
  std::array<char, 16> random{};
  randombytes_buf(random.data(), random.size());
  std::string secret(marker_lead.substr(0, 1));  // as no topic of an event's begins
  secret += 'p';
  return secret.append(random.data(), random.size());
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqProbe>> ZmqProbe::make(const std::shared_ptr<ZmqContext>& context,
                                                         EventLoop& loop, ZmqSocket& publisher) {
  if (sodium_init() < 0) return absl::UnavailableError("the kernel gives no random numbers");
  const std::string within =
      absl::StrCat("inproc://subscriptions-of-", reinterpret_cast<std::uintptr_t>(&publisher));
  if (absl::Status bound = publisher.bind(within); !bound.ok()) return bound;
  // Without a limit: half of a question would be worse than none.
  auto socket =
      ZmqSocket::make(context, ZMQ_SUB, {.high_water_mark = 0}, loop, [](ZmqSocket::Frames) {});
  if (!socket.ok()) return socket.status();
  if (absl::Status connected = (*socket)->connect(within); !connected.ok()) return connected;
  return std::unique_ptr<ZmqProbe>(new ZmqProbe(*std::move(socket), make_secret()));
}

void ZmqProbe::ask(std::string_view topic) {
  socket_->subscribe(secret_);
  socket_->subscribe(topic);
  socket_->unsubscribe(topic);
  socket_->unsubscribe(secret_);
}

ZmqProbe::Told ZmqProbe::told(std::string_view frame) {
  if (!frame.empty() && frame.substr(1) == secret_) {
    speaks_ = frame[0] == 1;
    return Told::nothing;
  }
  if (!speaks_) return Told::others;
  return frame.starts_with('\0') ? Told::nobody : Told::nothing;
}

}  // namespace supercloud
