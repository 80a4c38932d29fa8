// Ways of memory from this node to others, as they were tried: what was found out is kept for a moment, so that moves that follow each
// other do not wait for it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "core/actor.h"
#include "hypercall/hypervisor.h"

namespace supercloud {

// Thread-bound to its actor.
class Ways {
 public:
  static constexpr Duration kept_for = absl::Seconds(10);
  using Told = std::function<void(const absl::StatusOr<Way>&)>;

  Ways(Context& context, Hypervisor& hypervisor) : context_(context), hypervisor_(hypervisor) {}

  // Whether the host with that endpoint is reached, as Hypervisor::try_way says it; at once, if that is known.
  void reach(const std::string& endpoint, Told told);
  // ... and what the way carries.
  void measure(const std::string& endpoint, Told told);
  // ... measured once more, whatever is known: of both the faster, as what slows a way for a moment is not the way. What was
  // measured twice is good for as long as it is known, if it cannot be once more. A rate of 0: it was not measured twice.
  void measure_again(const std::string& endpoint, Told told);

 private:
  struct Known {
    Way way;
    Instant until{};
    bool twice = false;  // it was measured
  };
  const Known* known(const std::string& endpoint);
  void try_way(const std::string& endpoint, bool measure, Told told);
  void keep(const std::string& endpoint, const Way& way);

  Context& context_;
  Hypervisor& hypervisor_;
  std::map<std::string, Known> known_;
};

}  // namespace supercloud
