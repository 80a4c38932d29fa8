// Whether pre-copy converges within a move's budgets, foreseen from what has been measured, and what is done where it does not. Pure.
//
// A pass sends what was dirtied during the one before: r bytes take r / R at R bytes a second, in which D·r/R are dirtied, so that passes
// shrink by D/R. They end when what is left can be sent within the blackout. (Clark, Fraser et al., "Live Migration of Virtual Machines",
// NSDI 2005, section 4.)
#pragma once

#include <cstdint>
#include <string>

#include "core/schema/event.capnp.h"
#include "core/time.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

struct TransferBudget {
  Duration blackout_max;  // of final memory
  Duration total_max;     // from the first byte to the pause
  Duration left;          // of that, now
  // The source has to be left: what does not converge starts from the disk, so that nothing is hopeless (choreography, 16).
  bool leaves = false;
  // What has not been sent by the pause may follow.
  bool post_copy = false;
};

struct TransferPlan {
  schema::Method method = schema::Method::PRE_COPY;
  std::string why;
  std::uint64_t dirty_bytes_per_second = 0;
  Duration total;        // foreseen, from now on; infinite: it does not converge
  Duration blackout;     // foreseen, of final memory
  std::string hopeless;  // why it cannot be done in time whatever is done; empty: it may
};

// `falls_per_second`: so many bytes of a pass are done, whatever of them is sent. `method`: that of before. It only ever goes on from pre-copy to throttled
// or, where that is allowed, to post-copy: the guest is not slowed down, and its pause does not wait for memory.
TransferPlan plan_transfer(const TransferProgress& progress, std::uint64_t falls_per_second,
                           const TransferBudget& budget, schema::Method method);

}  // namespace supercloud
