// Between a hub and one of its buses: what it passes on there is changed, everything else is as it was.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/beyond.h"

namespace supercloud {

// Thread-bound. The bus behind it outlives it.
class ChangedRelay final : public RelayingBus {
 public:
  using Pass = std::function<void(const Event& event)>;
  // May pass it, something else, several things, or nothing.
  using Change = std::function<void(const Event& event, const Pass& pass)>;

  // What is answered there, in the place of what was. Empty: that.
  using Answer =
      std::function<std::string(const Address& to, std::string_view question, std::string answer)>;

  ChangedRelay(RelayingBus& real, Change change, Answer answer = nullptr)
      : real_(real),
        change_(std::move(change)),
        answer_(std::move(answer)),
        pass_([&real](const Event& event) { real.publish(event); }) {}

  void publish(const Event& event) override { change_(event, pass_); }

  void start(BusReceiver& receiver, std::vector<OriginTail> past) override {
    real_.start(receiver, std::move(past));
  }
  void subscribe(std::string prefix, Reply<Done> reply) override {
    real_.subscribe(std::move(prefix), std::move(reply));
  }
  void unsubscribe(std::string prefix) override { real_.unsubscribe(std::move(prefix)); }
  void request(Address to, std::string bytes, Reply<std::string> reply) override {
    if (!answer_) return real_.request(std::move(to), std::move(bytes), std::move(reply));
    const Instant deadline = reply.deadline();
    const std::shared_ptr<Call> call = reply.call();
    auto answered = [answer = answer_, to, bytes,
                     reply = std::move(reply)](absl::StatusOr<std::string> real) mutable {
      reply(real.ok() ? answer(to, bytes, *std::move(real)) : std::move(real));
    };
    real_.request(std::move(to), std::move(bytes),
                  Reply<std::string>(deadline, std::move(answered), call));
  }
  void relay(Beyond& beyond, bool hears_relays) override { real_.relay(beyond, hears_relays); }
  bool has(std::string_view node) const override { return real_.has(node); }
  std::vector<std::string> relays() const override { return real_.relays(); }
  const GapDetector& followed() const override { return real_.followed(); }
  std::vector<std::string> news() override { return real_.news(); }
  const Proofs* proofs() const override { return real_.proofs(); }
  void publish_proof(const Event& checkpoint, std::string_view prefix) override {
    real_.publish_proof(checkpoint, prefix);
  }

 private:
  RelayingBus& real_;
  const Change change_;
  const Answer answer_;
  const Pass pass_;
};

}  // namespace supercloud
