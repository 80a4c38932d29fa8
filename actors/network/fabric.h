// The fabric seam: a node's part of the network between guests. Each guest has a port here while its copy may send; who owns a
// guest's address is known by epoch, and a lower epoch never replaces a higher one (choreography, rule 11).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/reply.h"
#include "core/units.h"

namespace supercloud {

struct AddressOwner {
  std::string address;
  std::string vm;  // "tenant/name"
  std::string node;
  std::string endpoint;  // of that node's tunnel
  Epoch epoch = 0;
  friend bool operator==(const AddressOwner&, const AddressOwner&) = default;
};

// Thread-bound. Ports and table outlive the daemon; after a restart of the host both are empty and learn() comes first.
class Fabric {
 public:
  virtual ~Fabric() = default;

  // Makes a closed port and whatever path (tunnel) towards it is needed. Idempotent.
  virtual void prepare(std::string vm, std::string address, Reply<Done> reply) = 0;
  // Frames of this VM pass here from now on, as of `epoch`. In effect when it returns. FailedPrecondition below an epoch that
  // the fabric knows for the address.
  virtual absl::Status open(const std::string& vm, Epoch epoch) = 0;
  // No frame passes an open port from `deadline` on, unless it was moved by then: the keeper's deadline, checked where frames pass.
  // What a machine that was frozen as a whole still sends as it thaws reaches nobody (rule 8). In effect when it returns; in either
  // direction; a port that was never armed has none.
  virtual void arm(const std::string& vm, Instant deadline) = 0;
  // In effect when it returns. Idempotent.
  virtual void close(const std::string& vm) = 0;
  virtual void remove(std::string vm, Reply<Done> reply) = 0;
  // Whether the port of a VM is open here, and at which epoch.
  virtual std::optional<Epoch> port(const std::string& vm) const = 0;

  // Frames to this address go to that node from now on. False, without effect, if a higher epoch is known; true if it is now,
  // or was already, the owner.
  virtual bool learn(const AddressOwner& owner) = 0;
  virtual void forget(const std::string& address, Epoch epoch) = 0;
  virtual std::vector<AddressOwner> owners() const = 0;  // by address

  // How long no frame was delivered to or from a guest of this node around its last change of epoch; none if not known yet, or
  // if the last frame before it passed on another node, whose clock says nothing here.
  virtual std::optional<Duration> blackout(const std::string& vm, Epoch epoch) const = 0;
  // When the first and the last frame of an epoch passed here, on this node's clock; none if none has.
  struct Traffic {
    Instant first, last;
  };
  virtual std::optional<Traffic> traffic(const std::string& vm, Epoch epoch) const = 0;
};

}  // namespace supercloud
