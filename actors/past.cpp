#include "actors/past.h"

#include <algorithm>
#include <utility>

#include "actors/archive/archive.h"
#include "actors/reading/log_page.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr Duration gather_gaps = absl::Seconds(1);  // that one look into a log is for

}  // namespace

Past::Past(Context& context, PastOptions options, Each each)
    : context_(context),
      options_(std::move(options)),
      each_(std::move(each)),
      started_(context.now()) {
  context_.on_gap([this](const BusGap& gap) { note_missed(gap); });
}

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
        take(source, log);
        const bool end = log.getEnd() || log.getNext() <= from;
        read_from(source, end ? pattern + 1 : pattern, end ? 0 : log.getNext());
      });
}

void Past::take(const Source& source, schema::Response::LogPage::Reader page) {
  for (const auto data : page.getEvents()) {
    const auto event =
        context_.pool().parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
    // In its log a node speaks for itself alone.
    if (event.ok() && (source.archive || node_of(event->origin()) == source.node)) each_(*event);
  }
}

void Past::note_missed(const BusGap& gap) {
  const std::string node = str(node_of(gap.origin));
  const auto source = sources_.find({node, false});
  // Else all of its log is read when it is heard, or nobody has it.
  if (source == sources_.end() || source->second == State::failed || gap.up_to == BusGap::unknown)
    return;
  std::set<std::size_t> touched;
  for (std::size_t i = 0; i < options_.patterns.size(); ++i) {
    const std::string prefix = Pattern::of(options_.patterns[i]).wire_prefix();
    if (prefix.starts_with(gap.prefix) || gap.prefix.starts_with(prefix)) touched.insert(i);
  }
  if (touched.empty()) return;
  const auto [known, is_new] = missed_.try_emplace(node);
  Missed& missed = known->second;
  missed.patterns.merge(touched);
  const std::pair after(gap.incarnation, gap.after);
  const auto [behind, is_first] = missed.behind.try_emplace(gap.origin, after);
  behind->second = std::min(behind->second, after);
  if (!is_new) return;
  missed.since = context_.time();
  context_.after(gather_gaps, [this, node] {
    const Missed all = std::move(missed_.extract(node).mapped());
    for (const std::size_t pattern : all.patterns) look_for(node, all, pattern, 0);
  });
}

void Past::look_for(const std::string& node, const Missed& missed, std::size_t pattern,
                    std::uint64_t from) {
  LogQuestion question{
      .from = from, .pattern = options_.patterns[pattern], .behind = {}, .since = missed.since};
  for (const auto& [origin, after] : missed.behind)
    question.behind.push_back({origin, after.first, after.second});
  context_.request({node, options_.answered_by}, read_log_request(question, options_.page_events),
                   options_.deadline,
                   [this, node, missed, pattern,
                    from](const absl::StatusOr<Message<schema::Response>>& response) {
                     const Source source{node, false};
                     if (!response.ok() || !response->reader().isLog()) {
                       sources_[source] = State::failed;  // until it is heard again
                       return check();
                     }
                     const auto log = response->reader().getLog();
                     take(source, log);
                     if (!log.getEnd() && log.getNext() > from)
                       look_for(node, missed, pattern, log.getNext());
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
