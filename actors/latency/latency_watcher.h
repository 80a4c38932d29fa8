// The latency watcher: asks the other nodes for a sign of life, one at a time in turn, and publishes how long each answer took.
// What it costs does not grow with the cluster: with N others, each is measured once in N intervals. More is measured on request (link_probe.h).
#pragma once

#include <map>
#include <string>

#include "actors/latency/link_probe.h"
#include "core/actor.h"

namespace supercloud {

inline constexpr const char* latency_actor = "latency";

struct LatencyOptions {
  Duration every = absl::Seconds(10);  // one of the others
  Duration deadline = absl::Seconds(5);
  std::string answered_by = "node";  // the actor of the other node that answers a ping
};

class LatencyWatcher final : public Actor {
 public:
  explicit LatencyWatcher(Context& context, LatencyOptions options = {});
  void receive(const Event& event) override;
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  void learn(const Event& event);
  void measure();
  void ping(const std::string& node, const std::string& place);

  Context& context_;
  const LatencyOptions options_;
  std::map<std::string, std::string> places_;  // of the other nodes with a machine
  std::string last_;                           // that was asked
  LinkProbe probe_;
};

}  // namespace supercloud
