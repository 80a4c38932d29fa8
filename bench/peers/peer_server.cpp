#include "bench/peers/peer_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr absl::Duration start_patience = absl::Seconds(10), between_looks = absl::Milliseconds(5);
constexpr const char* library_path = "LD_LIBRARY_PATH";

files::path log_of(const files::path& folder) { return folder / "log"; }

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// What the new process is to be: made before there is one, in which nothing is called that another thread might have been in the middle of.
class Becoming {
 public:
  Becoming(const ServerProgram& program, const ServerPlan& plan, const files::path& folder)
      : log_(log_of(folder)), file_(program.file) {
    const files::path settings = folder / "settings";
    std::ofstream(settings) << plan.settings(folder);
    arguments_ = {file_};
    arguments_.insert(arguments_.end(), plan.arguments.begin(), plan.arguments.end());
    arguments_.push_back(settings);
    for (char** each = environ; *each != nullptr; ++each)
      if (program.libraries.empty() || !absl::StartsWith(*each, absl::StrCat(library_path, "=")))
        environment_.emplace_back(*each);
    if (!program.libraries.empty())
      environment_.push_back(absl::StrCat(library_path, "=", program.libraries));
    argument_pointers_ = pointers(arguments_);
    environment_pointers_ = pointers(environment_);
  }
  Becoming(const Becoming&) = delete;
  Becoming& operator=(const Becoming&) = delete;

  void become() const {
    const int nothing = ::open("/dev/null", O_RDONLY);
    const int log = ::open(log_.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    if (nothing < 0 || log < 0 || ::dup2(nothing, 0) < 0 || ::dup2(log, 1) < 0 ||
        ::dup2(log, 2) < 0)
      return;
    ::execve(file_.c_str(), argument_pointers_.data(), environment_pointers_.data());
  }

 private:
  const std::string log_, file_;
  std::vector<std::string> arguments_, environment_;
  std::vector<char*> argument_pointers_, environment_pointers_;
};

}  // namespace

absl::StatusOr<ServerProgram> find_server(const std::string& name, const files::path& unpacked) {
  std::error_code error;
  if (!unpacked.empty())
    for (const char* folder : {"usr/sbin", "usr/bin"}) {
      const files::path file = files::absolute(unpacked / folder / name, error);
      if (!files::exists(file, error)) continue;
      ServerProgram program{.file = file, .libraries = {}};
      for (const auto& entry : files::directory_iterator(unpacked / "usr/lib", error))
        if (absl::StrContains(entry.path().filename().string(), "-linux-"))
          absl::StrAppend(&program.libraries, program.libraries.empty() ? "" : ":",
                          files::absolute(entry.path(), error).string());
      return program;
    }
  const char* path = std::getenv("PATH");
  std::vector<std::string> folders = absl::StrSplit(path == nullptr ? "" : path, ':');
  folders.insert(folders.end(), {"/usr/sbin", "/usr/bin"});
  for (const std::string& folder : folders)
    if (const files::path file = files::path(folder) / name;
        file.is_absolute() && ::access(file.c_str(), X_OK) == 0)
      return ServerProgram{.file = file, .libraries = {}};
  return absl::NotFoundError(
      absl::StrCat(name, " is not on this machine; `make bench-peers` brings it"));
}

PeerServer::PeerServer(const ServerProgram& program, const ServerPlan& plan)
    : plan_(plan),
      name_(program.file.filename()),
      process_([becoming = std::make_shared<const Becoming>(program, plan, folder_.path())](
                   const std::function<std::string()>&) { becoming->become(); }) {}

absl::Status PeerServer::reach(
    const std::function<absl::Status(const std::string& address)>& connect) const {
  const absl::Time end = absl::Now() + start_patience;
  for (;;) {
    const auto address = plan_.address(folder_.path());
    const absl::Status reached = address.ok() ? connect(*address) : address.status();
    if (reached.ok()) return reached;
    if (process_.resident_bytes() == 0)
      return with_last_words(absl::UnavailableError(absl::StrCat(name_, " has ended")));
    if (absl::Now() > end)
      return with_last_words(absl::DeadlineExceededError(
          absl::StrCat(name_, " was not reached within 10 s: ", reached.message())));
    absl::SleepFor(between_looks);
  }
}

absl::Status PeerServer::with_last_words(absl::Status why) const {
  std::ifstream log(log_of(folder_.path()));
  std::string last;
  for (std::string line; std::getline(log, line);)
    if (!line.empty()) last = line;
  return {why.code(), absl::StrCat(why.message(), "; its last words: ", last)};
}

}  // namespace supercloud
