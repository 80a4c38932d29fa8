#include "actors/policy/decision_check.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "core/utf8.h"

namespace supercloud {
namespace {

constexpr std::size_t quoted_bytes_max = 100;

absl::Status nonsense(const std::string& what) { return absl::InvalidArgumentError(what); }

// What a policy wrote, for a message that people read.
std::string quoted(std::string_view said) {
  return absl::StrCat("\"", absl::CHexEscape(absl_view(said.substr(0, quoted_bytes_max))),
                      said.size() > quoted_bytes_max ? "...\"" : "\"");
}

absl::Status check_text(std::string_view what, std::string_view said, std::size_t bytes_max) {
  if (said.size() > bytes_max)
    return nonsense(
        absl::StrCat(absl_view(what), " has ", said.size(), " bytes, more than ", bytes_max));
  const bool control = std::any_of(said.begin(), said.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
  if (control)
    return nonsense(absl::StrCat(absl_view(what), " has control characters: ", quoted(said)));
  if (!is_utf8(said))
    return nonsense(absl::StrCat(absl_view(what), " is no UTF-8: ", quoted(said)));
  return absl::OkStatus();
}

absl::Status check_figure(std::string_view what, std::int64_t nano_usd) {
  if (nano_usd <= absurd_nano_usd && nano_usd >= -absurd_nano_usd) return absl::OkStatus();
  return nonsense(absl::StrCat(absl_view(what), " of ", nano_usd / 1'000'000'000,
                               " USD is absurd: money is in nano-dollars"));
}

absl::Status check_choice(schema::World::Reader world, std::string_view choice) {
  if (choice.empty() || choice == text(world.getCurrentPlace())) return absl::OkStatus();
  for (const auto candidate : world.getCandidates()) {
    if (text(candidate.getPlace().getId()) != choice) continue;
    if (!candidate.getAllowed())
      return nonsense(absl::StrCat("it chose ", absl_view(choice),
                                   ", which is not allowed: ", str(candidate.getWhyNot())));
    if (!candidate.getPriceKnown())
      return nonsense(absl::StrCat("it chose ", absl_view(choice), ", whose price is not known"));
    return absl::OkStatus();
  }
  return nonsense(absl::StrCat("it chose ", quoted(choice), ", which is no place that is known"));
}

absl::Status check_candidates(schema::World::Reader world, schema::Decision::Reader decision) {
  std::set<std::string_view> known, named;
  for (const auto candidate : world.getCandidates())
    known.insert(text(candidate.getPlace().getId()));
  for (const auto candidate : decision.getCandidates()) {
    const std::string_view place = text(candidate.getPlace());
    if (!known.contains(place))
      return nonsense(absl::StrCat("its candidate ", quoted(place), " is no place that is known"));
    if (!named.insert(place).second)
      return nonsense(absl::StrCat("its candidate ", absl_view(place), " is there twice"));
    for (const absl::Status& sound :
         {check_text("why a candidate is no choice", text(candidate.getExcluded()),
                     exclusion_bytes_max),
          check_figure("a candidate's cost", candidate.getCostNanoUsd()),
          check_figure("a candidate's gain", candidate.getGainNanoUsd())})
      if (!sound.ok()) return sound;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status check_decision(schema::World::Reader world, schema::Decision::Reader decision) {
  for (const absl::Status& sound :
       {check_choice(world, text(decision.getChoice())),
        check_text("its reason", text(decision.getReason()), reason_bytes_max),
        check_figure("its gain", decision.getGainNanoUsd()),
        check_figure("its cost", decision.getCostNanoUsd()), check_candidates(world, decision)})
    if (!sound.ok()) return sound;
  if (decision.getEvidence().size() > evidence_max)
    return nonsense(absl::StrCat("it names ", decision.getEvidence().size(),
                                 " events as evidence, more than ", evidence_max));
  for (const auto id : decision.getEvidence())
    if (const absl::Status sound =
            check_text("the origin of its evidence", text(id.getOrigin()), 200);
        !sound.ok())
      return sound;
  return absl::OkStatus();
}

}  // namespace supercloud
