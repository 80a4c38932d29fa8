// The domains of a Xen host, as its hypervisor lists them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "hypercall/xen_path.h"

namespace supercloud {

struct DomainStatus {
  enum class State : std::uint8_t {
    running,  // or waiting for something to do
    paused,
    suspended,  // by itself, so that its memory can be sent or saved
    shut_down,  // ended by itself; not yet taken down
    crashed,
    dying,  // being taken down
  };
  DomainId id = 0;
  std::string uuid;  // "01234567-89ab-cdef-0123-456789abcdef"
  State state = State::running;
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpus = 0;
  friend bool operator==(const DomainStatus&, const DomainStatus&) = default;
};

struct HostRoom {
  std::uint64_t memory_free_bytes = 0;
  std::uint32_t cpus = 0;  // all of them, also those in use
  friend bool operator==(const HostRoom&, const HostRoom&) = default;
};

// Thread-bound. Its calls are hypercalls: microseconds. Errors as in xen_error.h; Unavailable: no Xen here. PermissionDenied: this
// process may not, or the hypervisor is of another version than the library.
class DomainList {
 public:
  virtual ~DomainList() = default;
  virtual absl::StatusOr<std::vector<DomainStatus>> list()
      const = 0;  // by id, the control domain too
  virtual absl::StatusOr<HostRoom> room() const = 0;
};

}  // namespace supercloud
