#include "actors/latency/latency_watcher.h"

#include <utility>

#include "actors/spot/place.h"

namespace supercloud {

LatencyWatcher::LatencyWatcher(Context& context, LatencyOptions options)
    : context_(context), options_(std::move(options)) {
  context_.subscribe(Pattern::of("node.joined.>"));
  context_.subscribe(Pattern::of("node.left.>"));
  context_.subscribe(Pattern::of("node.capacity.>"));
  context_.history(
      Pattern::of("node.>"), [this](const Event& event) { learn(event); },
      [](const absl::Status&) {});  // who is here says so again
  context_.after(options_.every, [this] { measure(); });
}

void LatencyWatcher::receive(const Event& event) { learn(event); }

void LatencyWatcher::learn(const Event& event) {
  const auto payload = event.payload();
  const auto joined = [this](schema::NodeJoined::Reader node) {
    const std::string name(text(node.getNode()));
    if (!name.empty() && name != context_.node()) places_[name] = text(node.getPlace().getId());
  };
  switch (event.type()) {
    case schema::Payload::NODE_JOINED:
      joined(payload.getNodeJoined());
      break;
    case schema::Payload::NODE_CAPACITY:
      joined(payload.getNodeCapacity().getJoined());
      break;
    case schema::Payload::NODE_LEFT:
      places_.erase(std::string(text(payload.getNodeLeft().getNode())));
      break;
    default:
      break;
  }
}

void LatencyWatcher::measure() {
  for (const auto& [node, place] : places_) ping(node, place);
  context_.after(options_.every, [this] { measure(); });
}

void LatencyWatcher::ping(const std::string& node, const std::string& place) {
  const Instant sent = context_.now();
  context_.request(
      {node, options_.answered_by},
      Message<schema::Request>::build([](schema::Request::Builder request) { request.setPing(); }),
      options_.deadline,
      [this, sent, place](const absl::StatusOr<Message<schema::Response>>& pong) {
        if (!pong.ok()) return;  // heartbeats tell who is gone
        const Duration took = context_.now() - sent;
        Draft draft = context_.draft(place_subject(place));
        auto measured = draft.payload().initLatencyMeasured();
        measured.setClient(context_.node());
        measured.setPlace(place);
        measured.setMilliseconds(static_cast<double>(absl::ToInt64Microseconds(took)) / 1000.0);
        context_.publish(std::move(draft));
      });
}

}  // namespace supercloud
