// Stands in for the hypervisor-facing calls of libxenctrl, libxenevtchn, libxengnttab and libxenforeignmemory on a machine without Xen. Everything above
// these calls stays real: of xenstored and oxenstored the tree, transactions, watches, quotas and the protocol; of our wrappers
// what they make of answers.
//
// The hypervisor is the folder $XEN_STAND_IN (stand_in.h writes it):
//
//   domains/N   domain N is there: "state memory_bytes cpus", state one of running paused shutdown suspended crashed dying
//   rings/N     the page that domain N shares with the daemon
//   highest_frame  if there: the number of each domain's highest frame
//   denied      if there: domains are not listed (EACCES), as by a hypervisor of another version
//   events      a FIFO of 32-bit event channel ports; 1: "look at your domains", 1000 + N: domain N has written into its ring
//   notices     likewise, to the domains: 1000 + N: the daemon has written into domain N's ring
//
// Domain 0 is always there. A call that the folder says nothing of fails as Xen would let it fail.
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "hypercall/xen/libraries.h"

namespace {

constexpr int domain_exception_port = 1;
constexpr int ring_port = 1000;
constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t machine_bytes = std::uint64_t{16} << 30U;

struct Domain {
  std::uint32_t id = 0;
  std::string state = "running";
  std::uint64_t memory_bytes = std::uint64_t{1} << 30U;
  std::uint32_t cpus = 2;
};

std::string path(const std::string& name) {
  const char* folder = std::getenv("XEN_STAND_IN");
  return std::string(folder == nullptr ? "/nonexistent" : folder) + "/" + name;
}

bool read_domain(std::uint32_t id, Domain& domain) {
  domain.id = id;
  FILE* file = std::fopen(path("domains/" + std::to_string(id)).c_str(), "re");
  if (file == nullptr) return id == 0;
  char state[16] = "running";
  unsigned long long bytes = 0;
  unsigned cpus = 0;
  const int fields = std::fscanf(file, "%15s %llu %u", state, &bytes, &cpus);
  std::fclose(file);
  if (fields != 3) return true;  // just being written
  domain.state = state;
  domain.memory_bytes = bytes;
  domain.cpus = cpus;
  return true;
}

std::vector<std::uint32_t> domain_ids() {
  std::vector<std::uint32_t> ids = {0};
  if (DIR* folder = ::opendir(path("domains").c_str())) {
    while (const dirent* entry = ::readdir(folder))
      if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
        ids.push_back(static_cast<std::uint32_t>(std::strtoul(entry->d_name, nullptr, 10)));
    ::closedir(folder);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::uint32_t flags(const Domain& domain) {
  if (domain.state == "paused") return XEN_DOMINF_paused;
  if (domain.state == "shutdown") return XEN_DOMINF_shutdown;
  if (domain.state == "suspended")
    return XEN_DOMINF_shutdown | (std::uint32_t{SHUTDOWN_suspend} << XEN_DOMINF_shutdownshift);
  if (domain.state == "crashed")
    return XEN_DOMINF_shutdown | (std::uint32_t{SHUTDOWN_crash} << XEN_DOMINF_shutdownshift);
  if (domain.state == "dying") return XEN_DOMINF_dying;
  return XEN_DOMINF_running;
}

template <class Handle>
Handle* handle() {
  return static_cast<Handle*>(std::malloc(1));
}

// The page that a domain shares with the daemon; memory of nobody where the test has none.
void* map_ring(std::uint32_t id, int protection, void* at = nullptr) {
  Domain domain;
  if (!read_domain(id, domain)) {
    errno = EINVAL;
    return nullptr;
  }
  const int fd = ::open(path("rings/" + std::to_string(id)).c_str(), O_RDWR | O_CLOEXEC);
  void* page =
      ::mmap(at, page_bytes, protection,
             MAP_SHARED | (at == nullptr ? 0 : MAP_FIXED) | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
  if (fd >= 0) ::close(fd);
  return page == MAP_FAILED ? nullptr : page;
}

// Of a number, the library takes what Xen has bits for.
int change_domain(std::uint32_t number, const char* state) {
  const domid_t id = static_cast<domid_t>(number);
  Domain domain;
  if (id == 0 || !read_domain(id, domain)) {
    errno = ESRCH;
    return -1;
  }
  FILE* file = std::fopen(path("domains/" + std::to_string(id)).c_str(), "we");
  if (file == nullptr) return -1;
  std::fprintf(file, "%s %llu %u\n", state, static_cast<unsigned long long>(domain.memory_bytes),
               domain.cpus);
  std::fclose(file);
  return 0;
}

int events = -1;
bool dirty_logged = false;
int mapped_foreign = 0;

}  // namespace

extern "C" {

// ---- libxenctrl

xc_interface* xc_interface_open(xentoollog_logger*, xentoollog_logger*, unsigned) {
  return handle<xc_interface>();
}
int xc_interface_close(xc_interface* xch) {
  std::free(xch);
  return 0;
}
int xc_domain_getinfolist(xc_interface*, std::uint32_t first, unsigned max, xc_domaininfo_t* info) {
  if (::access(path("denied").c_str(), F_OK) == 0) {
    errno = EACCES;
    return -1;
  }
  unsigned count = 0;
  for (const std::uint32_t id : domain_ids()) {
    Domain domain;
    if (id < first || count == max || !read_domain(id, domain)) continue;
    xc_domaininfo_t& entry = info[count++];
    entry = {};
    entry.domain = static_cast<domid_t>(id);
    entry.flags = flags(domain);
    entry.tot_pages = domain.memory_bytes / page_bytes;
    entry.nr_online_vcpus = domain.cpus;
    entry.handle[15] = static_cast<std::uint8_t>(id);
  }
  return static_cast<int>(count);
}
int xc_domain_getinfo(xc_interface*, std::uint32_t first, unsigned max, xc_dominfo_t* info) {
  Domain domain;
  if (max == 0) return 0;
  if (!read_domain(first, domain)) {
    errno = ESRCH;
    return 0;
  }
  *info = {};
  info->domid = first;
  info->running = domain.state == "running";
  info->paused = domain.state == "paused";
  info->dying = domain.state == "dying";
  info->shutdown = domain.state == "shutdown";
  info->crashed = domain.state == "crashed";
  return 1;
}
int xc_physinfo(xc_interface*, xc_physinfo_t* info) {
  std::uint64_t used = 0;
  for (const std::uint32_t id : domain_ids()) {
    Domain domain;
    if (read_domain(id, domain)) used += domain.memory_bytes;
  }
  *info = {};
  info->nr_cpus = 8;
  info->total_pages = machine_bytes / page_bytes;
  info->free_pages = (machine_bytes - std::min(used, machine_bytes)) / page_bytes;
  return 0;
}
int xc_domain_pause(xc_interface*, std::uint32_t id) { return change_domain(id, "paused"); }
int xc_domain_unpause(xc_interface*, std::uint32_t id) { return change_domain(id, "running"); }
int xc_version(xc_interface*, int, void*) { return 4 << 16 | 17; }
// Every domain has 100 frames, of which it writes to the first and to number 65, as long as that is logged.
int xc_shadow_control(xc_interface*, std::uint32_t id, unsigned sop, unsigned*, unsigned) {
  Domain domain;
  if (id == 0 || !read_domain(id, domain)) {
    errno = ESRCH;
    return -1;
  }
  dirty_logged = sop == XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY;
  return 0;
}
int xc_domain_maximum_gpfn(xc_interface*, std::uint32_t, xen_pfn_t* gpfns) {
  unsigned long long highest = 99;
  if (FILE* file = std::fopen(path("highest_frame").c_str(), "re")) {
    if (std::fscanf(file, "%llu", &highest) != 1) highest = 99;
    std::fclose(file);
  }
  *gpfns = highest;
  return 0;
}
void* xc__hypercall_buffer_alloc_pages(xc_interface*, xc_hypercall_buffer_t* buffer, int pages) {
  buffer->hbuf = std::calloc(static_cast<std::size_t>(pages), page_bytes);
  return buffer->hbuf;
}
void xc__hypercall_buffer_free_pages(xc_interface*, xc_hypercall_buffer_t* buffer, int) {
  std::free(buffer->hbuf);
}
long long xc_logdirty_control(xc_interface*, std::uint32_t, unsigned, xc_hypercall_buffer_t* bitmap,
                              unsigned long pages, unsigned, xc_shadow_op_stats_t*) {
  if (!dirty_logged) {
    errno = EINVAL;
    return -1;
  }
  static_cast<std::uint64_t*>(bitmap->hbuf)[0] = 1;
  static_cast<std::uint64_t*>(bitmap->hbuf)[1] = 2;
  return static_cast<long long>(pages);
}
void* xc_map_foreign_range(xc_interface*, std::uint32_t id, int, int protection, unsigned long) {
  return map_ring(id, protection);
}

// ---- libxenevtchn

xenevtchn_handle* xenevtchn_open(xentoollog_logger*, unsigned) {
  events = ::open(path("events").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  return events < 0 ? nullptr : handle<xenevtchn_handle>();
}
xenevtchn_handle* xenevtchn_fdopen(xentoollog_logger*, int fd, unsigned) {
  events = fd;
  return handle<xenevtchn_handle>();
}
int xenevtchn_close(xenevtchn_handle* xce) {
  std::free(xce);
  if (events >= 0) ::close(events);
  events = -1;
  return 0;
}
int xenevtchn_fd(xenevtchn_handle*) { return events; }
xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle*, unsigned) {
  return domain_exception_port;
}
// What is offered to domain N is the port of its ring.
xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle* xce, std::uint32_t id) {
  return xenevtchn_bind_interdomain(xce, id, 0);
}
xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle*, std::uint32_t id,
                                                     evtchn_port_t) {
  Domain domain;
  if (read_domain(id, domain)) return ring_port + static_cast<int>(id);
  errno = ESRCH;
  return -1;
}
int xenevtchn_notify(xenevtchn_handle*, evtchn_port_t port) {
  const int fd = ::open(path("notices").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  const bool written = ::write(fd, &port, sizeof port) == sizeof port;  // full: nobody listens
  ::close(fd);
  return written || errno == EAGAIN ? 0 : -1;
}
int xenevtchn_unbind(xenevtchn_handle*, evtchn_port_t) { return 0; }
int xenevtchn_unmask(xenevtchn_handle*, evtchn_port_t) { return 0; }
xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle*) {
  std::int32_t port = 0;
  return ::read(events, &port, sizeof port) == sizeof port ? port : -1;
}

// ---- libxengnttab

xengnttab_handle* xengnttab_open(xentoollog_logger*, unsigned) {
  return handle<xengnttab_handle>();
}
int xengnttab_close(xengnttab_handle* xgt) {
  std::free(xgt);
  return 0;
}
int xengnttab_set_max_grants(xengnttab_handle*, std::uint32_t) { return 0; }
void* xengnttab_map_grant_ref(xengnttab_handle*, std::uint32_t id, std::uint32_t, int protection) {
  return map_ring(id, protection);
}
void* xengnttab_map_domain_grant_refs(xengnttab_handle*, std::uint32_t count, std::uint32_t id,
                                      std::uint32_t*, int protection) {
  // The ring first; the others are zeros.
  void* pages = ::mmap(nullptr, page_bytes * count, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  if (map_ring(id, protection, pages) != nullptr) return pages;
  ::munmap(pages, page_bytes * count);
  errno = EINVAL;
  return nullptr;
}
int xengnttab_unmap(xengnttab_handle*, void* start_address, std::uint32_t count) {
  return ::munmap(start_address, page_bytes * count);
}

// Pages shared with domain N are numbered from 100 N on; with domain 0 nobody shares any.
xengntshr_handle* xengntshr_open(xentoollog_logger*, unsigned) {
  return handle<xengntshr_handle>();
}
int xengntshr_close(xengntshr_handle* xgs) {
  std::free(xgs);
  return 0;
}
void* xengntshr_share_pages(xengntshr_handle*, std::uint32_t id, int count, std::uint32_t* refs,
                            int) {
  Domain domain;
  if (id == 0 || !read_domain(id, domain)) {
    errno = EINVAL;
    return nullptr;
  }
  for (int i = 0; i < count; ++i) refs[i] = id * 100 + static_cast<std::uint32_t>(i);
  void* pages = ::mmap(nullptr, page_bytes * static_cast<std::size_t>(count),
                       PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}
int xengntshr_unshare(xengntshr_handle*, void* start_address, std::uint32_t count) {
  return ::munmap(start_address, page_bytes * count);
}

// ---- libxenforeignmemory

xenforeignmemory_handle* xenforeignmemory_open(xentoollog_logger*, unsigned) {
  return handle<xenforeignmemory_handle>();
}
int xenforeignmemory_close(xenforeignmemory_handle* fmem) {
  std::free(fmem);
  return 0;
}
// Frame 0 of a domain is its ring, 1 to 99 are zeros, there are no more. Where a frame is missing, the others are mapped all the same.
void* xenforeignmemory_map(xenforeignmemory_handle*, std::uint32_t dom, int protection,
                           std::size_t pages, const xen_pfn_t arr[], int err[]) {
  Domain domain;
  if (!read_domain(dom, domain)) {
    errno = ESRCH;
    return nullptr;
  }
  void* memory = ::mmap(nullptr, page_bytes * pages, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  for (std::size_t i = 0; i < pages; ++i) {
    err[i] = arr[i] < 100 ? 0 : -EINVAL;
    const int fd =
        arr[i] == 0 ? ::open(path("rings/" + std::to_string(dom)).c_str(), O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) continue;
    ::mmap(static_cast<char*>(memory) + i * page_bytes, page_bytes, protection,
           MAP_SHARED | MAP_FIXED, fd, 0);
    ::close(fd);
  }
  mapped_foreign += static_cast<int>(pages);
  return memory;
}
int xenforeignmemory_unmap(xenforeignmemory_handle*, void* addr, std::size_t pages) {
  mapped_foreign -= static_cast<int>(pages);
  return ::munmap(addr, page_bytes * pages);
}
// For tests: how many pages are mapped.
int xen_stand_in_mapped_foreign();
int xen_stand_in_mapped_foreign() { return mapped_foreign; }

}  // extern "C"
