#include "hypercall/xen/control.h"

#include <bit>
#include <cerrno>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "hypercall/xen/libraries.h"
#include "hypercall/xen/pages.h"
#include "hypercall/xen/quiet.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

constexpr unsigned domains_at_once = 256;
constexpr std::uint64_t frames_max = std::uint64_t{1} << 32U;  // 16 TiB

std::string domain_words(DomainId id) { return absl::StrCat("of domain ", id); }

absl::Status outcome(const char* call, DomainId id, absl::FunctionRef<int()> make) {
  return is_domain(id) && make() >= 0 ? absl::OkStatus() : xen_error(call, errno, domain_words(id));
}

DomainStatus::State state_of(const xc_domaininfo_t& info) {
  if ((info.flags & XEN_DOMINF_dying) != 0) return DomainStatus::State::dying;
  if ((info.flags & XEN_DOMINF_shutdown) != 0) {
    const unsigned reason = (info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
    if (reason == SHUTDOWN_suspend) return DomainStatus::State::suspended;
    return reason == SHUTDOWN_crash ? DomainStatus::State::crashed : DomainStatus::State::shut_down;
  }
  if ((info.flags & XEN_DOMINF_paused) != 0) return DomainStatus::State::paused;
  return DomainStatus::State::running;
}

std::string uuid_of(const xen_domain_handle_t& handle) {
  std::string uuid;
  for (std::size_t i = 0; i < sizeof handle; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    absl::StrAppendFormat(&uuid, "%02x", handle[i]);
  }
  return uuid;
}

// Pages that a hypercall may write to.
class HypercallBitmap {
 public:
  HypercallBitmap(xc_interface* xch, std::uint64_t frames)
      : xch_(xch),
        words_((frames + 63) / 64),
        pages_(static_cast<int>((words_ * 8 + xen_page_bytes - 1) / xen_page_bytes)),
        buffer_{} {
    // HYPERCALL_BUFFER_INIT_NO_BOUNCE, whose order of fields C++ does not take.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the library's mark
    buffer_.ubuf = reinterpret_cast<void*>(-1);
    memory_ = static_cast<std::uint64_t*>(xc__hypercall_buffer_alloc_pages(xch_, &buffer_, pages_));
  }
  ~HypercallBitmap() {
    if (memory_ != nullptr) xc__hypercall_buffer_free_pages(xch_, &buffer_, pages_);
  }
  HypercallBitmap(const HypercallBitmap&) = delete;
  HypercallBitmap& operator=(const HypercallBitmap&) = delete;

  bool allocated() const { return memory_ != nullptr; }
  xc_hypercall_buffer_t* buffer() { return &buffer_; }
  std::vector<std::uint64_t> words() const { return {memory_, memory_ + words_}; }

 private:
  xc_interface* xch_;
  std::uint64_t words_;
  int pages_;
  xc_hypercall_buffer_t buffer_;
  std::uint64_t* memory_ = nullptr;
};

}  // namespace

absl::StatusOr<std::unique_ptr<XenControl>> XenControl::open() {
  errno = 0;
  xc_interface* handle = xc_interface_open(quiet_logger(), quiet_logger(), 0);
  if (handle == nullptr) return xen_absent("Xen", "xc_interface_open", errno == 0 ? ENODEV : errno);
  return std::unique_ptr<XenControl>(new XenControl(handle));
}

XenControl::~XenControl() { xc_interface_close(handle_); }

std::string XenControl::library_version() { return XEN_LIBRARY_VERSION; }

absl::StatusOr<std::vector<DomainStatus>> XenControl::list() const {
  std::vector<DomainStatus> all;
  std::vector<xc_domaininfo_t> some(domains_at_once);
  DomainId first = 0;
  while (true) {
    const int count = xc_domain_getinfolist(handle_, first, domains_at_once, some.data());
    if (count < 0) return xen_error("xc_domain_getinfolist", errno);
    for (int i = 0; i < count; ++i) {
      const xc_domaininfo_t& info = some[static_cast<std::size_t>(i)];
      all.push_back({.id = info.domain,
                     .uuid = uuid_of(info.handle),
                     .state = state_of(info),
                     .memory_bytes = info.tot_pages * xen_page_bytes,
                     .cpus = info.nr_online_vcpus});
    }
    if (static_cast<unsigned>(count) < domains_at_once) return all;
    first = all.back().id + 1;
  }
}

absl::StatusOr<HostRoom> XenControl::room() const {
  xc_physinfo_t info = {};
  if (xc_physinfo(handle_, &info) < 0) return xen_error("xc_physinfo", errno);
  return HostRoom{.memory_free_bytes = info.free_pages * xen_page_bytes, .cpus = info.nr_cpus};
}

absl::StatusOr<std::string> XenControl::version() const {
  const int version = xc_version(handle_, XENVER_version, nullptr);
  if (version < 0) return xen_error("xc_version", errno);
  return absl::StrCat(version >> 16, ".", version & 0xFFFF);
}

absl::Status XenControl::pause(DomainId id) {
  return outcome("xc_domain_pause", id, [&] { return xc_domain_pause(handle_, id); });
}

absl::Status XenControl::unpause(DomainId id) {
  return outcome("xc_domain_unpause", id, [&] { return xc_domain_unpause(handle_, id); });
}

absl::Status XenControl::start_log_dirty(DomainId id) {
  return outcome("xc_shadow_control", id, [&] {
    return xc_shadow_control(handle_, id, XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY, nullptr, 0);
  });
}

absl::StatusOr<DirtyPages> XenControl::take_dirty(DomainId id) {
  xen_pfn_t highest = 0;
  const absl::Status asked = outcome("xc_domain_maximum_gpfn", id,
                                     [&] { return xc_domain_maximum_gpfn(handle_, id, &highest); });
  if (!asked.ok()) return asked;
  // Of a PV domain it is what the guest itself says.
  if (highest >= frames_max)
    return xen_error("xc_domain_maximum_gpfn", E2BIG,
                     absl::StrCat(domain_words(id), ", which says it has ", highest, " frames"));
  DirtyPages dirty;
  dirty.frames = highest + 1;
  HypercallBitmap bitmap(handle_, dirty.frames);
  if (!bitmap.allocated())
    return xen_error("xc_hypercall_buffer_alloc_pages", errno, domain_words(id));
  if (xc_logdirty_control(handle_, id, XEN_DOMCTL_SHADOW_OP_CLEAN, bitmap.buffer(), dirty.frames, 0,
                          nullptr) < 0)
    return xen_error("xc_logdirty_control", errno, domain_words(id));
  dirty.bitmap = bitmap.words();
  for (const std::uint64_t word : dirty.bitmap)
    dirty.count += static_cast<std::uint64_t>(std::popcount(word));
  return dirty;
}

absl::Status XenControl::stop_log_dirty(DomainId id) {
  return outcome("xc_shadow_control", id, [&] {
    return xc_shadow_control(handle_, id, XEN_DOMCTL_SHADOW_OP_OFF, nullptr, 0);
  });
}

}  // namespace supercloud
