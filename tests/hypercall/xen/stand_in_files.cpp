// For the daemons alone: files of the kernel that only a Xen machine has, and places that oxenstored has compiled in. What they
// keep below /run goes below $XEN_STAND_IN.
#undef _FILE_OFFSET_BITS  // with it, open() is another name of open64(), and both are defined here
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace {

template <class Function>
Function* real(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

std::string moved(const char* path) {
  const char* folder = std::getenv("XEN_STAND_IN");
  std::string_view rest(path);
  for (const std::string_view place : {"/var/run/", "/run/"})
    if (folder != nullptr && rest.starts_with(place))
      return std::string(folder) + "/" + std::string(rest.substr(place.size()));
  return path;
}

// The two files by which the kernel tells a daemon of its event channel and its page.
int kernel_file(std::string_view path) {
  const bool port = path == "/proc/xen/xsd_port";
  if (!port && path != "/proc/xen/xsd_kva") return -1;
  const int fd = ::memfd_create("xsd", MFD_CLOEXEC);
  if (port) {
    if (::write(fd, "1", 1) != 1) std::abort();
    ::lseek(fd, 0, SEEK_SET);
  } else if (::ftruncate(fd, 4096) != 0) {
    std::abort();
  }
  return fd;
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  const int fd = kernel_file(path);
  return fd >= 0 ? fd : real<int(const char*, int, ...)>(name)(moved(path).c_str(), flags, mode);
}

}  // namespace

extern "C" {

int open(const char* file, int oflag, ...) {
  va_list more;
  va_start(more, oflag);
  const mode_t mode = (oflag & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_as("open", file, oflag, mode);
}
int open64(const char* file, int oflag, ...) {
  va_list more;
  va_start(more, oflag);
  const mode_t mode = (oflag & O_CREAT) != 0 ? va_arg(more, mode_t) : 0;
  va_end(more);
  return open_as("open64", file, oflag, mode);
}
int unlink(const char* name) noexcept {
  return real<int(const char*)>("unlink")(moved(name).c_str());
}
int mkdir(const char* path, mode_t mode) noexcept {
  return real<int(const char*, mode_t)>("mkdir")(moved(path).c_str(), mode);
}
int chmod(const char* file, mode_t mode) noexcept {
  return real<int(const char*, mode_t)>("chmod")(moved(file).c_str(), mode);
}
int bind(int fd, const sockaddr* addr, socklen_t len) noexcept {
  auto* real_bind = real<int(int, const sockaddr*, socklen_t)>("bind");
  if (addr->sa_family != AF_UNIX) return real_bind(fd, addr, len);
  sockaddr_un at = {};
  at.sun_family = AF_UNIX;
  const std::string path = moved(reinterpret_cast<const sockaddr_un*>(addr)->sun_path);
  std::strncpy(at.sun_path, path.c_str(), sizeof at.sun_path - 1);
  return real_bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at);
}

// oxenstored wants as many files as the kernel could open, which a container does not grant.
int setrlimit(__rlimit_resource_t, const rlimit*) noexcept { return 0; }
int setrlimit64(__rlimit_resource_t, const rlimit64*) noexcept { return 0; }

}  // extern "C"
