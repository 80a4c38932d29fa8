#include "storage/simulated/memory_event_log.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/notary.h"

namespace supercloud {
namespace {

// What a long run logs is most of the memory that it touches, each page once: large ones, where the kernel has some, are far fewer faults.
class LargePages final : public std::pmr::memory_resource {
  static constexpr std::size_t page = std::size_t{2} << 20;

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (bytes < page || alignment > page)
      return std::pmr::new_delete_resource()->allocate(bytes, alignment);
    const std::size_t whole = (bytes + page - 1) / page * page;
    void* const memory = ::operator new(whole, std::align_val_t{page});
    static_cast<void>(madvise(memory, whole, MADV_HUGEPAGE));  // a wish: without it all is the same
    return memory;
  }
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override {
    if (bytes < page || alignment > page)
      return std::pmr::new_delete_resource()->deallocate(memory, bytes, alignment);
    ::operator delete(memory, std::align_val_t{page});
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return this == &other;
  }
};

}  // namespace

std::pmr::memory_resource* MemoryLogDisk::pages() {
  static LargePages pages;  // has no state
  return &pages;
}

void MemoryLogDisk::add(const Event& event) {
  const Bytes bytes = event.bytes();
  auto* const copy = static_cast<char*>(memory->allocate(bytes.size()));
  std::memcpy(copy, bytes.data(), bytes.size());
  const auto offset = event.topic().data() - reinterpret_cast<const char*>(bytes.data());
  const std::string_view topic(copy + offset, event.topic().size());
  events.push_back({topic,
                    {copy, bytes.size()},
                    event.time(),
                    retention_of(event.type()) == schema::Retention::LATEST});
  past.take(bytes.size());
  origins.add(event);
  const std::string_view kind = topic.substr(0, topic.find('.', topic.find('.') + 1) + 1);
  auto found = by_kind.find(kind);
  if (found == by_kind.end()) found = by_kind.try_emplace(std::string(kind)).first;
  found->second.push_back(events.size());
  auto stream = by_origin.find(event.origin());
  if (stream == by_origin.end()) stream = by_origin.try_emplace(std::string(event.origin())).first;
  stream->second.push_back({event.incarnation(), event.sequence(), events.size()});
}

void MemoryLogDisk::forget(const Retention& limits, std::uint64_t stored, std::uint64_t next,
                           absl::Time now) {
  const std::size_t step = RetainedPast::step(next - stored);
  for (std::size_t passed = 0; passed < step && past.begins() + 1 < stored; ++passed) {
    const Stored& oldest = events[past.begins() - 1];
    if (!past.over(limits, next, now, oldest.time)) return;
    past.pass({.position = past.begins(),
               .time = oldest.time,
               .latest = oldest.latest,
               .bytes = oldest.bytes.size(),
               .topic = oldest.topic});
  }
}

bool MemoryLogDisk::has(const EventId& id) const {
  const auto places = by_origin.find(id.origin);
  return places != by_origin.end() && std::ranges::any_of(places->second, [&](const Place& place) {
           return place.incarnation == id.incarnation && place.sequence == id.sequence;
         });
}

std::uint64_t MemoryLogDisk::next_of(const Pattern& pattern, std::uint64_t from) const {
  const std::string_view prefix = pattern.wire_prefix();
  std::uint64_t next = events.size() + 1;
  // Kinds begin as the pattern does, or are the beginning of a pattern of three tokens.
  const std::string_view kind = prefix.substr(0, prefix.find('.', prefix.find('.') + 1) + 1);
  for (auto found = by_kind.lower_bound(kind.empty() ? prefix : kind);
       found != by_kind.end() && found->first.starts_with(kind.empty() ? prefix : kind); ++found) {
    const auto position = std::ranges::lower_bound(found->second, from);
    if (position != found->second.end()) next = std::min(next, *position);
  }
  return next;
}

std::uint64_t MemoryLogDisk::checkpoint_behind(std::uint64_t position,
                                               std::string_view origin) const {
  const auto stream = by_origin.find(checkpoint_origin(node_of(origin)));
  if (stream == by_origin.end()) return 0;
  const auto place = std::ranges::upper_bound(stream->second, position, {}, &Place::position);
  const bool there = place != stream->second.end() && place->position >= past.begins();
  return there ? place->position : 0;
}

MemoryEventLog::MemoryEventLog(Scheduler& scheduler, EventPool& pool, MemoryLogDisk& disk,
                               MemoryEventLogOptions options)
    : scheduler_(scheduler),
      pool_(pool),
      disk_(disk),
      retention_(options.retention),
      latency_(options.sync_latency) {}

MemoryEventLog::~MemoryEventLog() {
  *alive_ = false;
  scheduler_.cancel(timer_);
}

void MemoryEventLog::append(std::vector<Event> events, std::optional<Reservation> reserve,
                            Reply<Done> reply) {
  waiting_.push_back({std::move(events), std::move(reserve), std::move(reply)});
  if (syncing_.empty()) start_sync();
}

void MemoryEventLog::start_sync() {
  syncing_.swap(waiting_);
  timer_ = scheduler_.at(scheduler_.clock().now() + latency_, [this] { synced(); });
}

std::size_t MemoryEventLog::durable_of(const std::deque<Append>& appends) {
  std::size_t durable = 0;
  for (const Append& append : appends)
    for (const Event& event : append.events)
      durable += delivery_of(event.type()) == schema::Delivery::DURABLE ? 1 : 0;
  return durable;
}

void MemoryEventLog::synced() {
  timer_ = 0;
  std::deque<Append> done = std::exchange(syncing_, {});
  const bool full = full_;
  if (!full) {
    const std::uint64_t stored = disk_.events.size() + 1;
    for (const Append& append : done) store(append);
    const std::uint64_t next = disk_.events.size() + 1;
    if (!retention_.keeps_all()) disk_.forget(retention_, stored, next, scheduler_.clock().wall());
  }
  if (!full && ends_ && ends_(durable_of(done))) return;
  // The next sync is under way before anyone hears of this one: a reply may append, or destroy the log.
  if (!waiting_.empty()) start_sync();
  const std::shared_ptr<bool> alive = alive_;
  for (Append& append : done) {
    if (!*alive) return;
    if (full) {
      append.reply(absl::ResourceExhaustedError("the simulated disk is full; free some space"));
    } else {
      append.reply(Done{});
    }
  }
}

void MemoryEventLog::store(const Append& append) {
  for (const Event& event : append.events) disk_.add(event);
  if (append.reserve) disk_.origins.add(*append.reserve);
}

void MemoryEventLog::crash_keeping(std::size_t appends) {
  for (const std::deque<Append>* queue : {&syncing_, &waiting_}) {
    for (const Append& append : *queue) {
      if (appends == 0) return;
      store(append);
      --appends;
    }
  }
}

void MemoryEventLog::read(std::uint64_t from, Pattern pattern, std::size_t limit,
                          Reply<LogPage> reply) {
  absl::StatusOr<LogPage> result = LogPage{};
  LogPage& page = *result;
  page.next = std::max<std::uint64_t>(from, 1);
  page.begins = disk_.past.begins_of_page();
  page.end = true;
  for (page.next = disk_.next_of(pattern, page.next); page.next <= disk_.events.size();
       page.next = disk_.next_of(pattern, page.next + 1)) {
    if (page.events.size() >= limit) {
      page.end = false;
      break;
    }
    const MemoryLogDisk::Stored& stored = disk_.events[page.next - 1];
    if (!pattern.matches(stored.topic) || !disk_.past.keeps(stored.topic, page.next)) continue;
    page.events.push_back(pool_.restore(stored.span()));
  }
  scheduler_.post([reply = std::move(reply), result = std::move(result), alive = alive_]() mutable {
    if (*alive) reply(std::move(result));
  });
}

void MemoryEventLog::seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) {
  const OriginStands behind(beginning.behind);
  std::uint64_t first = disk_.events.size() + 1;
  for (const auto& [origin, places] : disk_.by_origin) {
    const std::optional<OriginStands::Stand> stand = behind.of(origin);
    for (const MemoryLogDisk::Place& place : places) {
      const MemoryLogDisk::Stored& stored = disk_.events[place.position - 1];
      const bool needed = stand ? *stand < std::pair(place.incarnation, place.sequence)
                                : stored.time >= beginning.since;
      if (!needed || !stored.topic.starts_with(pattern.wire_prefix())) continue;
      first = std::min(first, place.position);
      break;
    }
  }
  scheduler_.post([reply = std::move(reply), first, alive = alive_]() mutable {
    if (*alive) reply(first);
  });
}

void MemoryEventLog::read_stream(StreamRange range, std::size_t bytes_max,
                                 Reply<StreamPart> reply) {
  absl::StatusOr<StreamPart> result = StreamPart{.events = {}, .through = range.up_to};
  using Place = MemoryLogDisk::Place;
  const auto stream = disk_.by_origin.find(range.origin);
  if (stream == disk_.by_origin.end() ||
      !std::ranges::binary_search(stream->second, range.incarnation, {}, &Place::incarnation)) {
    result = absl::NotFoundError(absl::StrCat("nothing of ", range.origin, ":", range.incarnation,
                                              " is in the simulated event log"));
  } else {
    std::size_t bytes = 0;
    std::size_t proof_bytes = 0;
    std::uint64_t proven = 0;  // position of the last checkpoint
    const std::vector<Place>& places = stream->second;
    for (auto place = std::ranges::upper_bound(
             places, std::pair(range.incarnation, range.after), {},
             [](const Place& it) { return std::pair(it.incarnation, it.sequence); });
         place != places.end() && place->incarnation == range.incarnation &&
         place->sequence <= range.up_to;
         ++place) {
      const MemoryLogDisk::Stored& stored = disk_.events[place->position - 1];
      if (!range.has(stored.topic) || !disk_.past.keeps(stored.topic, place->position)) continue;
      if (!result->events.empty() && bytes + stored.bytes.size() > bytes_max) {
        result->through = place->sequence - 1;
        break;
      }
      bytes += stored.bytes.size();
      result->events.push_back(pool_.restore(stored.span()));
      if (!range.proofs) continue;
      const std::uint64_t proof = disk_.checkpoint_behind(place->position, range.origin);
      if (proof <= proven) continue;
      const MemoryLogDisk::Stored& checkpoint = disk_.events[proof - 1];
      proof_bytes += checkpoint.bytes.size();
      if (bytes + proof_bytes > proven_bytes_max && !result->checkpoints.empty()) {
        result->cut(result->events.size() - 1);
        break;
      }
      proven = proof;
      result->checkpoints.push_back(pool_.restore(checkpoint.span()));
    }
  }
  scheduler_.post([reply = std::move(reply), result = std::move(result), alive = alive_]() mutable {
    if (*alive) reply(std::move(result));
  });
}

OriginState MemoryEventLog::origin(std::string_view name) const {
  return disk_.origins.state(name);
}

std::vector<std::string> MemoryEventLog::origins() const { return disk_.origins.names(); }

}  // namespace supercloud
