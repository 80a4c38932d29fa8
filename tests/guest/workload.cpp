// What runs in the test guest: something to count, memory and a disk that are written, and that find out for themselves whether a
// byte of it was lost. A static program for a machine with nothing else on it. How it is spoken to: workload_protocol.h.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/guest/workload_memory.h"
#include "tests/guest/workload_protocol.h"

namespace supercloud::workload {
namespace {

constexpr std::uint64_t second = 1'000'000'000;
constexpr std::uint64_t slice = 10'000'000;  // of work, in ns

std::atomic<std::uint64_t> served = 0;
std::atomic<std::uint64_t> ticks = 0;

std::uint64_t now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * second +
         static_cast<std::uint64_t>(time.tv_nsec);
}

void rest(std::uint64_t ns) {
  const timespec time = {static_cast<time_t>(ns / second), static_cast<long>(ns % second)};
  ::nanosleep(&time, nullptr);
}

void start(void* (*body)(void*), void* argument = nullptr) {
  pthread_t thread{};
  if (::pthread_create(&thread, nullptr, body, argument) == 0) ::pthread_detach(thread);
}

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) { ::pthread_mutex_lock(&mutex_); }
  ~Lock() { ::pthread_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  pthread_mutex_t& mutex_;
};

// ---- clocks ----------------------------------------------------------------------------------------------------------

std::atomic<std::uint64_t> clock_backwards = 0;  // steps, of either clock
std::atomic<std::uint64_t> pause_max = 0;        // ns between two ticks
std::atomic<std::uint64_t> skew_max = 0;         // ns that the clocks moved against each other

void* tick(void*) {
  std::uint64_t last = now();
  std::uint64_t last_boot = now(CLOCK_BOOTTIME);
  const std::uint64_t apart = now(CLOCK_REALTIME) - last;
  while (true) {
    rest(1'000'000);
    ++ticks;
    const std::uint64_t boot = now(CLOCK_BOOTTIME);
    const std::uint64_t time = now();
    const std::uint64_t real = now(CLOCK_REALTIME);
    const std::uint64_t after = now();
    if (time < last || after < time || boot < last_boot) ++clock_backwards;
    if (time > last && time - last > pause_max) pause_max = time - last;
    // What passed while the three were read is no skew.
    const auto skew = static_cast<std::int64_t>(real - time - apart);
    const std::uint64_t size = static_cast<std::uint64_t>(skew < 0 ? -skew : skew);
    if (size > after - time && size - (after - time) > skew_max) skew_max = size - (after - time);
    last = after;
    last_boot = boot;
  }
}

// ---- memory ----------------------------------------------------------------------------------------------------------

pthread_mutex_t memory_mutex = PTHREAD_MUTEX_INITIALIZER;
Memory memory;  // guarded by memory_mutex
std::atomic<std::uint64_t> dirty_pages_per_second = 0;

void* dirty(void*) {
  while (true) {
    const std::uint64_t begin = now();
    if (const std::uint64_t rate = dirty_pages_per_second; rate > 0) {
      const Lock lock(memory_mutex);
      memory.write(rate * slice / second + 1);
    }
    const std::uint64_t took = now() - begin;
    if (took < slice) rest(slice - took);
  }
}

// ---- disk ------------------------------------------------------------------------------------------------------------

struct Disk {
  int fd = -1;
  std::uint64_t blocks = 0;   // that are written, one after the other
  std::uint64_t flushed = 0;  // the last write that was flushed
  std::uint64_t first = 0;    // of this boot; those before it were found
  std::uint64_t errors = 0;
  Block* buffer = nullptr;
};
pthread_mutex_t disk_mutex = PTHREAD_MUTEX_INITIALIZER;
Disk disk;  // guarded by disk_mutex
std::atomic<std::uint64_t> disk_writes_per_second = 0;

off_t block_offset(std::uint64_t write) {
  return static_cast<off_t>((write % disk.blocks + 1) * block_bytes);
}

bool read_block(std::uint64_t write) {
  return ::pread(disk.fd, disk.buffer, block_bytes, block_offset(write)) ==
         static_cast<ssize_t>(block_bytes);
}

// Goes on after the last write of an earlier boot.
void open_disk() {
  const Lock lock(disk_mutex);
  disk.fd = ::open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
  if (disk.fd < 0) return;
  void* buffer = nullptr;
  if (::posix_memalign(&buffer, block_bytes, block_bytes) != 0) std::abort();
  disk.buffer = static_cast<Block*>(buffer);
  const off_t size = ::lseek(disk.fd, 0, SEEK_END);
  const std::uint64_t there = static_cast<std::uint64_t>(size) / block_bytes;
  disk.blocks = (there > blocks_used_max ? blocks_used_max : there) - 1;
  for (std::uint64_t block = 0; block < disk.blocks; ++block)
    if (read_block(block) && !disk.buffer->empty() && disk.buffer->stamp[0].write > disk.flushed)
      disk.flushed = disk.buffer->stamp[0].write;
  disk.first = disk.flushed + 1;
}

void* write_disk(void*) {
  while (true) {
    const std::uint64_t rate = disk_writes_per_second;
    if (rate == 0 || disk.fd < 0) {
      rest(slice);
      continue;
    }
    const std::uint64_t begin = now();
    {
      const Lock lock(disk_mutex);
      const std::uint64_t write = disk.flushed + 1;
      disk.buffer->fill(write, begin);
      if (::pwrite(disk.fd, disk.buffer, block_bytes, block_offset(write)) ==
              static_cast<ssize_t>(block_bytes) &&
          ::fdatasync(disk.fd) == 0)
        disk.flushed = write;
      else
        ++disk.errors;
    }
    const std::uint64_t took = now() - begin;
    if (took < second / rate) rest(second / rate - took);
  }
}

// Every write that was flushed and not overwritten since is there, whole.
void check_disk(char* verdict, std::size_t size) {
  const Lock lock(disk_mutex);
  if (disk.fd < 0) return void(std::snprintf(verdict, size, "none"));
  const std::uint64_t oldest = disk.flushed > disk.blocks ? disk.flushed - disk.blocks + 1 : 1;
  for (std::uint64_t write = oldest; write <= disk.flushed; ++write) {
    if (!read_block(write))
      return void(std::snprintf(verdict, size, "unreadable_write_%" PRIu64, write));
    if (disk.buffer->stamp[0].write != write || !disk.buffer->whole())
      return void(std::snprintf(verdict, size, "write_%" PRIu64 "_is_%s", write,
                                disk.buffer->whole() ? "lost" : "torn"));
  }
  std::snprintf(verdict, size, disk.errors == 0 ? "ok" : "errors");
}

// ---- commands --------------------------------------------------------------------------------------------------------

using Line = char[line_bytes_max];

void answer_counter(Line& answer) {
  std::snprintf(answer, sizeof answer,
                "served=%" PRIu64 " ticks=%" PRIu64 " monotonic_ns=%" PRIu64 "\n", served.load(),
                ticks.load(), now());
}

void answer_check(Line& answer) {
  char on_disk[64];
  check_disk(on_disk, sizeof on_disk);
  char in_memory[64];
  std::uint64_t dirtied = 0;
  {
    const Lock lock(memory_mutex);
    memory.check(in_memory, sizeof in_memory);
    dirtied = memory.written();
  }
  const Lock lock(disk_mutex);
  std::snprintf(answer, sizeof answer,
                "memory=%s disk=%s clock=%s dirtied_pages=%" PRIu64 " disk_writes=%" PRIu64
                " disk_first=%" PRIu64 " disk_errors=%" PRIu64 " pause_max_ms=%" PRIu64
                " skew_max_us=%" PRIu64 "\n",
                in_memory, on_disk, clock_backwards == 0 ? "ok" : "went_backwards", dirtied,
                disk.flushed, disk.first, disk.errors, pause_max / 1'000'000, skew_max / 1000);
}

void answer_to(const char* command, Line& answer) {
  std::uint64_t rate = 0;
  std::uint64_t size_mib = 16;
  if (std::strcmp(command, "counter") == 0) return answer_counter(answer);
  if (std::strcmp(command, "check") == 0) return answer_check(answer);
  if (std::sscanf(command, "set dirty %" SCNu64 " %" SCNu64, &rate, &size_mib) >= 1) {
    const Lock lock(memory_mutex);
    if (rate > 0 && !memory.resize(size_mib))
      return void(std::snprintf(answer, sizeof answer,
                                "error: %" PRIu64 " MiB are not there; set fewer\n", size_mib));
    dirty_pages_per_second = rate * Memory::pages_per_mib;
  } else if (std::sscanf(command, "set disk %" SCNu64, &rate) == 1) {
    if (disk.fd < 0)
      return void(std::snprintf(answer, sizeof answer,
                                "error: no disk; give the guest a virtio-blk device\n"));
    disk_writes_per_second = rate;
  } else if (std::strcmp(command, "damage") == 0) {
    const Lock lock(memory_mutex);
    if (!memory.damage())
      return void(std::snprintf(answer, sizeof answer,
                                "error: no working set yet; \"set dirty MIB_PER_S\" makes one\n"));
  } else if (std::strcmp(command, "off") == 0) {
    ::sync();
    ::reboot(RB_POWER_OFF);
  } else {
    return void(std::snprintf(answer, sizeof answer,
                              "error: no such command; there are counter, set dirty MIB_PER_S "
                              "[MIB], set disk WRITES_PER_S, check, damage, off\n"));
  }
  std::snprintf(answer, sizeof answer, "done=1\n");
}

// Until the other end is gone. A line that is too long is cut into several.
void serve_lines(int in, int out) {
  Line line;
  std::size_t size = 0;
  char byte = 0;
  while (::read(in, &byte, 1) == 1) {
    if (byte == '\r') continue;
    if (byte != '\n' && size + 1 < sizeof line) {
      line[size++] = byte;
      continue;
    }
    line[size] = 0;
    if (size == 0) continue;
    size = 0;
    Line answer;
    answer_to(line, answer);
    if (::write(out, answer, std::strlen(answer)) < 0) return;
  }
}

// ---- ports -----------------------------------------------------------------------------------------------------------

int bound(int type, std::uint16_t port) {
  const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      (type == SOCK_STREAM && ::listen(fd, 64) != 0)) {
    std::perror("workload: port");
    std::exit(1);
  }
  return fd;
}

Ping answer_ping(std::uint64_t sequence) { return {sequence, ++served, ticks, now()}; }

void* serve_pings(void* argument) {
  const auto fd = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
  std::uint64_t sequence = 0;
  while (::recv(fd, &sequence, sizeof sequence, MSG_WAITALL) == sizeof sequence) {
    const Ping ping = answer_ping(sequence);
    if (::send(fd, &ping, sizeof ping, MSG_NOSIGNAL) != sizeof ping) break;
  }
  ::close(fd);
  return nullptr;
}

void* serve_connection(void* argument) {
  const auto fd = static_cast<int>(reinterpret_cast<std::intptr_t>(argument));
  serve_lines(fd, fd);
  ::close(fd);
  return nullptr;
}

// Both kinds of ports over TCP.
void* accept_all(void*) {
  pollfd ports[] = {{bound(SOCK_STREAM, ping_port), POLLIN, 0},
                    {bound(SOCK_STREAM, line_port), POLLIN, 0}};
  while (::poll(ports, 2, -1) >= 0)
    for (const pollfd& port : ports) {
      if ((port.revents & POLLIN) == 0) continue;
      const int fd = ::accept4(port.fd, nullptr, nullptr, SOCK_CLOEXEC);
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (fd >= 0)
        start(&port == ports ? serve_pings : serve_connection,
              // NOLINTNEXTLINE(performance-no-int-to-ptr): a descriptor, not a place in memory
              reinterpret_cast<void*>(static_cast<std::intptr_t>(fd)));
    }
  return nullptr;
}

// And over UDP.
void* answer_datagrams(void*) {
  pollfd ports[] = {{bound(SOCK_DGRAM, ping_port), POLLIN, 0},
                    {bound(SOCK_DGRAM, line_port), POLLIN, 0}};
  while (::poll(ports, 2, -1) >= 0)
    for (const pollfd& port : ports) {
      if ((port.revents & POLLIN) == 0) continue;
      sockaddr_storage from{};
      socklen_t from_size = sizeof from;
      Line line{};
      const ssize_t size = ::recvfrom(port.fd, line, sizeof line - 1, 0,
                                      reinterpret_cast<sockaddr*>(&from), &from_size);
      if (size <= 0) continue;
      const auto send = [&](const void* bytes, std::size_t count) {
        ::sendto(port.fd, bytes, count, 0, reinterpret_cast<sockaddr*>(&from), from_size);
      };
      if (&port == ports) {
        std::uint64_t sequence = 0;
        if (static_cast<std::size_t>(size) != sizeof sequence) continue;
        std::memcpy(&sequence, line, sizeof sequence);
        const Ping ping = answer_ping(sequence);
        send(&ping, sizeof ping);
      } else {
        line[std::strcspn(line, "\r\n")] = 0;
        Line answer;
        answer_to(line, answer);
        send(answer, std::strlen(answer));
      }
    }
  return nullptr;
}

// The first virtio-serial port; its name has the number of its device among all of virtio. -1: none yet.
int open_virtio_port() {
  for (int device = 0; device < 16; ++device) {
    char path[32];
    std::snprintf(path, sizeof path, "/dev/vport%dp1", device);
    if (const int fd = ::open(path, O_RDWR | O_CLOEXEC); fd >= 0) return fd;
  }
  return -1;
}

// It appears some time after its driver was loaded, if at all. Reading from it ends at once while nobody holds the other end.
void* serve_virtio_port(void*) {
  int fd = -1;
  while (true) {
    if (fd < 0) fd = open_virtio_port();
    if (fd >= 0) serve_lines(fd, fd);
    rest(fd < 0 ? 10 * slice : 2 * slice);
  }
}

int main() {
  ::signal(SIGPIPE, SIG_IGN);
  open_disk();
  for (void* (*body)(void*) :
       {tick, dirty, write_disk, accept_all, answer_datagrams, serve_virtio_port})
    start(body);
  // Its own words are not read as commands.
  termios console{};
  if (::tcgetattr(0, &console) == 0) {
    console.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(0, TCSANOW, &console);
  }
  std::printf("%s\n", ready);
  std::fflush(stdout);
  serve_lines(0, 1);
  while (true) ::pause();  // a console that ended
}

}  // namespace
}  // namespace supercloud::workload

int main() { return supercloud::workload::main(); }
