#include "hypercall/qemu/qemu_hypervisor.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

#include "absl/base/internal/raw_logging.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "core/vm_name.h"
#include "hypercall/qemu/state.h"

namespace supercloud {
namespace {

constexpr Duration farewell = absl::Milliseconds(100);

// The longest of the sockets in a guest's folder.
constexpr const char* longest_socket = "/console";
constexpr std::size_t socket_path_bytes_max = 107;

// "run" and "run/" are one, for sockets and cgroups are named after it.
QemuOptions with_plain_run_folder(QemuOptions options) {
  std::string& folder = options.run_folder;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  return options;
}

absl::Status no_qemu_copy(const std::string& vm) {
  return absl::NotFoundError(absl::StrCat("this host has no copy of ", vm));
}

}  // namespace

// Resident or swapped out. The kernel keeps these numbers, so that reading them costs the same for every size. Huge pages of hugetlbfs are in
// none of them.
std::uint64_t QemuHypervisor::State::anonymous_bytes(pid_t process) {
  std::ifstream file(absl::StrCat("/proc/", process, "/status"));
  std::uint64_t touched = 0;
  std::string line;
  while (process > 0 && std::getline(file, line)) {
    std::istringstream words(line);
    std::string name;
    std::uint64_t kib = 0;
    if (!(words >> name >> kib)) continue;
    if (name == "HugetlbPages:" && kib > 0) return 0;
    if (name == "RssAnon:" || name == "RssShmem:" || name == "VmSwap:") touched += kib << 10U;
  }
  return touched;
}

// ---- copies ----------------------------------------------------------------------------------------------------------

void QemuHypervisor::State::look(const std::string& vm) {
  if (!looks.insert(vm).second) return;
  loop.post(guarded([this, vm] {
    looks.erase(vm);
    if (look_call) look_call(vm);
  }));
}

QemuHypervisor::State::Guest& QemuHypervisor::State::add(QemuRecord record) {
  const std::string vm = record.vm;
  QemuCopyOwner owner;
  owner.look = [this, vm] {
    end_late_standby(vm);
    Guest* guest = find(vm);
    if (guest != nullptr && guest->copy->arrived() && !guest->copy->record().own)
      tell_source(*guest, qemu_handshake::Arrived{});
    if (guest != nullptr && guest->stream == Guest::Stream::unknown) find_stream(vm);
    look(vm);
  };
  owner.event = [this, vm](const QmpEvent& event) {
    const auto found = guests.find(vm);
    if (found == guests.end()) return;
    if (found->second.sender != nullptr) return found->second.sender->on_event(event);
    if (event.name == "MIGRATION") brought(vm, qmp_text(event.data, "status"));
  };
  owner.died = [this, vm](const absl::Status& why) { died(vm, why); };
  Guest& guest = guests[vm];
  const std::string folder = QemuCopy::folder_of(options.run_folder, vm);
  guest.copy = std::make_unique<QemuCopy>(
      loop, folder, std::move(record),
      KeeperOptions{.program = options.keeper, .freezer = options.freezer}, std::move(owner));
  return guest;
}

void QemuHypervisor::State::died(const std::string& vm, const absl::Status& why) {
  const auto found = guests.find(vm);
  if (found == guests.end()) return;
  const auto gone = std::make_shared<Guest>(std::move(found->second));
  guests.erase(found);
  tell_source(*gone, qemu_handshake::Lost{std::string(why.message())});
  for (Reply<Done>& waiting : std::exchange(gone->preparing, {}))
    waiting(gone->unmade.ok() ? why : gone->unmade);
  // Links close, and copies end, outside of their own calls; what is said goes out first.
  const std::uint64_t number = ++last_gone;
  ended[number] = gone;
  loop.at(loop.clock().now() + farewell, guarded([this, number] { ended.erase(number); }));
  if (gone->sender != nullptr) gone->sender->cancel(why, {});
  look(vm);
}

absl::Status QemuHypervisor::State::make_run_folder() {
  const std::size_t longest =
      QemuCopy::folder_of(options.run_folder, "").size() + std::string_view(longest_socket).size();
  if (longest > socket_path_bytes_max)
    return absl::FailedPreconditionError(absl::StrCat(
        "sockets in ", options.run_folder, " would have paths of ", longest, " bytes, ",
        socket_path_bytes_max, " are possible; name a shorter run folder"));
  std::error_code error;
  std::filesystem::create_directories(options.run_folder, error);
  if (error)
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot make ", options.run_folder, ": ", error.message(), "; name another run folder"));
  return QemuCopy::check_owned(options.run_folder, QemuCopy::Links::followed);
}

// Else it would be found out by the first guest.
absl::Status QemuHypervisor::State::check_keeper() const {
  if (::access(options.keeper.c_str(), X_OK) == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("cannot execute the keeper ", options.keeper,
                                                    ": ", std::strerror(errno),
                                                    "; name the program supercloud-keeper"));
}

void QemuHypervisor::State::find_guests(Reply<Done> reply) {
  std::error_code error;
  auto open = std::make_shared<Reply<Done>>(std::move(reply));
  // Replies when the last of them has let go of it.
  const std::shared_ptr<void> all(nullptr, [open, alive_too = std::weak_ptr<bool>(alive)](void*) {
    if (!alive_too.expired()) (*open)(Done{});
  });
  for (const auto& entry : std::filesystem::directory_iterator(options.run_folder, error)) {
    if (!entry.is_directory(error)) continue;
    const std::string folder = entry.path().string();
    auto record = QemuRecord::load(folder);
    absl::Status known = QemuCopy::check_owned(folder);
    if (known.ok()) known = record.status();
    if (known.ok() && QemuCopy::folder_of(options.run_folder, record->vm) != folder)
      known = absl::DataLossError(absl::StrCat(folder, " is not the folder of ", record->vm));
    if (!known.ok()) {
      ABSL_RAW_LOG(WARNING, "not a guest of this daemon, and left as it is: %s",
                   std::string(known.message()).c_str());
      continue;
    }
    const std::string vm = record->vm;
    const bool standby = !record->own && record->migration.empty();
    Guest& guest = add(*std::move(record));
    if (standby) guest.standby = Guest::Standby{};
    guest.copy->find(
        Reply<Done>(far_future, guarded([this, vm, all](const absl::StatusOr<Done>& found) {
                      if (found.ok()) take_up(vm);  // else it has died
                    })));
  }
}

// Also of one that is in doubt: nobody may take it for gone.
void QemuHypervisor::State::take_up(const std::string& vm) {
  Guest& guest = guests.at(vm);
  if (guest.standby) return end_late_standby(vm);
  guest.up = true;
  const QemuRecord& known = guest.copy->record();
  if (!known.own) return find_stream(vm);
  if (known.rest) {
    wait_for_rest(vm, "whether it comes is not known yet");
    return find_stream(vm);
  }
  if (known.migration.empty()) return;
  guest.copy->set_memory(GuestStatus::Memory::unknown);
  make_sender(vm, {.migration = known.migration, .endpoint = known.endpoint});
  guest.sender->find();
}

std::uint64_t QemuHypervisor::State::memory_free_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [vm, guest] : guests) used += guest.copy->record().memory_bytes;
  return used >= options.memory_bytes ? 0 : options.memory_bytes - used;
}

std::vector<std::string> QemuHypervisor::State::command_of(schema::VmSpec::Reader spec,
                                                           const QemuGuest& made_of,
                                                           bool incoming) const {
  const std::string vm = VmName::of(spec).to_string();
  return qemu_command({.program = options.qemu,
                       .accelerator = options.accelerator,
                       .vm = vm,
                       .memory_bytes = spec.getMemoryBytes(),
                       .cpus = spec.getCpus(),
                       .folder = QemuCopy::folder_of(options.run_folder, vm),
                       .incoming = incoming},
                      made_of);
}

void QemuHypervisor::State::make(const Message<schema::VmSpec>& spec, const Wanted& wanted,
                                 Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  const std::uint64_t needed = spec.reader().getMemoryBytes();
  if (const std::uint64_t room = memory_free_bytes(); needed > room)
    return reply(absl::ResourceExhaustedError(
        absl::StrCat(vm, " needs ", needed, " bytes of memory, ", room,
                     " are free on this host; move or stop another VM")));
  const auto made_of = options.guests.of(spec.reader());
  const absl::Status checked = made_of.ok() ? check_guest(*made_of, vm) : made_of.status();
  if (!checked.ok()) return reply(checked);
  std::vector<std::string> command = command_of(spec.reader(), *made_of, !wanted.own);
  Guest& guest = add({.vm = vm,
                      .address = str(spec.reader().getAddress()),
                      .memory_bytes = needed,
                      .epoch = wanted.epoch,
                      .own = wanted.own,
                      .migration = wanted.migration,
                      .post_copy = !wanted.own && spec.reader().getPostCopy()});
  if (wanted.standby_until) guest.standby = {command, *wanted.standby_until};
  guest.copy->start(
      std::move(command),
      Reply<Done>(far_future, guarded([this, vm, own = wanted.own, reply = std::move(reply)](
                                          const absl::StatusOr<Done>& done) mutable {
                    if (!done.ok() || own) return made(vm, done.status(), std::move(reply));
                    guests.at(vm).preparing.push_back(std::move(reply));
                    expect_stream(vm, guarded([this, vm](const absl::Status& expecting) {
                                    made(vm, expecting, {});
                                  }));
                  })));
}

// After an error it has died, or is in doubt: then it stays here. One that cannot be filled is destroyed.
void QemuHypervisor::State::made(const std::string& vm, const absl::Status& status,
                                 Reply<Done> reply) {
  const auto found = guests.find(vm);
  if (found == guests.end()) return reply(status);
  Guest& guest = found->second;
  guest.preparing.push_back(std::move(reply));
  if (!status.ok() && guest.copy->doubt().ok()) {
    guest.unmade = status;
    // Who waits is told by died().
    return guest.copy->destroy(
        Reply<Done>(far_future, guarded([this, vm](const absl::StatusOr<Done>& destroyed) {
                      if (!destroyed.ok()) answer_preparing(vm, destroyed.status());
                    })));
  }
  // In doubt, it was not made ready for a stream, and is when it is found.
  if (!status.ok() && !guest.copy->record().own) guest.stream = Guest::Stream::unknown;
  answer_preparing(vm, status);
}

void QemuHypervisor::State::answer_preparing(const std::string& vm, const absl::Status& status) {
  const auto found = guests.find(vm);
  if (found == guests.end()) return;
  found->second.up = !found->second.standby;
  if (auto& standby = found->second.standby) {
    standby->ready = status.ok();
    if (!status.ok()) standby->until = {};  // in doubt: it goes as soon as it is found
  }
  for (Reply<Done>& waiting : std::exchange(found->second.preparing, {}))
    waiting(status.ok() ? absl::StatusOr<Done>(Done{}) : status);
}

// ---- transfers -------------------------------------------------------------------------------------------------------

void QemuHypervisor::State::make_sender(const std::string& vm, TransferOptions sent) {
  Guest& guest = guests.at(vm);
  const std::uint64_t number = guest.sender_number = ++last_sender;
  guest.sender = std::make_unique<QemuSender>(
      loop, network, *guest.copy, std::move(sent), options.tls, options.post_copy_patience,
      [this, vm, number] {
        const auto found = guests.find(vm);
        if (found == guests.end() || found->second.sender_number != number) return;
        if (!found->second.copy->record().migration.empty())
          (void)found->second.copy->set_transfer({}, "");
        found->second.sender.reset();
        look(vm);
      });
}

void QemuHypervisor::State::stop_send(const std::string& vm, const absl::Status& why,
                                      Reply<Done> reply) {
  Guest* guest = find(vm);
  if (guest == nullptr || guest->sender == nullptr) return reply(Done{});
  guest->sender->cancel(why, std::move(reply));
}

// ---- the seam --------------------------------------------------------------------------------------------------------

QemuHypervisor::QemuHypervisor(EventLoop& loop, LinkNetwork& network, QemuOptions options)
    : state_(std::make_unique<State>(loop, network, with_plain_run_folder(std::move(options)))) {}
QemuHypervisor::~QemuHypervisor() = default;

void QemuHypervisor::start(Reply<Done> reply) {
  absl::Status status = check_qemu_version(state_->options.version, state_->options.qemu);
  if (status.ok()) status = state_->check_keeper();
  if (status.ok()) status = state_->make_run_folder();
  if (status.ok()) status = make_tls_folder(state_->options.tls);
  if (!status.ok()) return reply(status);
  // Who sends here hears of no guest that has not been found yet.
  state_->find_guests(
      Reply<Done>(far_future, state_->guarded([state = state_.get(), reply = std::move(reply)](
                                                  const absl::StatusOr<Done>& found) mutable {
        if (const absl::Status listening = state->listen(); !listening.ok())
          return reply(listening);
        reply(found);
      })));
}

std::string QemuHypervisor::description() const {
  const bool kvm = state_->options.accelerator == QemuAccelerator::kvm;
  return absl::StrCat("qemu ", state_->options.version.to_string(), kvm ? " (kvm" : " (tcg",
                      state_->options.tls.used() ? ", tls)" : ")");
}

std::uint64_t QemuHypervisor::memory_free_bytes() const { return state_->memory_free_bytes(); }

std::vector<GuestStatus> QemuHypervisor::list() const {
  std::vector<GuestStatus> statuses;
  for (const auto& [vm, guest] : state_->guests) {
    if (!guest.up) continue;
    statuses.push_back(guest.copy->status());
    if (guest.sender != nullptr && guest.sender->ending()) statuses.back().migration = {};
  }
  return statuses;
}

absl::Status QemuHypervisor::check(schema::VmSpec::Reader spec) const {
  const std::string vm = VmName::of(spec).to_string();
  const auto made_of = state_->options.guests.of(spec);
  if (!made_of.ok()) return made_of.status();
  if (spec.getDiskBytes() > 0 && made_of->disks.empty())
    return absl::FailedPreconditionError(
        absl::StrCat(vm, " has a disk of ", spec.getDiskBytes() >> 20U,
                     " MiB, and guests of QEMU cannot reach the cluster's disks yet; leave out "
                     "its disk, or create it on a node with simulated guests"));
  return check_guest(*made_of, vm);
}

const std::string& QemuHypervisor::streams() const { return state_->listener->endpoint(); }
std::string QemuHypervisor::console_of(const std::string& run_folder, const std::string& vm) {
  return absl::StrCat(QemuCopy::folder_of(run_folder, vm), longest_socket);
}
DirtyRate QemuHypervisor::dirty_rate(const std::string&) const { return {}; }
void QemuHypervisor::watch(std::function<void(const std::string& vm)> look) {
  state_->look_call = std::move(look);
}

// What is sent of it is capped here, whatever the way carries.
void QemuHypervisor::try_way(std::string endpoint, bool measure, Reply<Way> reply) {
  const Instant deadline = reply.deadline();
  auto told = [cap = state_->options.bytes_per_second_max,
               reply = std::move(reply)](absl::StatusOr<Way> way) mutable {
    if (!way.ok() && !absl::IsUnavailable(way.status()) && !absl::IsUnimplemented(way.status()))
      ABSL_RAW_LOG(WARNING, "whether memory can go there was not found out: %s",
                   std::string(way.status().message()).c_str());
    if (way.ok() && cap != 0 && way->bytes_per_second > cap) {
      way->bytes_per_second = cap;
      way->at_least = false;
    }
    reply(std::move(way));
  };
  state_->ways_from_here.try_way(endpoint, measure,
                                 Reply<Way>(deadline, state_->guarded(std::move(told))));
}

std::uint64_t QemuHypervisor::touched_bytes(const std::string& vm) const {
  const State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return 0;
  // The guest cannot have touched more than it has.
  return std::min(State::anonymous_bytes(guest->copy->process()),
                  guest->copy->record().memory_bytes);
}

void QemuHypervisor::create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  if (const auto standby = state_->in_the_way(vm, spec.reader().getMemoryBytes()))
    return state_->end_standby(*standby, std::move(reply), [this, spec, epoch](Reply<Done> open) {
      create(spec, epoch, std::move(open));
    });
  if (state_->guests.contains(vm))
    return reply(absl::AlreadyExistsError(
        absl::StrCat("this host has a copy of ", vm, "; destroy it before creating another")));
  state_->make(spec, {.own = true, .epoch = epoch}, std::move(reply));
}

void QemuHypervisor::prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                                      Reply<Done> reply) {
  state_->prepare(spec, epoch, migration, std::move(reply));
}

void QemuHypervisor::send(std::string vm, TransferOptions options,
                          std::function<void(const TransferProgress&)> progress,
                          Reply<TransferProgress> converged) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return converged(no_qemu_copy(vm));
  if (!guest->copy->record().own)
    return converged(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm, " here is incoming itself")));
  if (guest->sender != nullptr && guest->sender->ending())
    return converged(absl::UnavailableError(
        absl::StrCat("the transfer of ", vm, " before this one is still being ended; try again")));
  if (guest->sender != nullptr) {
    if (guest->sender->migration() != options.migration)
      return converged(absl::FailedPreconditionError(
          absl::StrCat(vm, " is being sent by migration ", guest->sender->migration().to_string(),
                       "; stop that transfer first")));
    return guest->sender->report_to(std::move(progress), std::move(converged));
  }
  if (const std::uint64_t cap = state_->options.bytes_per_second_max; cap > 0)
    options.bytes_per_second_max =
        options.bytes_per_second_max == 0 ? cap : std::min(cap, options.bytes_per_second_max);
  const absl::Status saved = guest->copy->set_transfer(options.migration, options.endpoint);
  if (!saved.ok()) return converged(saved);
  state_->make_sender(vm, std::move(options));
  guest->sender->begin();
  guest->sender->report_to(std::move(progress), std::move(converged));
}

void QemuHypervisor::pause(std::string vm, Reply<Done> reply) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return reply(no_qemu_copy(vm));
  guest->copy->pause(std::move(reply));
}

void QemuHypervisor::slow_down(const std::string& vm) {
  State::Guest* guest = state_->find(vm);
  if (guest != nullptr && guest->sender != nullptr) guest->sender->slow_down();
}

void QemuHypervisor::start_post_copy(const std::string& vm) {
  State::Guest* guest = state_->find(vm);
  if (guest != nullptr && guest->sender != nullptr) guest->sender->start_post_copy();
}

void QemuHypervisor::finish_send(std::string vm, Reply<TransferProgress> reply) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return reply(no_qemu_copy(vm));
  if (guest->sender == nullptr || guest->sender->ending())
    return reply(absl::FailedPreconditionError(
        absl::StrCat("no transfer of ", vm, " is under way; it ended, or was never begun")));
  if (guest->copy->running() || guest->copy->frozen())
    return reply(absl::FailedPreconditionError(
        absl::StrCat(vm, " is not paused and drained; pause it before the rest is sent")));
  guest->sender->finish(std::move(reply));
}

void QemuHypervisor::stop_send(std::string vm, Reply<Done> reply) {
  state_->stop_send(vm, absl::CancelledError(absl::StrCat("the transfer of ", vm, " was stopped")),
                    std::move(reply));
}

void QemuHypervisor::resume(std::string vm, Epoch epoch, Reply<Done> reply) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return reply(no_qemu_copy(vm));
  const bool runs = guest->copy->running() && !guest->copy->frozen();
  if (guest->sender == nullptr || runs)
    return guest->copy->resume(epoch, guest->copy->lapses(), std::move(reply));
  if (const absl::Status refused = guest->copy->check_resume(epoch); !refused.ok())
    return reply(refused);
  // A guest that executes while its last memory is sent would be another one there.
  const std::uint64_t lapses = guest->copy->lapses();
  state_->stop_send(
      vm, absl::AbortedError(absl::StrCat(vm, " was resumed")),
      Reply<Done>(far_future, state_->guarded([this, vm, epoch, lapses, reply = std::move(reply)](
                                                  const absl::StatusOr<Done>&) mutable {
        State::Guest* stopped = state_->find(vm);
        if (stopped == nullptr) return reply(no_qemu_copy(vm));
        stopped->copy->resume(epoch, lapses, std::move(reply));
      })));
}

void QemuHypervisor::destroy(std::string vm, Reply<Done> reply) {
  const auto found = state_->guests.find(vm);
  if (found == state_->guests.end()) return reply(Done{});
  found->second.copy->destroy(std::move(reply));
}

void QemuHypervisor::arm(const std::string& vm, Instant deadline) {
  if (State::Guest* guest = state_->find(vm)) guest->copy->arm(deadline);
}

}  // namespace supercloud
