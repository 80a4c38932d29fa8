#include "bus/hub_proofs.h"

#include <algorithm>
#include <utility>

#include "core/text.h"

namespace supercloud {

void AwaitingProof::take(Event event) {
  const auto found = origins_.find(event.origin());
  if (found == origins_.end() && passes(event)) return;
  const auto origin =
      found != origins_.end() ? found : origins_.try_emplace(std::string(event.origin())).first;
  if (origin->second.events.empty()) origin->second.since = scheduler_.clock().now();
  ++waiting_;
  bytes_ += event.bytes().size();
  origin->second.events.push_back(std::move(event));
  if (waiting_ > events_max || bytes_ > bytes_max) {
    let_all_pass(std::ranges::min_element(
        origins_, {}, [](const auto& waiting) { return waiting.second.since; }));
  }
  arm();
}

void AwaitingProof::proven_by(const Event& checkpoint) {
  for (const auto stream : checkpoint.payload().getBusCheckpoint().getStreams()) {
    const auto origin = origins_.find(text(stream.getOrigin()));
    if (origin != origins_.end()) release(origin);
  }
}

bool AwaitingProof::passes(const Event& event) {
  if (proofs_ == nullptr || !needs_proof(event)) {
    pass_(event, nullptr);
    return true;
  }
  const Event* checkpoint = proofs_->checkpoint_of(event);
  if (checkpoint == nullptr) return false;
  pass_(event, checkpoint);
  return true;
}

void AwaitingProof::release(Origins::iterator origin) {
  std::deque<Event>& events = origin->second.events;
  const std::size_t before = events.size();
  while (!events.empty() && passes(events.front())) {
    bytes_ -= events.front().bytes().size();
    events.pop_front();
  }
  waiting_ -= before - events.size();
  if (events.empty()) {
    origins_.erase(origin);
  } else if (events.size() < before) {
    origin->second.since = scheduler_.clock().now();
  }
}

void AwaitingProof::let_all_pass(Origins::iterator origin) {
  const auto waiting = origins_.extract(origin);
  waiting_ -= waiting.mapped().events.size();
  for (const Event& event : waiting.mapped().events) {
    bytes_ -= event.bytes().size();
    if (!passes(event)) pass_(event, nullptr);
  }
}

void AwaitingProof::arm() {
  if (timer_ != 0 || origins_.empty()) return;
  const auto oldest = std::ranges::min_element(
      origins_, {}, [](const auto& waiting) { return waiting.second.since; });
  timer_ = scheduler_.at(oldest->second.since + wait_max, [this] {
    timer_ = 0;
    const Instant late = scheduler_.clock().now() - wait_max;
    for (auto next = origins_.begin(); next != origins_.end();) {
      const auto origin = next++;
      if (origin->second.since <= late) let_all_pass(origin);
    }
    arm();
  });
}

bool SentProofs::add(const Event& checkpoint, std::string_view prefix) {
  auto found = last_.find(checkpoint.origin());
  if (found == last_.end()) {
    if (last_.size() >= nodes_max) last_.clear();  // some are sent twice
    found = last_.try_emplace(std::string(checkpoint.origin())).first;
  }
  std::deque<Sent>& last = found->second;
  auto sent = std::ranges::find(last, checkpoint.id(), &Sent::checkpoint);
  if (sent == last.end()) {
    if (last.size() >= remembered_max) last.pop_front();
    sent = last.insert(last.end(), {checkpoint.id(), {}});
  }
  return sent->prefixes.emplace(prefix).second;
}

}  // namespace supercloud
