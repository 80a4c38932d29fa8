// The policy seam: a pure function from what is known to what should be done, and why.
#pragma once

#include <string>

#include "core/message.h"
#include "core/reply.h"

namespace supercloud {

class Policy {
 public:
  virtual ~Policy() = default;
  virtual std::string name() const = 0;
  // In this process the answer is immediate; from a shared object or another process it may come late, or never: the caller's
  // deadline then means "stay". FailedPrecondition: it is not ready yet, which is no failure of its.
  virtual void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) = 0;
};

}  // namespace supercloud
