#include "hypercall/qemu/qemu_hypervisor.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "core/vm_name.h"
#include "hypercall/qemu/state.h"

namespace supercloud {
namespace {

constexpr Duration farewell = absl::Milliseconds(100);

absl::Status no_qemu_copy(const std::string& vm) {
  return absl::NotFoundError(absl::StrCat("this host has no copy of ", vm));
}

}  // namespace

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
    Guest* guest = find(vm);
    if (guest != nullptr && guest->copy->arrived() && !guest->copy->record().own)
      tell_source(*guest, qemu_handshake::Arrived{});
    look(vm);
  };
  owner.event = [this, vm](const QmpEvent& event) {
    const auto found = guests.find(vm);
    if (found != guests.end() && found->second.sender != nullptr)
      found->second.sender->on_event(event);
  };
  owner.died = [this, vm](const absl::Status& why) { died(vm, why); };
  Guest& guest = guests[vm];
  const std::string folder = QemuCopy::folder_of(options.run_folder, vm);
  guest.copy = std::make_unique<QemuCopy>(loop, folder, std::move(record), std::move(owner));
  return guest;
}

void QemuHypervisor::State::died(const std::string& vm, const absl::Status& why) {
  const auto found = guests.find(vm);
  if (found == guests.end()) return;
  const auto gone = std::make_shared<Guest>(std::move(found->second));
  guests.erase(found);
  tell_source(*gone, qemu_handshake::Lost{std::string(why.message())});
  // Links close, and copies end, outside of their own calls; what is said goes out first.
  const std::uint64_t number = ++last_gone;
  ended[number] = gone;
  loop.at(loop.clock().now() + farewell, guarded([this, number] { ended.erase(number); }));
  if (gone->sender != nullptr) gone->sender->cancel(why, {});
  look(vm);
}

void QemuHypervisor::State::find_guests(Reply<Done> reply) {
  std::error_code error;
  std::filesystem::create_directories(options.run_folder, error);
  auto open = std::make_shared<Reply<Done>>(std::move(reply));
  // Replies when the last of them has let go of it.
  const std::shared_ptr<void> all(nullptr, [open, alive_too = std::weak_ptr<bool>(alive)](void*) {
    if (!alive_too.expired()) (*open)(Done{});
  });
  for (const auto& entry : std::filesystem::directory_iterator(options.run_folder, error)) {
    if (!entry.is_directory(error)) continue;
    auto record = QemuRecord::load(entry.path().string());
    if (!record.ok() ||
        QemuCopy::folder_of(options.run_folder, record->vm) != entry.path().string())
      continue;
    const std::string vm = record->vm;
    add(*std::move(record))
        .copy->find(Reply<Done>(
            far_future, guarded([this, vm, all](const absl::StatusOr<Done>& found) {
              if (!found.ok()) {
                loop.post(guarded([this, vm] { guests.erase(vm); }));  // not inside its own call
                return;
              }
              Guest& guest = guests.at(vm);
              guest.up = true;
              const QemuRecord& known = guest.copy->record();
              // Whoever fills it does so still; a second one is refused.
              guest.streaming = !known.own;
              if (!known.own || known.migration.empty()) return;
              make_sender(vm, {.migration = known.migration, .endpoint = known.endpoint});
              if (!guest.copy->frozen()) guest.sender->find();
            })));
  }
}

void QemuHypervisor::State::make(const Message<schema::VmSpec>& spec, Epoch epoch,
                                 const EventId& migration, bool own, Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  const std::uint64_t needed = spec.reader().getMemoryBytes();
  std::uint64_t used = 0;
  for (const auto& [name, guest] : guests) used += guest.copy->record().memory_bytes;
  const std::uint64_t room = used >= options.memory_bytes ? 0 : options.memory_bytes - used;
  if (needed > room)
    return reply(absl::ResourceExhaustedError(
        absl::StrCat(vm, " needs ", needed, " bytes of memory, ", room,
                     " are free on this host; move or stop another VM")));
  const QemuGuest& made_of = options.guests.of(vm);
  if (const absl::Status checked = check_guest(made_of, vm); !checked.ok()) return reply(checked);
  Guest& guest = add({.vm = vm,
                      .address = str(spec.reader().getAddress()),
                      .memory_bytes = needed,
                      .epoch = epoch,
                      .own = own,
                      .migration = migration});
  const QemuStart start{.program = options.qemu,
                        .accelerator = options.accelerator,
                        .vm = vm,
                        .memory_bytes = needed,
                        .cpus = spec.reader().getCpus(),
                        .folder = QemuCopy::folder_of(options.run_folder, vm),
                        .incoming = !own};
  guest.copy->start({.program = options.keeper,
                     .freezer = options.freezer,
                     .guest = qemu_command(start, made_of)},
                    Reply<Done>(far_future, guarded([this, vm, own, reply = std::move(reply)](
                                                        absl::StatusOr<Done> done) mutable {
                                  if (!done.ok()) {  // not inside its own call
                                    return loop.post(guarded([this, vm, why = done.status(),
                                                              reply = std::move(reply)]() mutable {
                                      const auto found = guests.find(vm);
                                      if (found != guests.end() && !found->second.up)
                                        guests.erase(found);
                                      reply(why);
                                    }));
                                  }
                                  if (!own) return expect_stream(vm, std::move(reply));
                                  guests.at(vm).up = true;
                                  reply(Done{});
                                })));
}

void QemuHypervisor::State::expect_stream(const std::string& vm, Reply<Done> reply) {
  const auto on = [](const char* name) { return QmpValue{{"capability", name}, {"state", true}}; };
  // No switchover-ack: what never comes is what keeps the source from stopping its guest by itself.
  guests.at(vm).copy->ask(
      "migrate-set-capabilities",
      {{"capabilities",
        QmpValue::array({on("events"), on("return-path"), on("late-block-activate")})}},
      guarded([this, vm, reply = std::move(reply)](const absl::StatusOr<QmpValue>& done) mutable {
        if (!done.ok()) return reply(done.status());
        guests.at(vm).up = true;
        reply(Done{});
      }));
}

// ---- transfers -------------------------------------------------------------------------------------------------------

void QemuHypervisor::State::make_sender(const std::string& vm, TransferOptions sent) {
  Guest& guest = guests.at(vm);
  guest.sender = std::make_unique<QemuSender>(loop, network, *guest.copy, std::move(sent),
                                              [this, vm](const absl::Status&) {
                                                const auto found = guests.find(vm);
                                                if (found == guests.end()) return;
                                                (void)found->second.copy->set_transfer({}, "");
                                                found->second.sender.reset();
                                                look(vm);
                                              });
}

void QemuHypervisor::State::stop_send(const std::string& vm, const absl::Status& why,
                                      Reply<Done> reply) {
  Guest* guest = find(vm);
  if (guest == nullptr || guest->sender == nullptr) return reply(Done{});
  guest->sender->cancel(
      why, Reply<Done>(far_future, guarded([this, vm, reply = std::move(reply)](
                                               const absl::StatusOr<Done>&) mutable {
                         loop.post(guarded([this, vm, reply = std::move(reply)]() mutable {
                           if (Guest* stopped = find(vm);
                               stopped != nullptr && stopped->sender != nullptr) {
                             stopped->sender.reset();
                             (void)stopped->copy->set_transfer({}, "");
                           }
                           reply(Done{});
                         }));
                       })));
}

// ---- the seam --------------------------------------------------------------------------------------------------------

QemuHypervisor::QemuHypervisor(EventLoop& loop, LinkNetwork& network, QemuOptions options)
    : state_(std::make_unique<State>(loop, network, std::move(options))) {}
QemuHypervisor::~QemuHypervisor() = default;

void QemuHypervisor::start(Reply<Done> reply) {
  absl::Status status = check_qemu_version(state_->options.version, state_->options.qemu);
  if (status.ok()) status = state_->listen();
  if (!status.ok()) return reply(status);
  state_->find_guests(std::move(reply));
}

std::string QemuHypervisor::description() const {
  const bool kvm = state_->options.accelerator == QemuAccelerator::kvm;
  return absl::StrCat("qemu ", state_->options.version.to_string(), kvm ? " (kvm)" : " (tcg)");
}

std::uint64_t QemuHypervisor::memory_free_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [vm, guest] : state_->guests) used += guest.copy->record().memory_bytes;
  return used >= state_->options.memory_bytes ? 0 : state_->options.memory_bytes - used;
}

std::vector<GuestStatus> QemuHypervisor::list() const {
  std::vector<GuestStatus> statuses;
  for (const auto& [vm, guest] : state_->guests) {
    if (guest.up) statuses.push_back(guest.copy->status());
  }
  return statuses;
}

const std::string& QemuHypervisor::streams() const { return state_->listener->endpoint(); }
DirtyRate QemuHypervisor::dirty_rate(const std::string&) const { return {}; }
void QemuHypervisor::watch(std::function<void(const std::string& vm)> look) {
  state_->look_call = std::move(look);
}

void QemuHypervisor::create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  if (state_->guests.contains(vm))
    return reply(absl::AlreadyExistsError(
        absl::StrCat("this host has a copy of ", vm, "; destroy it before creating another")));
  state_->make(spec, epoch, {}, true, std::move(reply));
}

void QemuHypervisor::prepare_incoming(Message<schema::VmSpec> spec, EventId migration, Epoch epoch,
                                      Reply<Done> reply) {
  const std::string vm = VmName::of(spec.reader()).to_string();
  if (const auto found = state_->guests.find(vm); found != state_->guests.end()) {
    const QemuRecord& record = found->second.copy->record();
    if (found->second.up && !record.own && record.migration == migration && record.epoch == epoch)
      return reply(Done{});
    return reply(absl::AlreadyExistsError(absl::StrCat("this host has another copy of ", vm,
                                                       "; destroy it before migration ",
                                                       migration.to_string(), " brings one")));
  }
  state_->make(spec, epoch, migration, false, std::move(reply));
}

void QemuHypervisor::send(std::string vm, TransferOptions options,
                          std::function<void(const TransferProgress&)> progress,
                          Reply<TransferProgress> converged) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return converged(no_qemu_copy(vm));
  if (!guest->copy->record().own)
    return converged(absl::FailedPreconditionError(
        absl::StrCat("the copy of ", vm, " here is incoming itself")));
  if (guest->sender != nullptr && !guest->sender->failed()) {
    if (guest->sender->migration() != options.migration)
      return converged(absl::FailedPreconditionError(
          absl::StrCat(vm, " is being sent by migration ", guest->sender->migration().to_string(),
                       "; stop that transfer first")));
    return guest->sender->report_to(std::move(progress), std::move(converged));
  }
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

void QemuHypervisor::finish_send(std::string vm, Reply<TransferProgress> reply) {
  State::Guest* guest = state_->find(vm);
  if (guest == nullptr) return reply(no_qemu_copy(vm));
  if (guest->sender == nullptr || guest->sender->failed())
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
  if (guest->sender == nullptr || guest->copy->running())
    return guest->copy->resume(epoch, std::move(reply));
  // A guest that executes while its last memory is sent would be another one there.
  state_->stop_send(
      vm, absl::AbortedError(absl::StrCat(vm, " was resumed")),
      Reply<Done>(far_future, state_->guarded([this, vm, epoch, reply = std::move(reply)](
                                                  const absl::StatusOr<Done>&) mutable {
        State::Guest* stopped = state_->find(vm);
        if (stopped == nullptr) return reply(no_qemu_copy(vm));
        stopped->copy->resume(epoch, std::move(reply));
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
