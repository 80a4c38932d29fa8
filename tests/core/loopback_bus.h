// A bus of one node for tests of the runtime: records what leaves, and brings what the test lets arrive.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/bus.h"
#include "core/scheduler.h"

namespace supercloud {

class LoopbackBus final : public Bus {
 public:
  LoopbackBus(Scheduler& scheduler, std::string node)
      : scheduler_(scheduler), node_(std::move(node)) {}

  std::vector<Event> published;
  bool keep_published = true;
  std::map<std::string, int> subscriptions;  // prefix -> count
  BusReceiver* receiver = nullptr;
  std::vector<OriginTail> past;

  void start(BusReceiver& to, std::vector<OriginTail> from_log) override {
    receiver = &to;
    past = std::move(from_log);
  }
  void publish(const Event& event) override {
    if (keep_published) published.push_back(event);
  }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    ++subscriptions[prefix];
    scheduler_.post([reply = std::move(reply)]() mutable { reply(Done{}); });
  }
  void unsubscribe(std::string prefix) override {
    if (--subscriptions[prefix] == 0) subscriptions.erase(prefix);
  }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    if (to.node != node_) {
      scheduler_.post(
          [reply = std::move(reply)]() mutable { reply(absl::UnavailableError("no such node")); });
      return;
    }
    const Instant deadline = reply.deadline();
    const std::shared_ptr<Call> call = reply.call();
    auto asked = std::make_shared<Reply<std::string>>(std::move(reply));
    if (call != nullptr)
      call->when_cancelled([weak = std::weak_ptr<Reply<std::string>>(asked)] {
        if (const auto open = weak.lock(); open != nullptr)
          (*open)(absl::CancelledError("nobody waits"));
      });
    scheduler_.post([this, to, bytes = std::move(bytes), deadline, call, asked]() mutable {
      auto answer = [asked](absl::StatusOr<std::string> value) { (*asked)(std::move(value)); };
      receiver->on_request(to.actor, std::move(bytes),
                           Reply<std::string>(deadline, std::move(answer), call));
    });
  }

 private:
  Scheduler& scheduler_;
  std::string node_;
};

}  // namespace supercloud
