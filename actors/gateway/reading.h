// One reader: what it missed, from the logs of the nodes, then what happens, without a hole and without a double.
//
// The logs are read page by page, the events of all of them in the order of their time. Where they reach what the hub still remembers,
// the reading is attached: what the hub remembers and hears is merged in, and the logs are read on to their ends. Then it is live. An event
// that its cursor has passed is not told again. That events are missing is seen by the sequence of the one before, which each carries
// (core/schema/event.capnp), and told as a gap: of events that are in no log once an origin while the past is read.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "actors/gateway/cloud_event.h"
#include "actors/gateway/cursor.h"
#include "actors/gateway/outlet.h"
#include "core/bus.h"
#include "core/event.h"
#include "core/message.h"

namespace supercloud {

// An event and its JSON, made once for all who read it.
class RenderedEvent {
 public:
  explicit RenderedEvent(Event event) : event_(std::move(event)) {}
  const Event& event() const { return event_; }
  const std::string& json() {
    if (json_.empty()) json_ = cloud_event_json(event_);
    return json_;
  }

 private:
  Event event_;
  std::string json_;
};

// What a reading asks of the hub.
class ReadingHost {
 public:
  using Page = absl::StatusOr<Message<schema::Response>>;

  virtual ~ReadingHost() = default;
  // Of a log; `then` runs later, once, unless the reading has been closed.
  virtual void page(std::uint64_t reading, const std::string& node, std::uint64_t from,
                    const std::string& pattern, std::function<void(Page)> then) = 0;
  virtual absl::StatusOr<Event> parse(Bytes bytes) = 0;
  // Every node that was ever heard of, and whether it shows a sign of life.
  virtual const std::map<std::string, bool>& nodes() const = 0;
  // What was heard last, in the order of its arrival.
  virtual const std::deque<Event>& recent() const = 0;
  virtual std::string gap(const MissedEvents& missed) = 0;
};

// Thread-bound to its hub.
class Reading {
 public:
  static constexpr std::size_t pending_max = 16384;  // heard while the past is still read

  struct Begin {
    Cursor cursor;
    bool past = false;
    std::optional<std::uint32_t> limit;
  };

  Reading(std::uint64_t id, ReadingHost& host, GatewayMetrics& metrics, Begin begin,
          std::shared_ptr<Outlet> outlet);

  // Goes on: at the beginning, and when the outlet has room again.
  void step();
  void hear(RenderedEvent& event);
  void missed(const BusGap& gap);
  bool done() const { return done_; }

 private:
  struct Log {
    std::uint64_t from = 0;
    std::deque<Event> page;
    bool asked = false;
    bool end = false;
    bool failed = false;
  };

  void open_logs();
  void attach();
  bool ask();
  void take_page(const std::string& node, bool attached, const ReadingHost::Page& page);
  std::deque<Event>* earliest();
  bool give(RenderedEvent& rendered);
  bool offer(std::string_view origin, Stand stand, std::string_view type, std::string_view json);
  bool tell_missing(const Event& event);
  bool tell(const MissedEvents& missed);
  std::optional<Stand> passed_before(const Event& event) const;
  std::size_t chain_tokens() const;
  std::string chain_of(const Event& event) const;
  void pass(const Event& event, bool told);
  void note_heard(const Event& event);
  void end(std::optional<SlowReader> slow);

  const std::uint64_t id_;
  ReadingHost& host_;
  GatewayMetrics& metrics_;
  Cursor cursor_;  // what the reader has been told
  const bool past_;
  const std::optional<std::uint32_t> limit_;
  const std::shared_ptr<Outlet> outlet_;
  const std::string prefix_;  // whole tokens that all of its topics begin with
  const bool passing_;        // it may match volatile events, which are in no log

  // All origins, also those for which the cursor has no room, and those of before its start.
  std::map<std::string, Stand, std::less<>> stands_;
  // Those that were passed in the beginning, or told as missing since.
  std::map<std::string, Stand, std::less<>> floors_;
  // What the hub has heard since it was attached, also what does not match.
  std::map<std::string, Stand, std::less<>> heard_;
  // By origin and topic prefix: the newest event that came.
  std::map<std::string, Stand, std::less<>> chains_;
  std::map<std::string, Log> logs_;
  std::deque<Event> pending_;
  std::deque<MissedEvents> to_tell_;
  std::set<std::string, std::less<>> told_;  // origins of which something is missing in the past
  std::uint32_t given_ = 0;
  bool attached_ = false;
  bool live_ = false;
  bool done_ = false;
};

}  // namespace supercloud
