// A role that exists once in a cluster: the provider of an account, the ledger, the price feed. It is a lease under
// "role/<name>", held in the node's session. Any node may take it over once that session has ended, at a higher epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "actors/session_view.h"
#include "core/actor.h"
#include "core/lease_table.h"

namespace supercloud {

struct RoleOptions {
  // while this node has no session yet: twice as long each time, up to `retry`
  Duration first_retry = absl::Milliseconds(20);
  Duration retry = absl::Seconds(1);     // how often a node that does not hold the role asks for it
  Duration deadline = absl::Seconds(2);  // of one call to the lease table
};

// Acquires a role and keeps it. Thread-bound to its actor, which owns it: the timers and replies die with the actor.
class RoleHolder {
 public:
  struct Handlers {
    std::function<void(Epoch epoch)> gained;  // from now on held() is true
    // noticed within `retry`; held() is false as soon as the session ends
    std::function<void(const std::string& why)> lost;
  };

  RoleHolder(Context& context, LeaseTable& leases, const SessionView& session, std::string role,
             Handlers handlers, RoleOptions options = {});

  // Begins to ask for the role. Once.
  void start();
  // Whether this node holds the role under its present session: ask before every act that only the holder may do.
  bool held() const;
  Epoch epoch() const { return epoch_; }
  // Who held it when the record was last read; empty: nobody, or not known yet. For redirects.
  const std::string& holder() const { return holder_; }
  const std::string& key() const { return key_; }

 private:
  void look();
  void look_later();
  void consider(const SessionId& session, const absl::StatusOr<LeaseRecord>& record);
  void swap(const SessionId& session, SwapKind kind, Epoch epoch);
  void gain(const SessionId& session, Epoch epoch);
  void lose(const std::string& why);

  Context& context_;
  LeaseTable& leases_;
  const SessionView& session_;
  const std::string key_;
  Handlers handlers_;
  RoleOptions options_;
  Duration next_retry_;
  SessionId won_under_;  // empty: not held
  Epoch epoch_ = 0;
  std::string holder_;
  std::uint64_t swaps_ = 0;
};

}  // namespace supercloud
