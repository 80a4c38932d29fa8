// The latency watcher: asks every other node for a sign of life now and then, and publishes how long the answer took.
#pragma once

#include <map>
#include <string>

#include "core/actor.h"

namespace supercloud {

struct LatencyOptions {
  Duration every = absl::Seconds(10);
  Duration deadline = absl::Seconds(5);
  std::string answered_by = "node";  // the actor of the other node that answers a ping
};

class LatencyWatcher final : public Actor {
 public:
  explicit LatencyWatcher(Context& context, LatencyOptions options = {});
  void receive(const Event& event) override;

 private:
  void learn(const Event& event);
  void measure();
  void ping(const std::string& node, const std::string& place);

  Context& context_;
  const LatencyOptions options_;
  std::map<std::string, std::string> places_;  // of the other nodes
};

}  // namespace supercloud
