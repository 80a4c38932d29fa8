#include <algorithm>
#include <cstdio>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/reading/log_page.h"
#include "bus/checkpoint.h"
#include "cli/cluster_target.h"
#include "cli/trust_file.h"
#include "storage/rocks_event_log.h"

namespace supercloud {
namespace {

constexpr std::uint32_t page_events = 1000;
constexpr Duration page_deadline = absl::Seconds(5);
constexpr Duration offline_deadline = absl::Minutes(1);

// Of events.
struct Wanted {
  Pattern pattern;
  HybridTime since;
};

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

absl::Status read_live(const NodeEntry& node, const Kept& kept, const Wanted& wanted,
                       EventPool& pool, ClusterClient& client, Read& read_so_far) {
  std::uint64_t from = 0;
  while (true) {
    const auto request = read_log_request(
        {.from = from, .pattern = wanted.pattern.text(), .behind = {}, .since = wanted.since},
        page_events);
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

template <class T>
absl::StatusOr<T> wait_for(EventLoop& loop, absl::FunctionRef<void(Reply<T>)> call) {
  auto answer = std::make_shared<std::optional<absl::StatusOr<T>>>();
  call(Reply<T>(far_future, [answer](absl::StatusOr<T> value) { *answer = std::move(value); }));
  loop.run_until([&] { return answer->has_value(); }, offline_deadline);
  if (!answer->has_value()) return absl::InternalError("the log did not answer");
  return *std::move(*answer);
}

absl::Status read_offline(const NodeEntry& node, const Kept& kept, const Wanted& wanted,
                          EventPool& pool, Read& read_so_far) {
  EventLoop loop;
  RocksEventLogOptions options;
  options.path = kept.folder.string();
  options.node = node.name;
  auto log = RocksEventLog::open_read_only(loop, pool, options);
  if (!log.ok()) return log.status();
  const auto begin = wait_for<std::uint64_t>(loop, [&](Reply<std::uint64_t> reply) {
    (*log)->seek({.behind = {}, .since = wanted.since}, wanted.pattern, std::move(reply));
  });
  if (!begin.ok()) return begin.status();
  std::uint64_t from = *begin;
  while (true) {
    auto read = wait_for<LogPage>(loop, [&](Reply<LogPage> reply) {
      (*log)->read(from, wanted.pattern, page_events, std::move(reply));
    });
    if (!read.ok()) return read.status();
    LogPage& page = *read;
    read_so_far.events.insert(read_so_far.events.end(),
                              std::make_move_iterator(page.events.begin()),
                              std::make_move_iterator(page.events.end()));
    read_so_far.begins_later |= page.begins > 0;
    if (page.end) return absl::OkStatus();
    from = page.next;
  }
}

// From the running node, else from its disk, if that is here. NotFound: there is none. `forgetful` as read_history(). Who does not answer is not asked
// again.
absl::Status read_kept(NodeEntry& node, const Kept& kept, const Wanted& wanted, EventPool& pool,
                       ClusterClient* client, std::vector<Event>& events,
                       std::vector<std::string>* forgetful) {
  Read read;
  absl::Status done = absl::UnavailableError("not asked");
  if (node.alive && client != nullptr) {
    done = read_live(node, kept, wanted, pool, *client, read);
    node.alive = !absl::IsUnavailable(done) && !absl::IsDeadlineExceeded(done);
  }
  const bool here = !node.log.empty();
  if (!done.ok() && here) {
    read = Read();
    done = read_offline(node, kept, wanted, pool, read);
  }
  if (done.ok()) {
    events.insert(events.end(), std::make_move_iterator(read.events.begin()),
                  std::make_move_iterator(read.events.end()));
    if (read.begins_later && forgetful != nullptr)
      forgetful->push_back(absl::StrCat("the ", kept.word, " of ", node.name));
    return done;
  }
  std::error_code error;
  if (absl::IsNotFound(done) && !(here && std::filesystem::exists(kept.folder, error))) return done;
  std::fprintf(stderr, "%s: its %s cannot be read: %s\n", node.name.c_str(), kept.word,
               std::string(done.message()).c_str());
  return absl::IsNotFound(done) ? absl::UnavailableError(done.message()) : done;
}

// Leaves what checkpoints there prove to be what their nodes have said.
void keep_proven_of(const Kept& where, NodeEntry& node, const Trust& trust, HybridTime since,
                    EventPool& pool, ClusterClient* client, std::vector<Event>& kept) {
  std::vector<Event> checkpoints;
  read_kept(node, where, {Pattern::of("bus.checkpoint.>"), since}, pool, client, checkpoints,
            nullptr)
      .IgnoreError();
  const std::size_t all = kept.size();
  const absl::Status proven = keep_proven(trust, checkpoints, kept);
  if (!proven.ok())
    std::fprintf(stderr, "%s: its %s is not to be believed: %s\n", node.name.c_str(), where.word,
                 std::string(proven.message()).c_str());
  if (kept.size() < all)
    std::fprintf(stderr, "%s: of %zu events in its %s %zu are not proven, and left out\n",
                 node.name.c_str(), all, where.word, all - kept.size());
}

// What another than its own node tells, or a hub. Where the bus has keys, what is proven.
absl::Status read_told(const Kept& where, NodeEntry& node, const std::optional<Trust>& trust,
                       const Wanted& wanted, EventPool& pool, ClusterClient* client,
                       std::vector<Event>& events, std::vector<std::string>* forgetful) {
  std::vector<Event> kept;
  absl::Status done = read_kept(node, where, wanted, pool, client, kept, forgetful);
  // No other lists a checkpoint, and what it is good for is to prove.
  std::erase_if(kept, [&](const Event& event) {
    return trust && event.type() == schema::Payload::BUS_CHECKPOINT;
  });
  if (trust && !kept.empty()) keep_proven_of(where, node, *trust, wanted.since, pool, client, kept);
  events.insert(events.end(), std::make_move_iterator(kept.begin()),
                std::make_move_iterator(kept.end()));
  return done;
}

Kept archive_of(const NodeEntry& node) {
  return {"archive", "archive", node.log.parent_path() / archive_folder, true};
}

// What archives have; most of it is in logs, too.
void read_archives(std::vector<NodeEntry>& nodes, const std::optional<Trust>& trust,
                   const Wanted& wanted, EventPool& pool, ClusterClient* client,
                   std::vector<Event>& events, std::vector<std::string>* forgetful) {
  for (NodeEntry& node : nodes) {
    if (node.log.empty() && !node.alive) continue;
    // What cannot be read of them is told by then.
    read_told(archive_of(node), node, trust, wanted, pool, client, events, forgetful).IgnoreError();
  }
}

// Those of this machine, and all members of the bus.
std::vector<NodeEntry> nodes_of(const ClusterTarget& target, const ClusterClient* client) {
  std::vector<NodeEntry> nodes = target.nodes;
  if (client == nullptr) return nodes;
  for (const std::string& member : client->members()) {
    const auto known = std::ranges::find(nodes, member, &NodeEntry::name);
    if (known == nodes.end())
      nodes.push_back({.name = member, .alive = true});
    else
      known->alive = true;
  }
  return nodes;
}

// Who has said some of it, and whose log was not read. Of who has left, that is known to be all.
std::set<std::string> not_read(const std::vector<Event>& events,
                               const std::set<std::string>& read) {
  std::map<std::string, const Event*> last;
  for (const Event& event : events) {
    const std::string node(node_of(event.origin()));
    if (read.contains(node)) continue;
    const Event*& newest = last[node];
    if (newest == nullptr || newest->time() < event.time()) newest = &event;
  }
  std::set<std::string> names;
  for (const auto& [node, event] : last)
    if (event->type() != schema::Payload::NODE_LEFT) names.insert(node);
  return names;
}

bool answers(ClusterClient& client, const std::string& node) {
  const absl::Status answer =
      client
          .ask({node, "node"}, Message<schema::Request>::build([](schema::Request::Builder ping) {
                 ping.setPing();
               }),
               page_deadline)
          .status();
  return !absl::IsUnavailable(answer) && !absl::IsDeadlineExceeded(answer);
}

// Of nodes that are no neighbours what they answer through hubs, if there are any. The others are named.
void read_beyond(const std::set<std::string>& names, const std::optional<Trust>& trust,
                 const Wanted& wanted, EventPool& pool, ClusterClient* client,
                 std::vector<Event>& events, std::vector<std::string>* forgetful) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    NodeEntry node{.name = name, .alive = true};
    if (client == nullptr || client->members().contains(name) || !answers(*client, name) ||
        !read_told({"log", "log", {}}, node, trust, wanted, pool, client, events, forgetful).ok()) {
      missing.push_back(name);
      continue;
    }
    read_told(archive_of(node), node, trust, wanted, pool, client, events, forgetful).IgnoreError();
  }
  if (missing.empty()) return;
  std::fprintf(stderr, "not read is the log of %s: what is told of it is from archives\n",
               absl::StrJoin(missing, ", ").c_str());
}

}  // namespace

std::unique_ptr<ClusterClient> connect_to_read(const ClusterTarget& target) {
  if (!target.running) return nullptr;
  absl::StatusOr<std::unique_ptr<ClusterClient>> connected = ClusterClient::connect(target);
  if (connected.ok()) return *std::move(connected);
  std::fprintf(stderr, "only logs of this machine are read: %s\n",
               std::string(connected.status().message()).c_str());
  return nullptr;
}

absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool,
                                                std::vector<std::string>* forgetful,
                                                HybridTime since) {
  const std::unique_ptr<ClusterClient> client = connect_to_read(target);
  return read_history(target, pattern, pool, client.get(), forgetful, since);
}

absl::StatusOr<std::vector<Event>> read_history(const ClusterTarget& target, const Pattern& pattern,
                                                EventPool& pool, ClusterClient* client,
                                                std::vector<std::string>* forgetful,
                                                HybridTime since) {
  const Wanted wanted{pattern, since};
  std::vector<Event> events;
  std::set<std::string> read;
  absl::Status trouble;
  std::vector<NodeEntry> nodes = nodes_of(target, client);
  for (NodeEntry& node : nodes) {
    const absl::Status done =
        read_kept(node, {"log", "log", node.log}, wanted, pool, client, events, forgetful);
    // A hub has no log, nor has a node that was registered and ended before it had one.
    if (absl::IsNotFound(done)) continue;
    if (done.ok())
      read.insert(node.name);
    else
      trouble = done;
  }
  std::optional<Trust> trust;
  absl::Status believed;
  if (!target.trust.empty()) {
    absl::StatusOr<Trust> trusted = read_trust(target.trust);
    if (trusted.ok())
      trust = *std::move(trusted);
    else
      believed = trusted.status();
  }
  if (believed.ok()) {
    read_archives(nodes, trust, wanted, pool, client, events, forgetful);
    // Who has left is seen where everything is read.
    if (pattern.text() == ">")
      read_beyond(not_read(events, read), trust, wanted, pool, client, events, forgetful);
  } else {
    std::fprintf(stderr, "archives are not believed: %s\n",
                 std::string(believed.message()).c_str());
  }
  if (read.empty() && events.empty() && !trouble.ok()) return trouble;
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
