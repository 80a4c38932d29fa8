// The half of a subscriber that asks: a publisher's log for what it misses, and archives where that cannot be had.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/subscriber.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::size_t orphans_max = 1024;
constexpr std::size_t vain_parts_max = 64;  // of one archive, one after another

}  // namespace

void Subscriber::begin_repair(std::uint64_t id) {
  const auto orphan = orphans_.find(repairs_[id].range.origin);
  if (orphan == orphans_.end()) return ask(id);
  orphan->second.goes_on = true;
  // Not inside drain(): there may be nobody to ask.
  scheduler_.post([this, alive = std::weak_ptr<char>(alive_), id] {
    if (alive.expired() || !repairs_.contains(id)) return;
    const auto found = orphans_.find(repairs_[id].range.origin);
    found == orphans_.end() ? ask(id) : give_up(id, std::string(found->second.why));
  });
}

void Subscriber::ask(std::uint64_t id) {
  Repair& repair = repairs_[id];
  repair.retry = 0;
  const bool archive = !repair.archive.empty();
  // Unless it is the publisher itself that answers.
  repair.range.proofs = proofs_ && (archive || !is_neighbour(node_of(repair.range.origin)));
  Address to{archive ? repair.archive : std::string(node_of(repair.range.origin)),
             std::string(repair.range.proofs ? history_proven_actor : history_actor)};
  // The answer may come inside this call, and from there is a way back into it.
  auto answered = [this, alive = std::weak_ptr<char>(alive_),
                   id](absl::StatusOr<std::string> answer) {
    if (alive.expired()) return;
    scheduler_.post([this, alive, id, answer = std::move(answer)] {
      if (!alive.expired()) this->answered(id, answer);
    });
  };
  ask_(std::move(to), encode_question(repair.range),
       Reply<std::string>(scheduler_.clock().now() + times_.answer_max, std::move(answered)));
}

void Subscriber::answered(std::uint64_t id, const absl::StatusOr<std::string>& answer) {
  const auto found = repairs_.find(id);
  if (found == repairs_.end()) return;
  if (!found->second.archive.empty()) return archive_answered(id, answer);
  if (!answer.ok()) return not_answered(id, answer.status());
  const StreamRange range = found->second.range;
  const std::string node(node_of(range.origin));
  const absl::StatusOr<HistoryAnswer> part = decode_answer(*answer, range);
  std::vector<std::uint64_t> refused;
  absl::StatusOr<std::vector<Event>> events = events_of(part, range, node, refused);
  if (!events.ok()) {
    receiver_->on_rejected(node, std::string(events.status().message()));
    return give_up(id, "its publisher answers nonsense");
  }
  repairs_.erase(found);
  const absl::Status taken = detector_.repaired(id, *std::move(events), part->through,
                                                scheduler_.clock().now(), gap_not_in_log, refused);
  if (!taken.ok()) receiver_->on_rejected(node, std::string(taken.message()));
  drain();
}

absl::StatusOr<std::vector<Event>> Subscriber::events_of(const absl::StatusOr<HistoryAnswer>& part,
                                                         const StreamRange& range,
                                                         const std::string& node,
                                                         std::vector<std::uint64_t>& refused) {
  if (!part.ok()) return part.status();
  std::vector<Event> events;
  for (const std::string_view bytes : part->events) {
    absl::StatusOr<Event> event = parse(bytes);
    if (!event.ok()) return event.status();
    if (event->origin() != range.origin || event->incarnation() != range.incarnation ||
        event->sequence() <= range.after || event->sequence() > part->through)
      return absl::InvalidArgumentError(
          absl::StrCat("event ", event->id().to_string(), " in an answer about others"));
    if (admit_) {
      if (const absl::Status admitted = admit_(node_of(range.origin), *event); !admitted.ok()) {
        receiver_->on_rejected(node, std::string(admitted.message()));
        refused.push_back(event->sequence());
        continue;  // missed, as what the log does not have
      }
    }
    events.push_back(*std::move(event));
  }
  if (!range.proofs) return events;
  Proofs proofs(keys_of_, Proofs::no_bounds);  // of this answer
  const auto good = [&](const absl::Status& status) {
    if (absl::IsInvalidArgument(status))
      receiver_->on_rejected(node, std::string(status.message()));
    return status.ok();
  };
  for (const std::string_view bytes : part->checkpoints) {
    const absl::StatusOr<Event> checkpoint = parse(bytes);
    if (!checkpoint.ok()) return checkpoint.status();
    // What proves it a hub sends ahead when it lets it pass.
    if (good(proofs.take(*checkpoint)) && detector_.tells_onward())
      (void)proofs_->take(*checkpoint);
  }
  // None lists another: of its node's log each is taken by its own signature. Its number is not signed, so an archive's are not.
  const bool own_log = node == node_of(range.origin);
  std::erase_if(events, [&](const Event& event) {
    const bool is_one = own_log && event.type() == schema::Payload::BUS_CHECKPOINT;
    const bool proven = good(is_one ? proofs.take(event) : proofs.judge(event));
    const bool again = proven && !is_one && was_heard_before(event);
    if (again)
      receiver_->on_rejected(
          node,
          absl::StrCat("what a process before this one has heard of ", absl_view(event.origin()),
                       " is asked for again: a hub tells of less than it has let pass"));
    if (proven && !again) return false;
    refused.push_back(event.sequence());
    return true;
  });
  return events;
}

absl::StatusOr<Event> Subscriber::parse(std::string_view bytes) {
  return pool_.parse(Bytes(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()));
}

bool Subscriber::ask_archive(std::uint64_t id, std::string_view why) {
  if (!detector_.waits_for(id)) return false;
  Repair& repair = repairs_[id];
  const std::string& origin = repair.range.origin;
  if (orphans_.size() >= orphans_max && !orphans_.contains(origin)) orphans_.clear();
  Orphan& orphan = orphans_[origin];
  if (orphan.why.empty()) orphan.why = std::string(why);
  if (std::exchange(orphan.question, id) != id) {
    orphan.asked.clear();
    orphan.found.clear();
    orphan.through = repair.range.up_to;
  }
  for (const auto& [node, publisher] : publishers_) {
    if (!publisher.expected || node == node_of(origin) || orphan.asked.contains(node) ||
        orphan.given_up.contains(node) || without_archive_.contains(node))
      continue;
    repair.archive = node;
    ask(id);
    return true;
  }
  return repair_from_archives(id);
}

void Subscriber::archive_answered(std::uint64_t id, const absl::StatusOr<std::string>& answer) {
  const StreamRange range = repairs_[id].range;
  const auto orphan = orphans_.find(range.origin);
  if (orphan == orphans_.end()) {  // its publisher is there again
    repairs_[id].archive.clear();
    return ask(id);
  }
  if (orphan->second.question == id) take_part(range, repairs_[id].archive, answer, orphan->second);
  give_up(id, std::string(orphan->second.why));
}

void Subscriber::take_part(const StreamRange& range, const std::string& node,
                           const absl::StatusOr<std::string>& answer, Orphan& orphan) {
  orphan.asked.insert(node);
  if (!answer.ok()) {
    if (absl::IsUnimplemented(answer.status())) without_archive_.insert(node);
    orphan.given_up.insert(node);
    return;
  }
  const absl::StatusOr<HistoryAnswer> part = decode_answer(*answer, range);
  std::vector<std::uint64_t> refused;  // as what the archive does not have
  const absl::StatusOr<std::vector<Event>> events = events_of(part, range, node, refused);
  if (!events.ok()) {
    receiver_->on_rejected(node, std::string(events.status().message()));
    orphan.given_up.insert(node);
    return;
  }
  if (events->empty() && part->through < range.up_to && ++orphan.vain[node] > vain_parts_max) {
    orphan.given_up.insert(node);
    return;
  }
  if (!events->empty()) orphan.vain[node] = 0;
  orphan.through = std::min(orphan.through, part->through);
  for (const Event& event : *events) orphan.found.emplace(event.sequence(), event);
  orphan.found.erase(orphan.found.upper_bound(orphan.through), orphan.found.end());
}

// An archive may have less than the log had: nothing is known of what follows their last event.
bool Subscriber::repair_from_archives(std::uint64_t id) {
  const StreamRange range = repairs_[id].range;
  Orphan& orphan = orphans_[range.origin];
  std::vector<Event> events;
  for (auto& [sequence, event] : std::exchange(orphan.found, {}))
    events.push_back(std::move(event));
  const bool all = orphan.through == range.up_to;
  if (all && events.empty()) return false;
  repairs_.erase(id);
  orphan.goes_on = false;
  const std::uint64_t through = all ? events.back().sequence() : orphan.through;
  const absl::Status taken =
      detector_.repaired(id, std::move(events), through, scheduler_.clock().now(),
                         absl::StrCat(orphan.why, ", and no archive that answers has it"));
  if (!taken.ok())
    receiver_->on_rejected(std::string(node_of(range.origin)), std::string(taken.message()));
  drain();
  // What is missing later is asked of its publisher first, again.
  const auto done = orphans_.find(range.origin);
  if (done != orphans_.end() && !done->second.goes_on) orphans_.erase(done);
  return true;
}

void Subscriber::not_answered(std::uint64_t id, const absl::Status& why) {
  if (!detector_.waits_for(id)) {
    repairs_.erase(id);
    return;
  }
  if (absl::IsNotFound(why)) return give_up(id, "its publisher has another log");
  // Who may not have proofs need not ask others for them.
  if (absl::IsPermissionDenied(why) && repairs_[id].range.proofs)
    return end_repair(id, std_view(why.message()));
  if (absl::IsUnimplemented(why) || absl::IsDataLoss(why) || absl::IsInvalidArgument(why) ||
      absl::IsPermissionDenied(why))
    return give_up(id, std_view(why.message()));
  Repair& repair = repairs_[id];
  const Instant now = scheduler_.clock().now();
  if (repair.failing_since == far_future) repair.failing_since = now;
  const auto publisher = publishers_.find(node_of(repair.range.origin));
  // Of a node beyond a relay only the answer tells.
  const bool heard = publisher != publishers_.end()
                         ? publisher->second.expected
                         : !absl::IsUnavailable(why) && !absl::IsDeadlineExceeded(why);
  if (now - repair.failing_since >= (heard ? times_.within : times_.unheard_max)) {
    return give_up(id, absl::StrCat("its publisher's log could not be asked: ", why.message()));
  }
  repair.retry = scheduler_.at(now + times_.retry, [this, id] { ask(id); });
}

void Subscriber::give_up(std::uint64_t id, std::string_view why) {
  const auto found = repairs_.find(id);
  if (found == repairs_.end()) return;
  scheduler_.cancel(std::exchange(found->second.retry, 0));
  if (!ask_archive(id, why)) end_repair(id, why);
}

void Subscriber::end_repair(std::uint64_t id, std::string_view why) {
  const auto found = repairs_.find(id);
  orphans_.erase(found->second.range.origin);
  repairs_.erase(found);
  detector_.unrepaired(id, why);
  drain();
}

}  // namespace supercloud
