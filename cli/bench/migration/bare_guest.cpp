#include "cli/bench/migration/bare_guest.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "cli/guests/guest_watch.h"

extern char** environ;

namespace supercloud {
namespace {

constexpr Duration bare_patience = absl::Seconds(30);
// As the hypervisor's driver has them (hypercall/qemu/sender.cpp).
constexpr int downtime_limit_ms = 20;
constexpr std::uint64_t rate_unlimited = 1ULL << 40U;

std::string capabilities(std::initializer_list<const char*> names) {
  std::string all;
  for (const char* name : names)
    absl::StrAppend(&all, all.empty() ? "" : ", ", "{\"capability\": \"", name,
                    "\", \"state\": true}");
  return absl::StrCat("{\"capabilities\": [", all, "]}");
}

std::string last_words(const std::string& folder) {
  std::ifstream file(folder + "/output");
  std::string words((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words.empty() ? "nothing" : words;
}

absl::StatusOr<pid_t> spawn(std::vector<std::string> command, const std::string& output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  const absl::Cleanup destroy = [&] { ::posix_spawn_file_actions_destroy(&actions); };
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
  ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
  // A group of its own: Ctrl-C is for who measures.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  const absl::Cleanup forget = [&] { ::posix_spawnattr_destroy(&attributes); };
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  pid_t process = -1;
  const int failed =
      ::posix_spawn(&process, arguments[0], &actions, &attributes, arguments.data(), environ);
  if (failed != 0)
    return absl::UnavailableError(
        absl::StrCat("starting ", command[0], ": ", std::strerror(failed)));
  return process;
}

}  // namespace

BareGuest::Machine::~Machine() {
  monitor.reset();
  if (process <= 0) return;
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
}

BareGuest::~BareGuest() = default;

absl::StatusOr<std::unique_ptr<BareGuest>> BareGuest::start(EventLoop& loop,
                                                            BareGuestOptions options) {
  std::unique_ptr<BareGuest> guest(new BareGuest(loop, std::move(options)));
  auto machine = guest->launch(false);
  if (!machine.ok()) return machine.status();
  guest->machine_ = *std::move(machine);
  if (const absl::Status runs = guest->tell(*guest->machine_, "cont"); !runs.ok()) return runs;
  return guest;
}

absl::StatusOr<std::unique_ptr<BareGuest::Machine>> BareGuest::launch(bool incoming) {
  auto machine = std::make_unique<Machine>();
  machine->folder = (options_.folder / std::to_string(++launched_)).string();
  std::error_code error;
  std::filesystem::create_directories(machine->folder, error);
  QemuStart start = options_.start;
  start.folder = machine->folder;
  start.incoming = incoming;
  std::vector<std::string> command = qemu_command(start, options_.guest);
  // A script has nothing to do between the guest's arrival and its first instruction.
  if (incoming) std::erase(command, "-S");
  const auto process = spawn(std::move(command), machine->folder + "/output");
  if (!process.ok()) return process.status();
  machine->process = *process;
  Machine* raw = machine.get();
  const absl::Status ready = until("its QEMU to start", [&] {
    if (raw->monitor != nullptr) return raw->answer.has_value();
    raw->monitor = QmpScript::connect(
        loop_, raw->folder + "/qmp",
        [raw](const QmpWord& word) {
          if (word.answer) raw->answer = word;
          if (word.event == "MIGRATION") raw->status = word.status;
          if (word.event == "RESUME") raw->goes_on = true;
        },
        nullptr);
    return false;
  });
  if (!ready.ok())
    return absl::Status(ready.code(),
                        absl::StrCat(ready.message(), "; it said: ", last_words(raw->folder)));
  return machine;
}

absl::Status BareGuest::until(const char* what, absl::FunctionRef<bool()> done) {
  if (await(loop_, bare_patience, [&] { return done() || options_.stop(); })) {
    if (options_.stop()) return absl::CancelledError("interrupted");
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrCat("the guest that QEMU alone moves: ", what,
                                                  " was waited for in vain for ",
                                                  absl::FormatDuration(bare_patience)));
}

absl::Status BareGuest::tell(Machine& machine, const std::string& command,
                             const std::string& arguments) {
  machine.answer.reset();
  machine.monitor->say(command, arguments);
  const absl::Status answered = until(command.c_str(), [&] { return machine.answer.has_value(); });
  if (!answered.ok() || machine.answer->error.empty()) return answered;
  return absl::UnknownError(absl::StrCat(command, ": QEMU says: ", machine.answer->error));
}

absl::Status BareGuest::prepare() {
  auto launched = launch(true);
  if (!launched.ok()) return launched.status();
  target_ = *std::move(launched);
  return tell(*target_, "migrate-set-capabilities", capabilities({"events", "return-path"}));
}

absl::StatusOr<Duration> BareGuest::move() {
  const Instant begun = loop_.clock().now();
  if (target_ == nullptr)
    if (const absl::Status prepared = prepare(); !prepared.ok()) return prepared;
  Machine& source = *machine_;
  Machine& target = *target_;
  const std::string stream = absl::StrCat("{\"uri\": \"unix:", target.folder, "/stream\"}");
  const struct {
    Machine& machine;
    const char* command;
    std::string arguments;
  } steps[] = {
      {target, "migrate-incoming", stream},
      {source, "migrate-set-capabilities",
       capabilities({"events", "return-path", "pause-before-switchover"})},
      {source, "migrate-set-parameters",
       absl::StrCat("{\"max-bandwidth\": ", rate_unlimited,
                    ", \"downtime-limit\": ", downtime_limit_ms, "}")},
      {source, "migrate", stream},
  };
  source.status.clear();
  for (const auto& step : steps)
    if (const absl::Status done = tell(step.machine, step.command, step.arguments); !done.ok())
      return done;
  const auto failed = [&] { return source.status == "failed" || source.status == "cancelled"; };
  absl::Status reached =
      until("its memory to be sent", [&] { return source.status == "pre-switchover" || failed(); });
  if (!reached.ok()) return reached;
  if (failed()) return absl::UnavailableError("the migration of QEMU alone failed");
  if (const absl::Status goes = tell(source, "migrate-continue", "{\"state\": \"pre-switchover\"}");
      !goes.ok())
    return goes;
  reached = until("the end of its migration",
                  [&] { return (target.goes_on && source.status == "completed") || failed(); });
  if (!reached.ok()) return reached;
  if (failed()) return absl::UnavailableError("the migration of QEMU alone failed");
  const Duration took = loop_.clock().now() - begun;
  end(source);
  machine_ = std::move(target_);
  return took;
}

void BareGuest::end(Machine& machine) {
  machine.monitor->say("quit");
  if (await(loop_, bare_patience,
            [&] { return ::waitpid(machine.process, nullptr, WNOHANG) == machine.process; }))
    machine.process = -1;
}

}  // namespace supercloud
