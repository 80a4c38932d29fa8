#include "cli/doctor/probes.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "hypercall/qemu/kvm_probe.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr std::uint64_t cap_net_admin = 12;  // linux/capability.h

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// RTM_NEWLINK for a VXLAN device named "probe"; 0 or errno. In the namespace of the caller.
int make_vxlan() {
  const Descriptor netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!netlink) return errno;
  alignas(nlmsghdr) std::array<char, 512> buffer = {};
  auto* header = reinterpret_cast<nlmsghdr*>(buffer.data());
  header->nlmsg_len = NLMSG_LENGTH(sizeof(ifinfomsg));
  header->nlmsg_type = RTM_NEWLINK;
  header->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
  const auto add = [&](int type, const void* data, std::size_t size) {
    auto* attribute = reinterpret_cast<rtattr*>(buffer.data() + NLMSG_ALIGN(header->nlmsg_len));
    attribute->rta_type = static_cast<unsigned short>(type);
    attribute->rta_len = static_cast<unsigned short>(RTA_LENGTH(size));
    if (size > 0) std::memcpy(RTA_DATA(attribute), data, size);
    header->nlmsg_len =
        static_cast<std::uint32_t>(NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(attribute->rta_len));
    return attribute;
  };
  const auto close_nest = [&](rtattr* nest) {
    nest->rta_len = static_cast<unsigned short>(buffer.data() + header->nlmsg_len -
                                                reinterpret_cast<char*>(nest));
  };
  const std::uint32_t vni = 1;
  add(IFLA_IFNAME, "probe", 6);
  rtattr* info = add(IFLA_LINKINFO, nullptr, 0);
  add(IFLA_INFO_KIND, "vxlan", 5);
  rtattr* data = add(IFLA_INFO_DATA, nullptr, 0);
  add(IFLA_VXLAN_ID, &vni, sizeof vni);
  close_nest(data);
  close_nest(info);
  if (::send(netlink.get(), buffer.data(), header->nlmsg_len, 0) < 0) return errno;
  alignas(nlmsghdr) std::array<char, 1024> answer = {};
  const ssize_t size = ::recv(netlink.get(), answer.data(), answer.size(), 0);
  if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) return size < 0 ? errno : EPROTO;
  const auto* answered = reinterpret_cast<const nlmsghdr*>(answer.data());
  if (answered->nlmsg_type != NLMSG_ERROR) return EPROTO;
  return -reinterpret_cast<const nlmsgerr*>(NLMSG_DATA(answered))->error;
}

#if defined(__x86_64__)
// What registers spell.
std::string spelled(std::initializer_list<unsigned> words) {
  std::string text;
  for (const unsigned word : words)
    for (unsigned byte = 0; byte < 4; ++byte)
      if (const auto letter = static_cast<char>((word >> (8 * byte)) & 0xFFU);
          letter >= ' ' && letter <= '~')
        text += letter;
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

std::string hexadecimal(unsigned value) {
  std::array<char, 16> text = {};
  std::snprintf(text.data(), text.size(), "0x%08x", value);
  return text.data();
}
#endif

std::string own_cgroup() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return "";
}

}  // namespace

std::string find_program(const std::string& name) {
  const char* path = std::getenv("PATH");
  // Where system programs are, also for users who do not search there.
  std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string file = folder + "/" + name;
    std::error_code error;
    if (!folder.empty() && files::is_regular_file(file, error) && ::access(file.c_str(), X_OK) == 0)
      return file;
  }
  return "";
}

std::string first_line_of(const std::string& program, const std::string& argument) {
  const std::string command = "'" + program + "' '" + argument + "' 2>/dev/null </dev/null";
  FILE* output = ::popen(command.c_str(), "re");
  if (output == nullptr) return "";
  std::array<char, 512> line = {};
  const bool read = std::fgets(line.data(), line.size(), output) != nullptr;
  ::pclose(output);
  std::string text = read ? line.data() : "";
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::string version_in(const std::string& line) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t begin = 0; begin < line.size(); ++begin) {
    if (!digit(line[begin]) || (begin > 0 && line[begin - 1] != ' ')) continue;
    std::size_t end = begin;
    while (end < line.size() && (digit(line[end]) || line[end] == '.')) ++end;
    const std::string version = line.substr(begin, end - begin);
    if (version.find('.') != std::string::npos) return version;
  }
  return "";
}

MachineFacts::Kvm probe_kvm() {
  const absl::Status works = probe_kvm_guest();
  return {.device = ::access("/dev/kvm", F_OK) == 0,
          .usable = works.ok(),
          .problem = std::string(works.message())};
}

MachineFacts::Below probe_hypervisor_below() {
  MachineFacts::Below below;
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return below;
  below.hypervisor = (c >> 31U) != 0;
  if (!below.hypervisor) return below;
  // The first hypervisor's leaves begin at 0x40000000; Xen's own may begin further up, behind those of another's that it shows.
  for (unsigned base = 0x40000000; base < 0x40010000; base += 0x100) {
    __cpuid(base, a, b, c, d);
    const std::string signature = spelled({b, c, d});
    if (base == 0x40000000) {
      below.signature = signature;
      below.leaves = a < base ? "0x40000000" : hexadecimal(base) + " to " + hexadecimal(a);
    }
    if (signature != "XenVMMXenVMM") continue;
    __cpuid(base + 1, a, b, c, d);
    below.xen_version = std::to_string(a >> 16U) + "." + std::to_string(a & 0xFFFFU);
    break;
  }
#endif
  return below;
}

std::string probe_vxlan() {
  const pid_t child = ::fork();
  if (child < 0) return std::string("forking: ") + std::strerror(errno);
  if (child == 0) {
    // Whoever may not make a network namespace may with a user namespace around it.
    if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) ::_exit(254);
    const int error = make_vxlan();
    ::_exit(error >= 0 && error < 254 ? error : 253);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return std::string("waiting for the probe: ") + std::strerror(errno);
  if (!WIFEXITED(status)) return "the probe was ended by a signal";
  switch (const int error = WEXITSTATUS(status)) {
    case 0:
      return "";
    case 254:
      return "no network namespace may be made here to try it in";
    case EOPNOTSUPP:
      return "this kernel has none";
    default:
      return std::strerror(error);
  }
}

bool socket_answers(const std::string& path) {
  sockaddr_un address = {};
  if (path.size() >= sizeof address.sun_path) return false;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Descriptor client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return client &&
         ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

bool has_net_admin() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("CapEff:"))
      return ((std::strtoull(line.c_str() + 7, nullptr, 16) >> cap_net_admin) & 1U) != 0;
  return false;
}

std::string probe_freezer() {
  const files::path root = "/sys/fs/cgroup";
  std::error_code error;
  if (!files::exists(root / "cgroup.controllers", error))
    return "no cgroups of version 2 at /sys/fs/cgroup";
  // Below our own group first: that is what is delegated to a service.
  std::string problem = "no cgroup may be made";
  const files::path inside = files::path(own_cgroup()).relative_path();
  for (const files::path& parent : {root / inside, root}) {
    const files::path group = parent / ("supercloud-doctor-" + std::to_string(::getpid()));
    if (::mkdir(group.c_str(), 0755) != 0) {
      problem = "making a cgroup in " + parent.string() + ": " + std::strerror(errno);
      continue;
    }
    const bool freezes = files::exists(group / "cgroup.freeze", error);
    ::rmdir(group.c_str());
    if (freezes) return "";
    problem = "this kernel's cgroups have no freezer (5.2 is the first that has)";
  }
  return problem;
}

}  // namespace supercloud
