// What the processes of a torture run write down while it lasts, to be judged when it is over. Records have one size and are appended with
// one write each: a process that is killed leaves whole ones, and a torn one at most at the end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"

namespace supercloud::torture {

// The types that are published here: one or more of each delivery class.
enum class Kind : std::uint8_t { price, started, paused, dirty_rate };
inline constexpr std::size_t kinds = 4;
std::string_view topic(Kind kind);  // its first two tokens, each with its dot
bool durable(Kind kind);
bool noted(Kind kind);

enum class Note : std::uint8_t {
  acknowledged,  // a publisher: an event's completion has fired ...
  refused,       // ... with an error
  finished,      // a publisher: all that it has published is acknowledged, and no more follows
  ready,         // a subscriber: what this origin publishes from now on is owed
  received,
  gap,      // what the bus has told its owner
  history,  // a publisher: its log was asked, and gave `count` events
};

struct Record {
  Note note = Note::received;
  std::uint8_t origin = 0;  // index in Plan::origins()
  Kind kind = Kind::price;
  std::uint8_t kinds_mask = 0;  // of a gap: the kinds under its prefix
  std::uint32_t count = 0;
  std::uint64_t incarnation = 0;
  std::uint64_t sequence = 0;  // of a gap: `after`
  std::uint64_t previous = 0;  // of what was received: under the subscription; of a gap: `up_to`
  std::uint64_t digest = 0;    // of the event's bytes
  std::int64_t published_ns =
      0;  // when it was given to the node; on CLOCK_BOOTTIME, which the processes share
  std::int64_t at_ns = 0;
};

std::uint64_t digest(const Event& event);

// Of an event that is published here; false: it is another's.
bool describe(const Event& event, const std::vector<std::string>& origins, Record& record);

// Appends to a file. Thread-bound.
class RecordWriter {
 public:
  explicit RecordWriter(const std::string& path);
  ~RecordWriter();
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  void write(const Record& record) const;

 private:
  int fd_;
};

// What is there of a file, also while it grows. Thread-bound.
class RecordReader {
 public:
  explicit RecordReader(std::string path) : path_(std::move(path)) {}

  // Takes what was added since.
  void poll();
  const std::vector<Record>& records() const { return records_; }

 private:
  std::string path_;
  std::vector<Record> records_;
};

}  // namespace supercloud::torture
