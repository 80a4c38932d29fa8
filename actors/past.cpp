#include "actors/past.h"

#include <algorithm>
#include <utility>

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
  if (node.empty() || node == context_.node()) return;
  // Once read, what it publishes later comes by itself.
  const auto [known, is_new] = nodes_.try_emplace(node, State::reading);
  if (!is_new && known->second != State::failed) return;
  known->second = State::reading;
  if (is_new) heard_ = context_.now();
  read_from(node, 0, 0);
  check();
}

void Past::read_from(const std::string& node, std::size_t pattern, std::uint64_t from) {
  if (pattern == options_.patterns.size()) {
    nodes_[node] = State::read;
    check();
    return;
  }
  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto read = builder.initReadLog();
    read.setFrom(from);
    read.setPattern(options_.patterns[pattern]);
    read.setLimit(options_.page_events);
  });
  context_.request(
      {node, options_.answered_by}, request, options_.deadline,
      [this, node, pattern, from](const absl::StatusOr<Message<schema::Response>>& response) {
        if (!response.ok() || !response->reader().isLog()) {
          nodes_[node] = State::failed;  // until it is heard again
          check();
          return;
        }
        const auto log = response->reader().getLog();
        for (const auto data : log.getEvents()) {
          const auto event = context_.pool().parse(
              {reinterpret_cast<const std::byte*>(data.begin()), data.size()});
          if (event.ok()) each_(*event);
        }
        const bool end = log.getEnd() || log.getNext() <= from;
        read_from(node, end ? pattern + 1 : pattern, end ? 0 : log.getNext());
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
  const bool busy = std::any_of(nodes_.begin(), nodes_.end(),
                                [](const auto& node) { return node.second == State::reading; });
  if (busy) return;
  for (const auto& then : std::exchange(waiting_, {})) then();
}

}  // namespace supercloud
