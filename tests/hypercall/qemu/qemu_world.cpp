#include "tests/hypercall/qemu/qemu_world.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "hypercall/qemu/copy.h"
#include "hypercall/qemu/record.h"
#include "tests/guest/guest_parts.h"
#include "tests/hypercall/keeper/left_cgroup.h"

namespace supercloud {
namespace {

constexpr Duration qemu_patience = absl::Seconds(30);

std::string qemu_environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// "state parent ..." of a process; empty: there is none.
std::string process_facts(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string stat;
  std::getline(file, stat);
  const std::size_t name_end = stat.rfind(')');
  return name_end == std::string::npos ? "" : stat.substr(name_end + 2);
}

}  // namespace

QemuWorld::QemuWorld() {
  const GuestParts parts = GuestParts::find();
  missing_ = parts.missing;
  guests.usual.kernel = qemu_environment("SUPERCLOUD_TINY_GUEST");
  std::string pattern = (std::filesystem::temp_directory_path() / "sc-qemu-XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  guard_.watch(folder_);
  if (!missing_.empty()) return;
  for (int index : {0, 1}) {
    const std::string at = folder_ / std::to_string(index);
    std::filesystem::create_directories(at);
    side(index).relay = std::make_unique<StreamRelay>(at + "/relay", at + "/streams");
    start_daemon(index, options(index));
  }
}

QemuWorld::~QemuWorld() {
  for (int index : {0, 1}) {
    if (side(index).hypervisor == nullptr) continue;
    for (const std::string& vm : all_guests(index)) {
      const LateAnswer gone;
      host(index).destroy(vm, gone.reply());
      EXPECT_TRUE(wait(qemu_patience, [&] { return gone.came(); }));
    }
    std::error_code error;
    for (const auto& left : std::filesystem::recursive_directory_iterator(run_folder(index), error))
      ADD_FAILURE() << left.path() << " is left of a guest";
    for (const auto& [vm, console] : side(index).consoles) {
      if (console.fd >= 0) ::close(console.fd);
    }
    side(index).hypervisor.reset();
    side(index).network.reset();
    side(index).relay.reset();
  }
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
}

// Also those that are not listed, as they start still.
std::set<std::string> QemuWorld::all_guests(int index) {
  std::set<std::string> all;
  for (const GuestStatus& status : host(index).list()) all.insert(status.vm);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(run_folder(index), error))
    if (const auto record = QemuRecord::load(entry.path().string()); record.ok())
      all.insert(record->vm);
  return all;
}

std::string QemuWorld::run_folder(int index) const {
  return folder_ / std::to_string(index) / "run";
}

QemuOptions QemuWorld::options(int index) const {
  const std::string at = folder_ / std::to_string(index);
  return {.run_folder = at + "/run",
          .keeper = qemu_environment("SUPERCLOUD_KEEPER"),
          .qemu = std::filesystem::absolute(GuestParts::find().qemu).string(),
          .version = {10, 0, 2},
          .streams = "unix:" + at + "/streams",
          .streams_reached_at = "unix:" + at + "/relay",
          .memory_bytes = 1ULL << 30U,
          .guests = guests};
}

void QemuWorld::stop_daemon(int index) {
  side(index).hypervisor.reset();
  side(index).network.reset();
}

std::string QemuWorld::folder(int index, const std::string& vm) const {
  return QemuCopy::folder_of(run_folder(index), vm);
}

pid_t QemuWorld::qemu_process(int index, const std::string& vm) {
  const auto keeper = KeeperClient::find(loop, folder(index, vm) + "/keeper", nullptr);
  EXPECT_TRUE(keeper.ok()) << keeper.status();
  return keeper.ok() ? (*keeper)->told().guest : 0;
}

pid_t QemuWorld::keeper_process(int index, const std::string& vm) {
  const std::string facts = process_facts(qemu_process(index, vm));
  return facts.size() <= 2 ? 0 : std::atoi(facts.c_str() + 2);
}

bool QemuWorld::lives(pid_t process) {
  const std::string facts = process_facts(process);
  return !facts.empty() && facts[0] != 'Z' && facts[0] != 'X';
}

bool QemuWorld::cgroup_is_left(int index, const std::string& vm) const {
  return cgroup_is_left_of(folder(index, vm) + "/keeper");
}

void QemuWorld::start_daemon(int index, QemuOptions options) {
  Side& daemon = side(index);
  stop_daemon(index);
  auto network =
      SocketLinkNetwork::open(loop, "unix:" + (folder_ / std::to_string(index) / "link").string());
  ASSERT_TRUE(network.ok()) << network.status();
  daemon.network = *std::move(network);
  daemon.hypervisor = std::make_unique<QemuHypervisor>(loop, *daemon.network, std::move(options));
  const LateAnswer started;
  daemon.hypervisor->start(started.reply());
  ASSERT_TRUE(wait(qemu_patience, [&] { return started.came(); }));
  EXPECT_EQ(started.status(), absl::OkStatus());
}

void QemuWorld::restart_daemon(int index) { start_daemon(index, options(index)); }

bool QemuWorld::wait(Duration limit, const std::function<bool()>& condition) {
  // What a guest says on its console wakes nobody up, and does not stay there: some hundred bytes fill it.
  const Instant end = now() + limit;
  constexpr Duration look_again = absl::Milliseconds(20);
  while (now() < end) {
    for (int index : {0, 1})
      for (const auto& [vm, console] : side(index).consoles)
        if (console.fd >= 0) read(index, vm);
    if (loop.run_until(condition, std::min(look_again, end - now()))) return true;
  }
  return condition();
}

absl::Status QemuWorld::until_ok(const std::function<absl::Status()>& call) {
  absl::Status last;
  for (const Instant end = now() + qemu_patience; now() < end;) {
    if (last = call(); last.ok()) break;
    wait(absl::Milliseconds(50), [] { return false; });
  }
  return last;
}

void QemuWorld::cut_streams() {
  for (Side& each : sides_) each.relay->cut();
}

void QemuWorld::hold_streams() {
  for (Side& each : sides_) each.relay->hold();
}

void QemuWorld::await_boot(int index, const std::string& vm) {
  EXPECT_TRUE(wait(qemu_patience, [&] { return executed(index, vm) > 0; })) << "it does not boot";
}

void QemuWorld::leave_console(int index, const std::string& vm) {
  EXPECT_GT(executed(index, vm), 0U);
  Console& console = side(index).consoles[vm];
  console.left = true;
  const auto unread = [&console] {
    int bytes = 0;
    EXPECT_EQ(::ioctl(console.fd, FIONREAD, &bytes), 0);
    return bytes;
  };
  for (int before = -1; before != unread();) {
    before = unread();
    wait(moment(), [] { return false; });  // ten lines are said in that
  }
  EXPECT_GT(unread(), 0);
}

void QemuWorld::read(int index, const std::string& vm) {
  Console& console = side(index).consoles[vm];
  if (console.left) return;
  if (console.fd < 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder(index, vm) + "/console";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    console.fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (::connect(console.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      ::close(std::exchange(console.fd, -1));
      return;
    }
    console.line.clear();
  }
  std::array<char, 4096> bytes{};
  ssize_t got = 0;
  while ((got = ::recv(console.fd, bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0) {
    for (ssize_t i = 0; i < got; ++i) {
      const char c = bytes[static_cast<std::size_t>(i)];
      if (c != '\n') {
        console.line.push_back(c);
        continue;
      }
      unsigned long ticks = 0;
      std::array<char, 16> memory{};
      // The first line may have begun before it was listened to.
      if (std::sscanf(console.line.c_str(), "tick %lu memory %15s", &ticks, memory.data()) == 2) {
        console.ticks = ticks;
        if (std::string_view(memory.data()) != "intact") console.broken = true;
      }
      console.line.clear();
    }
  }
  if (got == 0) ::close(std::exchange(console.fd, -1));
}

std::uint64_t QemuWorld::executed(int index, const std::string& vm) {
  read(index, vm);
  return side(index).consoles[vm].ticks;
}

bool QemuWorld::memory_intact(const std::string& vm) {
  bool intact = true;
  for (int index : {0, 1}) {
    read(index, vm);
    intact = intact && !side(index).consoles[vm].broken;
  }
  return intact;
}

}  // namespace supercloud
