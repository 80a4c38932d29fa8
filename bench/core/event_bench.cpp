// What an event costs: to build and seal, to read, to take from outside, to share.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdlib>

#include "core/event.h"
#include "core/json.h"

namespace supercloud {
namespace {

Envelope envelope(std::uint64_t sequence) {
  Envelope envelope;
  envelope.origin = "node-a/policy";
  envelope.incarnation = 3;
  envelope.sequence = sequence;
  envelope.previous[0] = sequence - 1;
  envelope.time = {1'700'000'000'000'000U << 12};
  return envelope;
}

// Ten fields of payload.
void fill(schema::Proposed::Builder proposed, std::uint64_t i) {
  proposed.setVm("web1");
  proposed.setTargetPlace("aws/us-east-1/us-east-1d/m3.medium/spot");
  proposed.setTargetNode("node-b");
  proposed.setReason("12 % cheaper over the next hour");
  proposed.setGainNanoUsd(static_cast<std::int64_t>(i));
  proposed.setCostNanoUsd(1'200'000);
  proposed.initEvidence(1)[0].setSequence(i);
  proposed.setDeadlineNs(30'000'000'000);
  proposed.setProposer("policy cheapest");
  proposed.setSourceNode("node-a");
}

Event proposed_event(EventPool& pool, std::uint64_t sequence) {
  Draft draft = pool.draft("web1");
  fill(draft.payload().initMigrationProposed(), sequence);
  draft.epoch(4);
  return *std::move(draft).seal(envelope(sequence));
}

std::uint64_t read_all(const Event& event) {
  const auto reader = event.reader();
  const auto proposed = reader.getPayload().getMigrationProposed();
  return reader.getId().getSequence() + reader.getEpoch() + reader.getTopic().size() +
         proposed.getVm().size() + proposed.getTargetPlace().size() +
         proposed.getTargetNode().size() + proposed.getReason().size() +
         static_cast<std::uint64_t>(proposed.getGainNanoUsd() - proposed.getCostNanoUsd()) +
         proposed.getEvidence()[0].getSequence() +
         static_cast<std::uint64_t>(proposed.getDeadlineNs()) + proposed.getProposer().size() +
         proposed.getSourceNode().size();
}

// Draft, ten fields, topic, envelope, seal, drop.
void event_build(benchmark::State& state) {
  EventPool pool;
  std::uint64_t sequence = 0;
  std::uint64_t sum = 0;
  for (auto _ : state) sum += proposed_event(pool, ++sequence).sequence();
  if (sum != sequence * (sequence + 1) / 2) state.SkipWithError("a sequence was lost");
  if (pool.allocated() != 1) state.SkipWithError("buffers were not reused");
}
BENCHMARK(event_build);

// The payload alone, without envelope: what Cap'n Proto itself costs in a pooled segment.
void event_draft(benchmark::State& state) {
  EventPool pool;
  std::uint64_t i = 0;
  for (auto _ : state) {
    Draft draft = pool.draft("web1");
    fill(draft.payload().initMigrationProposed(), ++i);
    benchmark::DoNotOptimize(draft);
  }
  if (pool.allocated() != 1) state.SkipWithError("buffers were not reused");
}
BENCHMARK(event_draft);

// Twelve fields of payload and envelope.
void event_read(benchmark::State& state) {
  EventPool pool;
  const Event event = proposed_event(pool, 5);
  const std::uint64_t expected = read_all(event);
  std::uint64_t wrong = 0;
  for (auto _ : state) {
    const Event* at = &event;
    benchmark::DoNotOptimize(at);
    wrong += read_all(*at) != expected ? 1 : 0;
  }
  if (wrong != 0 || expected == 0) state.SkipWithError("a field read otherwise");
}
BENCHMARK(event_read);

// Bytes from outside: copied, walked, checked.
void event_parse(benchmark::State& state) {
  EventPool pool;
  const Event event = proposed_event(pool, 5);
  std::uint64_t wrong = 0;
  for (auto _ : state) {
    const absl::StatusOr<Event> parsed = pool.parse(event.bytes());
    wrong += !parsed.ok() || parsed->sequence() != 5 ? 1 : 0;
  }
  if (wrong != 0) state.SkipWithError("an event was not taken");
}
BENCHMARK(event_parse);

void event_share(benchmark::State& state) {
  EventPool pool;
  const Event event = proposed_event(pool, 5);
  for (auto _ : state) {
    Event copy = event;
    benchmark::DoNotOptimize(copy);
  }
  if (event.sequence() != 5) state.SkipWithError("the event changed");
}
BENCHMARK(event_share);

void event_json(benchmark::State& state) {
  EventPool pool;
  const Event event = proposed_event(pool, 5);
  const std::string expected = to_json(event);
  std::uint64_t wrong = 0;
  for (auto _ : state) wrong += to_json(event) != expected ? 1 : 0;
  if (wrong != 0 || expected.empty()) state.SkipWithError("the JSON differs");
}
BENCHMARK(event_json);

}  // namespace
}  // namespace supercloud
