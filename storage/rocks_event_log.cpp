#include "storage/rocks_event_log.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/topic.h"
#include "storage/origin_book.h"
#include "storage/rocks_folder.h"
#include "storage/rocks_log_rows.h"
#include "storage/rocks_retention.h"
#include "storage/rocks_streams.h"
#include "storage/worker.h"

namespace supercloud {
namespace {

constexpr char reserved_mark = '\xff';
constexpr std::uint64_t first_position = RetainedPast::first;

std::string origin_value(std::uint64_t incarnation, std::uint64_t sequence) {
  return to_big_endian(incarnation) + to_big_endian(sequence);
}

struct Append {
  std::vector<Event> events;
  std::optional<EventLog::Reservation> reserve;
  Reply<Done> reply;

  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Event& event : events) sum += event.bytes().size();
    return sum;
  }
};

RocksFolderOptions folder_options(const RocksEventLogOptions& options) {
  return {.path = options.path,
          .kind = "event log",
          .format = RocksRetention::format,
          .format_made = RocksRetention::format_of_all,
          .owner = options.node,
          .families = {{"events", true}, {"origins"}, {"streams", true}},
          .env = options.env};
}

void put_origins(RocksChanges& batch, const OriginBook& book) {
  for (const auto& [origin, entry] : book.entries()) {
    batch.put(origins_family, origin_key(origin, {&reserved_mark, 1}),
              origin_value(entry.incarnation, entry.sequence_reserved));
    for (const auto& [prefix, sequence] : entry.tails)
      batch.put(origins_family, origin_key(origin, prefix),
                origin_value(entry.incarnation, sequence));
  }
}

// Of each origin's events with the same first three tokens the newest, in order of sequence: all that they leave in its tails.
std::vector<const Event*> newest_of(const std::deque<Append>& appends) {
  using Under = std::tuple<std::string_view, std::uint64_t, std::string_view>;
  std::map<Under, const Event*> newest;
  auto last = newest.end();
  for (const Append& append : appends) {
    for (const Event& event : append.events) {
      const Under under{event.origin(), event.incarnation(), leading_tokens(event.topic(), 3)};
      if (last == newest.end() || last->first != under)
        last = newest.try_emplace(under, &event).first;
      if (last->second->sequence() < event.sequence()) last->second = &event;
    }
  }
  std::vector<const Event*> events;
  events.reserve(newest.size());
  for (const auto& [under, event] : newest) events.push_back(event);
  std::ranges::sort(events, {}, [](const Event* event) { return event->sequence(); });
  return events;
}

// `newest`: of these appends.
void note(OriginBook& book, const std::deque<Append>& appends,
          const std::vector<const Event*>& newest) {
  for (const Event* event : newest) book.add(*event);
  for (const Append& append : appends) {
    for (const Event& event : append.events) book.note_time(event.time());
    if (append.reserve) book.add(*append.reserve);
  }
}

}  // namespace

struct RocksEventLog::State {
  State(Scheduler& s, EventPool& p, RocksEventLogOptions o)
      : scheduler(s), pool(p), options(std::move(o)), retention(options.retention, p) {}

  // Worker side.
  absl::Status load();
  absl::Status recover();
  absl::Status take_back(std::uint64_t from);
  absl::Status write(const std::deque<Append>& appends, const std::vector<const Event*>& newest,
                     absl::Time now);
  absl::StatusOr<LogPage> read(std::uint64_t from, const Pattern& pattern, std::size_t limit) const;
  RocksStreams::Log streams() const;
  // Logs of an earlier program have no family "streams".
  absl::Status index_streams();
  absl::Status closed() const;

  Scheduler& scheduler;
  EventPool& pool;
  const RocksEventLogOptions options;
  std::unique_ptr<RocksFolder> folder;
  bool read_only = false;
  std::string identity;  // the folder's; a reopening on the worker writes that one again
  std::uint64_t next_position = first_position;
  std::uint64_t acknowledged = 0;  // number of the last commit whose publishers know of it
  OriginBook stored;               // as of the last commit, on the worker's side
  RocksRetention retention;        // likewise

  OriginBook book;  // as of the last reply, on the scheduler's

  std::mutex mutex;
  std::deque<Append> waiting;  // guarded by mutex

  std::unique_ptr<Worker> worker;  // last: its thread uses all of the above
};

absl::Status RocksEventLog::State::load() {
  OriginBook found;
  std::unique_ptr<rocksdb::Iterator> rows = folder->rows(origins_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    const std::string_view key = view(rows->key());
    const std::string_view value = view(rows->value());
    if (key.size() < 2 || value.size() != 16)
      return folder->damaged("an origin's row is malformed");
    const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(key[0])) << 8U |
                               static_cast<unsigned char>(key[1]);
    if (key.size() < 2 + length) return folder->damaged("an origin's row is malformed");
    const std::string_view origin = key.substr(2, length);
    const std::string_view prefix = key.substr(2 + length);
    const std::uint64_t incarnation = from_big_endian(value.substr(0, 8));
    const std::uint64_t sequence = from_big_endian(value.substr(8, 8));
    if (prefix.size() == 1 && prefix[0] == reserved_mark) {
      found.add({std::string(origin), incarnation, sequence});
    } else {
      found.add_tail(origin, incarnation, prefix, sequence);
    }
  }
  if (!rows->status().ok()) return folder->explain(rows->status(), "reading origins");
  if (absl::Status loaded = retention.load(*folder); !loaded.ok()) return loaded;

  std::unique_ptr<rocksdb::Iterator> last = folder->rows(events_family);
  last->SeekToLast();
  if (!last->status().ok()) return folder->explain(last->status(), "reading its end");
  next_position = retention.past().begins();
  if (last->Valid()) {
    next_position = std::max(next_position, from_big_endian(view(last->key())) + 1);
    const rocksdb::Slice value = last->value();
    // A damaged one is told when it is read.
    const absl::StatusOr<Event> event =
        pool.parse(Bytes(reinterpret_cast<const std::byte*>(value.data()), value.size()));
    if (event.ok()) found.note_time(event->time());
  }
  if (!read_only) {
    if (absl::Status counted = retention.count(*folder, next_position); !counted.ok())
      return counted;
  }
  identity = folder->identity();
  acknowledged = folder->commits();
  stored = std::move(found);
  return absl::OkStatus();
}

absl::Status RocksEventLog::State::recover() {
  if (absl::Status opened = folder->reopen(); !opened.ok()) return opened;
  // The failed append, or a failed taking back, had reached the disk after all, but its publisher was told that it had not.
  // What the folder knew before the reopening says nothing: an earlier one may have got as far as reading it.
  // What it forgot with that append stays forgotten.
  if (absl::Status loaded = retention.load(*folder); !loaded.ok()) return loaded;
  if (folder->commits() != acknowledged) {
    if (absl::Status taken = take_back(next_position); !taken.ok()) return taken;
    acknowledged = folder->commits();
    if (absl::Status loaded = retention.load(*folder); !loaded.ok()) return loaded;
  }
  return retention.count(*folder, next_position);
}

absl::Status RocksEventLog::State::take_back(std::uint64_t from) {
  RocksChanges batch;
  std::unique_ptr<rocksdb::Iterator> rows = folder->rows(events_family);
  for (rows->Seek(to_big_endian(from)); rows->Valid(); rows->Next()) {
    batch.erase(events_family, rows->key().ToString());
  }
  if (!rows->status().ok()) return folder->explain(rows->status(), "taking back a failed append");
  rows = folder->rows(origins_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    batch.erase(origins_family, rows->key().ToString());
  }
  if (!rows->status().ok()) return folder->explain(rows->status(), "taking back a failed append");
  rows = folder->rows(streams_family);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    if (from_big_endian(view(rows->value())) >= from)
      batch.erase(streams_family, rows->key().ToString());
  }
  if (!rows->status().ok()) return folder->explain(rows->status(), "taking back a failed append");
  rows.reset();
  put_origins(batch, stored);
  retention.uncount(batch);
  return folder->commit(batch);
}

absl::Status RocksEventLog::State::write(const std::deque<Append>& appends,
                                         const std::vector<const Event*>& newest, absl::Time now) {
  if (folder->failed() || folder->commits() != acknowledged || !retention.loaded()) {
    if (absl::Status recovered = recover(); !recovered.ok()) return recovered;
  }
  RocksChanges batch;
  std::uint64_t position = next_position;
  std::map<std::string, std::string> rows;  // each tail once, however many events there are
  std::map<std::pair<std::string_view, std::uint64_t>, std::uint64_t>
      begun;  // streams, and where in this commit
  for (const Append& append : appends) {
    for (const Event& event : append.events) {
      const Bytes bytes = event.bytes();
      if (begun.try_emplace({event.origin(), event.incarnation()}, position).second) {
        batch.put(streams_family, stream_key(event.origin(), event.incarnation(), event.sequence()),
                  to_big_endian(position));
      }
      retention.take(bytes.size());
      batch.put(events_family, to_big_endian(position++),
                std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    }
    if (append.reserve) {
      const EventLog::Reservation& reserve = *append.reserve;
      rows[origin_key(reserve.origin, {&reserved_mark, 1})] =
          origin_value(reserve.incarnation, reserve.sequence_reserved);
    }
  }
  for (const Event* event : newest) {
    for (std::size_t tokens = 0; tokens <= 3; ++tokens) {
      const std::string prefix = tokens == 0 ? std::string() : topic_prefix(event->topic(), tokens);
      rows[origin_key(event->origin(), prefix)] =
          origin_value(event->incarnation(), event->sequence());
    }
  }
  for (const auto& [key, value] : rows) batch.put(origins_family, key, value);
  if (position == next_position && rows.empty()) return absl::OkStatus();
  retention.forget(*folder, batch, next_position, position, now);
  if (absl::Status committed = folder->commit(batch); !committed.ok()) return committed;
  next_position = position;
  acknowledged = folder->commits();
  note(stored, appends, newest);
  retention.committed(*folder);
  return absl::OkStatus();
}

absl::StatusOr<LogPage> RocksEventLog::State::read(std::uint64_t from, const Pattern& pattern,
                                                   std::size_t limit) const {
  LogPage page;
  page.next = std::max(from, first_position);
  page.begins = retention.past().begins_of_page();
  const std::uint64_t begins = retention.past().begins();
  // Below the beginning are only those that are kept.
  const auto missing = [&](std::uint64_t position) {
    const std::uint64_t expected = std::max(page.next, begins);
    return position > expected ? expected : 0;
  };
  std::size_t bytes = 0;
  std::size_t looks = 0;
  std::unique_ptr<rocksdb::Iterator> rows = folder->rows(events_family);
  rows->Seek(to_big_endian(page.next));
  for (; rows->Valid(); rows->Next()) {
    const std::uint64_t position = from_big_endian(view(rows->key()));
    // What a failed append left behind is not in the log; recover() takes it out.
    if (!read_only && position >= next_position) break;
    if (page.events.size() >= limit || bytes >= options.page_bytes_max ||
        looks >= options.page_scan_max) {
      return page;
    }
    ++looks;
    if (const std::uint64_t lost = missing(position); lost != 0)
      return folder->damaged(absl::StrCat("event ", lost, " is missing"));
    absl::StatusOr<Event> event = event_at(*folder, pool, position, view(rows->value()));
    if (!event.ok()) return event.status();
    page.next = position + 1;
    if (!pattern.matches(event->topic())) continue;
    bytes += rows->value().size();
    page.events.push_back(*std::move(event));
  }
  if (!rows->status().ok()) return folder->explain(rows->status(), "reading events");
  if (const std::uint64_t lost = read_only ? 0 : missing(next_position); lost != 0)
    return folder->damaged(absl::StrCat("event ", lost, " is missing"));
  page.end = true;
  return page;
}

absl::Status RocksEventLog::State::closed() const {
  if (folder->db() != nullptr) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the event log in ", options.path,
                   " is closed after a failed write; free some space or check the disk"));
}

RocksStreams::Log RocksEventLog::State::streams() const {
  return {.folder = *folder,
          .pool = pool,
          .past = retention.past(),
          .origins = stored,
          .end = next_position,
          .scan_max = options.page_scan_max};
}

absl::Status RocksEventLog::State::index_streams() {
  if (read_only || next_position == first_position) return absl::OkStatus();
  std::unique_ptr<rocksdb::Iterator> index = folder->rows(streams_family);
  index->SeekToFirst();
  if (!index->status().ok()) return folder->explain(index->status(), "reading streams");
  if (index->Valid()) return absl::OkStatus();
  const absl::StatusOr<RocksChanges> rows = RocksStreams(streams()).index();
  if (!rows.ok()) return rows.status();
  if (absl::Status committed = folder->commit(*rows); !committed.ok()) return committed;
  acknowledged = folder->commits();
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<RocksEventLog>> RocksEventLog::open(Scheduler& scheduler,
                                                                   EventPool& pool,
                                                                   RocksEventLogOptions options) {
  return open(scheduler, pool, std::move(options), false);
}

absl::StatusOr<std::unique_ptr<RocksEventLog>> RocksEventLog::open_read_only(
    Scheduler& scheduler, EventPool& pool, RocksEventLogOptions options) {
  return open(scheduler, pool, std::move(options), true);
}

absl::StatusOr<std::unique_ptr<RocksEventLog>> RocksEventLog::open(Scheduler& scheduler,
                                                                   EventPool& pool,
                                                                   RocksEventLogOptions options,
                                                                   bool read_only) {
  RocksFolderOptions folder = folder_options(options);
  auto state = std::make_shared<State>(scheduler, pool, std::move(options));
  state->read_only = read_only;
  absl::StatusOr<std::unique_ptr<RocksFolder>> opened =
      read_only ? RocksFolder::open_read_only(std::move(folder))
                : RocksFolder::open(std::move(folder));
  if (!opened.ok()) return opened.status();
  state->folder = *std::move(opened);
  if (absl::Status loaded = state->load(); !loaded.ok()) return loaded;
  if (absl::Status indexed = state->index_streams(); !indexed.ok()) return indexed;
  state->book = state->stored;
  state->worker = std::make_unique<Worker>(state->options.queue_max);
  return std::unique_ptr<RocksEventLog>(new RocksEventLog(std::move(state)));
}

absl::Status RocksEventLog::make(RocksEventLogOptions options, const LogImage& image) {
  const auto folder = RocksFolder::open(folder_options(options));
  if (!folder.ok()) return folder.status();
  const auto there = (*folder)->rows(events_family);
  there->SeekToFirst();
  if (there->Valid())
    return absl::AlreadyExistsError(
        absl::StrCat(options.path, " has events already; name another folder"));
  if (!there->status().ok()) return (*folder)->explain(there->status(), "reading events");
  std::uint64_t position = first_position;
  std::string key;
  RocksFolder::RowView row;
  const absl::Status written =
      (*folder)->ingest(events_family, [&]() -> const RocksFolder::RowView* {
        const std::uint64_t index = position - first_position;
        if (index == image.events.size()) return nullptr;
        const Bytes bytes = image.events[index];
        key = to_big_endian(position++);
        row = {key, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}};
        return &row;
      });
  if (!written.ok()) return written;
  RocksChanges batch;
  put_origins(batch, image.origins);
  return (*folder)->commit(batch);
}

RocksEventLog::RocksEventLog(std::shared_ptr<State> state) : state_(std::move(state)) {}

RocksEventLog::~RocksEventLog() { state_->worker.reset(); }

const std::string& RocksEventLog::identity() const { return state_->identity; }

OriginState RocksEventLog::origin(std::string_view name) const { return state_->book.state(name); }

std::vector<std::string> RocksEventLog::origins() const { return state_->book.names(); }

void RocksEventLog::append(std::vector<Event> events, std::optional<Reservation> reserve,
                           Reply<Done> reply) {
  const auto refuse = [this](absl::Status why, Reply<Done> refused) {
    state_->scheduler.post([why = std::move(why), refused = std::move(refused)]() mutable {
      refused(std::move(why));
    });
  };
  if (state_->read_only) {
    refuse(absl::FailedPreconditionError(absl::StrCat("the event log in ", state_->options.path,
                                                      " was opened for reading only")),
           std::move(reply));
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.push_back({std::move(events), std::move(reserve), std::move(reply)});
  }
  // Takes all that waits by then, up to a size: the later appends' own tasks find nothing left to do. The state is kept alive
  // by the completion alone, and never freed by the worker, whose thread it owns.
  Task commit = [now = state_->scheduler.clock().wall(), state = state_.get(),
                 weak = std::weak_ptr<State>(state_)] {
    std::deque<Append> batch;
    {
      const std::lock_guard lock(state->mutex);
      std::size_t bytes = 0;
      while (!state->waiting.empty() && bytes < state->options.commit_bytes_max) {
        bytes += state->waiting.front().bytes();
        batch.push_back(std::move(state->waiting.front()));
        state->waiting.pop_front();
      }
    }
    if (batch.empty()) return;
    std::vector<const Event*> newest = newest_of(batch);
    absl::Status written = state->write(batch, newest, now);
    state->scheduler.post([weak, batch = std::move(batch), newest = std::move(newest),
                           written = std::move(written)]() mutable {
      if (const std::shared_ptr<State> alive = weak.lock(); alive && written.ok())
        note(alive->book, batch, newest);
      for (Append& append : batch) {
        if (written.ok()) {
          append.reply(Done{});
        } else {
          append.reply(written);
        }
      }
    });
  };
  if (!state_->worker->offer(commit)) {
    std::optional<Append> refused;
    {
      const std::lock_guard lock(state_->mutex);
      // The worker may have taken it along with others in the meantime.
      if (!state_->waiting.empty()) {
        refused = std::move(state_->waiting.back());
        state_->waiting.pop_back();
      }
    }
    if (refused) {
      refuse(absl::ResourceExhaustedError(absl::StrCat("more than ", state_->options.queue_max,
                                                       " calls wait for the event log in ",
                                                       state_->options.path)),
             std::move(refused->reply));
    }
  }
}

void RocksEventLog::read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) {
  look<StreamPart>(std::move(reply), [range = std::move(range), bytes_max](const State& state) {
    return RocksStreams(state.streams()).read(range, bytes_max);
  });
}

void RocksEventLog::seek(LogBeginning beginning, Pattern pattern, Reply<std::uint64_t> reply) {
  look<std::uint64_t>(std::move(reply), [beginning = std::move(beginning),
                                         pattern = std::move(pattern)](const State& state) {
    return RocksStreams(state.streams()).seek(beginning, pattern);
  });
}

void RocksEventLog::read(std::uint64_t from, Pattern pattern, std::size_t limit,
                         Reply<LogPage> reply) {
  look<LogPage>(std::move(reply), [from, pattern = std::move(pattern), limit](const State& state) {
    return state.read(from, pattern, limit);
  });
}

template <class T, class Function>
void RocksEventLog::look(Reply<T> reply, Function function) {
  auto shared = std::make_shared<Reply<T>>(std::move(reply));
  Task task = [state = state_.get(), shared, function = std::move(function)] {
    const absl::Status closed = state->closed();
    absl::StatusOr<T> found = closed.ok() ? function(*state) : absl::StatusOr<T>(closed);
    state->scheduler.post(
        [shared, found = std::move(found)]() mutable { (*shared)(std::move(found)); });
  };
  if (!state_->worker->offer(task)) {
    state_->scheduler.post([shared, path = state_->options.path] {
      (*shared)(absl::ResourceExhaustedError(
          absl::StrCat("too many calls wait for the event log in ", path)));
    });
  }
}

}  // namespace supercloud
