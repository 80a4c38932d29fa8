#include "actors/session/node_session.h"

#include <utility>

namespace supercloud {

std::optional<SessionId> NodeSession::current() const {
  if (id_.empty() || clock_.now() >= deadline_) return std::nullopt;
  return id_;
}

void NodeSession::confirm(SessionId id, Instant sent_at) {
  failed_ = absl::OkStatus();
  const Instant deadline = policy_.fence_deadline(sent_at);
  // Answers may come out of order; the latest sending counts.
  if (id == id_ && deadline <= deadline_) return;
  id_ = std::move(id);
  deadline_ = deadline;
  refused_ = absl::OkStatus();
  ever_confirmed_ = true;
  if (look_) look_();
}

void NodeSession::end() {
  id_.clear();
  deadline_ = Instant{};
  if (look_) look_();
}

SessionActor::SessionActor(Context& context, LeaseTable& leases, NodeSession& session,
                           std::optional<GuestSeams> guests, Options options)
    : context_(context),
      leases_(leases),
      session_(session),
      guests_(guests),
      options_(std::move(options)) {
  open();
}

void SessionActor::open() {
  leases_.open_session(
      {.node = context_.node(), .identity = options_.identity},
      context_.reply<Session>(session_.policy().ttl, [this](absl::StatusOr<Session> opened) {
        if (!opened.ok()) {
          session_.fail(opened.status());
          if (absl::IsAlreadyExists(opened.status())) session_.refuse(opened.status());
          context_.after(options_.renew_interval, [this] { open(); });
          return;
        }
        if (opened->ttl < session_.policy().ttl) {
          session_.refuse(absl::FailedPreconditionError(
              "the lease table ends sessions after " + absl::FormatDuration(opened->ttl) +
              ", this node is configured for " + absl::FormatDuration(session_.policy().ttl) +
              ": set the same [lease] ttl in both"));
          return;
        }
        if (opened->went_on && options_.fresh && !session_.ever_confirmed())
          return end_old(opened->id);
        renewing_ = opened->id;
        renew();  // the deadline counts from a renewal, so that opening needs no rule of its own
      }));
}

// What was asked for before the reboot must not be granted after it (5).
void SessionActor::end_old(const SessionId& old) {
  leases_.end_session(
      old, context_.reply<Done>(session_.policy().ttl, [this](const absl::StatusOr<Done>& ended) {
        if (ended.ok()) return open();
        context_.after(options_.renew_interval, [this] { open(); });
      }));
}

void SessionActor::renew() {
  const SessionId id = renewing_;
  const Instant sent_at = context_.now();
  leases_.renew(id, context_.reply<Done>(session_.policy().ttl,
                                         [this, id, sent_at](absl::StatusOr<Done> renewed) {
                                           if (renewing_ == id)
                                             renewed_at(renewed.status(), sent_at);
                                         }));
  // The next one does not wait for this one's answer: a lost message costs an interval, not a deadline.
  context_.after(options_.renew_interval, [this, id] {
    if (renewing_ == id) renew();
  });
}

void SessionActor::renewed_at(const absl::Status& renewed, Instant sent_at) {
  if (absl::IsNotFound(renewed)) {
    renewing_.clear();
    session_.end();
    open();
  } else if (renewed.ok()) {
    session_.confirm(renewing_, sent_at);
    arm_guests();
  } else {
    session_.fail(renewed);
  }
}

void SessionActor::arm_guests() {
  if (!guests_) return;
  for (const GuestStatus& guest : guests_->hypervisor.list())
    if (guest.state == GuestStatus::State::running)
      arm_guest(guests_->hypervisor, guests_->volumes, guests_->fabric, guest.vm,
                session_.deadline());
}

void arm_guest(Hypervisor& hypervisor, VolumeStore& volumes, Fabric& fabric, const std::string& vm,
               Instant deadline) {
  volumes.arm(vm, deadline);
  fabric.arm(vm, deadline);
  hypervisor.arm(vm, deadline);
}

}  // namespace supercloud
