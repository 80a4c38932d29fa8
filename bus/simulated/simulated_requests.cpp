// The half of the simulated bus that asks, and hears answers.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/simulated/simulated_bus.h"

namespace supercloud {

void SimulatedBus::request(Address to, std::string bytes, Reply<std::string> reply) {
  if (absl::Status size = check_size("the request", bytes.size()); !size.ok()) return reply(size);
  const auto peer = peers_.find(to.node);
  const bool local = to.node == name_;
  if (!local && (peer == peers_.end() || !(peer->second.alive || peer->second.awaited)))
    return request_beyond(std::move(to), std::move(bytes), std::move(reply));
  if (reply.call() != nullptr && reply.call()->cancelled())
    return reply(nobody_waits_for(to.actor));
  std::uint64_t id = 0;
  Pending& pending =
      add_pending({to.node, "", std::move(to.actor), std::move(bytes), std::move(reply)}, id);
  if (local) {
    scheduler_.post(guarded([this, id] {
      const auto found = pending_.find(id);
      if (found == pending_.end() || receiver_ == nullptr) return;
      auto answer = [this, alive = std::weak_ptr<char>(alive_),
                     id](absl::StatusOr<std::string> value) {
        if (!alive.expired()) finish(id, std::move(value));
      };
      if (const std::shared_ptr<Call> asking = found->second.reply.call(); asking != nullptr) {
        Call::OnProgress told = [this, alive = std::weak_ptr<char>(alive_), asking,
                                 id](const Progress& progress) {
          if (!alive.expired() && pending_.contains(id)) asking->tell(progress);
        };
        found->second.here =
            std::make_shared<Call>(asking->wants_progress() ? std::move(told) : nullptr);
      }
      receiver_->on_request(found->second.actor, std::exchange(found->second.bytes, {}),
                            Reply<std::string>(far_future, std::move(answer), found->second.here));
    }));
  } else if (peer->second.alive) {
    send_request(id, pending, *peer->second.endpoint);
  } else {
    peer->second.unsent.push_back(id);
  }
}

SimulatedBus::Pending& SimulatedBus::add_pending(Pending pending, std::uint64_t& id) {
  id = ++requests_;
  const Instant deadline =
      std::min(pending.reply.deadline(), scheduler_.clock().now() + options_.request_max);
  Pending& added = pending_[id] = std::move(pending);
  if (added.reply.call() != nullptr) {
    added.reply.call()->when_cancelled(
        [this, alive = std::weak_ptr<char>(alive_), given = id, actor = added.actor] {
          if (!alive.expired()) give_up(given, nobody_waits_for(actor));
        });
  }
  added.timer = scheduler_.at(deadline, [this, id] {
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    found->second.timer = 0;
    const std::string& node = found->second.node.empty() ? found->second.to : found->second.node;
    give_up(id, absl::DeadlineExceededError(
                    absl::StrCat(node, "/", found->second.actor, " did not answer in time")));
  });
  return added;
}

void SimulatedBus::send_request(std::uint64_t id, Pending& pending, Endpoint& to) {
  send(to, Request{id, pending.node, pending.actor, std::exchange(pending.bytes, {})});
  pending.sent = true;
  watcher_.watch(id, pending.to, pending.reply.call());
}

void SimulatedBus::finish(std::uint64_t id, absl::StatusOr<std::string> value) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  Reply<std::string> reply = std::move(found->second.reply);
  scheduler_.cancel(found->second.timer);
  watcher_.end(id);
  pending_.erase(found);
  reply(std::move(value));
}

void SimulatedBus::give_up(std::uint64_t id, absl::Status why) {
  auto taken = pending_.extract(id);
  if (taken.empty()) return;
  Pending& pending = taken.mapped();
  scheduler_.cancel(pending.timer);
  watcher_.end(id);
  const auto peer = peers_.find(pending.to);
  if (pending.here != nullptr) {
    pending.here->cancel();
  } else if (pending.reply.call() != nullptr && pending.sent && peer != peers_.end()) {
    // Lost, it is no harm; nor is what is answered of use.
    send(*peer->second.endpoint,
         Request{++requests_, "", std::string(cancel_actor), encode_cancel(id)});
  }
  pending.reply(std::move(why));
}

}  // namespace supercloud
