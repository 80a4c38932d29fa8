#include "cli/demo/processes.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

extern char** environ;

namespace supercloud {
namespace {

constexpr int stop_patience_ms = 3000;
constexpr int stop_look_ms = 10;
constexpr std::size_t last_words_bytes = 500;

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status));
  return absl::StrCat("exit code ", WEXITSTATUS(status));
}

}  // namespace

absl::Status NodeProcesses::start(const std::string& node, const std::string& toml) {
  if (children_.contains(node))
    return absl::AlreadyExistsError(absl::StrCat("node ", node, " runs already"));
  const std::filesystem::path folder = directory_ / node;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::filesystem::path config = folder / "node.toml";
  {
    std::ofstream file(config, std::ios::trunc);
    file << toml;
    file.flush();
    if (!file)
      return absl::UnavailableError(
          absl::StrCat("writing ", config.string(), " failed: is the disk full?"));
  }
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  const absl::Cleanup destroy = [&] {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  };
  const std::string output = (folder / "output").string();
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0644);
  ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  // A group of its own: Ctrl-C is for the demo, which then ends its nodes.
  sigset_t none, defaults;
  ::sigemptyset(&none);
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGINT);
  ::sigaddset(&defaults, SIGTERM);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  std::string arguments[] = {"supercloud", "node", "--exit-with-parent", "--config",
                             config.string()};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(),
                  arguments[3].data(), arguments[4].data(), nullptr};
  // By its own name, so that a list of processes shows it.
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    return absl::UnavailableError(absl::StrCat("/proc/self/exe cannot be read: ", error.message()));
  Child child;
  const int failed =
      ::posix_spawn(&child.pid, program.c_str(), &actions, &attributes, argv, environ);
  if (failed != 0)
    return absl::UnavailableError(
        absl::StrCat("starting node ", node, ": ", std::strerror(failed)));
  children_[node] = child;
  return absl::OkStatus();
}

void NodeProcesses::signal(const std::string& node, int number) {
  const auto child = children_.find(node);
  if (child == children_.end()) return;
  child->second.told_to_end = true;
  ::kill(child->second.pid, number);
}

void NodeProcesses::kill(const std::string& node) { signal(node, SIGKILL); }
void NodeProcesses::stop(const std::string& node) { signal(node, SIGTERM); }

std::vector<std::pair<std::string, std::string>> NodeProcesses::reap() {
  std::vector<std::pair<std::string, std::string>> ended;
  for (auto child = children_.begin(); child != children_.end();) {
    int status = 0;
    if (::waitpid(child->second.pid, &status, WNOHANG) != child->second.pid) {
      ++child;
      continue;
    }
    if (!child->second.told_to_end) ended.emplace_back(child->first, how_it_ended(status));
    child = children_.erase(child);
  }
  return ended;
}

void NodeProcesses::stop_all() {
  for (auto& [node, child] : children_) ::kill(child.pid, SIGTERM);
  for (auto& [node, child] : children_) child.told_to_end = true;
  for (int waited = 0; waited < stop_patience_ms && !children_.empty(); waited += stop_look_ms) {
    reap();
    if (!children_.empty()) ::poll(nullptr, 0, stop_look_ms);
  }
  for (const auto& [node, child] : children_) {
    ::kill(child.pid, SIGKILL);
    ::waitpid(child.pid, nullptr, 0);
  }
  children_.clear();
}

std::string NodeProcesses::last_words(const std::string& node) const {
  std::ifstream file(directory_ / node / "output");
  std::string content((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (content.size() > last_words_bytes) content.erase(0, content.size() - last_words_bytes);
  while (!content.empty() && content.back() == '\n') content.pop_back();
  return content;
}

}  // namespace supercloud
