// Why an instance is there, and what each hour of it cost: from the decision that rented it to its last charge.
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/ledger/charges_once.h"
#include "actors/observer/describe.h"
#include "actors/observer/words.h"
#include "actors/provider/provider.h"
#include "cli/explain/story.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr int fact_weight = 100, charge_weight = 60, evidence_weight = 40;

StoryLine line_about(const Event& event, int depth, int weight) {
  return {depth, event.time(), event.id(), describe(event), weight};
}

// All that the log has of one instance, in the order of time.
struct InstanceFacts {
  const Event* launched = nullptr;
  const Event* requested = nullptr;
  const Event* end = nullptr;
  std::vector<const Event*> others;  // charges, notices
  Money charged;
};

InstanceFacts facts_about(const History& history, const std::string& instance) {
  InstanceFacts facts;
  ChargesOnce once;
  for (const Event& event : history.events()) {
    const auto payload = event.payload();
    switch (event.type()) {
      case schema::Payload::INSTANCE_LAUNCHED:
        if (text(payload.getInstanceLaunched().getInstance()) == instance) facts.launched = &event;
        break;
      case schema::Payload::INSTANCE_RETURNED:
        if (text(payload.getInstanceReturned().getInstance()) == instance) facts.end = &event;
        break;
      case schema::Payload::INSTANCE_REVOKED:
        if (text(payload.getInstanceRevoked().getInstance()) == instance) facts.end = &event;
        break;
      case schema::Payload::SPOT_INTERRUPTION_NOTICE:
        if (text(payload.getSpotInterruptionNotice().getInstance()) == instance)
          facts.others.push_back(&event);
        break;
      case schema::Payload::LEDGER_CHARGED:
        if (text(payload.getLedgerCharged().getInstance()) != instance) break;
        if (!once.counts(payload.getLedgerCharged())) break;
        facts.others.push_back(&event);
        facts.charged += Money{payload.getLedgerCharged().getAmountNanoUsd()};
        break;
      default:
        break;
    }
  }
  if (facts.launched == nullptr) return facts;
  const auto token = text(facts.launched->payload().getInstanceLaunched().getClientToken());
  for (const Event& event : history.events())
    if (event.type() == schema::Payload::INSTANCE_REQUESTED && !token.empty() &&
        text(event.payload().getInstanceRequested().getClientToken()) == token)
      facts.requested = &event;
  return facts;
}

std::string sentence_about(const History& history, const std::string& instance,
                           const InstanceFacts& facts) {
  const auto launched = facts.launched->payload().getInstanceLaunched();
  std::string out =
      absl::StrCat(instance, " at ", place_words(text(launched.getPlace().getId())),
                   " was rented at ", second_words(facts.launched->time(), history.dated()),
                   " for ", price_words(launched.getPriceNanoUsdPerHour()));
  if (text(launched.getClientToken()).starts_with(initial_token_prefix))
    out += ", for it was to be there from the start";
  else if (facts.requested == nullptr)
    out += "; no log has who asked for it";
  else if (const std::string why = str(facts.requested->payload().getInstanceRequested().getWhy());
           !why.empty())
    absl::StrAppend(&out, ", for ", why);
  if (facts.end != nullptr)
    absl::StrAppend(&out,
                    facts.end->type() == schema::Payload::INSTANCE_REVOKED
                        ? "; the cloud took it at "
                        : "; it was given back at ",
                    second_words(facts.end->time(), history.dated()));
  return absl::StrCat(out, "; ", money_words(facts.charged), " charged so far.");
}

}  // namespace

std::optional<Story> explain_instance(const History& history, const std::string& instance) {
  const InstanceFacts known = facts_about(history, instance);
  if (known.launched == nullptr) return std::nullopt;
  Story story{.sentence = sentence_about(history, instance, known)};
  story.dated = history.dated();
  int depth = 0;
  if (known.requested != nullptr) {
    const auto request = known.requested->payload().getInstanceRequested();
    if (const Event* decision = history.find(EventId::from(request.getMigration())))
      story.lines.push_back(line_about(*decision, depth++, fact_weight));
    story.lines.push_back(line_about(*known.requested, depth++, fact_weight));
  }
  story.lines.push_back(line_about(*known.launched, depth++, fact_weight));
  EventId price_before;
  for (const Event* event : known.others) {
    const bool charge = event->type() == schema::Payload::LEDGER_CHARGED;
    story.lines.push_back(line_about(*event, depth, charge ? charge_weight : fact_weight));
    if (!charge) continue;
    const auto charged = event->payload().getLedgerCharged();
    const EventId price = EventId::from(charged.getPriceEvent());
    const Event* said = history.find(price);
    if (said != nullptr && price != std::exchange(price_before, price))
      story.lines.push_back(line_about(*said, depth + 1, evidence_weight));
  }
  if (known.end != nullptr) story.lines.push_back(line_about(*known.end, depth, fact_weight));
  return story;
}

}  // namespace supercloud
