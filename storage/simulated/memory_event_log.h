// The event log of a simulation: a disk in memory that is slow to sync, can be full, and loses in a crash what it had not synced.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "core/event_log.h"
#include "core/scheduler.h"
#include "storage/origin_book.h"
#include "storage/retention.h"

namespace supercloud {

// What is on stable storage: outlives the log, as a disk outlives a process. Bytes, not events: no pool must outlive it.
struct MemoryLogDisk {
  struct Stored {
    std::string_view topic;  // within the bytes
    std::string_view bytes;  // in `memory`
    HybridTime time;
    bool latest = false;  // core/schema/annotations.capnp
    Bytes span() const { return {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}; }
  };
  static std::pmr::memory_resource* pages();
  std::unique_ptr<std::pmr::monotonic_buffer_resource> memory =
      std::make_unique<std::pmr::monotonic_buffer_resource>(pages());
  std::vector<Stored>
      events;  // position 1 first; also what is forgotten: who reads the log does not see it
  RetainedPast past;
  OriginBook origins;
  // Positions by "domain.event.": who asks for few kinds does not look at all the others.
  std::map<std::string, std::vector<std::uint64_t>, std::less<>> by_kind;
  // Where the events of each origin are: all three grow.
  struct Place {
    std::uint64_t incarnation = 0;
    std::uint64_t sequence = 0;
    std::uint64_t position = 0;
  };
  std::map<std::string, std::vector<Place>, std::less<>> by_origin;

  void add(const Event& event);
  // As the events before `stored` have to go, of a log that ends before `next`.
  void forget(const Retention& limits, std::uint64_t stored, std::uint64_t next, absl::Time now);
  bool has(const EventId& id) const;
  // The first at or after `from` whose kind the pattern may match; one past the newest event: there is none.
  std::uint64_t next_of(const Pattern& pattern, std::uint64_t from) const;
  // Of the checkpoint with which the commit ended that has brought an origin's event there; 0: there is none.
  std::uint64_t checkpoint_behind(std::uint64_t position, std::string_view origin) const;
};

struct MemoryEventLogOptions {
  Duration sync_latency = absl::Microseconds(200);
  Retention retention;
};

// Thread-bound to the scheduler, which, as disk and pool, must outlive it. To destroy it is to crash.
class MemoryEventLog final : public EventLog {
 public:
  MemoryEventLog(Scheduler& scheduler, EventPool& pool, MemoryLogDisk& disk,
                 MemoryEventLogOptions options = {});
  ~MemoryEventLog() override;

  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override;
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override;
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override;
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override;
  OriginState origin(std::string_view name) const override;
  std::vector<std::string> origins() const override;

  // While it is full, appends are answered ResourceExhausted when their sync comes, and leave nothing.
  void set_full(bool full) { full_ = full; }
  // Called when a group commit is on the disk, and nobody has heard of it, with the number of its events that others get only then. True:
  // nobody hears of it, as if the process had ended there; which it then has to.
  using Ends = std::function<bool(std::size_t durable)>;
  void set_end(Ends ends) { ends_ = std::move(ends); }
  void set_sync_latency(Duration latency) { latency_ = latency; }
  // To be called right before destruction: of what was not synced, the first `appends` reach the disk all the same, though their
  // repliers never hear of it. Without it all of that is lost.
  void crash_keeping(std::size_t appends);
  std::size_t unsynced() const { return syncing_.size() + waiting_.size(); }

 private:
  struct Append {
    std::vector<Event> events;
    std::optional<Reservation> reserve;
    Reply<Done> reply;
  };
  void start_sync();
  void synced();
  void store(const Append& append);
  static std::size_t durable_of(const std::deque<Append>& appends);

  Scheduler& scheduler_;
  EventPool& pool_;
  MemoryLogDisk& disk_;
  const Retention retention_;
  Duration latency_;
  bool full_ = false;
  Ends ends_;                   // empty: it goes on
  std::deque<Append> syncing_;  // share the sync that is under way
  std::deque<Append> waiting_;  // share the next
  TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace supercloud
