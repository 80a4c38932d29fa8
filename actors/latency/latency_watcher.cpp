#include "actors/latency/latency_watcher.h"

#include <utility>

#include "actors/spot/place.h"

namespace supercloud {

LatencyWatcher::LatencyWatcher(Context& context, LatencyOptions options)
    : context_(context), options_(std::move(options)), probe_(context, options_.deadline) {
  // Who is here says so again and again: of each the newest counts, however many came while this one could not look. One that comes behind its
  // node's leaving is found not to answer.
  context_.subscribe(Pattern::of("node.capacity.>"), nullptr, {.full = Queueing::Full::conflate});
  context_.subscribe(Pattern::of("node.left.>"));
  context_.after(options_.every, [this] { measure(); });
}

void LatencyWatcher::receive(const Event& event) {
  if (event.type() == schema::Payload::NODE_LEFT) {
    places_.erase(std::string(text(event.payload().getNodeLeft().getNode())));
    return;
  }
  const auto joined = event.payload().getNodeCapacity().getJoined();
  const std::string node(text(joined.getNode()));
  if (!node.empty() && node != context_.node()) places_[node] = text(joined.getPlace().getId());
}

void LatencyWatcher::serve(Message<schema::Request> request, Answer answer) {
  if (!request.reader().isAccessResource())
    return Actor::serve(std::move(request), std::move(answer));
  probe_.serve(request.reader().getAccessResource(), std::move(answer));
}

void LatencyWatcher::measure() {
  context_.after(options_.every, [this] { measure(); });
  if (places_.empty()) return;
  auto next = places_.upper_bound(last_);
  if (next == places_.end()) next = places_.begin();
  last_ = next->first;
  ping(next->first, next->second);
}

void LatencyWatcher::ping(const std::string& node, const std::string& place) {
  const Instant sent = context_.now();
  context_.request(
      {node, options_.answered_by},
      Message<schema::Request>::build([](schema::Request::Builder request) { request.setPing(); }),
      options_.deadline,
      [this, sent, node, place](const absl::StatusOr<Message<schema::Response>>& pong) {
        if (!pong.ok()) {
          places_.erase(node);  // until it says again that it is here
          return;
        }
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
