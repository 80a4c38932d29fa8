// A machine whose guests are real: each a QEMU under a keeper of its own, which outlive this process. Their disks have no bytes yet,
// and their network is a table of who owns which address.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "actors/network/simulated/fabric.h"
#include "cli/doctor/probes.h"
#include "cli/guests/qemu_program.h"
#include "cli/machine/kept_states.h"
#include "cli/machine/node_machine.h"
#include "cli/replace_file.h"
#include "core/socket_link.h"
#include "hypercall/qemu/kvm_probe.h"
#include "hypercall/qemu/qemu_hypervisor.h"
#include "hypercall/qemu/stream_socket.h"
#include "storage/simulated/memory_volume.h"

namespace supercloud {
namespace {

// What is silent is doubted within a second; what was killed is swept first.
constexpr Duration find_patience = absl::Seconds(30);
// A QEMU that starts on a busy machine.
constexpr Duration qemu_start_max = absl::Seconds(20);

absl::Status at_key(std::string_view key, const absl::Status& why) {
  return absl::Status(why.code(),
                      absl::StrCat("[host.qemu] ", std::string(key), ": ", why.message()));
}

std::string word_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// Of this boot of the machine, as the kernel names it.
std::string boot_id() { return word_of("/proc/sys/kernel/random/boot_id"); }

absl::StatusOr<std::string> program_of(const QemuConfig& config) {
  if (config.program.find('/') != std::string::npos) return config.program;
  std::string found = find_program(config.program);
  if (found.empty())
    return absl::NotFoundError(
        absl::StrCat("there is no ", config.program,
                     " where programs are looked for; install it (Debian 12: qemu-system-x86 of "
                     "bookworm-backports), or name its path"));
  return found;
}

absl::StatusOr<QemuAccelerator> accelerator_of(const QemuConfig& config) {
  if (config.accelerator == QemuConfig::Accelerator::tcg) return QemuAccelerator::tcg;
  const absl::Status works = probe_kvm_guest();
  if (works.ok()) return QemuAccelerator::kvm;
  if (config.accelerator == QemuConfig::Accelerator::automatic) return QemuAccelerator::tcg;
  return absl::Status(
      works.code(),
      absl::StrCat(works.message(), absl::IsPermissionDenied(works)
                                        ? "; let this user into the group of /dev/kvm"
                                        : "; write \"tcg\", or use a machine that runs guests"));
}

// All that QEMU has, or all of this machine's processor, if nothing is named.
std::string cpu_model_of(const QemuConfig& config, QemuAccelerator accelerator) {
  if (!config.cpu.empty()) return config.cpu;
  if (accelerator == QemuAccelerator::tcg) return "max";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "host";
}

// Memory's streams come in beside the links.
std::string usual_streams(const std::string& links) {
  if (links.starts_with("unix:")) return links + ".memory";
  return absl::StrCat(links.substr(0, links.rfind(':')), ":0");
}

absl::StatusOr<QemuOptions> options_of(const NodeConfig& config) {
  const QemuConfig& qemu = *config.host->qemu;
  QemuOptions options;
  options.run_folder = qemu.run.empty() ? (config.folder() / "guests").string() : qemu.run;
  options.keeper = qemu.keeper.empty() ? usual_keeper() : qemu.keeper;
  auto program = program_of(qemu);
  if (!program.ok()) return at_key("program", program.status());
  options.qemu = *std::move(program);
  const auto version = parse_qemu_version(first_line_of(options.qemu, "--version"));
  if (!version.ok())
    return at_key("program", absl::FailedPreconditionError(
                                 absl::StrCat(options.qemu, " does not say which QEMU it is: ",
                                              version.status().message(), "; name one that does")));
  options.version = *version;
  const auto accelerator = accelerator_of(qemu);
  if (!accelerator.ok()) return at_key("accelerator", accelerator.status());
  options.accelerator = *accelerator;
  options.streams = qemu.streams.empty() ? usual_streams(config.link_endpoint) : qemu.streams;
  options.streams_reached_at = qemu.streams_reached_at;
  options.bytes_per_second_max = config.host->bytes_per_second;
  options.tls = {.authority = qemu.tls_authority,
                 .certificate = qemu.tls_certificate,
                 .key = qemu.tls_key,
                 .folder = (config.folder() / "tls").string()};
  options.memory_bytes = config.host->memory_bytes;
  for (const auto& [name, image] : qemu.images) {
    QemuGuest& guest = options.guests.images[name];
    guest = {
        .kernel = image.kernel, .initrd = image.initrd, .append = image.arguments, .cpu = qemu.cpu};
    // Looked for again whenever a VM is to start from it; the node's other guests need it not.
    if (const absl::Status good = check_guest(guest, "this image"); !good.ok())
      ABSL_RAW_LOG(WARNING, "%s; until then no VM starts from it here",
                   std::string(at_key(absl::StrCat("image.", name), good).message()).c_str());
  }
  return options;
}

class QemuNodeMachine final : public NodeMachine {
 public:
  QemuNodeMachine(const MachineNeeds& needs, std::unique_ptr<SocketLinkNetwork> network,
                  QemuOptions options)
      : loop_(needs.loop),
        boot_(boot_id()),
        last_boot_(needs.config.folder() / "boot"),
        links_(std::move(network)),
        states_(needs.config.folder() / "volumes", boot_, needs.on_fatal),
        disk_(&states_),
        fabric_host_(needs.loop, needs.config.name),
        fabric_(fabric_host_, absl::ZeroDuration()),
        hypervisor_(needs.loop, *links_, options) {
    facts_.data_endpoint = links_->endpoint();
    facts_.cpu_model = cpu_model_of(*needs.config.host->qemu, options.accelerator);
    facts_.guests = options.run_folder;
    facts_.make_deadline = qemu_start_max;
    // Where nobody can tell, guests of before may run: its session ends by itself.
    facts_.fresh = !boot_.empty() && word_of(last_boot_) != boot_;
  }

  absl::Status open(const NodeConfig& config) {
    if (const absl::Status locked = lock_guests(); !locked.ok()) return locked;
    if (const absl::Status loaded = states_.load(disk_); !loaded.ok()) return loaded;
    MemoryVolumeOptions options;
    options.node = config.name;
    options.disk_bytes = 0;
    options.flush_latency = absl::ZeroDuration();  // a state is kept before its change returns
    volumes_.emplace(disk_, loop_, *links_, options);
    absl::Status found = await([this](Reply<Done> reply) { hypervisor_.start(std::move(reply)); });
    return found.ok() ? open_ports() : found;
  }

  const NodeMachineFacts& facts() const override { return facts_; }
  GuestSeams guests() override { return {hypervisor_, *volumes_, fabric_}; }
  absl::Status had_session() override { return replace_file(last_boot_, boot_ + "\n"); }

 private:
  absl::Status await(const std::function<void(Reply<Done>)>& call) {
    auto done = std::make_shared<std::optional<absl::Status>>();
    call({far_future, [done](const absl::StatusOr<Done>& reply) { *done = reply.status(); }});
    loop_.run_until([&] { return done->has_value(); }, find_patience);
    return done->value_or(absl::DeadlineExceededError(
        absl::StrCat("what runs in ", facts_.guests, " was not found out within ",
                     absl::FormatDuration(find_patience), "; try again")));
  }

  // Else two nodes would take each other's guests for their own.
  absl::Status lock_guests() {
    std::error_code error;
    std::filesystem::create_directories(facts_.guests, error);
    const std::string path = facts_.guests + "/lock";
    lock_ = OwnFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock_.get() < 0)
      return at_key("run", absl::UnavailableError(absl::StrCat(
                               "opening ", path, ": ", std::generic_category().message(errno),
                               "; name a folder of this user's own")));
    if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
      return at_key("run",
                    absl::AlreadyExistsError(absl::StrCat("another node's guests are in ",
                                                          facts_.guests, "; name another folder")));
    return absl::OkStatus();
  }

  // Ports outlive a daemon (actors/network/fabric.h); these did not.
  absl::Status open_ports() {
    for (const GuestStatus& guest : hypervisor_.list()) {
      if (guest.state != GuestStatus::State::running) continue;
      absl::Status made = await(
          [&](Reply<Done> reply) { fabric_.prepare(guest.vm, guest.address, std::move(reply)); });
      if (made.ok()) made = fabric_.open(guest.vm, guest.epoch);
      if (!made.ok()) return made;
    }
    return absl::OkStatus();
  }

  EventLoop& loop_;
  const std::string boot_;
  const std::filesystem::path last_boot_;
  NodeMachineFacts facts_;
  OwnFd lock_;
  std::unique_ptr<SocketLinkNetwork> links_;
  KeptStates states_;
  MemoryDisk disk_;
  std::optional<MemoryVolumeStore> volumes_;
  FabricHost fabric_host_;
  SimulatedFabric fabric_;
  QemuHypervisor hypervisor_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<NodeMachine>> open_qemu_machine(MachineNeeds needs) {
  auto options = options_of(needs.config);
  if (!options.ok()) return options.status();
  auto listening = SocketLinkNetwork::open(needs.loop, needs.config.link_endpoint);
  if (!listening.ok()) return listening.status();
  auto machine =
      std::make_unique<QemuNodeMachine>(needs, *std::move(listening), *std::move(options));
  if (const absl::Status opened = machine->open(needs.config); !opened.ok()) return opened;
  return machine;
}

}  // namespace supercloud
