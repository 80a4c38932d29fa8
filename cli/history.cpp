#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/reading/log_page.h"
#include "cli/cluster_target.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr std::uint32_t page_events = 1000;
constexpr Duration page_deadline = absl::Seconds(5);
constexpr Duration offline_deadline = absl::Minutes(1);

// What a node can be asked for.
struct Kept {
  const char* actor;
  const char* word;
  std::filesystem::path folder;
  bool of_all = false;  // nodes, not of itself alone
};

// What was read of it.
struct Read {
  std::vector<Event> events;
  bool begins_later = false;  // it no longer keeps all of its beginning
};

absl::Status read_live(const NodeEntry& node, const Kept& kept, const Pattern& pattern,
                       EventPool& pool, ClusterClient& client, Read& read_so_far) {
  std::uint64_t from = 0;
  while (true) {
    const auto request = read_log_request({.from = from, .pattern = pattern.text()}, page_events);
    const auto response = client.ask({node.name, kept.actor}, request, page_deadline);
    if (!response.ok()) return response.status();
    if (!response->reader().isLog())
      return absl::InternalError(absl::StrCat("it did not answer with a page of its ", kept.word));
    const auto page = response->reader().getLog();
    for (const auto bytes : page.getEvents()) {
      auto event = pool.parse({reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
      if (!event.ok()) return event.status();
      // In its log a node speaks for itself alone.
      if (kept.of_all || node_of(event->origin()) == node.name)
        read_so_far.events.push_back(*std::move(event));
    }
    read_so_far.begins_later |= page.getBegins() > 0;
    if (page.getEnd()) return absl::OkStatus();
    if (page.getNext() <= from)
      return absl::InternalError(absl::StrCat("it does not get on with its ", kept.word));
    from = page.getNext();
  }
}

absl::Status read_offline(const NodeEntry& node, const Kept& kept, const Pattern& pattern,
                          EventPool& pool, Read& read_so_far) {
  EventLoop loop;
  RocksEventLogOptions options;
  options.path = kept.folder.string();
  options.node = node.name;
  auto log = RocksEventLog::open_read_only(loop, pool, options);
  if (!log.ok()) return log.status();
  std::uint64_t from = 0;
  while (true) {
    auto answer = std::make_shared<std::optional<absl::StatusOr<LogPage>>>();
    (*log)->read(from, pattern, page_events,
                 Reply<LogPage>(far_future, [answer](absl::StatusOr<LogPage> page) {
                   *answer = std::move(page);
                 }));
    loop.run_until([&] { return answer->has_value(); }, offline_deadline);
    if (!answer->has_value()) return absl::InternalError("the log did not answer");
    if (!(*answer)->ok()) return (*answer)->status();
    LogPage& page = ***answer;
    read_so_far.events.insert(read_so_far.events.end(),
                              std::make_move_iterator(page.events.begin()),
                              std::make_move_iterator(page.events.end()));
    read_so_far.begins_later |= page.begins > 0;
    if (page.end) return absl::OkStatus();
    from = page.next;
  }
}

// From the running node, else from its disk. NotFound: there is none. `forgetful` as read_history().
absl::Status read_kept(const NodeEntry& node, const Kept& kept, const Pattern& pattern,
                       EventPool& pool, ClusterClient* client, std::vector<Event>& events,
                       std::vector<std::string>* forgetful) {
  Read read;
  absl::Status done = absl::UnavailableError("not asked");
  if (node.alive && client != nullptr) done = read_live(node, kept, pattern, pool, *client, read);
  if (!done.ok()) {
    read = Read();
    done = read_offline(node, kept, pattern, pool, read);
  }
  if (done.ok()) {
    events.insert(events.end(), std::make_move_iterator(read.events.begin()),
                  std::make_move_iterator(read.events.end()));
    if (read.begins_later && forgetful != nullptr)
      forgetful->push_back(absl::StrCat("the ", kept.word, " of ", node.name));
    return done;
  }
  std::error_code error;
  if (absl::IsNotFound(done) && !std::filesystem::exists(kept.folder, error)) return done;
  std::fprintf(stderr, "%s: its %s cannot be read: %s\n", node.name.c_str(), kept.word,
               std::string(done.message()).c_str());
  return absl::IsNotFound(done) ? absl::UnavailableError(done.message()) : done;
}

// What archives have; most of it is in logs, too.
void read_archives(const ClusterTarget& target, const Pattern& pattern, EventPool& pool,
                   ClusterClient* client, std::vector<Event>& events,
                   std::vector<std::string>* forgetful) {
  for (const NodeEntry& node : target.nodes) {
    const Kept archive{"archive", "archive", node.log.parent_path() / archive_folder, true};
    // What cannot be read of them is told by then.
    read_kept(node, archive, pattern, pool, client, events, forgetful).IgnoreError();
  }
}

}  // namespace

absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool,
                                                std::vector<std::string>* forgetful) {
  std::unique_ptr<ClusterClient> client;
  if (target.running) {
    if (auto connected = ClusterClient::connect(target); connected.ok())
      client = *std::move(connected);
  }
  return read_history(target, pattern, pool, client.get(), forgetful);
}

absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool, ClusterClient* client,
                                                std::vector<std::string>* forgetful) {
  std::vector<Event> events;
  std::size_t read = 0;
  absl::Status trouble;
  for (const NodeEntry& node : target.nodes) {
    const absl::Status done =
        read_kept(node, {"log", "log", node.log}, pattern, pool, client, events, forgetful);
    // A node that was registered and ended before it had a log has nothing to tell.
    if (absl::IsNotFound(done)) continue;
    if (done.ok())
      ++read;
    else
      trouble = done;
  }
  read_archives(target, pattern, pool, client, events, forgetful);
  if (read == 0 && events.empty() && !trouble.ok()) return trouble;
  const auto key = [](const Event& event) {
    return std::tuple(event.time(), event.origin(), event.incarnation(), event.sequence());
  };
  std::sort(events.begin(), events.end(),
            [&](const Event& a, const Event& b) { return key(a) < key(b); });
  events.erase(std::unique(events.begin(), events.end(),
                           [&](const Event& a, const Event& b) { return key(a) == key(b); }),
               events.end());
  return events;
}

std::string begins_later(const std::vector<std::string>& forgetful) {
  if (forgetful.empty()) return "";
  return absl::StrCat(
      "some of what was earlier is kept no longer, but for what says what is there: ",
      absl::StrJoin(forgetful, ", "), forgetful.size() == 1 ? " begins" : " begin",
      " later ([log] and [archive] keep)\n");
}

}  // namespace supercloud
