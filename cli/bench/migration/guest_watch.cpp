#include "cli/bench/migration/guest_watch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "cli/measure/guest/guest_bytes.h"
#include "hypercall/qemu/qmp_message.h"

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

int connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return -1;
  path.copy(address.sun_path, path.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

// Of QEMU's command line: "-name guest=NAME".
std::string guest_of(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/cmdline"));
  const std::string command((std::istreambuf_iterator<char>(file)),
                            std::istreambuf_iterator<char>());
  constexpr std::string_view before("-name\0guest=", 12);
  const std::size_t at = command.find(before);
  return at == std::string::npos ? std::string() : command.c_str() + at + before.size();
}

}  // namespace

std::optional<GuestSign> read_guest_sign(std::string_view line) {
  const auto message = parse_qmp(line);
  const auto* event = message.ok() ? std::get_if<QmpEvent>(&*message) : nullptr;
  if (event == nullptr) return std::nullopt;
  GuestSign sign;
  if (event->name == "STOP" || event->name == "RESUME") sign.what = event->name;
  if (event->name == "MIGRATION") sign.what = qmp_text(event->data, "status");
  const QmpValue whole = QmpValue::parse(line, nullptr, /*allow_exceptions=*/false);
  const QmpValue& stamp = qmp_member(whole, "timestamp");
  if (sign.what.empty() || !stamp.is_object()) return std::nullopt;
  constexpr std::uint64_t seconds_max = 1ULL << 40, microseconds_max = 999'999;
  const std::uint64_t seconds = std::min(qmp_number(stamp, "seconds"), seconds_max);
  const std::uint64_t microseconds = std::min(qmp_number(stamp, "microseconds"), microseconds_max);
  sign.at = absl::FromUnixMicros(static_cast<std::int64_t>(seconds * 1'000'000 + microseconds));
  return sign;
}

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
    close(machine.monitor);
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
    Machine& machine = machines_[process];
    if (machine.number == 0) machine.number = ++last_number_;
    if (machine.guest.empty()) machine.guest = guest_of(process);
    if (machine.guest.empty() || !connect(process, machine)) unconnected = true;
  }
  if (!unconnected || again_ != 0) return;
  again_ = loop_.at(loop_.clock().now() + connect_again, [this] {
    again_ = 0;
    look_for_machines();
  });
}

bool GuestWatch::connect(pid_t process, Machine& machine) {
  const std::string at = (folder_ / std::to_string(process)).string();
  if (machine.monitor < 0) {
    machine.monitor = connect_to(at + monitor_suffix);
    if (machine.monitor < 0) return false;
    constexpr std::string_view greet = "{\"execute\": \"qmp_capabilities\"}\n";
    (void)::send(machine.monitor, greet.data(), greet.size(), MSG_NOSIGNAL);
    (void)loop_.watch_fd(machine.monitor, EPOLLIN,
                         [this, process](std::uint32_t) { read_monitor(process); });
  }
  if (machine.beats < 0) {
    machine.beats = connect_to(at + beats_suffix);
    if (machine.beats < 0) return false;
    (void)loop_.watch_fd(machine.beats, EPOLLIN, [this, process](std::uint32_t) {
      read_all_beats(machines_[process].guest, process);
    });
  }
  return true;
}

void GuestWatch::read_monitor(pid_t process) {
  Machine& machine = machines_[process];
  std::array<char, 4096> bytes{};
  ssize_t got = 0;
  while ((got = ::read(machine.monitor, bytes.data(), bytes.size())) > 0) {
    for (const char letter : std::string_view(bytes.data(), static_cast<std::size_t>(got))) {
      if (letter != '\n') {
        if (machine.line.size() < qmp_line_bytes_max) machine.line += letter;
        continue;
      }
      auto sign = read_guest_sign(std::exchange(machine.line, {}));
      if (!sign) continue;
      sign->machine = machine.number;
      guests_[machine.guest].seen.signs.push_back(*std::move(sign));
    }
  }
  if (got < 0 && errno == EAGAIN) return;
  read_beats(machine);  // its last ones
  close(machine.monitor);
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
  Guest& guest = guests_[machine.guest];
  std::array<std::uint8_t, 512> bytes{};
  ssize_t got = 0;
  while ((got = ::read(machine.beats, bytes.data(), bytes.size())) > 0)
    std::for_each_n(bytes.begin(), got, [&](std::uint8_t beat) { heard(guest, beat); });
  if (got == 0) close(machine.beats);
}

void GuestWatch::heard(Guest& guest, std::uint8_t beat) {
  const Instant now = loop_.clock().now();
  GuestSeen& seen = guest.seen;
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
