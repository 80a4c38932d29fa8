#include "tests/bus/bus_process.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "bus/checkpoint.h"
#include "core/text.h"
#include "tests/bus/test_keys.h"

namespace supercloud {
namespace {

bool lists_any(const Event& checkpoint, const std::vector<Event>& events) {
  for (const auto stream : checkpoint.payload().getBusCheckpoint().getStreams())
    for (const std::uint64_t sequence : stream.getSequences())
      for (const Event& event : events)
        if (event.sequence() == sequence && event.origin() == text(stream.getOrigin())) return true;
  return false;
}

}  // namespace

Event TestStreams::seal(Draft draft, std::string_view actor) {
  const absl::Status valid = draft.set_topic();
  if (!valid.ok()) std::abort();
  const std::string topic(draft.topic());
  Stream& stream = streams_[std::string(actor)];
  const std::string origin = node_ + "/" + std::string(actor);
  Envelope envelope;
  envelope.origin = origin;
  envelope.incarnation = incarnation;
  envelope.previous[0] = stream.sequence;
  envelope.sequence = ++stream.sequence;
  for (std::size_t tokens = 1; tokens <= 3; ++tokens) {
    std::uint64_t& tail = stream.tails[topic_prefix(topic, tokens)];
    envelope.previous[tokens] = tail;
    tail = stream.sequence;
  }
  envelope.time = HybridTime{(ahead + stream.sequence) << 12};
  return *std::move(draft).seal(envelope);
}

Event TestStreams::event(EventPool& pool, std::string_view actor, std::string_view vm) {
  Draft draft = pool.draft(vm);
  draft.payload().initVmDirtyRate();
  return seal(std::move(draft), actor);
}

Event TestStreams::started(EventPool& pool, std::string_view actor, std::string_view vm,
                           const std::string& why) {
  Draft draft = pool.draft(vm);
  draft.payload().initVmStarted().setWhy(why);
  return seal(std::move(draft), actor);
}

Event TestStreams::other(EventPool& pool, std::string_view actor, std::string_view vm) {
  Draft draft = pool.draft(vm);
  draft.payload().initMigrationProgress();
  return seal(std::move(draft), actor);
}

Event TestStreams::checkpoint(EventPool& pool, const std::vector<Event>& events,
                              const std::string& signer) {
  return seal(KeyNotary(pool, node_, test_key(signer)).checkpoint(events), "log");
}

Event TestStreams::heartbeat(EventPool& pool) {
  Draft draft = pool.draft(node_);
  auto beat = draft.payload().initNodeHeartbeat();
  beat.setNode(node_);
  auto tails = beat.initTails(static_cast<unsigned>(streams_.size()));
  unsigned index = 0;
  for (const auto& [actor, stream] : streams_) {
    auto tail = tails[index++];
    tail.setOrigin(node_ + "/" + actor);
    tail.setIncarnation(incarnation);
    tail.setSequence(stream.sequence);
    auto prefixes = tail.initPrefixes(static_cast<unsigned>(stream.tails.size()));
    unsigned at = 0;
    for (const auto& [prefix, sequence] : stream.tails) {
      prefixes[at].setPrefix(prefix);
      prefixes[at++].setSequence(sequence);
    }
  }
  return seal(std::move(draft), "node");
}

std::vector<OriginTail> TestStreams::past() const {
  std::vector<OriginTail> past;
  for (const auto& [actor, stream] : streams_)
    past.push_back({node_ + "/" + actor, incarnation, stream.sequence});
  return past;
}

void BusProcess::publish_started(std::string_view actor, std::string_view vm) {
  commit.push_back(streams.started(*pool, actor, vm));
  bus->publish(commit.back());
}

void BusProcess::end_commit() {
  if (commit.empty()) return;
  log.insert(log.end(), commit.begin(), commit.end());
  checkpoints.push_back(streams.checkpoint(*pool, commit, name));
  log.push_back(checkpoints.back());
  commit.clear();
  bus->publish(checkpoints.back());
}

std::vector<std::uint64_t> BusProcess::sequences(std::string_view origin) const {
  std::vector<std::uint64_t> sequences;
  for (const Event& event : events) {
    if (event.origin() == origin) sequences.push_back(event.sequence());
  }
  return sequences;
}

void BusProcess::on_history(StreamRange range, Reply<StreamPart> reply) {
  constexpr std::size_t part_max = 7;
  ++asked;
  end_commit();  // as a node does
  if (!keeps_log) return reply(absl::UnimplementedError("there is no log"));
  StreamPart part{.events = {}, .through = range.up_to};
  if (range.after < nothing_to) {
    part.through = std::min(nothing_to, range.up_to);
    return reply(std::move(part));
  }
  for (const Event& event : log) {
    const std::uint64_t sequence = event.sequence();
    if (event.origin() != range.origin || event.incarnation() != range.incarnation ||
        sequence <= range.after || sequence > range.up_to || !range.has(event.topic())) {
      continue;
    }
    if (part.events.size() == part_max) {
      part.through = sequence - 1;
      break;
    }
    part.events.push_back(event);
  }
  if (range.proofs)
    std::ranges::copy_if(checkpoints, std::back_inserter(part.checkpoints),
                         [&](const Event& each) { return lists_any(each, part.events); });
  reply(std::move(part));
}

// "echo" answers with what it was asked, "silent" never does, "far" keeps the answer, others do not exist.
void BusProcess::on_request(std::string actor, std::string bytes, Reply<std::string> answer) {
  ++served[bytes];
  if (actor == "far") {
    if (const std::shared_ptr<Call>& call = answer.call(); call != nullptr)
      call->when_cancelled([this, bytes] { ++cancelled[bytes]; });
    kept.insert_or_assign(bytes, std::move(answer));
    return;
  }
  if (actor == "echo") answer(actor + ":" + bytes);
  if (actor != "echo" && actor != "silent") answer(absl::NotFoundError("no actor named " + actor));
}

}  // namespace supercloud
