#include <algorithm>
#include <memory>
#include <utility>

#include "hypercall/xen_store.h"

namespace supercloud {
namespace {

class Attempts : public std::enable_shared_from_this<Attempts> {
 public:
  Attempts(XenStore& store, Scheduler& scheduler, XenBody body, Reply<Done> reply, XenRetry retry)
      : store_(store),
        scheduler_(scheduler),
        body_(std::move(body)),
        reply_(std::move(reply)),
        retry_(retry),
        backoff_(retry.backoff) {}

  void begin() {
    ++attempts_;
    store_.begin({deadline(), [self = shared_from_this()](absl::StatusOr<XenTransactionId> id) {
                    if (!id.ok()) return self->failed(id.status());
                    self->run(*id);
                  }});
  }

 private:
  Instant deadline() const { return reply_.deadline(); }

  void run(XenTransactionId id) {
    body_(id, {deadline(), [self = shared_from_this(), id](const absl::StatusOr<Done>& done) {
                 self->end(id, done.status());
               }});
  }

  void end(XenTransactionId id, absl::Status of_body) {
    const bool commit = of_body.ok();
    store_.end(id, commit,
               {deadline(), [self = shared_from_this(),
                             of_body = std::move(of_body)](const absl::StatusOr<Done>& ended) {
                  if (!of_body.ok()) return self->failed(of_body);
                  if (!ended.ok()) return self->failed(ended.status());
                  self->reply_(Done{});
                }});
  }

  void failed(const absl::Status& why) {
    const bool again = absl::IsAborted(why) || (retry_.after_loss && absl::IsUnavailable(why));
    const Instant next = scheduler_.clock().now() + backoff_;
    if (!again || attempts_ >= retry_.attempts_max || next >= deadline()) return reply_(why);
    backoff_ = std::min(backoff_ * 2, retry_.backoff_max);
    scheduler_.at(next, [self = shared_from_this()] { self->begin(); });
  }

  XenStore& store_;
  Scheduler& scheduler_;
  const XenBody body_;
  Reply<Done> reply_;
  const XenRetry retry_;
  Duration backoff_;
  int attempts_ = 0;
};

}  // namespace

void transact(XenStore& store, Scheduler& scheduler, XenBody body, Reply<Done> reply,
              XenRetry retry) {
  std::make_shared<Attempts>(store, scheduler, std::move(body), std::move(reply), retry)->begin();
}

}  // namespace supercloud
