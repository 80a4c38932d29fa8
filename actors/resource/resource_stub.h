// Stands in for resources that do not move with a VM (a data set, a license server): whoever reaches for one says so here, and
// it becomes an event that policies may learn from.
#pragma once

#include "core/actor.h"

namespace supercloud {

class ResourceStub final : public Actor {
 public:
  explicit ResourceStub(Context& context) : context_(context) {}
  void receive(const Event&) override {}
  // accessResource: done when it is logged. InvalidArgument without a resource or a VM.
  void serve(Message<schema::Request> request, Answer answer) override;

 private:
  Context& context_;
};

}  // namespace supercloud
