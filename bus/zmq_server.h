// The half of the live bus that is asked: a ROUTER socket, bound, for hellos, requests to actors and questions for history.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "bus/beyond.h"
#include "bus/calls.h"
#include "bus/trust.h"
#include "bus/unread_answers.h"
#include "bus/zmq_socket.h"
#include "bus/zmq_wire.h"
#include "core/bus.h"
#include "core/event_loop.h"

namespace supercloud {

// A process that is no member wants an event published, and may: with keys `publisher` is its name.
using OnWish = std::function<void(const std::string& publisher, Draft draft, Reply<Event> reply)>;

struct ZmqServerOptions {
  std::string endpoint;
  int high_water_mark = 1000;
  Duration silence_max = absl::ZeroDuration();  // a connection that is half gone ends after it
  std::size_t connections_max = 0;              // with keys
  OnWish on_wish;                               // empty: nothing is published for others
};

// Thread-bound to the loop. Not destroyed from inside one of its callbacks.
class ZmqServer {
 public:
  // Messages of one connection that wait to be taken: it waits then, and others do not wait for it.
  static constexpr int ahead_max = 16;

  // What to answer to a hello from a connection of `user`'s; null: without keys, it may be anyone's. None: nothing.
  using OnHello =
      std::function<std::optional<Control>(const Hello& hello, const Trust::Enrolled* user)>;

  // AlreadyExists: another process has the endpoint; ResourceExhausted; InvalidArgument. `credentials` outlive it, and may change; no key in
  // them: all is plain. `node`: whose log it answers for. The pool outlives it.
  static absl::StatusOr<std::unique_ptr<ZmqServer>> bind(const std::shared_ptr<ZmqContext>& context,
                                                         EventLoop& loop, EventPool& pool,
                                                         std::string node,
                                                         const Credentials& credentials,
                                                         ZmqServerOptions options);
  ZmqServer(const ZmqServer&) = delete;
  ZmqServer& operator=(const ZmqServer&) = delete;

  // Before start(): requests onward are asked there.
  void relay(Beyond& beyond) { beyond_ = &beyond; }
  void start(BusReceiver& receiver, OnHello on_hello);
  // Answers nothing any more.
  void stop() { receiver_ = nullptr; }
  // The credentials are others than `before`: whom that concerns has to connect again.
  void trust_changed(const Trust& before);

  std::string endpoint() const { return socket_->endpoint(); }

 private:
  ZmqServer(EventLoop& loop, EventPool& pool, std::string node, const Credentials& credentials,
            OnWish on_wish)
      : loop_(loop),
        pool_(pool),
        node_(std::move(node)),
        credentials_(credentials),
        on_wish_(std::move(on_wish)) {}
  bool secured() const { return credentials_.key != nullptr; }
  void on_frames(ZmqSocket::Frames frames);
  // To whom a request is answered: a connection, and with keys whose it is.
  struct Asker {
    std::string identity;
    std::string name;  // what its open requests are kept under
    std::string peer;  // what is unread is counted under: with keys all connections of one name
  };
  // `kept`: how far it is may be asked, and it may be cancelled.
  Reply<std::string> reply_to(const Asker& asker, std::uint64_t id, bool kept);
  void serve(const Asker& asker, const Trust::Enrolled* user, WireRequest request);
  void serve_onward(const Trust::Enrolled* user, WireOnward request, Reply<std::string> reply);
  // OK, or what the user lacks.
  absl::Status may_request(const Trust::Enrolled* user, std::string_view node,
                           std::string_view actor);
  // To what the user may ask a log for. PermissionDenied: nothing of it.
  absl::Status narrow(const Trust::Enrolled& user, std::string_view node, std::string_view actor,
                      StreamRange& range);
  void serve_log(const Trust::Enrolled* user, const WireRequest& request, Reply<std::string> reply);
  void serve_wish(const Trust::Enrolled* user, const WireRequest& request,
                  Reply<std::string> reply);
  // OK, or that the peer has as much to read as there is room for, which is told of.
  absl::Status find_room(const Asker& asker, std::size_t bytes);
  bool takes(const Asker& asker, std::uint64_t id);
  void answer(const Asker& asker, std::uint64_t id, absl::StatusOr<std::string> value);
  void send(const Asker& asker, std::string frame);

  EventLoop& loop_;
  EventPool& pool_;
  const std::string node_;
  const Credentials& credentials_;
  const OnWish on_wish_;
  Beyond* beyond_ = nullptr;  // null: it is no hub
  BusReceiver* receiver_ = nullptr;
  OnHello on_hello_;
  std::unique_ptr<ZmqSocket> socket_;
  OpenCalls calls_;
  UnreadAnswers unread_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace supercloud
