// What happened before a policy's node listened, as far as who holds a role can tell it: the feed's watcher what prices were, each
// account's provider which instances run. They are asked: nobody reads every event since the beginning, but where no holder tells; then
// it comes from the logs.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "actors/past.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct RolePastOptions {
  // Until the past counts as known though a role's holder has not told it, and how often it is asked meanwhile.
  Duration patience = absl::Milliseconds(4500);
  Duration retry = absl::Milliseconds(500);
  Duration deadline = absl::Seconds(2);      // of the lease table, and of the holder
  Duration quiet = absl::Milliseconds(150);  // PastOptions::quiet, of the logs
};

// Who is asked, and for what.
struct RoleQuestion {
  std::string role;   // the lease's key; one that ends with '/': all that begin so
  std::string actor;  // of the holder's node
  std::function<void(schema::Request::Builder)> ask;
  std::vector<std::string> patterns;  // of the logs, which say the same
};

// Thread-bound to its actor, which owns it.
class RolePast {
 public:
  // False: that is no answer to the question.
  using Told = std::function<bool(schema::Response::Reader)>;
  // `told`: what each holder says; `read`: each event of the logs.
  RolePast(Context& context, LeaseTable& leases, RoleQuestion question, RolePastOptions options,
           Told told, Past::Each read);

  // Once. `known`: then nothing more will be told; from logs more may be read.
  void ask(std::function<void()> known);
  // To be given every event that the actor receives. When a feed is restored its watcher is asked again, for it knows more of the past.
  void hear(const Event& event);
  bool known() const { return known_; }

 private:
  void ask_again();
  void ask_once_more();
  void ask_holders(const std::vector<LeaseRecord>& roles);
  using Answered = std::function<void(const absl::StatusOr<Message<schema::Response>>&)>;
  void ask_holder(const LeaseRecord& role, Answered answered);
  void answered(const std::string& role, const absl::StatusOr<Message<schema::Response>>& answer);
  void read_logs();
  void know();

  Context& context_;
  LeaseTable& leases_;
  const RoleQuestion question_;
  const RolePastOptions options_;
  Told told_;
  Past logs_;
  std::function<void()> when_known_;
  std::set<std::string> untold_;  // roles, of those listed last
  std::set<std::string> heard_;   // roles whose holder has told
  bool known_ = false;
  bool reading_ = false;  // logs: no holder tells
};

}  // namespace supercloud
