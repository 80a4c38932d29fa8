// The holder's side of targets that are kept ready. No table knows of them: each lasts only as long as its VM's holder asks for it.
#include <algorithm>
#include <utility>

#include "actors/migration/standbys.h"
#include "actors/migration/vm_worker.h"

namespace supercloud {
namespace {

constexpr Duration standby_time = absl::Seconds(60);
constexpr Duration standbys_again = absl::Seconds(20);

}  // namespace

void ask_for_standbys(Context& context, schema::VmSpec::Reader spec, Duration time,
                      Duration deadline, const std::function<void(const absl::Status&)>& told) {
  if (spec.getPrepared().size() == 0) return;
  const auto request = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto prepare = builder.initPrepareIncoming();
    prepare.setVm(spec);
    prepare.setSource(context.node());
    prepare.setHoldNs(absl::ToInt64Nanoseconds(time));
  });
  for (const auto name : spec.getPrepared()) {
    const std::string node(text(name));
    if (node == context.node()) continue;
    context.request(
        {node, "executor"}, request, deadline,
        [told](const absl::StatusOr<Message<schema::Response>>& answer) { told(answer.status()); });
  }
}

void VmWorker::tend_standbys() {
  const Instant now = shared_.context.now();
  if (!spec_ || spec_->reader().getPrepared().size() == 0 || now < standbys_due_) return;
  if (!record_ || record_->holder != shared_.context.node() || record_->hand_over_open() || out_ ||
      !spec_->reader().getRunning())
    return;
  standbys_due_ = now + standbys_again;
  const Duration soon = standbys_delay_;
  standbys_delay_ = std::min(soon * 2, standbys_again);
  // One that cannot yet, as the VM has just left it, or not any more, is asked more often at first.
  ask_for_standbys(shared_.context, spec_->reader(), standby_time, shared_.options.make_deadline,
                   [this, alive = alive_, soon](const absl::Status& kept) {
                     if (!*alive || kept.ok()) return;
                     standbys_due_ = std::min(standbys_due_, shared_.context.now() + soon);
                     shared_.context.after(soon, [this, alive] {
                       if (*alive) look();
                     });
                   });
}

}  // namespace supercloud
