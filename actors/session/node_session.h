// A node's session with the lease table, and the actor that keeps it alive.
//
// The session is the node's right to run guests and to hold roles. Its end is for the node's own clock to say: the fence deadline
// counts from the sending of the last renewal that was answered (choreography, rule 8), and every running guest's keeper is
// armed with it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "actors/network/fabric.h"
#include "actors/session_view.h"
#include "core/actor.h"
#include "core/lease_table.h"
#include "hypercall/hypervisor.h"
#include "hypercall/keeper.h"
#include "storage/volume.h"

namespace supercloud {

// What is known of the session. Thread-bound; outlives the actors that see it.
class NodeSession final : public SessionView {
 public:
  NodeSession(const Clock& clock, FencePolicy policy) : clock_(clock), policy_(policy) {}

  std::optional<SessionId> current() const override;
  // When the keepers stop this node's guests; in the past when there is no session.
  Instant deadline() const { return deadline_; }
  const FencePolicy& policy() const { return policy_; }
  // Why the table refuses this node a session for good (another one lives under its name); OK otherwise.
  const absl::Status& refused() const { return refused_; }
  // Why the last call of the session was not answered; OK once one was.
  const absl::Status& failed() const { return failed_; }

  void confirm(SessionId id, Instant sent_at);
  void end();
  void refuse(absl::Status why) { refused_ = std::move(why); }
  void fail(absl::Status why) { failed_ = std::move(why); }

  // Whether a session was ever confirmed in this process's life: a reboot is told of once.
  bool ever_confirmed() const { return ever_confirmed_; }

  // Called after each change: session gained, renewed or ended.
  void watch(std::function<void()> look) { look_ = std::move(look); }

 private:
  const Clock& clock_;
  const FencePolicy policy_;
  SessionId id_;
  Instant deadline_{};
  absl::Status refused_;
  absl::Status failed_;
  bool ever_confirmed_ = false;
  std::function<void()> look_;
};

// What guests run by: their copies, disks and ports.
struct GuestSeams {
  Hypervisor& hypervisor;
  VolumeStore& volumes;
  Fabric& fabric;
};

class SessionActor final : public Actor {
 public:
  struct Options {
    std::string identity;  // of the node's data directory
    bool fresh = false;    // the host rebooted since the last session
    Duration renew_interval = absl::Milliseconds(500);
  };

  // `guests`: of this node; empty where there can be none.
  SessionActor(Context& context, LeaseTable& leases, NodeSession& session,
               std::optional<GuestSeams> guests, Options options);
  void receive(const Event&) override {}

 private:
  void open();
  void end_old(const SessionId& old);
  void renew();
  void renewed_at(const absl::Status& renewed, Instant sent_at);
  void arm_guests();

  Context& context_;
  LeaseTable& leases_;
  NodeSession& session_;
  const std::optional<GuestSeams> guests_;
  Options options_;
  SessionId renewing_;  // the session that renewals are sent for; empty while one is being opened
};

// Keeper, disk and port of a guest end together: nothing that it does from then on has an effect, even on a machine that was
// frozen as a whole meanwhile (8).
void arm_guest(Hypervisor& hypervisor, VolumeStore& volumes, Fabric& fabric, const std::string& vm,
               Instant deadline);

}  // namespace supercloud
