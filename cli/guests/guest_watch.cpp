#include "cli/guests/guest_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/measure/guest/guest_bytes.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr const char* program_name = "qemu";
constexpr const char* monitor_suffix = ".qmp";
constexpr const char* beats_suffix = ".beats";
// Its sockets are there a moment before it listens.
constexpr Duration connect_again = absl::Milliseconds(1);
constexpr Duration await_look = absl::Milliseconds(2);

std::string shell_word(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string command_of(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/cmdline"));
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Of QEMU's command line: "-name guest=NAME".
std::string guest_of(const std::string& command) {
  constexpr std::string_view before("-name\0guest=", 12);
  const std::size_t at = command.find(before);
  return at == std::string::npos ? std::string() : command.c_str() + at + before.size();
}

}  // namespace

std::optional<Duration> GuestSeen::stood_still() const {
  const GuestSign *stopped = nullptr, *resumed = nullptr;
  for (const GuestSign& sign : signs) {
    if (sign.what == "STOP" && stopped == nullptr) stopped = &sign;
    if (sign.what == "RESUME") resumed = &sign;
  }
  if (stopped == nullptr || resumed == nullptr || resumed->machine <= stopped->machine)
    return std::nullopt;
  return resumed->at - stopped->at;
}

absl::StatusOr<std::string> GuestWatch::write_program(const files::path& folder,
                                                      const std::string& qemu) {
  const std::string at = folder.string(), program = (folder / program_name).string();
  const auto socket = [&](const char* name, const char* suffix) {
    return absl::StrCat(" -chardev socket,id=", name, ",server=on,wait=off,path=", shell_word(at),
                        "/$$", suffix);
  };
  std::ofstream file(program, std::ios::trunc);
  file << "#!/bin/sh\nexec " << shell_word(qemu) << " \"$@\"" << socket("watched", monitor_suffix)
       << " -mon chardev=watched,mode=control" << socket("beats", beats_suffix)
       << " -serial chardev:beats\n";
  file.close();
  if (!file || ::chmod(program.c_str(), S_IRWXU) != 0)
    return absl::UnavailableError(absl::StrCat("writing ", program, ": ", std::strerror(errno)));
  return program;
}

absl::StatusOr<std::unique_ptr<GuestWatch>> GuestWatch::open(EventLoop& loop,
                                                             const files::path& folder) {
  std::unique_ptr<GuestWatch> watch(new GuestWatch(loop, folder));
  watch->changes_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (watch->changes_ < 0 ||
      ::inotify_add_watch(watch->changes_, folder.c_str(), IN_CREATE | IN_DELETE) < 0)
    return absl::UnavailableError(absl::StrCat("watching ", folder.string(), ": ",
                                               std::strerror(errno),
                                               "; fs.inotify.max_user_instances may be too small"));
  const absl::Status watched =
      loop.watch_fd(watch->changes_, EPOLLIN, [raw = watch.get()](std::uint32_t) {
        std::array<char, 4096> told{};
        while (::read(raw->changes_, told.data(), told.size()) > 0) {
        }
        raw->look_for_machines();
      });
  if (!watched.ok()) return watched;
  return watch;
}

GuestWatch::~GuestWatch() {
  loop_.cancel(again_);
  for (auto& [process, machine] : machines_) {
    machine.monitor.reset();
    close(machine.beats);
  }
  close(changes_);
}

void GuestWatch::close(int& fd) {
  if (fd < 0) return;
  loop_.unwatch_fd(fd);
  ::close(std::exchange(fd, -1));
}

void GuestWatch::look_for_machines() {
  bool unconnected = false;
  std::error_code error;
  for (const auto& entry : files::directory_iterator(folder_, error)) {
    if (entry.path().extension() != monitor_suffix) continue;
    const auto process = static_cast<pid_t>(std::atoi(entry.path().stem().c_str()));
    if (process <= 1 || ::kill(process, 0) != 0) continue;
    if (!machines_.contains(process)) {
      const std::string command = command_of(process);
      const std::string guest = guest_of(command);
      if (guest.empty()) continue;  // it ends, or its number is another process's by now
      Machine& found = machines_[process];
      found.number = ++last_number_;
      found.guest = guest;
      found.fresh = command.find("-incoming") == std::string::npos;
    }
    if (!connect(process, machines_.at(process))) unconnected = true;
  }
  if (!unconnected || again_ != 0) return;
  again_ = loop_.at(loop_.clock().now() + connect_again, [this] {
    again_ = 0;
    look_for_machines();
  });
}

bool GuestWatch::connect(pid_t process, Machine& machine) {
  const std::string at = (folder_ / std::to_string(process)).string();
  if (machine.monitor == nullptr)
    machine.monitor = QmpScript::connect(
        loop_, at + monitor_suffix, [this, process](const QmpWord& word) { heard(process, word); },
        [this, process] { ended(process); });
  if (machine.beats < 0) {
    machine.beats = connect_to_socket(at + beats_suffix);
    if (machine.beats >= 0)
      (void)loop_.watch_fd(machine.beats, EPOLLIN, [this, process](std::uint32_t) {
        read_all_beats(machines_[process].guest, process);
      });
  }
  return machine.monitor != nullptr && machine.beats >= 0;
}

void GuestWatch::heard(pid_t process, const QmpWord& word) {
  const Machine& machine = machines_[process];
  GuestSign sign{"", word.at, machine.number};
  if (word.event == "STOP" || word.event == "RESUME") sign.what = word.event;
  if (word.event == "MIGRATION") sign.what = word.status;
  if (!sign.what.empty()) guests_[machine.guest].seen.signs.push_back(std::move(sign));
}

void GuestWatch::ended(pid_t process) {
  Machine& machine = machines_[process];
  read_beats(machine);  // its last ones
  close(machine.beats);
  machines_.erase(process);
}

// What its other machines said was said before, if both are to be read at once.
void GuestWatch::read_all_beats(const std::string& guest, pid_t last) {
  for (auto& [process, machine] : machines_)
    if (machine.guest == guest && process != last) read_beats(machine);
  read_beats(machines_[last]);
}

void GuestWatch::read_beats(Machine& machine) {
  if (machine.beats < 0) return;
  std::array<std::uint8_t, 512> bytes{};
  ssize_t got = 0;
  while ((got = ::read(machine.beats, bytes.data(), bytes.size())) > 0)
    std::for_each_n(bytes.begin(), got, [&](std::uint8_t beat) { heard(machine, beat); });
  if (got == 0) close(machine.beats);
}

void GuestWatch::heard(Machine& machine, std::uint8_t beat) {
  const Instant now = loop_.clock().now();
  Guest& guest = guests_[machine.guest];
  GuestSeen& seen = guest.seen;
  if (!std::exchange(machine.heard, true) && machine.fresh && guest.last_beat) {
    ++seen.restarts;
    guest.last_beat.reset();
  }
  if (guest.last_beat && seen.broken.empty()) {
    seen.gap_max = std::max(seen.gap_max, now - guest.heard);
    if (beat == '?')
      seen.broken = "its memory is not what it was left as";
    else if (beat != guest_beat(*guest.last_beat + 1U))
      seen.broken = absl::StrCat("beat ", beat, " comes after ", *guest.last_beat);
  }
  ++seen.beats;
  guest.last_beat = beat;
  guest.heard = now;
}

bool await(EventLoop& loop, Duration limit, absl::FunctionRef<bool()> done) {
  const Instant end = loop.clock().now() + limit;
  for (Duration left = limit; left > absl::ZeroDuration(); left = end - loop.clock().now())
    if (loop.run_until(done, std::min(left, await_look))) return true;
  return false;
}

}  // namespace supercloud
