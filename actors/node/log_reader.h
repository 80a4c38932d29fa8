// The actor "log": answers others from this node's event log, for `events`, `explain` and nodes that joined late.
#pragma once

#include <memory>

#include "core/actor.h"
#include "core/event_log.h"

namespace supercloud {

class LogReader final : public Actor {
 public:
  LogReader(Context& context, EventLog& log) : context_(context), log_(log) {}
  void receive(const Event&) override {}
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  void read_page(std::uint64_t from, const Pattern& pattern, std::size_t limit,
                 std::shared_ptr<Answer> answer);

  Context& context_;
  EventLog& log_;
};

}  // namespace supercloud
