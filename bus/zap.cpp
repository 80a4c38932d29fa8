#include "bus/zap.h"

#include <zmq.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace supercloud {

absl::StatusOr<std::unique_ptr<ZapHandler>> ZapHandler::make(
    const std::shared_ptr<ZmqContext>& context, EventLoop& loop, const Credentials& credentials,
    OnRefused refused) {
  std::unique_ptr<ZapHandler> handler(new ZapHandler(credentials, std::move(refused)));
  auto socket =
      ZmqSocket::make(context, ZMQ_REP, {}, loop,
                      [raw = handler.get()](ZmqSocket::Frames question) { raw->answer(question); });
  if (!socket.ok()) return socket.status();
  handler->socket_ = *std::move(socket);
  if (absl::Status bound = handler->socket_->bind("inproc://zeromq.zap.01"); !bound.ok())
    return bound;
  handler->socket_->start();
  return handler;
}

// version, request id, domain, address, identity, mechanism, credentials
void ZapHandler::answer(ZmqSocket::Frames question) {
  std::string user;
  if (question.size() == 7 && question[5] == "CURVE" && question[6].size() == CurveKey().size()) {
    CurveKey key;
    std::transform(question[6].begin(), question[6].end(), key.begin(),
                   [](char byte) { return static_cast<std::uint8_t>(byte); });
    if (const Trust::Enrolled* known = credentials_.trust->find(key)) {
      user = known->key.text();
    } else {
      const absl::string_view bytes(question[6].data(), question[6].size());
      refused_(
          std::string(question[3]),
          absl::StrCat("a connection with a key that the trust file does not have (its X25519 "
                       "form is ",
                       absl::WebSafeBase64Escape(bytes), "); `supercloud keys enrol` adds it"));
    }
  } else if (question.size() > 3) {
    refused_(std::string(question[3]), "a connection without CURVE");
  }
  const std::string_view id = question.size() > 1 ? question[1] : std::string_view();
  const bool good = !user.empty();
  // 300 would leave the peer without a word until its handshake times out.
  const std::string_view reply[] = {
      "1.0", id, good ? "200" : "400", good ? "OK" : "this key is not enrolled", user, ""};
  socket_->send(reply);
}

}  // namespace supercloud
