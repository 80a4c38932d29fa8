// The program `supercloud` in a state folder of its own, started and ended as a person does it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "cli/run_directory.h"

namespace supercloud {

namespace files = std::filesystem;

inline std::string content(const files::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline bool eventually(const std::function<bool()>& holds, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (!holds()) {
    if (absl::Now() > end) return false;
    ::poll(nullptr, 0, 20);
  }
  return true;
}

// A terminal of 100 columns and 40 rows, and what a person sees and types there.
class Terminal {
 public:
  Terminal() : fd_(::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) {
    EXPECT_EQ(::grantpt(fd_), 0);
    EXPECT_EQ(::unlockpt(fd_), 0);
    const winsize size{.ws_row = 40, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    EXPECT_EQ(::ioctl(fd_, TIOCSWINSZ, &size), 0);
  }
  ~Terminal() { ::close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // All that was ever written to it.
  const std::string& shown() {
    char bytes[4096];
    for (ssize_t got = 0; (got = ::read(fd_, bytes, sizeof bytes)) > 0;)
      shown_.append(bytes, static_cast<std::size_t>(got));
    return shown_;
  }
  void type(const std::string& keys) const {
    EXPECT_EQ(::write(fd_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  // In the child: it, and what it starts, is what the terminal's Ctrl-C interrupts.
  void control_this_process() const {
    ::setsid();
    const int fd = ::open(::ptsname(fd_), O_RDWR);
    for (const int standard : {0, 1, 2}) ::dup2(fd, standard);
  }

 private:
  int fd_;
  std::string shown_;
};

class ProgramTest : public testing::Test {
 protected:
  ProgramTest() {
    std::string made = "/tmp/scp-XXXXXX";
    folder_ = ::mkdtemp(made.data());
    files::create_directories(folder_ / "run");
  }
  ~ProgramTest() override {
    for (const pid_t child : children_) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    files::remove_all(folder_);
  }

  // `errors`: a file of its own for stderr; without it both go to `output`.
  pid_t start(const std::vector<std::string>& arguments, const std::string& output,
              const std::string& errors = "") {
    return start(arguments, [&] {
      const int fd = ::open((folder_ / output).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      const int err = errors.empty()
                          ? fd
                          : ::open((folder_ / errors).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      ::dup2(fd, 1);
      ::dup2(err, 2);
    });
  }
  // In the foreground of a terminal.
  pid_t start(const std::vector<std::string>& arguments, const Terminal& terminal) {
    return start(arguments, [&] { terminal.control_this_process(); });
  }

  // The exit code, -1 for a death by signal, -2 if it does not end. A terminal is read meanwhile, else nobody could write to it.
  int ended(pid_t child, absl::Duration limit, Terminal* terminal = nullptr) {
    int status = 0;
    const auto over = [&] {
      if (terminal != nullptr) terminal->shown();
      return ::waitpid(child, &status, WNOHANG) == child;
    };
    if (!eventually(over, limit)) return -2;
    std::erase(children_, child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  std::string output(const std::string& name) const { return content(folder_ / name); }
  bool says(const std::string& name, const std::string& words) const {
    return output(name).find(words) != std::string::npos;
  }
  ClusterFile cluster() const {
    return read_cluster_file(folder_ / "supercloud" / "latest").value_or(ClusterFile{});
  }
  bool nothing_is_left() const {
    for (const NodeEntry& node : cluster().nodes)
      if (node.alive) return false;
    return files::is_empty(folder_ / "run");
  }
  std::string node_toml(const std::string& name, const std::string& folder,
                        const std::string& sockets, const std::string& seeds) const {
    const std::string at = (folder_ / "run" / sockets).string();
    return "name = \"" + name + "\"\ncluster = \"pair\"\nsite = \"a\"\ndirectory = \"" +
           (folder_ / folder).string() + "\"\nseeds = [" + seeds + "]\n[bus]\npublish = \"ipc://" +
           at + ".pub\"\nrequest = \"ipc://" + at + ".req\"\n";
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  struct Said {
    int code = 0;  // as ended() tells it
    std::string out, err;
  };
  // One command to its end.
  Said run(const std::vector<std::string>& arguments) {
    const std::string name = "command-" + std::to_string(++commands_);
    Said said;
    said.code = ended(start(arguments, name + ".out", name + ".err"), absl::Minutes(1));
    said.out = output(name + ".out");
    said.err = output(name + ".err");
    return said;
  }

  // `connect` gives the child its standard files.
  pid_t start(const std::vector<std::string>& arguments, const std::function<void()>& connect) {
    const char* program = ::getenv("SUPERCLOUD_PROGRAM");
    if (!other_.empty()) program = other_.c_str();
    EXPECT_NE(program, nullptr) << "meson sets it";
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGHUP, SIG_DFL);  // whoever runs the tests under nohup has it ignored
      ::setenv("XDG_STATE_HOME", folder_.c_str(), 1);
      ::setenv("XDG_RUNTIME_DIR", (folder_ / "run").c_str(), 1);
      connect();
      for (const auto& [name, value] : environment_) ::setenv(name.c_str(), value.c_str(), 1);
      std::vector<char*> argv{const_cast<char*>(program)};
      for (const std::string& argument : arguments)
        argv.push_back(const_cast<char*>(argument.c_str()));
      argv.push_back(nullptr);
      ::execvp(program, argv.data());
      ::_exit(127);
    }
    children_.push_back(child);
    return child;
  }

  // What `call` starts is this program, found as a shell does.
  template <class Call>
  auto with(const std::string& program, Call call) {
    other_ = program;
    auto result = call();
    other_.clear();
    return result;
  }

  files::path folder_;
  std::string other_;                               // than `supercloud`
  std::map<std::string, std::string> environment_;  // of what is started, beside the usual
  int commands_ = 0;
  std::vector<pid_t> children_;
};

}  // namespace supercloud
