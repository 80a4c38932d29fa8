// Xen's control interface (libxenctrl): the domains of this host.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hypercall/domains.h"

struct xc_interface_core;

namespace supercloud {

// Which pages a domain wrote to since the last look.
struct DirtyPages {
  std::vector<std::uint64_t> bitmap;  // bit n % 64 of word n / 64: guest frame n, of 4 KiB
  std::uint64_t frames = 0;           // that the domain may have
  std::uint64_t count = 0;            // bits that are set
};

// Thread-bound. Calls are hypercalls; they block for microseconds, take_dirty() for as long as it takes to copy the bitmap.
class XenControl final : public DomainList {
 public:
  // Unavailable, with the call and its errno: no Xen here. PermissionDenied: this process may not control it.
  static absl::StatusOr<std::unique_ptr<XenControl>> open();
  // Of Xen, whose hypervisor the linked library can control: "4.17.0". Another one denies list() and room() (EACCES).
  static std::string library_version();
  ~XenControl() override;
  XenControl(const XenControl&) = delete;
  XenControl& operator=(const XenControl&) = delete;

  absl::StatusOr<std::vector<DomainStatus>> list() const override;
  absl::StatusOr<HostRoom> room() const override;
  absl::StatusOr<std::string> version() const;  // of the hypervisor: "4.17"

  // NotFound: no such domain. Pauses are counted by Xen.
  absl::Status pause(DomainId id);
  absl::Status unpause(DomainId id);

  // Unimplemented: this hypervisor cannot, for this kind of domain (PV without shadow paging).
  absl::Status start_log_dirty(DomainId id);
  // And begins anew. ResourceExhausted: the guest claims more memory than there can be.
  absl::StatusOr<DirtyPages> take_dirty(DomainId id);
  absl::Status stop_log_dirty(DomainId id);

 private:
  explicit XenControl(xc_interface_core* handle) : handle_(handle) {}
  xc_interface_core* const handle_;
};

}  // namespace supercloud
