// The event log of one node, on RocksDB.
//
//   family "events":  position (8 bytes big-endian, from 1) -> the event's bytes
//   family "origins": length of origin (2 bytes big-endian), origin, prefix -> incarnation, sequence (8 bytes big-endian each)
//                     the newest logged event of the origin under that topic prefix; the key without a prefix and with a
//                     trailing 0xff: its incarnation and the sequences reserved
//   family "streams": length of origin (2 bytes big-endian), origin, incarnation, sequence (8 bytes big-endian each) -> position
//                     of that event (8 bytes big-endian): of the first of its origin in each commit
//   family "default": "retained" -> first position from which on it has all events, number of those it keeps of what was before,
//                     bytes of events from there up to a position, that position (8 bytes big-endian each); not there: it has all
//
// What retention.h has it forget goes with an append, in the same batch as the new "retained"; a row of "streams" stays for each stream
// whose events are forgotten. From the first time on its format is 2, and programs that know 1 refuse it as newer: to them positions that
// are missing are damage. A log that has forgotten nothing has format 1.
//
// An append is one write batch with one sync; appends that wait together share it. What an append left behind that was answered
// with an error is taken out again before the next one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/event_log.h"
#include "core/scheduler.h"
#include "storage/log_image.h"
#include "storage/retention.h"

namespace rocksdb {
class Env;
}

namespace supercloud {

struct RocksEventLogOptions {
  std::string path;
  std::string node;  // whose log it is; another node's is refused
  Retention retention;
  std::size_t queue_max = 65536;           // calls that may wait; more are ResourceExhausted
  std::size_t commit_bytes_max = 8 << 20;  // of the events that share one sync
  std::size_t page_bytes_max = 4 << 20;    // of a page's events
  std::size_t page_scan_max = 8192;        // events looked at for one page
  rocksdb::Env* env = nullptr;             // for tests: a disk that fails
};

// Thread-bound to the scheduler, which must outlive it, as must the pool; its blocking work runs on a thread of its own. The
// destructor waits for what was appended; replies that are then still on their way come.
class RocksEventLog final : public EventLog {
 public:
  // Blocks. FailedPrecondition: in use by another process, newer, or another's; DataLoss: damaged; ResourceExhausted: disk full.
  static absl::StatusOr<std::unique_ptr<RocksEventLog>> open(Scheduler& scheduler, EventPool& pool,
                                                             RocksEventLogOptions options);
  // As it is now, also while its node runs; append is refused. NotFound: no log there.
  static absl::StatusOr<std::unique_ptr<RocksEventLog>> open_read_only(
      Scheduler& scheduler, EventPool& pool, RocksEventLogOptions options);
  // Makes a log of what another one had. Blocks. AlreadyExists: there is a log with events; else as open().
  static absl::Status make(RocksEventLogOptions options, const LogImage& image);
  ~RocksEventLog() override;

  // ResourceExhausted: disk or queue full; Unavailable: the disk fails. Later appends succeed again once the cause is gone.
  void append(std::vector<Event> events, std::optional<Reservation> reserve,
              Reply<Done> reply) override;
  // A page may end before `limit` events were found, even with none: `next` and `end` tell. DataLoss: what is stored there is damaged.
  void read(std::uint64_t from, Pattern pattern, std::size_t limit, Reply<LogPage> reply) override;
  void seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) override;
  // As read(). The part may be empty, but it gets on.
  void read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) override;
  OriginState origin(std::string_view name) const override;
  std::vector<std::string> origins() const override;

  // Of the data, drawn at random when the log was made: OpenSession.identity.
  const std::string& identity() const;

 private:
  struct State;
  explicit RocksEventLog(std::shared_ptr<State> state);
  static absl::StatusOr<std::unique_ptr<RocksEventLog>> open(Scheduler& scheduler, EventPool& pool,
                                                             RocksEventLogOptions options,
                                                             bool read_only);
  // Has the worker call `function` with the state, and replies what it returns.
  template <class T, class Function>
  void look(Reply<T> reply, Function function);
  std::shared_ptr<State> state_;
};

}  // namespace supercloud
