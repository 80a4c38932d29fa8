// Pages of other domains: mapped by their grant (libxengnttab), or by right of control (libxenforeignmemory); and pages of one's own
// that others may map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "hypercall/xen_path.h"

struct xengntdev_handle;
struct xenforeignmemory_handle;

namespace supercloud {

inline constexpr std::size_t xen_page_bytes = 4096;

using GrantReference = std::uint32_t;
using GuestFrame = std::uint64_t;  // number of a page, as the guest counts

// Memory that is mapped as long as this object is. Movable. May be handed to other threads, one at a time; what is in it changes
// under the reader's eyes, for the other domain writes when it likes.
class XenPages {
 public:
  std::span<std::byte> bytes() const { return bytes_; }
  XenPages(XenPages&& other) noexcept
      : mapping_(std::move(other.mapping_)), bytes_(std::exchange(other.bytes_, {})) {}
  XenPages& operator=(XenPages&& other) noexcept {
    mapping_ = std::move(other.mapping_);
    bytes_ = std::exchange(other.bytes_, {});
    return *this;
  }

 private:
  friend class GrantMapper;
  friend class GrantSharer;
  friend class ForeignMemory;
  XenPages(std::shared_ptr<void> mapping, std::size_t pages)
      : mapping_(std::move(mapping)),
        bytes_(static_cast<std::byte*>(mapping_.get()), pages * xen_page_bytes) {}
  std::shared_ptr<void> mapping_;  // unmaps, then closes the handle if it was the last
  std::span<std::byte> bytes_;
};

// Thread-bound and movable, all three. open(): Unavailable, no Xen here. Nothing is mapped if not all is. Pages outlive the object that made them.

class GrantMapper {
 public:
  GrantMapper(GrantMapper&&) = default;
  GrantMapper& operator=(GrantMapper&&) = default;
  static absl::StatusOr<GrantMapper> open();
  // In the order of `grants`, one page after another.
  absl::StatusOr<XenPages> map(DomainId owner, const std::vector<GrantReference>& grants,
                               bool writable);

 private:
  explicit GrantMapper(std::shared_ptr<xengntdev_handle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<xengntdev_handle> handle_;  // with the pages
};

class GrantSharer {
 public:
  GrantSharer(GrantSharer&&) = default;
  GrantSharer& operator=(GrantSharer&&) = default;
  static absl::StatusOr<GrantSharer> open();
  struct Shared {
    XenPages pages;  // of zeros
    std::vector<GrantReference> grants;
  };
  absl::StatusOr<Shared> share(DomainId with, std::size_t pages, bool writable);

 private:
  explicit GrantSharer(std::shared_ptr<xengntdev_handle> handle) : handle_(std::move(handle)) {}
  std::shared_ptr<xengntdev_handle> handle_;  // with the pages
};

class ForeignMemory {
 public:
  ForeignMemory(ForeignMemory&&) = default;
  ForeignMemory& operator=(ForeignMemory&&) = default;
  static absl::StatusOr<ForeignMemory> open();
  absl::StatusOr<XenPages> map(DomainId owner, const std::vector<GuestFrame>& frames,
                               bool writable);

 private:
  explicit ForeignMemory(std::shared_ptr<xenforeignmemory_handle> handle)
      : handle_(std::move(handle)) {}
  std::shared_ptr<xenforeignmemory_handle> handle_;  // with the pages
};

}  // namespace supercloud
