// The test guest under its keeper: a virtual machine that is pinged, frozen and thawed from outside, and finds nothing lost.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <fstream>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/guest/guest_parts.h"
#include "tests/guest/workload_protocol.h"
#include "tests/hypercall/keeper/keeper_fixture.h"

namespace supercloud {
namespace {

constexpr Duration boot_time_max = absl::Seconds(180);  // on a busy machine, without virtualization

class RealGuest : public KeeperProcessTest {
 protected:
  void SetUp() override {
    const GuestParts parts = GuestParts::find();
    if (!parts.missing.empty()) GTEST_SKIP() << parts.missing;
    port = free_port();
    options.guest = parts.command(GuestParts::kernel_arguments("10.0.2.15/24", "10.0.2.2"),
                                  "file:" + (folder / "console").string());
    const std::string disk = (folder / "disk").string();
    std::ofstream(disk) << "";
    std::filesystem::resize_file(disk, std::uint64_t{8} << 20U);
    for (const std::string& word :
         {std::string("-netdev"),
          absl::StrCat("user,id=net,hostfwd=udp:127.0.0.1:", port, "-:7000"),
          std::string("-device"), std::string("virtio-net-pci,netdev=net,romfile="),
          std::string("-blockdev"),
          absl::StrCat("driver=raw,node-name=disk,file.driver=file,file.filename=", disk),
          std::string("-device"), std::string("virtio-blk-pci,drive=disk"), std::string("-device"),
          std::string("virtio-serial-pci"), std::string("-chardev"),
          absl::StrCat("socket,id=lines,server=on,wait=off,path=", (folder / "lines").string()),
          std::string("-device"), std::string("virtserialport,chardev=lines")})
      options.guest.push_back(word);
    const absl::Status started = start_client();
    ASSERT_TRUE(started.ok()) << started;
    ASSERT_TRUE(
        eventually([&] { return absl::StrContains(console(), workload::ready) || !told.empty(); },
                   boot_time_max))
        << console();
    ASSERT_TRUE(told.empty()) << told.back().end << "\n" << content(options.output);
    lines_ = connect_lines();
    pings_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in guest{};
    guest.sin_family = AF_INET;
    guest.sin_port = htons(port);
    guest.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(pings_, reinterpret_cast<sockaddr*>(&guest), sizeof guest), 0);
  }
  void TearDown() override {
    for (const int fd : {lines_, pings_})
      if (fd >= 0) ::close(fd);
  }

  static std::string content(const std::filesystem::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::string console() const { return content(folder / "console"); }
  static std::uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    ::close(fd);
    return ntohs(address.sin_port);
  }
  int connect_lines() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    (folder / "lines").string().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static bool readable(int fd, int limit_ms) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&ready, 1, limit_ms) > 0;
  }

  // The workload's answer.
  std::string ask(std::string command) {
    command += '\n';
    EXPECT_EQ(::write(lines_, command.data(), command.size()),
              static_cast<ssize_t>(command.size()));
    std::string line;
    for (char byte = 0; readable(lines_, 60'000) && ::read(lines_, &byte, 1) == 1;) {
      if (byte == '\n') return line;
      line += byte;
    }
    return line + " and no more";
  }
  static std::uint64_t figure(const std::string& answer, const std::string& name) {
    const std::size_t at = (" " + answer).find(" " + name + "=");
    EXPECT_NE(at, std::string::npos) << name << " in " << answer;
    return at == std::string::npos
               ? 0
               : std::strtoull(answer.c_str() + at + name.size() + 1, nullptr, 10);
  }
  // Whether any ping is answered. A lost one is sent again.
  bool ping(workload::Ping& ping, int tries, int limit_ms = 500) {
    for (int i = 0; i < tries; ++i) {
      ++sequence_;
      EXPECT_EQ(::send(pings_, &sequence_, sizeof sequence_, 0), ssize_t{sizeof sequence_});
      while (readable(pings_, limit_ms))
        if (::recv(pings_, &ping, sizeof ping, 0) == sizeof ping && ping.sequence == sequence_)
          return true;
    }
    return false;
  }

  std::uint16_t port = 0;

 private:
  int lines_ = -1;
  int pings_ = -1;
  std::uint64_t sequence_ = 0;
};

TEST_F(RealGuest, is_frozen_thawed_and_killed_from_outside_and_finds_nothing_lost) {
  ASSERT_EQ(ask("set dirty 20 16"), "done=1");
  ASSERT_EQ(ask("set disk 100"), "done=1");
  workload::Ping first;
  ASSERT_TRUE(ping(first, 60));
  ASSERT_TRUE(eventually([&] {
    const std::string check = ask("check");
    return figure(check, "dirtied_pages") > 1000 && figure(check, "disk_writes") > 5;
  }));

  // Under a deadline it goes on; past it, nothing does.
  ASSERT_TRUE(client->arm(now() + absl::Seconds(60)).ok());
  workload::Ping before;
  ASSERT_TRUE(ping(before, 60));
  EXPECT_GT(before.ticks, first.ticks);
  const pid_t qemu = state().guest;
  const absl::StatusOr<KeeperState> frozen = client->arm(now());
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  EXPECT_EQ(frozen->phase, KeeperState::Phase::frozen);
  workload::Ping none;
  EXPECT_FALSE(ping(none, 3, 100)) << "a frozen guest answers";

  ASSERT_TRUE(client->thaw(now() + absl::Seconds(120)).ok());
  workload::Ping after;
  ASSERT_TRUE(ping(after, 60));
  EXPECT_GT(after.served, before.served);
  EXPECT_LT(after.ticks - before.ticks, 60'000U);
  const std::string check = ask("check");
  EXPECT_TRUE(absl::StrContains(check, "memory=ok disk=ok clock=ok ")) << check;
  EXPECT_EQ(figure(check, "disk_errors"), 0U);

  // What it would say if something were.
  ASSERT_EQ(ask("damage"), "done=1");
  EXPECT_TRUE(absl::StrContains(ask("check"), "memory=page_2048_word_257 disk=ok")) << check;
  EXPECT_TRUE(absl::StrContains(ask("reboot"), "error: no such command")) << check;

  std::optional<KeeperState> end;
  client->kill(Reply<KeeperState>(far_future, [&](auto state) { end = *std::move(state); }));
  ASSERT_TRUE(loop.run_until([&] { return end.has_value(); }, patience));
  EXPECT_EQ(end->end, "signal=9");
  EXPECT_FALSE(lives(qemu));
  EXPECT_TRUE(nothing_is_left());
  // What it said to have flushed is on its disk.
  std::ifstream disk(folder / "disk", std::ios::binary);
  std::uint64_t newest = 0;
  workload::Block block;
  for (disk.seekg(workload::block_bytes); disk.read(reinterpret_cast<char*>(&block), sizeof block);)
    if (!block.empty()) newest = std::max(newest, block.stamp[0].write);
  EXPECT_GE(newest, figure(check, "disk_writes"));
}

}  // namespace
}  // namespace supercloud
