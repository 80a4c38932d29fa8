#include <algorithm>
#include <memory>
#include <optional>
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
    store_.begin({deadline(), [self = shared_from_this()](absl::StatusOr<XenTransactionId> id) {
                    if (!id.ok()) return self->failed(id.status());
                    self->run(*id);
                  }});
  }

 private:
  // Ends the transaction, whatever the body does with its `done`.
  class Open {
   public:
    Open(std::shared_ptr<Attempts> of, XenTransactionId id) : of_(std::move(of)), id_(id) {}
    ~Open() {
      if (of_) of_->end(id_, absl::CancelledError("the transaction's body went away"));
    }
    Open(Open&&) = default;
    Open& operator=(Open&&) = delete;
    void end(const absl::Status& of_body) { std::exchange(of_, nullptr)->end(id_, of_body); }

   private:
    std::shared_ptr<Attempts> of_;
    XenTransactionId id_;
  };

  Instant deadline() const { return reply_.deadline(); }

  void run(XenTransactionId id) {
    body_(id,
          {deadline(), [open = Open(shared_from_this(), id)](
                           const absl::StatusOr<Done>& done) mutable { open.end(done.status()); }});
  }

  void end(XenTransactionId id, absl::Status of_body) {
    const bool commit = of_body.ok();
    store_.end(id, commit,
               {deadline(), [self = shared_from_this(),
                             of_body = std::move(of_body)](const absl::StatusOr<Done>& ended) {
                  if (!of_body.ok()) return self->body_failed(of_body);
                  if (!ended.ok()) return self->failed(ended.status());
                  self->reply_(Done{});
                }});
  }

  void body_failed(const absl::Status& why) {
    const bool believed = std::exchange(doubted_, true) || absl::IsCancelled(why) ||
                          scheduler_.clock().now() >= deadline();
    if (believed || absl::IsAborted(why) || absl::IsUnavailable(why)) return failed(why);
    begin();
  }

  void failed(const absl::Status& why) {
    const Instant now = scheduler_.clock().now();
    bool again = false;
    if (absl::IsAborted(why)) {
      again = ++conflicts_ < retry_.attempts_max;
      doubted_ = false;
      lost_.reset();
    } else if (absl::IsUnavailable(why)) {
      if (!lost_) lost_ = now;
      again = now - *lost_ < retry_.loss_max;
    }
    const Instant next = now + backoff_;
    if (!again || next >= deadline()) return reply_(why);
    backoff_ = std::min(backoff_ * 2, retry_.backoff_max);
    scheduler_.at(next, [self = shared_from_this()] { self->begin(); });
  }

  XenStore& store_;
  Scheduler& scheduler_;
  const XenBody body_;
  Reply<Done> reply_;
  const XenRetry retry_;
  Duration backoff_;
  int conflicts_ = 0;
  bool doubted_ = false;         // the last run of the body ended in an error
  std::optional<Instant> lost_;  // since when the store is away
};

}  // namespace

void transact(XenStore& store, Scheduler& scheduler, XenBody body, Reply<Done> reply,
              XenRetry retry) {
  std::make_shared<Attempts>(store, scheduler, std::move(body), std::move(reply), retry)->begin();
}

}  // namespace supercloud
