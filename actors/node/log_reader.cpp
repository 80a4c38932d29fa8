#include "actors/node/log_reader.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace supercloud {
namespace {

constexpr std::size_t page_events_max = 1000;
constexpr std::size_t page_bytes_max = 512 << 10;  // an answer is one message of at most 1 MiB

}  // namespace

void LogReader::serve(Message<schema::Request> request, Answer answer) {
  if (!request.reader().isReadLog()) return Actor::serve(std::move(request), std::move(answer));
  pages_.serve(request, std::move(answer));
}

void LogPages::serve(const Message<schema::Request>& request, Answer answer) {
  const auto read = request.reader().getReadLog();
  auto pattern = Pattern::parse(read.getPattern().size() == 0 ? ">" : text(read.getPattern()));
  if (!pattern.ok()) return answer(pattern.status());
  const std::size_t limit = std::clamp<std::size_t>(read.getLimit(), 1, page_events_max);
  auto shared = std::make_shared<Answer>(std::move(answer));
  LogBeginning beginning{.behind = {}, .since = HybridTime{read.getSince()}};
  for (const auto id : read.getBehind()) beginning.behind.push_back(EventId::from(id));
  const bool all = beginning.behind.empty() && beginning.since.value == 0;
  if (all || read.getFrom() != 0) return read_page(read.getFrom(), *pattern, limit, shared);
  const auto found = [this, pattern = *pattern, limit,
                      shared](const absl::StatusOr<std::uint64_t>& from) {
    from.ok() ? read_page(*from, pattern, limit, shared) : (*shared)(from.status());
  };
  log_.seek(std::move(beginning), *pattern, context_.reply<std::uint64_t>(absl::Seconds(5), found));
}

void LogPages::read_page(std::uint64_t from, const Pattern& pattern, std::size_t limit,
                         std::shared_ptr<Answer> answer) {
  if (answer->call() != nullptr && answer->call()->cancelled())
    return (*answer)(absl::CancelledError("nobody waits for the page any more"));
  const auto send = [this, from, pattern, answer](absl::StatusOr<LogPage> page) {
    if (!page.ok()) return (*answer)(page.status());
    std::size_t fitting = 0;
    std::size_t bytes = 0;
    while (fitting < page->events.size() &&
           (fitting == 0 || bytes + page->events[fitting].bytes().size() <= page_bytes_max))
      bytes += page->events[fitting++].bytes().size();
    // Only the log knows the position after an event: a page that must be shorter is read again.
    if (fitting < page->events.size()) return read_page(from, pattern, fitting, answer);
    (*answer)(Message<schema::Response>::build([&](schema::Response::Builder response) {
      auto log = response.initLog();
      auto events = log.initEvents(static_cast<unsigned>(page->events.size()));
      for (unsigned i = 0; i < page->events.size(); ++i) {
        const Bytes event = page->events[i].bytes();
        auto data = events.init(i, static_cast<unsigned>(event.size()));
        std::copy_n(reinterpret_cast<const unsigned char*>(event.data()), event.size(),
                    data.begin());
      }
      log.setNext(page->next);
      log.setEnd(page->end);
      log.setBegins(page->begins);
    }));
  };
  log_.read(from, pattern, limit, context_.reply<LogPage>(absl::Seconds(5), send));
}

}  // namespace supercloud
