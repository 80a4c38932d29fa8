#include "bus/zmq_server.h"

#include <zmq.h>

#include <set>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "bus/history.h"
#include "bus/subscriber.h"
#include "core/json.h"
#include "core/text.h"

namespace supercloud {

absl::StatusOr<std::unique_ptr<ZmqServer>> ZmqServer::bind(
    const std::shared_ptr<ZmqContext>& context, EventLoop& loop, EventPool& pool, std::string node,
    const Credentials& credentials, ZmqServerOptions options) {
  std::unique_ptr<ZmqServer> made(
      new ZmqServer(loop, pool, std::move(node), credentials, std::move(options.on_wish)));
  ZmqSocketOptions queue{.high_water_mark = options.high_water_mark, .ahead_max = ahead_max};
  queue.silence_max = options.silence_max;
  if (made->secured()) {
    queue.curve = CurveEnd{credentials.key, std::nullopt};
    queue.connections_max = options.connections_max;
    queue.on_crowded = [raw = made.get(), most = options.connections_max] {
      if (raw->receiver_ != nullptr)
        raw->receiver_->on_rejected(
            "a connection",
            absl::StrCat("more than ", most, " processes are connected to what answers"));
    };
  }
  auto socket =
      ZmqSocket::make(context, ZMQ_ROUTER, std::move(queue), loop,
                      [raw = made.get()](ZmqSocket::Frames frames) { raw->on_frames(frames); });
  if (!socket.ok()) return socket.status();
  made->socket_ = *std::move(socket);
  if (absl::Status bound = made->socket_->bind(options.endpoint); !bound.ok()) return bound;
  return made;
}

void ZmqServer::start(BusReceiver& receiver, OnHello on_hello) {
  receiver_ = &receiver;
  on_hello_ = std::move(on_hello);
  socket_->start();
}

void ZmqServer::trust_changed(const Trust& before) {
  socket_->cut_unless(
      [&](std::string_view key) { return same_name(before, *credentials_.trust, key); });
}

void ZmqServer::on_frames(ZmqSocket::Frames frames) {
  if (receiver_ == nullptr) return;
  const Trust::Enrolled* user = secured() ? credentials_.trust->find(socket_->user()) : nullptr;
  if (secured() && user == nullptr) return socket_->cut_sender();
  const std::string from = user == nullptr ? "a request socket" : user->name;
  if (frames.size() != 2) return receiver_->on_rejected(from, "a message that has not one frame");
  const std::string identity(frames[0]);
  absl::StatusOr<Control> control = decode_control(frames[1]);
  if (!control.ok()) return receiver_->on_rejected(from, std::string(control.status().message()));
  const Asker asker{identity, user == nullptr ? identity : absl::StrCat(user->name, "/", identity),
                    user == nullptr ? identity : user->name};
  if (const Hello* hello = std::get_if<Hello>(&*control)) {
    if (const std::optional<Control> welcome = on_hello_(*hello, user))
      send(asker, encode(*welcome));
  } else if (WireRequest* request = std::get_if<WireRequest>(&*control)) {
    if (is_call_actor(request->actor) || takes(asker, request->id))
      serve(asker, user, std::move(*request));
  } else if (WireOnward* onward = std::get_if<WireOnward>(&*control)) {
    const bool kept = !onward->actor.empty() && !is_history_actor(onward->actor);
    if (takes(asker, onward->id)) {
      Reply<std::string> reply = reply_to(asker, onward->id, kept);
      serve_onward(user, std::move(*onward), std::move(reply));
    }
  } else {
    receiver_->on_rejected(from, "a request that is none");
  }
}

Reply<std::string> ZmqServer::reply_to(const Asker& asker, std::uint64_t id, bool kept) {
  std::shared_ptr<Call> call = kept ? calls_.open(asker.name, id) : nullptr;
  const bool open = call != nullptr;
  // May be called on any thread, and after this bus is gone.
  auto done = [&loop = loop_, alive = std::weak_ptr<char>(alive_), this, asker, id, open,
               question = unread_.take(asker.peer, UnreadAnswers::bytes_of_question)](
                  absl::StatusOr<std::string> value) mutable {
    loop.post([alive, this, asker, id, open, question = std::move(question),
               value = std::move(value)]() mutable {
      if (alive.expired()) return;
      question.reset();
      answer(asker, id, std::move(value));
      if (open) calls_.close(asker.name, id);
    });
  };
  return {far_future, std::move(done), std::move(call)};
}

void ZmqServer::serve(const Asker& asker, const Trust::Enrolled* user, WireRequest request) {
  const bool of_bus = is_history_actor(request.actor) || request.actor == publish_actor ||
                      is_call_actor(request.actor);
  Reply<std::string> reply = reply_to(asker, request.id, /*kept=*/!of_bus);
  if (is_call_actor(request.actor)) {
    // Who may not make a request has none open.
    calls_.serve(asker.name, request.actor, request.bytes, std::move(reply));
  } else if (is_history_actor(request.actor)) {
    serve_log(user, request, std::move(reply));
  } else if (request.actor == publish_actor) {
    serve_wish(user, request, std::move(reply));
  } else if (const absl::Status may = may_request(user, node_, request.actor); !may.ok()) {
    reply(may);
  } else {
    receiver_->on_request(std::move(request.actor), std::move(request.bytes), std::move(reply));
  }
}

absl::Status ZmqServer::may_request(const Trust::Enrolled* user, std::string_view node,
                                    std::string_view actor) {
  if (user == nullptr || credentials_.trust->rights.may_request(user->name))
    return absl::OkStatus();
  std::string why = absl::StrCat(user->name,
                                 " has no right to make requests, which `requests = true` in the "
                                 "trust file of that node gives; it was one to ",
                                 absl_view(node), "/", absl_view(actor));
  receiver_->on_rejected(user->name, why);
  return absl::PermissionDeniedError(why);
}

// The node that is asked knows the hub alone, so who asks is judged here.
void ZmqServer::serve_onward(const Trust::Enrolled* user, WireOnward request,
                             Reply<std::string> reply) {
  if (beyond_ == nullptr) return reply(absl::UnavailableError(absl::StrCat(node_, " is no hub")));
  if (request.actor.empty()) {
    if (beyond_->has(request.node)) return reply(std::string());
    return reply(absl::UnavailableError(
        absl::StrCat("no node named \"", request.node, "\" is reachable from ", node_)));
  }
  // What a hub asks for somebody is the hub's own request there, and its to cancel.
  if (is_call_actor(request.actor))
    return reply(absl::UnimplementedError(
        absl::StrCat(request.actor, " is asked of who was asked, which is ", node_)));
  if (request.actor == publish_actor)
    return reply(absl::UnimplementedError(absl::StrCat(
        node_, " publishes nothing beyond itself: ask a node of the own cloud to publish")));
  if (user != nullptr && is_history_actor(request.actor)) {
    absl::StatusOr<StreamRange> range = decode_question(request.bytes);
    if (!range.ok()) return reply(range.status());
    if (const absl::Status may = narrow(*user, request.node, request.actor, *range); !may.ok())
      return reply(may);
    request.bytes = encode_question(*range);
  } else if (const absl::Status may = may_request(user, request.node, request.actor); !may.ok()) {
    return reply(may);
  }
  beyond_->request({std::move(request.node), std::move(request.actor)}, std::move(request.bytes),
                   std::move(reply));
}

// As far as the user may subscribe.
void ZmqServer::serve_log(const Trust::Enrolled* user, const WireRequest& request,
                          Reply<std::string> reply) {
  absl::StatusOr<StreamRange> range = decode_question(request.bytes);
  if (!range.ok()) return reply(range.status());
  if (user != nullptr) {
    if (const absl::Status may = narrow(*user, node_, request.actor, *range); !may.ok())
      return reply(may);
  }
  serve_history(*receiver_, node_, request.actor, *std::move(range), std::move(reply),
                /*believed=*/user == nullptr);
}

absl::Status ZmqServer::narrow(const Trust::Enrolled& user, std::string_view node,
                               std::string_view actor, StreamRange& range) {
  const Rights& rights = credentials_.trust->rights;
  std::set<std::string> allowed;
  for (const std::string& prefix : range.prefixes)
    for (std::string& each : rights.allowed(user.name, prefix)) allowed.insert(std::move(each));
  if (allowed.empty() || allowed.size() > history_prefixes_max) {
    return absl::PermissionDeniedError(absl::StrCat(
        user.name, " has no right to subscribe what it asks the log of ", absl_view(node), " for"));
  }
  // A checkpoint lists all that its node said in one commit.
  if (actor == history_proven_actor && !may_have_proofs(rights, user.name)) {
    return absl::PermissionDeniedError(
        absl::StrCat(user.name, " has no right to subscribe ", absl_view(checkpoint_prefix),
                     ">, by which what the archive of ", absl_view(node), " has is proven"));
  }
  range.prefixes.assign(allowed.begin(), allowed.end());
  return absl::OkStatus();
}

void ZmqServer::serve_wish(const Trust::Enrolled* user, const WireRequest& request,
                           Reply<std::string> reply) {
  if (!on_wish_) return reply(absl::UnimplementedError(node_ + " publishes for nobody else"));
  const absl::StatusOr<PublishWish> wish = decode_wish(request.bytes);
  if (!wish.ok()) return reply(wish.status());
  const auto refuse = [&](const std::string& who, std::string_view what) {
    const std::string why = absl::StrCat(who, " has no right to publish ", absl_view(what));
    receiver_->on_rejected(user->name, why);
    reply(absl::PermissionDeniedError(why));
  };
  const Rights* rights = user == nullptr ? nullptr : &credentials_.trust->rights;
  if (rights != nullptr) {  // before its JSON is looked at
    if (wish->publisher != user->name) return refuse(user->name, "as " + wish->publisher);
    const NameRights* own = rights->find(user->name);
    if (own == nullptr || own->publish.empty()) return refuse(user->name, "anything");
  }
  absl::StatusOr<Draft> draft = draft_from_json(pool_, wish->json);
  if (!draft.ok()) return reply(draft.status());
  if (rights != nullptr) {  // the node's, too: others would refuse the event
    for (const std::string& name : {user->name, node_})
      if (!rights->may_publish(name, draft->topic())) return refuse(name, draft->topic());
  }
  auto shared = std::make_shared<Reply<std::string>>(std::move(reply));
  on_wish_(wish->publisher, *std::move(draft),
           Reply<Event>(shared->deadline(), [shared](absl::StatusOr<Event> event) {
             if (!event.ok()) return (*shared)(event.status());
             (*shared)(to_json(*event));
           }));
}

absl::Status ZmqServer::find_room(const Asker& asker, std::size_t bytes) {
  absl::Status found = unread_.room(asker.peer, bytes);
  if (!found.ok() && receiver_ != nullptr)
    receiver_->on_rejected(secured() ? asker.peer : "a request socket",
                           absl::StrCat("it asks and does not read: ", found.message()));
  return found;
}

// Before anything is done for it. False: it was refused.
bool ZmqServer::takes(const Asker& asker, std::uint64_t id) {
  absl::Status found = find_room(asker, UnreadAnswers::bytes_of_question);
  if (!found.ok()) answer(asker, id, found);
  return found.ok();
}

// What was done stays done, and is not to be asked for again: only the answer goes.
void ZmqServer::answer(const Asker& asker, std::uint64_t id, absl::StatusOr<std::string> value) {
  if (value.ok()) {
    if (absl::Status good = check_size("the answer", value->size()); !good.ok()) value = good;
  }
  std::string frame = encode(WireAnswer{id, std::move(value)});
  if (frame.size() > UnreadAnswers::short_answer_bytes_max) {
    if (const absl::Status found = find_room(asker, frame.size()); !found.ok())
      frame = encode(WireAnswer{id, absl::DataLossError(absl::StrCat(
                                        "it was done, and its answer let go: ", found.message()))});
  }
  send(asker, std::move(frame));
}

void ZmqServer::send(const Asker& asker, std::string frame) {
  const std::size_t bytes = frame.size() + UnreadAnswers::bytes_of_message;
  if (unread_.has_room_for_short(asker.peer, bytes))
    socket_->send_to(asker.identity, std::move(frame), unread_.take(asker.peer, bytes));
}

}  // namespace supercloud
