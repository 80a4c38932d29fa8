#include "hypercall/xen/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "hypercall/xen/libraries.h"
#include "hypercall/xen/quiet.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

// What a library's open() gave, and how it is closed.
template <class Handle>
absl::StatusOr<std::shared_ptr<Handle>> hold(Handle* handle, const char* call,
                                             int (*close)(Handle*)) {
  if (handle == nullptr) return xen_absent("Xen", call, errno == 0 ? ENODEV : errno);
  return std::shared_ptr<Handle>(handle, close);
}

int protection(bool writable) { return writable ? PROT_READ | PROT_WRITE : PROT_READ; }

std::string pages_words(std::size_t pages, DomainId domain) {
  return absl::StrCat("of ", pages, pages == 1 ? " page" : " pages", " with domain ", domain);
}

absl::Status none(const char* call) { return xen_error(call, EINVAL, "of no page"); }

}  // namespace

absl::StatusOr<GrantMapper> GrantMapper::open() {
  errno = 0;
  auto handle = hold(xengnttab_open(quiet_logger(), 0), "xengnttab_open", xengnttab_close);
  if (!handle.ok()) return handle.status();
  return GrantMapper(*std::move(handle));
}

absl::StatusOr<XenPages> GrantMapper::map(DomainId owner, const std::vector<GrantReference>& grants,
                                          bool writable) {
  constexpr const char* call = "xengnttab_map_domain_grant_refs";
  if (grants.empty()) return none(call);
  std::vector<std::uint32_t> references = grants;
  const auto count = static_cast<std::uint32_t>(grants.size());
  void* memory = is_domain(owner)
                     ? xengnttab_map_domain_grant_refs(handle_.get(), count, owner,
                                                       references.data(), protection(writable))
                     : nullptr;
  if (memory == nullptr) return xen_error(call, errno, pages_words(count, owner));
  return XenPages(std::shared_ptr<void>(memory,
                                        [handle = handle_, count](void* mapped) {
                                          xengnttab_unmap(handle.get(), mapped, count);
                                        }),
                  count);
}

absl::StatusOr<GrantSharer> GrantSharer::open() {
  errno = 0;
  auto handle = hold(xengntshr_open(quiet_logger(), 0), "xengntshr_open", xengntshr_close);
  if (!handle.ok()) return handle.status();
  return GrantSharer(*std::move(handle));
}

absl::StatusOr<GrantSharer::Shared> GrantSharer::share(DomainId with, std::size_t pages,
                                                       bool writable) {
  constexpr const char* call = "xengntshr_share_pages";
  if (pages == 0) return none(call);
  std::vector<GrantReference> grants(pages);
  const auto count = static_cast<std::uint32_t>(pages);
  void* memory = is_domain(with)
                     ? xengntshr_share_pages(handle_.get(), with, static_cast<int>(pages),
                                             grants.data(), writable ? 1 : 0)
                     : nullptr;
  if (memory == nullptr) return xen_error(call, errno, pages_words(pages, with));
  return Shared{XenPages(std::shared_ptr<void>(memory,
                                               [handle = handle_, count](void* shared) {
                                                 xengntshr_unshare(handle.get(), shared, count);
                                               }),
                         pages),
                std::move(grants)};
}

absl::StatusOr<ForeignMemory> ForeignMemory::open() {
  errno = 0;
  auto handle = hold(xenforeignmemory_open(quiet_logger(), 0), "xenforeignmemory_open",
                     xenforeignmemory_close);
  if (!handle.ok()) return handle.status();
  return ForeignMemory(*std::move(handle));
}

absl::StatusOr<XenPages> ForeignMemory::map(DomainId owner, const std::vector<GuestFrame>& frames,
                                            bool writable) {
  constexpr const char* call = "xenforeignmemory_map";
  if (frames.empty()) return none(call);
  const std::vector<xen_pfn_t> numbers(frames.begin(), frames.end());
  std::vector<int> errors(frames.size());
  const std::size_t pages = frames.size();
  void* memory = is_domain(owner) ? xenforeignmemory_map(handle_.get(), owner, protection(writable),
                                                         pages, numbers.data(), errors.data())
                                  : nullptr;
  if (memory == nullptr) return xen_error(call, errno, pages_words(pages, owner));
  XenPages mapped(std::shared_ptr<void>(memory,
                                        [handle = handle_, pages](void* of) {
                                          xenforeignmemory_unmap(handle.get(), of, pages);
                                        }),
                  pages);
  const auto failed = std::ranges::find_if(errors, [](int error) { return error != 0; });
  if (failed != errors.end())
    return xen_error(
        call, std::abs(*failed),
        absl::StrCat("of frame ", frames[static_cast<std::size_t>(failed - errors.begin())],
                     " of domain ", owner));
  return mapped;
}

}  // namespace supercloud
