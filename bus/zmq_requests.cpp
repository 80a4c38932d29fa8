// The half of the live bus that asks, and hears answers. Who answers is bus/zmq_server.h.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"

namespace supercloud {
namespace {

absl::Status unreachable(const std::string& node, const std::string& self) {
  return absl::UnavailableError(
      absl::StrCat("no node named \"", node, "\" is reachable from ", self));
}

}  // namespace

void ZmqBus::request(Address to, std::string bytes, Reply<std::string> reply) {
  if (absl::Status size = check_size("the request", bytes.size()); !size.ok()) return reply(size);
  if (fatal_ || membership_ == nullptr) return reply(unreachable(to.node, self_.name));
  if (publisher_ != nullptr) publisher_->look();
  const Instant deadline = std::min(reply.deadline(), loop_.clock().now() + options_.request_max);
  add_pending({.to = std::move(to.node),
               .actor = std::move(to.actor),
               .bytes = std::move(bytes),
               .deadline = deadline,
               .reply = std::move(reply)});
}

void ZmqBus::add_pending(Pending pending) {
  const std::shared_ptr<Call> call = pending.reply.call();
  if (call != nullptr && call->cancelled()) return pending.reply(nobody_waits_for(pending.actor));
  const std::uint64_t id = ++last_request_;
  Pending& added = pending_[id] = std::move(pending);
  if (call != nullptr) {
    call->when_cancelled([this, alive = std::weak_ptr<char>(alive_), id, actor = added.actor] {
      if (!alive.expired()) give_up(id, nobody_waits_for(actor));
    });
  }
  added.timer = loop_.at(added.deadline, [this, id] {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    const Pending& late = found->second;
    const std::string what = absl::StrCat(late.node.empty() ? late.to : late.node, "/", late.actor,
                                          " did not answer in time");
    found->second.timer = 0;
    give_up(id, absl::DeadlineExceededError(what));
  });
  send_request(id, added);
}

void ZmqBus::send_request(std::uint64_t id, Pending& pending) {
  if (pending.sent) return;
  if (pending.to == self_.name) {
    pending.sent = true;
    loop_.post(guarded([this, id] {
      const auto found = pending_.find(id);
      if (found == pending_.end()) return;
      auto done = [&loop = loop_, alive = std::weak_ptr<char>(alive_), this,
                   id](absl::StatusOr<std::string> value) {
        loop.post([alive, this, id, value = std::move(value)]() mutable {
          if (!alive.expired()) finish(id, std::move(value));
        });
      };
      if (const std::shared_ptr<Call> call = found->second.reply.call(); call != nullptr) {
        Call::OnProgress told = [this, alive = std::weak_ptr<char>(alive_), call,
                                 id](const Progress& progress) {
          if (!alive.expired() && pending_.contains(id)) call->tell(progress);
        };
        found->second.here =
            std::make_shared<Call>(call->wants_progress() ? std::move(told) : nullptr);
      }
      receiver_->on_request(found->second.actor, std::exchange(found->second.bytes, {}),
                            Reply<std::string>(far_future, std::move(done), found->second.here));
    }));
    return;
  }
  if (membership_->alive(pending.to)) {
    if (pending.node.empty())
      pending.sent = membership_->send(
          pending.to, WireRequest{id, pending.actor, std::exchange(pending.bytes, {})});
    else
      pending.sent = membership_->send(pending.to, WireOnward{id, pending.node, pending.actor,
                                                              std::exchange(pending.bytes, {})});
    if (pending.sent) return watcher_.watch(id, pending.to, pending.reply.call());
  } else if (!membership_->settled()) {
    return;  // it may turn up
  } else if (pending.node.empty() && !relays().empty()) {
    return send_beyond(id);
  }
  finish(id, unreachable(pending.node.empty() ? pending.to : pending.node, self_.name));
}

void ZmqBus::send_beyond(std::uint64_t id) {
  pending_[id].sent = true;  // its way is being looked for
  const std::string node = pending_[id].to;
  routes_.find(node, relays(), pending_[id].deadline,
               [this, alive = std::weak_ptr<char>(alive_), id,
                node](const absl::StatusOr<std::string>& relay) {
                 if (alive.expired() || !pending_.contains(id)) return;
                 if (!relay.ok()) return finish(id, relay.status());
                 Pending& pending = pending_[id];
                 auto answered = [this, alive, id, node](absl::StatusOr<std::string> answer) {
                   if (alive.expired()) return;
                   if (absl::IsUnavailable(answer.status())) routes_.forget(node);
                   finish(id, std::move(answer));
                 };
                 add_pending({.to = *relay,
                              .node = node,
                              .actor = pending.actor,
                              .bytes = std::exchange(pending.bytes, {}),
                              .deadline = pending.deadline,
                              .reply = Reply<std::string>(pending.deadline, std::move(answered),
                                                          pending.reply.call())});
               });
}

void ZmqBus::release_requests() {
  std::vector<std::uint64_t> waiting;
  for (const auto& [id, pending] : pending_) {
    if (!pending.sent) waiting.push_back(id);
  }
  for (const std::uint64_t id : waiting) {
    const auto found = pending_.find(id);
    if (found != pending_.end()) send_request(id, found->second);
  }
}

void ZmqBus::on_answer(const std::string& name, WireAnswer answer) {
  const auto found = pending_.find(answer.id);
  if (found == pending_.end() || found->second.to != name) return;
  finish(answer.id, std::move(answer.value));
}

void ZmqBus::finish(std::uint64_t id, absl::StatusOr<std::string> value) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  Reply<std::string> reply = std::move(found->second.reply);
  loop_.cancel(found->second.timer);
  watcher_.end(id);
  pending_.erase(found);
  reply(std::move(value));
}

void ZmqBus::give_up(std::uint64_t id, absl::Status why) {
  auto taken = pending_.extract(id);
  if (taken.empty()) return;
  Pending& pending = taken.mapped();
  loop_.cancel(pending.timer);
  watcher_.end(id);
  if (pending.here != nullptr) {
    pending.here->cancel();
  } else if (pending.reply.call() != nullptr && pending.sent && membership_->alive(pending.to)) {
    // What is answered to that is of no use: it was too late, or is known there.
    membership_->send(pending.to,
                      WireRequest{++last_request_, std::string(cancel_actor), encode_cancel(id)});
  }
  pending.reply(std::move(why));
}

}  // namespace supercloud
