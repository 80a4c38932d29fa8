// Publishes how the guests that run here dirty their memory: what a move of each would have to send again and again.
#pragma once

#include "core/actor.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

struct DirtyRateOptions {
  Duration every = absl::Seconds(5);  // for each running guest
};

class DirtyRateWatcher final : public Actor {
 public:
  DirtyRateWatcher(Context& context, const Hypervisor& hypervisor, DirtyRateOptions options = {});
  void receive(const Event&) override {}

 private:
  void tell();

  Context& context_;
  const Hypervisor& hypervisor_;
  const DirtyRateOptions options_;
};

}  // namespace supercloud
