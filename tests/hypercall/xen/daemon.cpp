#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "core/event_loop.h"
#include "hypercall/xen/store_client.h"
#include "tests/hypercall/xen/stand_in.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr Duration start_time_max = absl::Seconds(30);

// Of the folders that may have Xen's programs, the first that has this one.
files::path find_daemon(const std::string& name) {
  std::vector<files::path> roots = {"/usr/lib"};
  if (const char* unpacked = std::getenv("SUPERCLOUD_XEN_PACKAGES"))
    roots.insert(roots.begin(), files::path(unpacked) / "usr/lib");
  for (const files::path& root : roots) {
    std::error_code error;
    for (const auto& entry : files::directory_iterator(root, error))
      if (entry.path().filename().string().starts_with("xen-") &&
          ::access((entry.path() / "bin" / name).c_str(), X_OK) == 0)
        return entry.path() / "bin" / name;
  }
  return {};
}

std::string stand_in_library() {
  const char* library = std::getenv("SUPERCLOUD_XEN_STAND_IN");
  return library == nullptr ? "" : library;
}

void write_file(const files::path& path, const std::string& content) {
  // In one step for those who read it meanwhile.
  const files::path fresh = path.string() + ".new";
  std::ofstream(fresh) << content;
  files::rename(fresh, path);
}

}  // namespace

// ---- the hypervisor --------------------------------------------------------------------------------------------------

XenStandIn::XenStandIn() {
  std::string name = (files::temp_directory_path() / "supercloud-xen-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  folder_ = name;
  for (const char* inside : {"domains", "rings", "xenstored"})
    files::create_directory(folder_ / inside);
  for (const char* fifo : {"events", "notices"})
    if (::mkfifo((folder_ / fifo).c_str(), 0600) != 0) throw std::runtime_error("no FIFO");
}

XenStandIn::~XenStandIn() {
  std::error_code error;
  files::remove_all(folder_, error);
}

void XenStandIn::set_domain(DomainId id, const std::string& state, std::uint64_t memory_bytes,
                            std::uint32_t cpus) {
  write_file(folder_ / "domains" / std::to_string(id),
             state + " " + std::to_string(memory_bytes) + " " + std::to_string(cpus) + "\n");
}

void XenStandIn::remove_domain(DomainId id) {
  files::remove(folder_ / "domains" / std::to_string(id));
}

void XenStandIn::set_highest_frame(std::uint64_t number) {
  write_file(folder_ / "highest_frame", std::to_string(number));
}

void XenStandIn::deny_list(bool denied) {
  if (denied)
    write_file(folder_ / "denied", "");
  else
    files::remove(folder_ / "denied");
}

files::path XenStandIn::make_ring(DomainId id) {
  files::path ring = folder_ / "rings" / std::to_string(id);
  write_file(ring, std::string(4096, '\0'));
  return ring;
}

void XenStandIn::raise(std::int32_t port) {
  const int fd = ::open((folder_ / "events").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 || ::write(fd, &port, sizeof port) != sizeof port)
    throw std::runtime_error("no event can be raised");
  ::close(fd);
}

// ---- the daemons -----------------------------------------------------------------------------------------------------

const char* XenDaemon::name(Kind kind) { return kind == Kind::c ? "xenstored" : "oxenstored"; }

bool XenDaemon::available(Kind kind) {
  return !stand_in_library().empty() && !find_daemon(name(kind)).empty();
}

absl::Status XenDaemon::start() {
  const files::path& folder = xen_.folder();
  const std::string program = find_daemon(name(kind_)).string();
  std::vector<std::string> words = {program, "--no-fork"};
  if (kind_ == Kind::c) {
    words.emplace_back("--internal-db");
  } else {
    write_file(folder / "oxenstored.conf", "pid-file = " + (folder / "pid").string() +
                                               "\n"
                                               "test-eagain = false\n"
                                               "merge-activate = true\n"
                                               "perms-activate = true\n"
                                               "quota-activate = true\n"
                                               "persistent = false\n"
                                               "xenstored-log-file = " +
                                               (folder / "log").string() +
                                               "\n"
                                               "access-log-file = " +
                                               (folder / "access.log").string() +
                                               "\n"
                                               "xenstored-kva = /proc/xen/xsd_kva\n"
                                               "xenstored-port = /proc/xen/xsd_port\n");
    words.insert(words.end(), {"--config-file", (folder / "oxenstored.conf").string()});
  }
  std::vector<std::string> environment = {"LD_PRELOAD=" + stand_in_library(),
                                          "XEN_STAND_IN=" + folder.string(),
                                          "XENSTORED_RUNDIR=" + (folder / "xenstored").string(),
                                          "XENSTORED_ROOTDIR=" + (folder / "xenstored").string()};
  std::vector<char*> arguments;
  std::vector<char*> variables;
  for (std::string& word : words) arguments.push_back(word.data());
  for (std::string& variable : environment) variables.push_back(variable.data());
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  const int output =
      ::open((folder / "output").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output, 1);
    ::dup2(output, 2);
    ::execve(arguments[0], arguments.data(), variables.data());
    ::_exit(127);
  }
  ::close(output);
  if (process_ < 0) return absl::InternalError("no process for " + program);

  EventLoop loop;
  XenStoreClient client(loop, {.path = socket(), .retry_min = absl::Milliseconds(2)});
  bool answers = false;
  client.watch(XenPath::root(), [&](const XenPath&) { answers = true; }, {});
  if (loop.run_until([&] { return answers; }, start_time_max)) return absl::OkStatus();
  std::ifstream said(folder / "output");
  return absl::InternalError(
      program + " does not answer: " + std::string(std::istreambuf_iterator<char>(said), {}));
}

void XenDaemon::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

void XenDaemon::freeze(bool frozen) { ::kill(process_, frozen ? SIGSTOP : SIGCONT); }

std::uint64_t XenDaemon::memory_bytes() const {
  std::ifstream file("/proc/" + std::to_string(process_) + "/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace supercloud
