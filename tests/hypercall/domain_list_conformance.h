// What every DomainList must say, whatever is behind it: instantiate DomainListConformance with a factory of worlds.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "hypercall/domains.h"

namespace supercloud {

// A host whose domains a test makes. Nobody else does.
class DomainListWorld {
 public:
  virtual ~DomainListWorld() = default;

  virtual const DomainList& domains() = 0;
  // Running.
  virtual DomainId create(std::uint64_t memory_bytes, std::uint32_t cpus) = 0;
  virtual void set_state(DomainId id, DomainStatus::State state) = 0;
  virtual void destroy(DomainId id) = 0;
};

struct DomainListWorldMaker {
  std::string name;
  std::function<std::unique_ptr<DomainListWorld>()> make;
};

class DomainListConformance : public testing::TestWithParam<DomainListWorldMaker> {
 protected:
  std::vector<DomainStatus> list() const;
  HostRoom room() const;

  std::unique_ptr<DomainListWorld> world = GetParam().make();
};

}  // namespace supercloud
