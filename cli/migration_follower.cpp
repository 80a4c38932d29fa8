#include "cli/migration_follower.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace supercloud {
namespace {

std::string spell(Duration span) {
  if (span < absl::Seconds(1)) return absl::StrFormat("%d ms", absl::ToInt64Milliseconds(span));
  return absl::StrFormat("%.1f s", absl::ToDoubleSeconds(span));
}

std::string left(const MigrationFollower::Step& step) {
  if (step.eta_high <= absl::ZeroDuration()) return "";
  const auto low = absl::ToInt64Seconds(step.eta_low),
             high = absl::ToInt64Seconds(step.eta_high) + 1;
  return low + 1 >= high ? absl::StrFormat(", %d s left", high)
                         : absl::StrFormat(", %d to %d s left", low, high);
}

std::string refusal(schema::Refused::Reader refused) {
  std::vector<std::string> lines;
  for (const auto failure : refused.getFailures()) {
    std::string line = absl::StrCat(str(failure.getName()), ": ", str(failure.getDetail()));
    if (failure.getCure().size() > 0) absl::StrAppend(&line, "; ", str(failure.getCure()));
    lines.push_back(std::move(line));
  }
  return lines.empty() ? "without a reason" : absl::StrJoin(lines, "\n");
}

}  // namespace

std::string MigrationFollower::fold(const Event& event) {
  std::string words = say(event);
  if (!words.empty()) last_ = words;
  return words;
}

std::string MigrationFollower::say(const Event& event) {
  using Payload = schema::Payload;
  if (event.migration() != migration_) {
    // An instance is rented for it before it is accepted.
    if (event.root() != migration_) return "";
    if (event.type() == Payload::INSTANCE_REQUESTED)
      return absl::StrCat("asks for an instance at ",
                          str(event.payload().getInstanceRequested().getPlace()));
    if (event.type() == Payload::INSTANCE_LAUNCHED)
      return absl::StrCat("instance ", str(event.payload().getInstanceLaunched().getInstance()),
                          " is launched");
    if (event.type() == Payload::INSTANCE_REFUSED)
      return absl::StrCat("no instance: ", str(event.payload().getInstanceRefused().getWhy()));
    return "";
  }
  if (std::find(told_.begin(), told_.end(), event.id()) != told_.end()) return "";
  const auto payload = event.payload();
  if (event.type() == Payload::MIGRATION_PROGRESS) {
    const auto progress = payload.getMigrationProgress();
    step_ =
        Step{.percent = std::min(progress.getPercent(), 100U),
             .stage = str(progress.getStage()),
             .eta_low = absl::Milliseconds(static_cast<std::int64_t>(progress.getEtaLowMs())),
             .eta_high = absl::Milliseconds(static_cast<std::int64_t>(progress.getEtaHighMs()))};
    return "";
  }
  told_.push_back(event.id());
  switch (event.type()) {
    case Payload::MIGRATION_ACCEPTED: {
      const auto accepted = payload.getMigrationAccepted();
      allowed_ = absl::Nanoseconds(accepted.getDeadlineNs());
      return absl::StrCat("accepted: from ", str(accepted.getSource()), " to ",
                          str(accepted.getTarget()), ", within ",
                          spell(absl::Nanoseconds(accepted.getDeadlineNs())));
    }
    case Payload::MIGRATION_REFUSED: {
      outcome_ = Outcome{"refused", refusal(payload.getMigrationRefused())};
      return absl::StrCat("refused by ", str(payload.getMigrationRefused().getNode()));
    }
    case Payload::MIGRATION_TARGET_READY:
      return absl::StrCat(str(payload.getMigrationTargetReady().getNode()),
                          " is ready for the guest");
    case Payload::STORAGE_REPLICA_READY:
      return absl::StrCat("the disk is on ", str(payload.getStorageReplicaReady().getNode()));
    case Payload::NETWORK_PATH_READY:
      return absl::StrCat("the network is ready on ", str(payload.getNetworkPathReady().getNode()));
    case Payload::MIGRATION_STARTED:
      return "memory begins to move while the guest runs";
    case Payload::VM_PAUSED:
      return "the guest is paused";
    case Payload::STORAGE_SEALED:
      return "the disk is sealed";
    case Payload::STORAGE_VERIFIED:
      return "the disk is verified at the target";
    case Payload::VM_RESUMED:
      step_ = Step{.percent = 100, .stage = "resumed", .eta_low = {}, .eta_high = {}};
      return absl::StrCat("the guest runs on ", str(payload.getVmResumed().getNode()), ", epoch ",
                          event.epoch());
    case Payload::MIGRATION_COMPLETED: {
      const auto completed = payload.getMigrationCompleted();
      outcome_ = Outcome{
          "completed",
          absl::StrFormat(
              "from %s to %s in %s, the guest stood still for %.1f ms; %.1f MiB in %d passes",
              str(completed.getSource()), str(completed.getTarget()),
              spell(absl::Milliseconds(static_cast<std::int64_t>(completed.getTotalMs()))),
              completed.getBlackoutMs(), static_cast<double>(completed.getSentBytes()) / (1 << 20),
              completed.getPasses())};
      return "completed";
    }
    case Payload::MIGRATION_ABORTED: {
      const auto aborted = payload.getMigrationAborted();
      outcome_ = Outcome{
          "aborted", absl::StrCat("while ", str(aborted.getStage()), ": ", str(aborted.getWhy()))};
      return absl::StrCat("aborted while ", str(aborted.getStage()));
    }
    case Payload::MIGRATION_HURRIED:
      return absl::StrCat("in haste: ", str(payload.getMigrationHurried().getWhy()));
    case Payload::MIGRATION_PLANNED: {
      const auto planned = payload.getMigrationPlanned();
      if (planned.getMethod() == schema::Method::THROTTLED)
        return absl::StrCat("slowed down: ", str(planned.getWhy()));
      if (planned.getMethod() == schema::Method::POST_COPY)
        return absl::StrCat("its memory follows: ", str(planned.getWhy()));
      return "";
    }
    case Payload::MIGRATION_CANCEL_REQUESTED:
      return absl::StrCat("cancel asked for: ",
                          str(payload.getMigrationCancelRequested().getWhy()));
    default:
      return "";
  }
}

std::string progress_bar(const std::string& name, const MigrationFollower::Step& step,
                         std::size_t width) {
  const std::string after = absl::StrFormat("  %3d %%  %s%s", step.percent, step.stage, left(step));
  const std::size_t taken = name.size() + after.size() + 4;
  if (taken + 5 > width) return (name + after).substr(0, width);
  const std::size_t cells = std::min<std::size_t>(width - taken, 40);
  const std::size_t full = cells * step.percent / 100;
  return absl::StrCat(name, "  [", std::string(full, '#'), std::string(cells - full, '.'), "]",
                      after);
}

}  // namespace supercloud
