// The actor "log": answers others from this node's event log, for `events`, `explain` and nodes that joined late.
#pragma once

#include <memory>

#include "core/actor.h"
#include "core/event_log.h"

namespace supercloud {

// Serves readLog from a log, for the actor that owns it. Thread-bound to it.
class LogPages {
 public:
  LogPages(Context& context, EventLog& log) : context_(context), log_(log) {}
  // One page, as far as a message holds it. `request` is a readLog.
  void serve(const Message<schema::Request>& request, Answer answer);

 private:
  void read_page(std::uint64_t from, const Pattern& pattern, std::size_t limit,
                 std::shared_ptr<Answer> answer);

  Context& context_;
  EventLog& log_;
};

class LogReader final : public Actor {
 public:
  LogReader(Context& context, EventLog& log) : pages_(context, log) {}
  void receive(const Event&) override {}
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  LogPages pages_;
};

}  // namespace supercloud
