// A policy in a shared object of its user's (policy_abi.h), loaded into this process. A node does that only in a process made for
// it, `supercloud policy-host` (policy_host.h).
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "actors/policy/plugin/policy_abi.h"
#include "actors/policy/plugin/policy_wire.h"
#include "actors/policy/policy.h"

namespace supercloud {

// Thread-bound. Answers at once.
class SharedObjectPolicy final : public Policy {
 public:
  // NotFound, InvalidArgument (no shared object, or none that can be loaded), FailedPrecondition (no entry, another ABI version,
  // it will not be created): with the file and the cure.
  static absl::StatusOr<std::unique_ptr<SharedObjectPolicy>> load(const std::string& file);
  ~SharedObjectPolicy() override;
  SharedObjectPolicy(const SharedObjectPolicy&) = delete;
  SharedObjectPolicy& operator=(const SharedObjectPolicy&) = delete;

  std::string name() const override { return table_->name; }
  PolicyGreeting greeting() const { return {table_->name, table_->version, table_->decides_on}; }
  // Internal: an exception left it. Aborted: it says itself that it cannot decide. InvalidArgument: no answer, or bytes that are
  // no Decision.
  void decide(Message<schema::World> world, Reply<Message<schema::Decision>> reply) override;

 private:
  SharedObjectPolicy(std::string file, void* object, const supercloud_policy* table)
      : file_(std::move(file)), object_(object), table_(table) {}

  const std::string file_;
  void* object_;
  const supercloud_policy* table_;
  void* self_ = nullptr;
};

}  // namespace supercloud
