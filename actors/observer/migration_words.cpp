#include "actors/observer/migration_words.h"

#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/observer/words.h"

namespace supercloud {

std::string words(const Event& event, schema::Proposed::Reader e) {
  const bool to_node = e.getTargetNode().size() > 0;
  std::string out =
      absl::StrCat(event.subject(), " is to go to ",
                   to_node ? str(e.getTargetNode()) : place_words(text(e.getTargetPlace())),
                   because(e.getReason()), " (", str(e.getProposer()));
  // A flight may well be dearer than the place that it leaves.
  const std::int64_t gain = e.getGainNanoUsd();
  if (gain != 0)
    absl::StrAppend(&out, ", expected to cost ", money_words({gain > 0 ? gain : -gain}),
                    gain > 0 ? " less than here" : " more than here");
  return out + ")";
}
std::string words(const Event& event, schema::Accepted::Reader e) {
  return absl::StrCat(str(e.getSource()), " will hand ", event.subject(), " to ",
                      str(e.getTarget()), " within ", ns_words(e.getDeadlineNs()));
}
std::string words(const Event& event, schema::Refused::Reader e) {
  std::string out = absl::StrCat(str(e.getNode()), " refuses to move ", event.subject());
  if (e.getTarget().size() > 0) absl::StrAppend(&out, " to ", place_words(text(e.getTarget())));
  std::string separator = ": ";
  for (const auto check : e.getFailures()) {
    absl::StrAppend(&out, separator, shorten_places(text(check.getDetail())));
    if (check.getCure().size() > 0) absl::StrAppend(&out, " (", str(check.getCure()), ")");
    separator = "; ";
  }
  return out;
}
std::string words(const Event& event, schema::TargetReady::Reader e) {
  return absl::StrCat(str(e.getNode()), " has room and waits for ", event.subject());
}
std::string words(const Event& event, schema::Started::Reader e) {
  return absl::StrCat(str(e.getSource()), " copies ", bytes_words(e.getMemoryBytes()), " of ",
                      event.subject(), " to ", str(e.getTarget()));
}
std::string words(const Event& event, schema::Planned::Reader e) {
  std::string out = absl::StrCat(event.subject(), " is copied while it runs");
  if (e.getMethod() == schema::Method::THROTTLED)
    absl::StrAppend(&out, ", and slowed down for that");
  if (e.getMethod() == schema::Method::POST_COPY)
    out = absl::StrCat(event.subject(),
                       " goes on at the target while the rest of its memory follows");
  absl::StrAppend(&out, because(e.getWhy()));
  if (e.getBytesPerSecond() > 0)
    absl::StrAppend(&out, "; the way carries ", bytes_words(e.getBytesPerSecond()),
                    "/s, it writes ", bytes_words(e.getDirtyBytesPerSecond()), "/s");
  if (e.getTotalMs() > 0)
    absl::StrAppend(&out, "; foreseen are ", span_words(absl::Milliseconds(e.getTotalMs())),
                    " and a pause of ",
                    span_words(absl::Milliseconds(static_cast<std::int64_t>(e.getBlackoutMs()))));
  return absl::StrCat(
      out, " (at most ", span_words(absl::Milliseconds(e.getTotalMaxMs())), " and ",
      span_words(absl::Milliseconds(static_cast<std::int64_t>(e.getBlackoutMaxMs()))), ")");
}
std::string words(const Event& event, schema::Progress::Reader e) {
  std::string out = absl::StrCat(event.subject(), ": ", str(e.getStage()), ", ", e.getPercent(),
                                 " %, pass ", e.getPass(), ", ", bytes_words(e.getSentBytes()),
                                 " sent, ", bytes_words(e.getRemainingBytes()), " to go");
  if (e.getEtaHighMs() > 0)
    absl::StrAppend(&out, ", ", span_words(absl::Milliseconds(e.getEtaLowMs())), " to ",
                    span_words(absl::Milliseconds(e.getEtaHighMs())));
  return out;
}
std::string words(const Event& event, schema::Completed::Reader e) {
  std::string out = absl::StrCat(event.subject(), " has moved from ", str(e.getSource()), " to ",
                                 str(e.getTarget()));
  std::string separator = ": ";
  const auto add = [&](const std::string& what) {
    absl::StrAppend(&out, std::exchange(separator, ", "), what);
  };
  if (e.getTotalMs() > 0) add(span_words(absl::Milliseconds(e.getTotalMs())));
  if (e.getSentBytes() > 0) add(bytes_words(e.getSentBytes()));
  if (e.getPasses() > 0) add(count_words(e.getPasses(), "pass", "passes"));
  if (e.getBlackoutMs() > 0) add(absl::StrFormat("paused for %.1f ms", e.getBlackoutMs()));
  return out;
}
std::string words(const Event& event, schema::Aborted::Reader e) {
  return absl::StrCat("the move of ", event.subject(), " ends without effect",
                      in_parentheses(e.getStage()), because(e.getWhy()));
}
std::string words(const Event& event, schema::Cleaned::Reader e) {
  return absl::StrCat(str(e.getNode()), " keeps nothing of ", event.subject());
}
std::string words(const Event& event, schema::Hurried::Reader e) {
  return absl::StrCat("the move of ", event.subject(), " has to be done within ",
                      span_words(absl::Nanoseconds(e.getDeadlineNs())), because(e.getWhy()));
}
std::string words(const Event& event, schema::CancelRequested::Reader e) {
  return absl::StrCat("the move of ", event.subject(), " is to be cancelled", because(e.getWhy()));
}

}  // namespace supercloud
