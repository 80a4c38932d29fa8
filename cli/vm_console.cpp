#include "cli/vm_console.h"

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
#include <string_view>

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

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
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

Left attach(int console, const Interrupt& interrupt) {
  std::array<pollfd, 2> both = {pollfd{console, POLLIN, 0}, pollfd{STDIN_FILENO, POLLIN, 0}};
  std::array<char, 4096> bytes = {};
  while (!interrupt.requested()) {
    if (::poll(both.data(), both.size(), signal_look_ms) < 0) continue;  // by a signal
    if (both[0].revents != 0) {
      const ssize_t got = ::read(console, bytes.data(), bytes.size());
      if (got == 0 || (got < 0 && errno != EINTR)) return Left::closed;
      if (got > 0 && !send_all(STDOUT_FILENO, {bytes.data(), static_cast<std::size_t>(got)}))
        return Left::left;
    }
    if (both[1].revents != 0) {
      const ssize_t got = ::read(STDIN_FILENO, bytes.data(), bytes.size());
      if (got <= 0) {
        both[1].fd = -1;  // no more keys: it is still listened to
        continue;
      }
      const std::string_view keys(bytes.data(), static_cast<std::size_t>(got));
      const std::size_t leave = ::isatty(STDIN_FILENO) == 1 ? keys.find(leave_key) : keys.npos;
      if (!send_all(console, keys.substr(0, leave))) return Left::closed;
      if (leave != keys.npos) return Left::left;
    }
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
