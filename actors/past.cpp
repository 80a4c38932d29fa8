#include "actors/past.h"

#include <algorithm>
#include <utility>

#include "actors/archive/archive.h"
#include "actors/reading/log_page.h"

namespace supercloud {

Past::Past(Context& context, PastOptions options, Each each)
    : context_(context),
      options_(std::move(options)),
      each_(std::move(each)),
      started_(context.now()) {}

void Past::read(std::function<void()> done) {
  done_ = std::move(done);
  read_own(0);
}

void Past::read_own(std::size_t pattern) {
  if (pattern == options_.patterns.size()) {
    own_ = true;
    if (!options_.archived.empty()) read_once({context_.node(), true});
    done_();
    check();
    return;
  }
  context_.history(Pattern::of(options_.patterns[pattern]), each_,
                   [this, pattern](const absl::Status& status) {
                     if (!status.ok()) return context_.fail(status);
                     read_own(pattern + 1);
                   });
}

void Past::hear(const Event& event) {
  std::string node;
  if (event.type() == schema::Payload::NODE_JOINED) {
    node = text(event.payload().getNodeJoined().getNode());
  } else if (event.type() == schema::Payload::NODE_CAPACITY) {
    node = text(event.payload().getNodeCapacity().getNode());
  }
  if (node.empty()) return;
  if (node == context_.node()) {
    if (own_ && !options_.archived.empty()) read_once({node, true});
    return;
  }
  if (!sources_.contains({node, false})) heard_ = context_.now();
  read_once({node, false});
  if (!options_.archived.empty()) read_once({node, true});
  check();
}

// Once read, what its node publishes later comes by itself.
void Past::read_once(const Source& source) {
  const auto [known, is_new] = sources_.try_emplace(source, State::reading);
  if (!is_new && known->second != State::failed) return;
  known->second = State::reading;
  read_from(source, 0, 0);
}

void Past::read_from(const Source& source, std::size_t pattern, std::uint64_t from) {
  const std::vector<std::string>& patterns = source.archive ? options_.archived : options_.patterns;
  if (pattern == patterns.size()) {
    sources_[source] = State::read;
    check();
    return;
  }
  const auto request =
      read_log_request({.from = from, .pattern = patterns[pattern]}, options_.page_events);
  context_.request(
      {source.node, source.archive ? archive_actor : options_.answered_by}, request,
      options_.deadline,
      [this, source, pattern, from](const absl::StatusOr<Message<schema::Response>>& response) {
        if (!response.ok() || !response->reader().isLog()) {
          const bool none = source.archive && absl::IsNotFound(response.status());
          sources_[source] = none ? State::read : State::failed;  // that: until it is heard again
          check();
          return;
        }
        const auto log = response->reader().getLog();
        for (const auto data : log.getEvents()) {
          const auto event = context_.pool().parse(
              {reinterpret_cast<const std::byte*>(data.begin()), data.size()});
          // In its log a node speaks for itself alone.
          if (event.ok() && (source.archive || node_of(event->origin()) == source.node))
            each_(*event);
        }
        const bool end = log.getEnd() || log.getNext() <= from;
        read_from(source, end ? pattern + 1 : pattern, end ? 0 : log.getNext());
      });
}

void Past::settled(std::function<void()> then) {
  waiting_.push_back(std::move(then));
  check();
}

void Past::check() {
  if (waiting_.empty() || !own_) return;
  Instant due = started_ + options_.patience;
  if (options_.quiet && heard_) due = std::min(due, *heard_ + *options_.quiet);
  context_.cancel(std::exchange(timer_, 0));
  if (context_.now() < due) {
    timer_ = context_.at(due, [this] {
      timer_ = 0;
      check();
    });
    return;
  }
  const bool busy = std::any_of(sources_.begin(), sources_.end(),
                                [](const auto& source) { return source.second == State::reading; });
  if (busy) return;
  for (const auto& then : std::exchange(waiting_, {})) then();
}

}  // namespace supercloud
