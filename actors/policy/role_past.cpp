#include "actors/policy/role_past.h"

#include <utility>

#include "actors/spot/watcher.h"

namespace supercloud {

RolePast::RolePast(Context& context, LeaseTable& leases, RoleQuestion question,
                   RolePastOptions options, Told told, Past::Each read)
    : context_(context),
      leases_(leases),
      question_(std::move(question)),
      options_(options),
      told_(std::move(told)),
      logs_(context, {.patterns = question_.patterns, .quiet = options.quiet}, std::move(read)) {}

void RolePast::ask(std::function<void()> known) {
  when_known_ = std::move(known);
  ask_again();
  context_.after(options_.patience, [this] { read_logs(); });
}

void RolePast::hear(const Event& event) {
  if (reading_) logs_.hear(event);
  const bool is_feed = question_.role.ends_with(feed_role);
  if (is_feed && known_ && event.type() == schema::Payload::SPOT_FEED_RESTORED)
    context_.after(options_.retry, [this] { ask_once_more(); });  // once its prices are there
}

// What is told then is learned as before; an answer that is lost is no loss.
void RolePast::ask_once_more() {
  const auto learn = [this](const absl::StatusOr<Message<schema::Response>>& answer) {
    if (answer.ok()) told_(answer->reader());
  };
  leases_.read(question_.role,
               context_.reply<LeaseRecord>(options_.deadline,
                                           [this, learn](const absl::StatusOr<LeaseRecord>& role) {
                                             if (role.ok()) ask_holder(*role, learn);
                                           }));
}

void RolePast::ask_again() {
  if (known_ || reading_) return;
  context_.after(options_.retry, [this] { ask_again(); });
  leases_.list(
      {.prefix = question_.role},
      context_.reply<std::vector<LeaseRecord>>(
          options_.deadline, [this](const absl::StatusOr<std::vector<LeaseRecord>>& roles) {
            if (roles.ok()) ask_holders(*roles);
          }));
}

void RolePast::ask_holders(const std::vector<LeaseRecord>& roles) {
  if (known_ || reading_) return;
  untold_.clear();
  bool any = false;
  for (const LeaseRecord& role : roles) {
    if (role.key != question_.role && !question_.role.ends_with('/')) continue;
    any = true;
    if (heard_.contains(role.key)) continue;
    untold_.insert(role.key);
    ask_holder(role, [this, key = role.key](const auto& answer) { answered(key, answer); });
  }
  if (!any) read_logs();  // nobody has had the role yet
}

void RolePast::ask_holder(const LeaseRecord& role, Answered answered) {
  const auto request = Message<schema::Request>::build(
      [this](schema::Request::Builder builder) { question_.ask(builder); });
  context_.request({role.holder, question_.actor}, request, options_.deadline, std::move(answered));
}

void RolePast::answered(const std::string& role,
                        const absl::StatusOr<Message<schema::Response>>& answer) {
  if (known_ || heard_.contains(role)) return;
  // It has too much to say.
  if (absl::IsResourceExhausted(answer.status())) return read_logs();
  if (!answer.ok() || !told_(answer->reader())) return;
  heard_.insert(role);
  untold_.erase(role);
  if (untold_.empty() && !reading_) know();
}

void RolePast::read_logs() {
  if (known_ || reading_) return;
  reading_ = true;
  logs_.read([this] { logs_.settled([this] { know(); }); });
}

void RolePast::know() {
  known_ = true;
  when_known_();
}

}  // namespace supercloud
