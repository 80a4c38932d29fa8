// Stops the processes of one guest from outside: by the cgroup freezer (the second kind, or the first), or by SIGSTOP.
#pragma once

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace supercloud::keeper {

// As fork(), but that the child begins in this cgroup of the second kind, of which this is a descriptor: to be moved into one takes a grace
// period of the kernel, some 10 ms. -1: it cannot be, as where the kernel is older than 5.7.
inline pid_t fork_into(int cgroup) {
  clone_args how{};
  how.flags = CLONE_INTO_CGROUP;
  how.exit_signal = SIGCHLD;
  how.cgroup = static_cast<unsigned>(cgroup);
  return static_cast<pid_t>(::syscall(SYS_clone3, &how, sizeof how));
}

// Not thread-safe. The guest's processes are those in its cgroup; without one, the descendants of this process, which adopts orphans.
class Freezer {
 public:
  // Makes the process that will be the guest, from a cgroup's descriptor, or with -1 in none; negative: it could not.
  using Make = std::function<pid_t(int cgroup)>;

  // The first way by which that process is seen to stop, and the process; negative: there is none. `wanted` is auto, cgroup or signal;
  // `parent` the cgroup to make the guest's in, empty: this process's own. What is left in one of that name is killed.
  // False: there is no way.
  bool choose(const std::string& wanted, const std::string& parent, const std::string& name,
              const Make& make, pid_t& process) {
    if (wanted == "signal") return (process = make(-1)) > 0;
    std::vector<std::string> parents = {parent};
    std::string line;
    for (std::ifstream own("/proc/self/cgroup"); parent.empty() && std::getline(own, line);) {
      const std::string path = line.substr(std::min(line.find('/'), line.size()));
      if (line.starts_with("0::"))
        for (const char* mount : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"})
          parents.insert(parents.begin(), mount + path);
      else if (line.find(":freezer:") != std::string::npos)
        parents.push_back("/sys/fs/cgroup/freezer" + path);
    }
    for (const std::string& each : parents)
      if (!each.empty() && try_cgroup(each, name, make, process)) return true;
    folder_.clear();
    if (process <= 0) process = make(-1);
    return wanted == "auto" && process > 0;
  }

  // Tells them to stop; true if all of them are seen to have stopped. To be called until then: there may be new ones.
  bool freeze() const {
    if (second())
      return write("cgroup.freeze", "1") &&
             read(folder_ + "/cgroup.events").find("frozen 1") != std::string::npos;
    if (!folder_.empty())
      return write("freezer.state", "FROZEN") && read(folder_ + "/freezer.state") == "FROZEN\n";
    bool all = true;
    for (const pid_t process : members())
      if (!stopped(process) && ::kill(process, SIGSTOP) == 0) all = false;
    return all;
  }
  void thaw() const {
    if (!write("cgroup.freeze", "0") && !write("freezer.state", "THAWED"))
      for (const pid_t process : members()) ::kill(process, SIGCONT);
  }
  // Kills them, who execute nothing before they die; true if none is left, nor their cgroup. To be called until then, children being
  // reaped in between.
  bool kill() const {
    if (second()) freeze();  // so that none of them makes another one
    const std::vector<pid_t> left = members();
    for (const pid_t process : left) ::kill(process, SIGKILL);
    write("freezer.state", "THAWED");  // frozen by the first kind they do not die
    return left.empty() && (folder_.empty() || ::rmdir(folder_.c_str()) == 0 || errno == ENOENT);
  }

  const char* name() const { return folder_.empty() ? "signal" : second() ? "cgroup2" : "cgroup1"; }

 private:
  bool try_cgroup(const std::string& parent, const std::string& name, const Make& make,
                  pid_t& process) {
    folder_ = parent + "/" + name;
    for (int i = 0; ::mkdir(folder_.c_str(), 0755) != 0 && errno == EEXIST && i < 2000; ++i) {
      kill();
      ::poll(nullptr, 0, 1);
    }
    const std::string procs = "cgroup.procs";  // whatever else a folder is, it is no cgroup without
    bool inside = false;
    if (::access((folder_ + "/" + procs).c_str(), F_OK) == 0) {
      const bool unborn = process <= 0;
      const int cgroup = unborn && second() ? ::open(folder_.c_str(), O_PATH | O_CLOEXEC) : -1;
      if (cgroup >= 0) process = make(cgroup);
      inside = cgroup >= 0 && process > 0;
      ::close(cgroup);
      if (process <= 0) process = make(-1);
      inside = inside || (process > 0 && write(procs, std::to_string(process)));
    }
    bool frozen = false;
    for (int i = 0; i < 5000 && inside && !frozen; ++i) {
      frozen = freeze();
      if (!frozen) ::usleep(100);
    }
    if (inside) thaw();
    if (frozen) return true;
    if (inside) std::ofstream(parent + "/" + procs, std::ios::in | std::ios::out) << process;
    ::rmdir(folder_.c_str());
    return false;
  }

  bool second() const { return ::access((folder_ + "/cgroup.freeze").c_str(), F_OK) == 0; }
  // Of a file that is there; none is made.
  bool write(const std::string& file, const std::string& text) const {
    std::ofstream to(folder_ + "/" + file, std::ios::in | std::ios::out);
    return static_cast<bool>(to << text << std::flush);
  }
  static std::string read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::vector<pid_t> members() const {
    std::vector<pid_t> found;
    if (!folder_.empty()) {
      std::ifstream file(folder_ + "/cgroup.procs");
      for (pid_t process = 0; file >> process;) found.push_back(process);
      return found;
    }
    std::map<pid_t, pid_t> parents;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const pid_t process = std::atoi(entry.path().filename().c_str());
      char state = 'Z';
      pid_t parent = 0;
      if (process > 0 && facts(entry.path()) >> state >> parent && state != 'Z')
        parents[process] = parent;
    }
    found.push_back(::getpid());
    for (std::size_t i = 0; i < found.size(); ++i)
      for (const auto& [process, parent] : parents)
        if (parent == found[i]) found.push_back(process);
    found.erase(found.begin());
    return found;
  }
  static bool stopped(pid_t process) {
    std::error_code gone;
    const std::string threads = "/proc/" + std::to_string(process) + "/task";
    for (const auto& thread : std::filesystem::directory_iterator(threads, gone)) {
      char state = 'X';
      facts(thread.path()) >> state;
      if (std::string_view("TtZX").find(state) == std::string_view::npos) return false;
    }
    return true;
  }
  // "state parent ..." of a process or thread: what follows its name, which may contain anything.
  static std::istringstream facts(const std::string& folder) {
    const std::string stat = read(folder + "/stat");
    return std::istringstream(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  }

  std::string folder_;  // of the cgroup; empty: signals
};

}  // namespace supercloud::keeper
