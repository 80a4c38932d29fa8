#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/str_cat.h"
#include "actors/observer/state_json.h"
#include "actors/observer/words.h"
#include "cli/explain/sentence.h"
#include "cli/explain/story.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t others_shown = 3;

// Whether another line of the same depth follows before the branch ends.
bool goes_on(const std::vector<const StoryLine*>& lines, std::size_t at, int depth) {
  for (std::size_t i = at + 1; i < lines.size(); ++i) {
    if (lines[i]->depth < depth) return false;
    if (lines[i]->depth == depth) return true;
  }
  return false;
}

std::string branches(const std::vector<const StoryLine*>& lines, std::size_t at) {
  std::string out;
  for (int depth = 1; depth < lines[at]->depth; ++depth)
    out += goes_on(lines, at, depth) ? "│ " : "  ";
  if (lines[at]->depth > 0) out += goes_on(lines, at, lines[at]->depth) ? "├ " : "└ ";
  return out;
}

// The heaviest lines, in their order.
std::vector<const StoryLine*> fold_to(const std::vector<StoryLine>& all, std::size_t most) {
  std::vector<const StoryLine*> lines;
  for (const StoryLine& line : all) lines.push_back(&line);
  while (lines.size() > most) {
    // Of equal ones the latest goes: what began it says more than what followed.
    auto lightest = lines.begin();
    for (auto line = lines.begin(); line != lines.end(); ++line)
      if ((*line)->weight <= (*lightest)->weight) lightest = line;
    lines.erase(lightest);
  }
  return lines;
}

std::string when_json(HybridTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", time.wall(), absl::UTCTimeZone());
}

}  // namespace

std::string migration_line(const MigrationState& migration, bool dated) {
  const HybridTime time = migration.end        ? migration.end->fact.time
                          : migration.proposed ? migration.proposed->time
                                               : migration.last;
  const std::string target = target_of(migration);
  return absl::StrCat(migration.id.short_id(), "  ", std::string(to_string(stage(migration))), "  ",
                      second_words(time, dated), "  ", vm_words(migration.vm), " from ",
                      source_of(migration), " to ",
                      target == migration.wanted_place ? place_words(target) : target);
}

std::string render(const Story& story, bool full) {
  std::string out = story.sentence + "\n";
  const std::size_t others =
      full ? story.others.size() : std::min(others_shown, story.others.size());
  std::size_t room = story.lines.size();
  if (!full) {
    const std::size_t below = others == 0 ? 0 : others + 1;
    room = folded_lines - below;
    if (story.lines.size() > room) --room;  // for the line that says so
  }
  const std::vector<const StoryLine*> lines = fold_to(story.lines, room);
  const std::string no_time(clock_words({}, story.dated).size(), ' ');
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const StoryLine& line = *lines[i];
    absl::StrAppend(&out, line.time.value == 0 ? no_time : clock_words(line.time, story.dated), " ",
                    branches(lines, i), line.text);
    if (full && !line.event.empty()) absl::StrAppend(&out, "  [", line.event.short_id(), "]");
    out += "\n";
  }
  if (const std::size_t hidden = story.lines.size() - lines.size(); hidden > 0)
    absl::StrAppend(&out, no_time, " ... ", hidden, " more; --full shows ",
                    hidden == 1 ? "it" : "them", "\n");
  if (others == 0) return out;
  absl::StrAppend(&out, story.migration == nullptr ? "Moves of " : "Other moves of ",
                  vm_words(story.vm), ", newest first",
                  others < story.others.size()
                      ? absl::StrCat(" (", others, " of ", story.others.size(), ")")
                      : "",
                  ":\n");
  for (std::size_t i = 0; i < others; ++i)
    absl::StrAppend(&out, "  ", migration_line(*story.others[i], story.dated), "\n");
  return out;
}

std::string to_json(const Story& story) {
  Json out{{"sentence", story.sentence}, {"vm", story.vm}};
  out["migration"] = story.migration == nullptr ? Json() : Json::parse(to_json(*story.migration));
  if (story.history != nullptr) {
    if (const auto* running = running_now(*story.history))
      out["running"] = {{"node", running->node},
                        {"epoch", running->epoch},
                        {"since", when_json(running->since)},
                        {"why", running->why}};
    if (const auto& considered = story.history->considered) {
      Json candidates = Json::array();
      for (const auto& candidate : considered->candidates)
        candidates.push_back({{"place", candidate.place},
                              {"cost_nano_usd", candidate.cost_nano_usd},
                              {"gain_nano_usd", candidate.gain_nano_usd},
                              {"excluded", candidate.excluded}});
      out["considered"] = {
          {"time", when_json(considered->time)},
          {"policy", considered->policy},
          {"choice", considered->choice},
          {"reason", considered->reason},
          {"unchanged_looks", considered->unchanged_looks},
          {"last_look",
           considered->unchanged_looks > 0 ? Json(when_json(considered->last_look)) : Json()},
          {"candidates", std::move(candidates)}};
    }
  }
  out["tree"] = Json::array();
  for (const StoryLine& line : story.lines) {
    Json entry{{"depth", line.depth}, {"text", line.text}};
    if (line.time.value != 0) entry["time"] = when_json(line.time);
    if (!line.event.empty()) entry["event"] = line.event.to_string();
    out["tree"].push_back(std::move(entry));
  }
  out["others"] = Json::array();
  for (const MigrationState* other : story.others)
    out["others"].push_back(Json::parse(to_json(*other)));
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace supercloud
