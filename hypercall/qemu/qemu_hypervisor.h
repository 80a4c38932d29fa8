// The hypervisor seam over QEMU: each guest a QEMU under a keeper, in a folder of its own, that outlive the daemon.
//
// Who sends and who receives agree over the link network (handshake.h); the memory itself goes from QEMU to QEMU.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/event_loop.h"
#include "core/link.h"
#include "hypercall/hypervisor.h"
#include "hypercall/qemu/machine.h"
#include "hypercall/qemu/tls.h"
#include "hypercall/qemu/version.h"

namespace supercloud {

struct QemuOptions {
  // Or a symbolic link to one. Short: paths of sockets have at most 107 bytes.
  std::string run_folder;
  std::string keeper;  // the program supercloud-keeper
  std::string freezer = "auto";
  std::string qemu = "qemu-system-x86_64";  // with its path
  QemuVersion version;
  QemuAccelerator accelerator = QemuAccelerator::tcg;
  // Where streams of memory come in, "tcp:1.2.3.4:0" or "unix:/path", and how sources reach it if that is otherwise.
  std::string streams;
  std::string streams_reached_at;
  std::uint64_t bytes_per_second_max = 0;  // of each stream that goes out; 0: no cap
  QemuTls tls;
  std::uint64_t memory_bytes = 0;  // for guests
  // After a stream of post-copy was lost, until its guest is given up.
  Duration post_copy_patience = absl::Seconds(20);
  QemuGuests guests;
};

// Thread-bound to its loop. At most one per run folder at a time.
class QemuHypervisor final : public Hypervisor {
 public:
  QemuHypervisor(EventLoop& loop, LinkNetwork& network, QemuOptions options);
  ~QemuHypervisor() override;
  QemuHypervisor(const QemuHypervisor&) = delete;
  QemuHypervisor& operator=(const QemuHypervisor&) = delete;

  // Once, before anything else: finds the guests of an earlier daemon, and replies when list() has all of them. One whose keeper or
  // QEMU does not answer is listed as running: whatever is asked of it is Unavailable until it does, though a pause may have stopped it;
  // no number of them holds this up for more than about a second.
  // FailedPrecondition: this QEMU is not taken, or keeper or run folder cannot be used. PermissionDenied: the run folder is another user's.
  void start(Reply<Done> reply);

  std::string description() const override;
  std::uint64_t memory_free_bytes() const override;
  std::vector<GuestStatus> list() const override;
  absl::Status check(schema::VmSpec::Reader spec) const override;
  void try_way(std::string endpoint, bool measure, Reply<Way> reply) override;
  std::uint64_t touched_bytes(const std::string& vm) const override;
  void create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) override;
  void prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                        Reply<Done> reply) override;
  void keep_standby(Message<schema::VmSpec> spec, Instant until, Reply<Done> reply) override;
  std::uint64_t standby_bytes(const std::string& vm) const override;
  void drop_standbys() override;
  void send(std::string vm, TransferOptions options,
            std::function<void(const TransferProgress&)> progress,
            Reply<TransferProgress> converged) override;
  void slow_down(const std::string& vm) override;
  void start_post_copy(const std::string& vm) override;
  void pause(std::string vm, Reply<Done> reply) override;
  void finish_send(std::string vm, Reply<TransferProgress> reply) override;
  void stop_send(std::string vm, Reply<Done> reply) override;
  void resume(std::string vm, Epoch epoch, Reply<Done> reply) override;
  void destroy(std::string vm, Reply<Done> reply) override;
  void arm(const std::string& vm, Instant deadline) override;
  void watch(std::function<void(const std::string& vm)> look) override;
  // Not measured yet: zeros.
  DirtyRate dirty_rate(const std::string& vm) const override;

  const std::string& streams() const;  // where they come in
  // The socket of the guest's serial port; whoever connects first has it. Also where no daemon lives.
  static std::string console_of(const std::string& run_folder, const std::string& vm);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace supercloud
