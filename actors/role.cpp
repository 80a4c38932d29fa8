#include "actors/role.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

RoleHolder::RoleHolder(Context& context, LeaseTable& leases, const SessionView& session,
                       std::string role, Handlers handlers, RoleOptions options)
    : context_(context),
      leases_(leases),
      session_(session),
      key_(absl::StrCat("role/", role)),
      handlers_(std::move(handlers)),
      options_(options),
      next_retry_(std::min(options.first_retry, options.retry)) {}

void RoleHolder::start() { look(); }

bool RoleHolder::held() const { return !won_under_.empty() && session_.current() == won_under_; }

void RoleHolder::look_later() {
  context_.after(next_retry_, [this] { look(); });
  next_retry_ = std::min(next_retry_ * 2, options_.retry);
}

void RoleHolder::look() {
  const std::optional<SessionId> session = session_.current();
  if (!won_under_.empty() && session != won_under_) {
    lose(session ? "the session under which the role was won has ended"
                 : "the session with the lease table has ended");
  }
  // While the session lives nobody can take the role: there is nothing to read.
  if (held() || !session) {
    look_later();
    return;
  }
  next_retry_ = options_.retry;
  leases_.read(
      key_, context_.reply<LeaseRecord>(options_.deadline,
                                        [this, id = *session](absl::StatusOr<LeaseRecord> record) {
                                          consider(id, record);
                                        }));
}

void RoleHolder::consider(const SessionId& session, const absl::StatusOr<LeaseRecord>& record) {
  if (session_.current() != session) {
    look_later();
    return;
  }
  if (!record.ok()) {
    if (absl::IsNotFound(record.status())) {
      holder_.clear();
      swap(session, SwapKind::DEFINE, 0);
    } else {
      look_later();
    }
    return;
  }
  holder_ = record->holder;
  if (record->holder == context_.node() && record->session == session) {
    gain(session, record->epoch);  // a swap whose reply was lost, or an actor that was restarted
  } else if (record->holder == context_.node()) {
    swap(session, SwapKind::RESTART, record->epoch);
  } else if (!record->session_alive) {
    swap(session, SwapKind::TAKEOVER, record->epoch);
  } else {
    look_later();
  }
}

void RoleHolder::swap(const SessionId& session, SwapKind kind, Epoch epoch) {
  Swap swap;
  swap.key = key_;
  swap.kind = kind;
  swap.session = session;
  // The random part keeps an actor that was restarted within a session from repeating an id.
  const std::uint64_t nonce = context_.random().next();
  swap.swap_id = absl::StrCat(context_.self().to_string(), ":", ++swaps_, ":", absl::Hex(nonce));
  swap.epoch = epoch;
  if (kind == SwapKind::DEFINE) swap.in_sync = {context_.node()};
  swap.loss_allowed = true;  // a role has no disk: any node may take it over
  leases_.swap(
      std::move(swap),
      context_.reply<SwapResult>(
          options_.deadline, [this, session](absl::StatusOr<SwapResult> result) {
            if (result.ok() && result->record) holder_ = result->record->holder;
            // Won under a session that has ended meanwhile is not won (rule 3). A lost reply: the record will tell.
            if (result.ok() && result->won && result->record && session_.current() == session) {
              gain(session, result->record->epoch);
            } else {
              look_later();
            }
          }));
}

void RoleHolder::gain(const SessionId& session, Epoch epoch) {
  won_under_ = session;
  epoch_ = epoch;
  look_later();
  if (handlers_.gained) handlers_.gained(epoch);
}

void RoleHolder::lose(const std::string& why) {
  won_under_.clear();
  if (handlers_.lost) handlers_.lost(why);
}

}  // namespace supercloud
