#include "cli/vm_console.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iostream>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "cli/interrupt.h"
#include "cli/vm_client.h"
#include "hypercall/qemu/qemu_hypervisor.h"
#include "hypercall/qemu/stream_socket.h"

namespace supercloud {
namespace {

constexpr char leave_key = 0x1d;                          // Ctrl-]
constexpr Duration console_patience = absl::Seconds(30);  // a guest that moves, or starts
constexpr Duration console_look = absl::Milliseconds(100);
// A signal that comes just before a wait does not end that.
constexpr int signal_look_ms = 500;

// Every key goes to the guest while this lives; without a terminal nothing changes.
class RawTerminal {
 public:
  RawTerminal() : raw_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!raw_) return;
    termios raw = before_;
    ::cfmakeraw(&raw);
    raw.c_oflag |= OPOST;  // guests end lines as they like
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~RawTerminal() {
    if (raw_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_ = {};
  const bool raw_;
};

// As much as goes at once; false: nobody reads it any more.
bool write_some(int fd, std::string& bytes) {
  // So much fits where poll() says that there is room.
  constexpr std::size_t at_once = 512;
  const ssize_t written = ::write(fd, bytes.data(), std::min(bytes.size(), at_once));
  if (written > 0) bytes.erase(0, static_cast<std::size_t>(written));
  return written >= 0 || errno == EINTR || errno == EAGAIN;
}

// What there is to be read; empty: nothing now, or the end.
std::string read_some(int fd, bool& over) {
  std::array<char, 4096> bytes = {};
  const ssize_t got = ::read(fd, bytes.data(), bytes.size());
  over = got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN);
  return {bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
}

// Unavailable: nobody listens now.
absl::StatusOr<OwnFd> connect_console(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long for a socket"));
  path.copy(address.sun_path, path.size());
  OwnFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return absl::UnavailableError(absl::StrCat(path, ": ", std::generic_category().message(errno)));
  return socket;
}

// Where the guest runs; Unavailable: nowhere right now.
struct ConsolePlace {
  std::string node;
  std::string console;  // path of its socket
};
absl::StatusOr<ConsolePlace> console_place(VmClient& client, const VmName& vm) {
  const auto facts = client.show(vm);
  if (!facts.ok()) return facts.status();
  if (facts->state == "stopped" || facts->state == "failed")
    return absl::FailedPreconditionError(absl::StrCat(vm.to_string(), " is ", facts->state,
                                                      ", and has no console: `supercloud vm start ",
                                                      vm.name, "` starts it"));
  const auto& nodes = client.target().nodes;
  const auto node = std::find_if(nodes.begin(), nodes.end(),
                                 [&](const NodeEntry& entry) { return entry.name == facts->node; });
  if (node == nodes.end())
    return absl::FailedPreconditionError(
        absl::StrCat(vm.to_string(), " runs on ", facts->node,
                     ", which is not on this machine: run this command there"));
  if (node->guests.empty())
    return absl::FailedPreconditionError(
        absl::StrCat("the guests of ", facts->node, " are simulated, and have no console"));
  return ConsolePlace{facts->node, QemuHypervisor::console_of(node->guests, vm.to_string())};
}

enum class Left { left, interrupted, closed };

// Waits for nothing but in poll(): who does not read what is shown, or what is typed, keeps nobody from leaving.
Left attach(int console, const Interrupt& interrupt) {
  constexpr std::size_t typed_max = 4096;
  std::string shown, typed;  // to be written
  const bool may_leave = ::isatty(STDIN_FILENO) == 1;
  bool keys_over = false;
  ::fcntl(console, F_SETFL, ::fcntl(console, F_GETFL) | O_NONBLOCK);
  while (!interrupt.requested()) {
    const short hears = shown.empty() ? POLLIN : 0, says = typed.empty() ? 0 : POLLOUT;
    const bool reads_keys = !keys_over && typed.size() < typed_max;
    std::array<pollfd, 3> each = {
        pollfd{hears != 0 || says != 0 ? console : -1, static_cast<short>(hears | says), 0},
        pollfd{reads_keys ? STDIN_FILENO : -1, POLLIN, 0},
        pollfd{shown.empty() ? -1 : STDOUT_FILENO, POLLOUT, 0}};
    if (::poll(each.data(), each.size(), signal_look_ms) <= 0) continue;  // by a signal, or for one
    if (each[0].revents != 0 && says != 0 && !write_some(console, typed)) return Left::closed;
    if (each[0].revents != 0 && hears != 0) {
      bool over = false;
      shown = read_some(console, over);
      if (over) return Left::closed;
    }
    if (each[1].revents != 0) {
      const std::string keys = read_some(STDIN_FILENO, keys_over);  // over: it is still listened to
      const std::size_t leave = may_leave ? keys.find(leave_key) : keys.npos;
      typed += keys.substr(0, leave);
      if (leave != keys.npos) {
        write_some(console, typed);
        return Left::left;
      }
    }
    if (each[2].revents != 0 && !write_some(STDOUT_FILENO, shown)) return Left::left;
  }
  return Left::interrupted;
}

}  // namespace

int vm_console(const std::string& name, const std::string& tenant, const Program& program) {
  const auto vm = parse_vm_name(name, tenant);
  if (!vm.ok()) return tell_vm_error(vm.status(), name, nullptr);
  const auto client = VmClient::connect(program);
  if (!client.ok()) return tell_vm_error(client.status(), name, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const Interrupt interrupt;
  bool ever = false;
  for (Instant end = (*client)->now() + console_patience; !interrupt.requested();) {
    const auto place = console_place(**client, *vm);
    if (ever && absl::IsNotFound(place.status())) {
      std::cerr << vm->to_string() << " is destroyed" << std::endl;
      return exit_ok;
    }
    absl::StatusOr<OwnFd> console =
        place.ok() ? connect_console(place->console) : absl::StatusOr<OwnFd>(place.status());
    if (console.ok()) {
      std::cerr << "the console of " << vm->to_string() << " on " << place->node
                << (::isatty(STDIN_FILENO) == 1 ? "; Ctrl-] leaves it" : "") << std::endl;
      ever = true;
      Left ended = Left::closed;
      {
        const RawTerminal raw;
        ended = attach(console->get(), interrupt);
      }
      std::cerr << "\n";
      if (ended == Left::left) return exit_ok;
      if (ended == Left::closed)
        std::cerr << vm->to_string() << " is no longer on " << place->node << std::endl;
      end = (*client)->now() + console_patience;
      continue;
    }
    if (!absl::IsUnavailable(console.status()) || (*client)->now() >= end)
      return tell_vm_error(console.status(), vm->to_string(), client->get());
    (*client)->client().run_until([&] { return interrupt.requested(); },
                                  (*client)->now() + console_look);
  }
  return exit_interrupted;
}

}  // namespace supercloud
