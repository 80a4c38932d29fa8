#include "hypercall/simulated/hypervisor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/message.h"
#include "core/vm_name.h"

namespace supercloud {

template <class T>
Reply<T> SimulatedHypervisor::while_alive(Reply<T> reply) {
  const Instant deadline = reply.deadline();
  return {deadline, [alive = std::weak_ptr<bool>(alive_),
                     reply = std::move(reply)](absl::StatusOr<T> value) mutable {
            if (!alive.expired()) reply(std::move(value));
          }};
}

absl::Status SimulatedHypervisor::check(schema::VmSpec::Reader spec) const {
  if (text(spec.getImage()).empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(VmName::of(spec).to_string(), " starts from the image ", str(spec.getImage()),
                   ", and guests are simulated here; leave out its image, or create it on a node "
                   "with [host.qemu]"));
}

void SimulatedHypervisor::try_way(std::string endpoint, bool measure, Reply<Way> reply) {
  host_.try_way(endpoint, measure, while_alive(std::move(reply)));
}

void SimulatedHypervisor::create(Message<schema::VmSpec> spec, Epoch epoch, Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  SimulatedHost& host = host_;
  host_.call<Done>("create", vm, while_alive(std::move(reply)),
                   [&host, spec = std::move(spec), epoch](Reply<Done> done) mutable {
                     host.create(std::move(spec), epoch, std::move(done));
                   });
}

void SimulatedHypervisor::prepare_incoming(Message<schema::VmSpec> spec, EventId migration,
                                           Epoch epoch, Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  SimulatedHost& host = host_;
  host_.call<Done>("prepare_incoming", vm, while_alive(std::move(reply)),
                   [&host, spec = std::move(spec), migration = std::move(migration),
                    epoch](Reply<Done> done) mutable {
                     host.prepare_incoming(std::move(spec), std::move(migration), epoch,
                                           std::move(done));
                   });
}

void SimulatedHypervisor::keep_standby(Message<schema::VmSpec> spec, Instant until,
                                       Reply<Done> reply) {
  const std::string vm = vm_name(spec.reader());
  SimulatedHost& host = host_;
  host_.call<Done>("keep_standby", vm, while_alive(std::move(reply)),
                   [&host, alive = std::weak_ptr<bool>(alive_), spec = std::move(spec),
                    until](Reply<Done> done) mutable {
                     // Of a daemon that is gone meanwhile nobody would sweep it.
                     if (!alive.expired()) host.keep_standby(spec, until, std::move(done));
                   });
}

void SimulatedHypervisor::send(std::string vm, TransferOptions options,
                               std::function<void(const TransferProgress&)> progress,
                               Reply<TransferProgress> converged) {
  auto report = [alive = std::weak_ptr<bool>(alive_),
                 progress = std::move(progress)](const TransferProgress& value) {
    if (!alive.expired() && progress) progress(value);
  };
  SimulatedHost& host = host_;
  host_.call<TransferProgress>("send", vm, while_alive(std::move(converged)),
                               [&host, vm, options = std::move(options),
                                report = std::move(report)](Reply<TransferProgress> done) mutable {
                                 host.send(vm, std::move(options), std::move(report),
                                           std::move(done));
                               });
}

void SimulatedHypervisor::pause(std::string vm, Reply<Done> reply) {
  SimulatedHost& host = host_;
  host_.call<Done>("pause", vm, while_alive(std::move(reply)),
                   [&host, vm](Reply<Done> done) { host.pause(vm, std::move(done)); });
}

void SimulatedHypervisor::finish_send(std::string vm, Reply<TransferProgress> reply) {
  SimulatedHost& host = host_;
  host_.call<TransferProgress>(
      "finish_send", vm, while_alive(std::move(reply)),
      [&host, vm](Reply<TransferProgress> done) { host.finish_send(vm, std::move(done)); });
}

void SimulatedHypervisor::stop_send(std::string vm, Reply<Done> reply) {
  SimulatedHost& host = host_;
  host_.call<Done>("stop_send", vm, while_alive(std::move(reply)),
                   [&host, vm](Reply<Done> done) { host.stop_send(vm, std::move(done)); });
}

void SimulatedHypervisor::resume(std::string vm, Epoch epoch, Reply<Done> reply) {
  SimulatedHost& host = host_;
  host_.call<Done>("resume", vm, while_alive(std::move(reply)),
                   [&host, vm, epoch, freezes = host.freezes_[vm]](Reply<Done> done) {
                     host.resume(vm, epoch, freezes, std::move(done));
                   });
}

void SimulatedHypervisor::destroy(std::string vm, Reply<Done> reply) {
  SimulatedHost& host = host_;
  host_.call<Done>("destroy", vm, while_alive(std::move(reply)),
                   [&host, vm](Reply<Done> done) { host.destroy(vm, std::move(done)); });
}

}  // namespace supercloud
