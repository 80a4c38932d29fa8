#include "cli/explain/story.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"
#include "cli/explain/sentence.h"

namespace supercloud {
namespace {

constexpr int always = 100, important = 80, answered = 60, detail = 40, background = 20;
constexpr int ancestors_max = 8;
constexpr std::size_t failures_shown = 3;  // the others are folded away first

int weight_of(const Event& event) {
  switch (event.type()) {
    case schema::Payload::MIGRATION_PROPOSED:
    case schema::Payload::MIGRATION_COMPLETED:
    case schema::Payload::MIGRATION_ABORTED:
    case schema::Payload::MIGRATION_REFUSED:
    case schema::Payload::MIGRATION_CANCEL_REQUESTED:
    case schema::Payload::MIGRATION_HURRIED:
    case schema::Payload::POLICY_FAILED:
    case schema::Payload::SPOT_INTERRUPTION_NOTICE:
      return always;
    case schema::Payload::MIGRATION_ACCEPTED:
    case schema::Payload::MIGRATION_PLANNED:
    case schema::Payload::VM_PAUSED:
    case schema::Payload::VM_RESUMED:
    case schema::Payload::VM_FAILED:
      return important;
    case schema::Payload::MIGRATION_TARGET_READY:
    case schema::Payload::STORAGE_REPLICA_READY:
    case schema::Payload::NETWORK_PATH_READY:
    case schema::Payload::MIGRATION_STARTED:
      return answered;
    case schema::Payload::STORAGE_SEALED:
    case schema::Payload::STORAGE_VERIFIED:
    case schema::Payload::NETWORK_SWITCHED:
    case schema::Payload::MIGRATION_CLEANED:
    case schema::Payload::LEDGER_CHARGED:
      return detail;
    default:
      return background;
  }
}

StoryLine line_of(const Event& event, int depth) {
  std::string words = describe(event);
  // Its checks follow, a line each.
  if (event.type() == schema::Payload::MIGRATION_REFUSED)
    words = words.substr(0, words.find(": ")) + ":";
  return {depth, event.time(), event.id(), std::move(words), weight_of(event)};
}

// Of something that is no event: a candidate, a failed check. Built member by member: of a braced temporary g++ 12 says at -O3
// that its id may be destroyed uninitialised.
StoryLine line_without_event(int depth, std::string words, int weight) {
  StoryLine line;
  line.depth = depth;
  line.text = std::move(words);
  line.weight = weight;
  return line;
}

bool ends_migration(const Event& event) {
  return event.type() == schema::Payload::MIGRATION_COMPLETED ||
         event.type() == schema::Payload::MIGRATION_ABORTED;
}

class TreeOf {
 public:
  TreeOf(const History& history, const MigrationState& migration, std::vector<StoryLine>& lines)
      : history_(history), migration_(migration), lines_(lines) {}

  void grow() {
    const Event* proposed = history_.find(migration_.id);
    const auto events = history_.of_migration(migration_.id);
    int depth = 0;
    if (proposed != nullptr) {
      depth = ancestors(*proposed);
      lines_.push_back(line_of(*proposed, depth));
      evidence(depth + 1);
      candidates(*proposed, depth + 1);
    } else {
      lines_.push_back(line_without_event(
          0, absl::StrCat("proposal ", migration_.id.short_id(), ", which no log has"), always));
    }
    std::set<EventId> members;
    for (const Event* event : events) members.insert(event->id());
    for (const Event* event : events)
      if (event->id() != migration_.id) children_[member_cause(*event, members)].push_back(event);
    for (const auto& [cause, effects] : children_) last_of(cause);
    // What leads on is told after what ends here: the tree then reads nearly in the order of time.
    for (auto& [cause, effects] : children_)
      std::sort(effects.begin(), effects.end(), [this](const Event* a, const Event* b) {
        return std::tuple(last_[a->id()], a->time(), a->id()) <
               std::tuple(last_[b->id()], b->time(), b->id());
      });
    branch(migration_.id, depth + 1);
  }

 private:
  // The time of the last event below `id`. Causes are older than their effects, so there is no circle.
  HybridTime last_of(const EventId& id) {
    if (const auto known = last_.find(id); known != last_.end()) return known->second;
    HybridTime last{};
    if (const Event* event = history_.find(id)) last = event->time();
    last_[id] = last;
    if (const auto effects = children_.find(id); effects != children_.end())
      for (const Event* effect : effects->second) last = std::max(last, last_of(effect->id()));
    return last_[id] = last;
  }

  // The nearest cause that belongs to the migration; what was caused from elsewhere hangs on the proposal.
  EventId member_cause(const Event& event, const std::set<EventId>& members) const {
    EventId cause = event.cause();
    for (int steps = 0; steps < 64 && !cause.empty(); ++steps) {
      if (members.contains(cause) && cause != event.id()) return cause;
      const Event* above = history_.find(cause);
      if (above == nullptr) break;
      cause = above->cause();
    }
    return migration_.id;
  }

  // What led to the proposal, first cause first. Returns the depth below it.
  int ancestors(const Event& proposed) {
    std::vector<const Event*> chain;
    EventId cause = proposed.cause();
    bool lost = false;
    while (!cause.empty() && chain.size() < ancestors_max) {
      const Event* event = history_.find(cause);
      lost = event == nullptr;
      if (lost) break;
      chain.push_back(event);
      cause = event->cause();
    }
    int depth = 0;
    if (lost && chain.empty()) {
      lines_.push_back(
          line_without_event(depth++,
                             absl::StrCat(cause.short_id(), " by ", cause.origin,
                                          ", which is in no log (passing events are not kept)"),
                             background));
      lines_.back().event = cause;
    }
    for (auto event = chain.rbegin(); event != chain.rend(); ++event) {
      StoryLine line = line_of(**event, depth++);
      // The proposal's own cause tells why now.
      line.weight = *event == chain.front() ? std::max(line.weight, answered + 5)
                                            : std::min(line.weight, background + 5);
      const int weight = line.weight;
      lines_.push_back(std::move(line));
      checks(**event, depth, std::min(weight, background + 4));
    }
    return depth;
  }

  void evidence(int depth) {
    std::set<EventId> shown;
    for (const StoryLine& line : lines_) shown.insert(line.event);
    for (const EventId& id : migration_.evidence) {
      if (shown.contains(id)) continue;
      if (const Event* event = history_.find(id)) {
        StoryLine line = line_of(*event, depth);
        line.text = "known: " + line.text;
        line.weight = important + 5;
        lines_.push_back(std::move(line));
      } else {
        lines_.push_back(line_without_event(
            depth,
            absl::StrCat("known: ", id.short_id(), " by ", id.origin, ", which is in no log"),
            detail));
        lines_.back().event = id;
      }
    }
  }

  void candidates(const Event& proposed, int depth) {
    const Event* event =
        history_.considered(migration_.vm, proposed.time(), migration_.wanted_place);
    if (event == nullptr || !migration_.proposer.starts_with("policy ") ||
        event->payload().getPolicyConsidered().getCandidates().size() == 0)
      return;
    const std::size_t head = lines_.size();
    add_considered(*event, depth, lines_);
    // The proposal has said why already.
    const auto fact = event->payload().getPolicyConsidered();
    lines_[head].text = absl::StrCat("policy ", std::string(text(fact.getPolicy())), " compared");
    if (fact.getUnchangedLooks() > 0)
      absl::StrAppend(&lines_[head].text, ", after ",
                      count_words(fact.getUnchangedLooks(), "look", "looks"),
                      " that changed nothing");
    lines_[head].text += ":";
  }

  void branch(const EventId& of, int depth) {
    const auto found = children_.find(of);
    if (found == children_.end()) return;
    for (const Event* event : found->second) {
      lines_.push_back(line_of(*event, depth));
      // Who learns late how it ended says so once more, for those who wait for him.
      if (ends_migration(*event) && std::exchange(end_told_, true))
        lines_.back().weight = background;
      checks(*event, depth + 1, always);
      branch(event->id(), depth + 1);
    }
  }

  // Why it was refused.
  void checks(const Event& event, int depth, int weight) {
    if (event.type() != schema::Payload::MIGRATION_REFUSED) return;
    for (const auto check : event.payload().getMigrationRefused().getFailures())
      lines_.push_back(
          line_without_event(depth,
                             absl::StrCat(std::string(text(check.getName())), ": ",
                                          shorten_places(text(check.getDetail())),
                                          "; cure: ", std::string(text(check.getCure()))),
                             weight));
  }

 public:
  static void add_considered(const Event& event, int depth, std::vector<StoryLine>& lines) {
    const ConsideredFact fact = considered_fact(event);
    StoryLine head = line_of(event, depth);
    head.weight = important;
    lines.push_back(std::move(head));
    std::vector<ConsideredCandidate> candidates = fact.candidates;
    // Best first; what was no choice last.
    std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
      return std::tuple(!a.excluded.empty(), a.cost_nano_usd, a.place) <
             std::tuple(!b.excluded.empty(), b.cost_nano_usd, b.place);
    });
    for (const ConsideredCandidate& candidate : candidates) {
      const bool chosen = candidate.place == fact.choice;
      std::string words = place_words(candidate.place);
      if (candidate.cost_nano_usd != 0)
        absl::StrAppend(&words, " would cost ", money_words({candidate.cost_nano_usd}));
      if (candidate.gain_nano_usd != 0)
        absl::StrAppend(&words, ", ",
                        money_words({std::max(candidate.gain_nano_usd, -candidate.gain_nano_usd)}),
                        candidate.gain_nano_usd > 0 ? " less than staying" : " more than staying");
      if (!candidate.excluded.empty())
        absl::StrAppend(&words, "; no choice: ", shorten_places(candidate.excluded));
      if (chosen) words += "; chosen";
      lines.push_back(line_without_event(depth + 1, std::move(words),
                                         chosen                       ? important
                                         : candidate.excluded.empty() ? answered + 2
                                                                      : detail));
    }
  }

 private:
  const History& history_;
  const MigrationState& migration_;
  std::vector<StoryLine>& lines_;
  std::map<EventId, std::vector<const Event*>> children_;
  std::map<EventId, HybridTime> last_;
  bool end_told_ = false;
};

void add_others(const History& history, const MigrationState* shown, Story& story) {
  if (story.history == nullptr) return;
  for (auto move = story.history->moves.rbegin(); move != story.history->moves.rend(); ++move)
    if (const MigrationState* other = history.fold().migration(move->second);
        other != nullptr && other != shown)
      story.others.push_back(other);
}

// Why a VM that was never moved is where it is.
void add_start(const History& history, const VmHistory& vm, std::vector<StoryLine>& lines) {
  const bool runs = running_now(vm) != nullptr;
  const Event* revoked = !runs && vm.halt && vm.halt->what == "failed"
                             ? history.revoked(vm.halt->node, vm.halt->time)
                             : nullptr;
  for (const EventId& id :
       {vm.running && (runs || vm.running->migration.empty()) ? vm.running->event : EventId{},
        revoked != nullptr ? revoked->id() : EventId{},
        vm.halt && !runs ? vm.halt->event : EventId{}}) {
    const Event* event = history.find(id);
    if (event == nullptr) continue;
    std::vector<const Event*> chain{event};
    while (chain.size() < ancestors_max) {
      const Event* above = history.find(chain.back()->cause());
      if (above == nullptr) break;
      chain.push_back(above);
    }
    int depth = 0;
    for (auto link = chain.rbegin(); link != chain.rend(); ++link) {
      StoryLine line = line_of(**link, depth++);
      if (*link == event) line.weight = important;
      lines.push_back(std::move(line));
    }
  }
}

// How the VM's policy has failed since its last move.
void add_policy_failures(const History& history, const VmHistory& vm, HybridTime since,
                         std::vector<StoryLine>& lines) {
  const std::vector<const Event*> failures = history.policy_failures(vm.vm, since);
  for (std::size_t i = 0; i < failures.size(); ++i) {
    lines.push_back(line_of(*failures[i], 0));
    if (i + failures_shown < failures.size()) lines.back().weight = background;
  }
}

}  // namespace

Story explain_migration(const History& history, const MigrationState& migration) {
  Story story{
      .sentence = sentence(history, migration), .vm = migration.vm, .migration = &migration};
  story.dated = history.dated();
  const auto vm = history.fold().vms().find(migration.vm);
  if (vm != history.fold().vms().end()) story.history = &vm->second;
  TreeOf(history, migration, story.lines).grow();
  add_others(history, &migration, story);
  return story;
}

Story explain_vm(const History& history, const VmHistory& vm) {
  Story story{.sentence = sentence(history, vm), .vm = vm.vm, .history = &vm};
  story.dated = history.dated();
  const MigrationState* latest =
      vm.moves.empty() ? nullptr : history.fold().migration(vm.moves.rbegin()->second);
  story.migration = latest;
  // A start that no migration made (created, taken over, restarted) explains where it is, before or after the last move.
  const bool started = vm.running && vm.running->migration.empty() && running_now(vm) != nullptr;
  const bool halted = running_now(vm) == nullptr;
  const bool before = started && latest != nullptr && vm.running->since < latest->last;
  if (before) add_start(history, vm, story.lines);
  if (latest != nullptr) TreeOf(history, *latest, story.lines).grow();
  if (!before && (started || halted)) add_start(history, vm, story.lines);
  add_policy_failures(history, vm, latest == nullptr ? HybridTime{} : latest->last, story.lines);
  if (vm.considered && (latest == nullptr || vm.considered->time > latest->last))
    if (const Event* considered = history.find(vm.considered->event))
      TreeOf::add_considered(*considered, 0, story.lines);
  add_others(history, latest, story);
  return story;
}

}  // namespace supercloud
