#include "cli/events_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"
#include "cli/cluster_target.h"
#include "cli/interrupt.h"
#include "cli/suggest.h"
#include "core/event_loop.h"
#include "core/json.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr double speed_max = 1e6;
constexpr Duration history_interval = absl::Seconds(1);

// That a node is there, who holds in it, and what its log has taken: nothing that happened.
bool housekeeping(const Event& event) {
  return event.type() == schema::Payload::NODE_HEARTBEAT ||
         event.type() == schema::Payload::NODE_CAPACITY ||
         event.type() == schema::Payload::BUS_HOLDING ||
         event.type() == schema::Payload::BUS_CHECKPOINT;
}

std::string first_tokens(std::string_view topic) {
  return str(topic_token(topic, 0)) + "." + str(topic_token(topic, 1));
}

bool spans_days(const std::vector<Event>& history) {
  return !history.empty() && need_dates(history.front().time(), history.back().time());
}

constexpr std::size_t parts_of_a_topic = 4;

// Everything that may be the beginning of a topic: what the log has, and what this program can publish.
std::vector<std::string> known_topics(const std::vector<Event>& history) {
  std::set<std::string> topics;
  for (const Event& event : history) topics.insert(first_tokens(event.topic()));
  for (std::uint16_t type = 0; type < 256; ++type)
    if (const auto topic = topic_of(static_cast<schema::Payload::Which>(type)); !topic.empty())
      topics.insert(str(topic));
  return {topics.begin(), topics.end()};
}

class Follower {
 public:
  Follower(const ClusterTarget& target, ClusterClient& client, const EventFilter& filter,
           const EventsArguments& arguments)
      : target_(target), client_(client), filter_(filter), arguments_(arguments) {}

  int run() {
    // Subscribed before the past is read: nothing falls between.
    const absl::Status subscribed =
        client_.subscribe(filter_.pattern(), [this](const Event& event) { hear(event); });
    if (!subscribed.ok()) return complain(subscribed, exit_unreachable);
    // At once, as waiting tells nothing: a word misspelt is not a quiet cluster.
    const std::string nothing = names_no_topic(filter_.everything() ? "" : arguments_.pattern);
    if (!nothing.empty()) std::cerr << nothing << std::endl;
    client_.on_gap([](const BusGap& gap) { std::cerr << gap_line(gap) << std::endl; });
    const Interrupt interrupt;
    if (!arguments_.since.empty())
      if (const int code = past(interrupt); code != exit_ok) return code;
    for (const Event& event : std::exchange(waiting_, {})) tell(event);
    live_ = true;
    bool ended = false;
    while (!interrupt.requested() && !ended) {
      client_.run_until([&] { return interrupt.requested() || !std::cout; },
                        client_.loop().clock().now() + history_interval);
      if (!std::cout) break;  // nobody reads any more
      const auto now = load_cluster(target_.directory);
      ended = now.ok() && !now->running;
    }
    if (ended) std::cerr << "the cluster has ended\n";
    if (told_ == 0 && ended)
      std::cerr << "nothing has matched \"" << filter_.pattern().text() << "\"\n";
    return told_ == 0 && (ended || !nothing.empty()) ? exit_no_match : exit_ok;
  }

 private:
  int past(const Interrupt& interrupt) {
    std::vector<std::string> forgetful;
    const absl::Time now = absl::Now();
    const auto history = read_past(arguments_, filter_, now, [&](HybridTime since) {
      return read_history(target_, Pattern::of(">"), client_.pool(), &client_, &forgetful, since);
    });
    if (!history.ok()) return complain(history.status(), exit_unreachable);
    if (arguments_.since == "start") std::cerr << begins_later(forgetful);
    // Nothing so far is no reason to end, an event that does not exist is.
    const auto since = parse_since(arguments_.since, now, *history);
    if (!since.ok())
      return complain(since.status(),
                      absl::IsNotFound(since.status()) ? exit_no_match : exit_usage);
    for (const Event& event : *history) told_ids_.insert(event.id());
    dated_ = spans_days(*history);
    const Instant began = client_.loop().clock().now();
    const Pace pace = [&](Duration since_first) {
      client_.run_until([&] { return interrupt.requested() || !std::cout; }, began + since_first);
      return !interrupt.requested() && std::cout.good();
    };
    const int code = print_history(*history, arguments_, now, pace, std::cout, std::cerr);
    if (code == exit_ok) ++told_;
    return code == exit_interrupted ? code : exit_ok;
  }
  void hear(const Event& event) {
    if (!filter_.takes(event)) return;
    if (live_)
      tell(event);
    else
      waiting_.push_back(event);
  }
  void tell(const Event& event) {
    if (told_ids_.contains(event.id())) return;
    ++told_;
    print_event(event, arguments_.json, dated_, std::cout);
    std::cout << std::flush;
  }

  const ClusterTarget& target_;
  ClusterClient& client_;
  const EventFilter& filter_;
  const EventsArguments& arguments_;
  bool live_ = false, dated_ = false;
  std::uint64_t told_ = 0;
  std::vector<Event> waiting_;
  std::set<EventId> told_ids_;  // of the past that was read
};

int run_events(const EventsArguments& arguments, const Program& program) {
  const auto filter = EventFilter::make(arguments.pattern);
  if (!filter.ok()) return complain(filter.status(), exit_usage);
  const auto target = find_cluster(program);
  if (!target.ok()) return complain(target.status(), exit_unreachable);
  if (arguments.follow && target->running) {
    auto client = ClusterClient::connect(*target);
    if (!client.ok()) return complain(client.status(), exit_unreachable);
    return Follower(*target, **client, *filter, arguments).run();
  }
  if (arguments.follow) std::cerr << "the cluster does not run: what its logs have, and no more\n";
  EventPool pool;
  std::vector<std::string> forgetful;
  const absl::Time now = absl::Now();
  const auto history = read_past(arguments, *filter, now, [&](HybridTime since) {
    return read_history(*target, Pattern::of(">"), pool, &forgetful, since);
  });
  if (!history.ok()) return complain(history.status(), exit_unreachable);
  if (arguments.since.empty() || arguments.since == "start") std::cerr << begins_later(forgetful);
  const Interrupt interrupt;
  EventLoop loop;
  const Instant began = loop.clock().now();
  const Pace pace = [&](Duration since_first) {
    loop.run_until([&] { return interrupt.requested() || !std::cout; },
                   began + since_first - loop.clock().now());
    return !interrupt.requested() && std::cout.good();
  };
  return print_history(*history, arguments, now, pace, std::cout, std::cerr);
}

}  // namespace

absl::StatusOr<std::vector<Event>> read_past(
    const EventsArguments& arguments, const EventFilter& filter, absl::Time now,
    absl::FunctionRef<absl::StatusOr<std::vector<Event>>(HybridTime since)> read) {
  const auto since = parse_since(arguments.since, now, {});
  if (!since.ok() || since->value == 0) return read({});
  auto late = read(*since);
  if (!late.ok()) return late;
  std::erase_if(*late, [&](const Event& event) { return event.time() < *since; });
  const bool any =
      std::ranges::any_of(*late, [&](const Event& event) { return filter.takes(event); });
  return any ? std::move(late) : read({});
}

absl::StatusOr<double> parse_replay_speed(std::string_view said) {
  if (said == "max") return 0;
  if (said == "original") return 1;
  double factor = 0;
  if (absl::SimpleAtod(absl_view(said), &factor) && factor > 0 && factor <= speed_max)
    return factor;
  return absl::InvalidArgumentError(absl::StrCat(
      str(said), " is no speed: write original, max, or how many times as fast (60, 0.5)"));
}

absl::StatusOr<EventFilter> EventFilter::make(std::string_view pattern) {
  auto parsed = Pattern::parse(pattern.empty() ? ">" : pattern);
  if (!parsed.ok()) return parsed.status();
  return EventFilter(*std::move(parsed), pattern.empty());
}

bool EventFilter::takes(const Event& event) const {
  return pattern_.matches(event.topic()) && !(everything_ && housekeeping(event));
}

absl::StatusOr<HybridTime> parse_since(std::string_view since, absl::Time now,
                                       const std::vector<Event>& history) {
  if (since.empty() || since == "start") return HybridTime{};
  Duration span;
  if (absl::ParseDuration(absl_view(since), &span) && span >= absl::ZeroDuration())
    return HybridTime::at(now - span);
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, absl_view(since), &time, &error))
    return HybridTime::at(time);
  std::vector<const Event*> meant;
  for (const Event& event : history) {
    const EventId id = event.id();
    if (id.short_id().starts_with(since) || id.to_string() == since) meant.push_back(&event);
  }
  if (meant.size() == 1) return meant[0]->time();
  const bool looks_like_id =
      since.size() <= 8 && since.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (meant.size() > 1)
    return absl::InvalidArgumentError(
        absl::StrCat("--since ", str(since), ": ", meant.size(),
                     " events have ids that begin so; write more of it"));
  if (looks_like_id || EventId::parse(since).ok()) {
    std::vector<std::string> ids;
    for (const Event& event : history)
      ids.push_back(looks_like_id ? event.id().short_id() : event.id().to_string());
    return absl::NotFoundError(absl::StrCat("--since ", str(since),
                                            ": no event has an id that begins so; ",
                                            suggest(since, ids, "the log is empty")));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "--since ", str(since),
      ": write a span (10m, 1h30m), a date (2026-11-22T14:00:00Z), the id of an event, or start"));
}

std::string gap_line(const BusGap& gap) {
  const std::string under = gap.prefix.empty() ? "" : absl::StrCat(" under ", gap.prefix);
  const std::string range = gap.up_to == BusGap::unknown
                                ? absl::StrCat("from ", gap.incarnation, ":", gap.after + 1, " on")
                                : absl::StrCat(gap.incarnation, ":", gap.after + 1, " to ",
                                               gap.incarnation, ":", gap.up_to);
  return absl::StrCat("events of ", gap.origin, under, " were missed here, ", range,
                      gap.why.empty() ? "" : absl::StrCat(" (", gap.why, ")"),
                      "; `supercloud events` without --follow has what a log has of them");
}

void print_event(const Event& event, bool json, bool dated, std::ostream& out) {
  out << (json ? to_json(event) : event_line(event, dated)) << "\n";
}

std::string names_no_topic(const std::string& pattern) {
  const std::string domain = str(topic_token(pattern, 0)), event = str(topic_token(pattern, 1));
  if (domain.empty() || domain == ">") return "";
  const auto said = [&](const std::string& near) {
    return absl::StrCat("no topic is like \"", pattern, "\"; ", near);
  };
  const std::vector<std::string> topics = known_topics({});
  std::set<std::string> domains;
  for (const std::string& topic : topics) domains.insert(topic.substr(0, topic.find('.')));
  if (domain != "*" && !domains.contains(domain))
    return said(suggest(domain, {domains.begin(), domains.end()}, "none is known"));
  if (event.empty()) return said(absl::StrCat("all events of ", domain, " are '", domain, ".>'"));
  if (domain != "*" && event != "*" && event != ">" &&
      std::find(topics.begin(), topics.end(), domain + "." + event) == topics.end())
    return said(suggest(domain + "." + event, topics, "none is known"));
  const bool open = pattern.ends_with('>');
  const auto parts = static_cast<std::size_t>(std::count(pattern.begin(), pattern.end(), '.')) + 1;
  if (open ? parts > parts_of_a_topic : parts != parts_of_a_topic)
    return said(absl::StrCat("a topic has four parts: '", domain, ".", event,
                             event == ">" ? "'" : ".>'", " takes them all"));
  return "";
}

std::string nothing_matched(const std::vector<Event>& history, const std::string& pattern) {
  if (history.empty()) return "the log is empty: nothing has been published yet";
  if (pattern.empty()) return "nothing matches";
  std::string out = absl::StrCat("nothing matches \"", pattern, "\"");
  const std::string domain = str(topic_token(pattern, 0));
  const std::string event = str(topic_token(pattern, 1));
  const std::vector<std::string> topics = known_topics(history);
  std::set<std::string> domains, subjects;
  for (const std::string& topic : topics) domains.insert(topic.substr(0, topic.find('.')));
  for (const Event& told : history) subjects.insert(told.subject());
  const std::vector<std::string> names(subjects.begin(), subjects.end());

  // A pattern of one token is often a name: `events web1`.
  if (subjects.contains(pattern))
    return absl::StrCat(out, "; events about ", pattern, " are '*.*.*.", pattern, "'");
  if (!domains.contains(domain) && domain != "*" && domain != ">") {
    std::vector<std::string> both(domains.begin(), domains.end());
    both.insert(both.end(), names.begin(), names.end());
    return absl::StrCat(out, "; ", suggest(domain, both, "no topic is known"));
  }
  if (event.empty() || event == "*" || event == ">") {
    if (event.empty())
      return absl::StrCat(out, "; all events of ", domain, " are '", domain, ".>'");
  } else if (const std::string topic = domain + "." + event;
             domain != "*" && std::find(topics.begin(), topics.end(), topic) == topics.end()) {
    return absl::StrCat(out, "; ", suggest(topic, topics, "no topic is known"));
  }
  const std::string subject = str(topic_token(pattern, 3));
  if (!subject.empty() && subject != "*" && subject != ">" && !subjects.contains(subject))
    return absl::StrCat(out, "; as for \"", subject, "\", ",
                        suggest(subject, names, "nothing is known"));
  if (topic_token(pattern, 2).empty() && event != ">")
    return absl::StrCat(out, "; a topic has four parts: '", pattern, ".>' takes them all");
  return absl::StrCat(out, "; the log has no such event");
}

int print_history(const std::vector<Event>& history, const EventsArguments& arguments,
                  absl::Time now, const Pace& pace, std::ostream& out, std::ostream& err) {
  const auto said = [&](const absl::Status& why, int code) {
    err << std_view(why.message()) << "\n";
    return code;
  };
  const auto filter = EventFilter::make(arguments.pattern);
  if (!filter.ok()) return said(filter.status(), exit_usage);
  const auto since = parse_since(arguments.since, now, history);
  if (!since.ok())
    return said(since.status(), absl::IsNotFound(since.status()) ? exit_no_match : exit_usage);
  const bool dated = spans_days(history);
  std::size_t printed = 0, earlier = 0;
  absl::Time first;
  for (const Event& event : history) {
    if (!filter->takes(event)) continue;
    if (event.time() < *since) {
      ++earlier;
      continue;
    }
    const absl::Time at = event.time().wall();
    if (printed++ == 0) first = at;
    if (arguments.speed > 0) {
      out << std::flush;
      if (!pace((at - first) / arguments.speed)) return out ? exit_interrupted : exit_ok;
    }
    print_event(event, arguments.json, dated, out);
  }
  out << std::flush;
  if (printed > 0) return exit_ok;
  if (earlier > 0)
    err << "nothing matches since then; " << earlier << " before: --since start shows "
        << (earlier == 1 ? "it" : "them") << "\n";
  else
    err << nothing_matched(history, arguments.pattern) << "\n";
  return exit_no_match;
}

void add_events_command(CLI::App& root, Program& program) {
  CLI::App* command = root.add_subcommand("events", "Show what happened, and what happens");
  command->fallthrough();
  auto arguments = std::make_shared<EventsArguments>();
  command
      ->add_option("pattern", arguments->pattern,
                   "Which topics: domain.event.tenant.subject, * for one part, > for the rest; "
                   "without it all but heartbeats, capacities, holds and checkpoints")
      ->type_name("PATTERN");
  command->add_flag("-f,--follow", arguments->follow,
                    "Go on with what happens from now on, until Ctrl-C");
  command
      ->add_option("--since", arguments->since,
                   "From when: a span back (10m), a date (RFC 3339), an event's id, or start; by "
                   "default from the start, "
                   "with --follow from now")
      ->type_name("WHEN");
  command
      ->add_option_function<std::string>(
          "--replay-speed",
          [arguments](const std::string& said) {
            const auto speed = parse_replay_speed(said);
            if (!speed.ok())
              throw CLI::ValidationError("--replay-speed", std::string(speed.status().message()));
            arguments->speed = *speed;
          },
          "What is past, with the pauses between events: original, so many times as fast (60), or "
          "max")
      ->default_str("max")
      ->type_name("SPEED");
  command->footer(
      "One line each: time (UTC), short id, topic, and what it says; --json prints each event "
      "whole. Passing events (progress,\n"
      "lag, heartbeats) are in no log: only --follow shows them. Quote patterns: * and > mean "
      "something to a shell.\n\n"
      "Examples:\n"
      "  supercloud events\n"
      "  supercloud events --since start 'migration.>'\n"
      "  supercloud events --follow '*.*.main.web1'\n"
      "  supercloud events --replay-speed 10 --json 'vm.>'\n"
      "  supercloud events --since 10m 'spot.price_changed.>' --json");
  command->callback([arguments, &program] {
    arguments->json = program.json;
    program.exit_code = run_events(*arguments, program);
  });
}

}  // namespace supercloud
