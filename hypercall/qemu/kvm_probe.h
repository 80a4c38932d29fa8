// Whether KVM runs guests here. That it makes a machine proves little: where this machine is itself a guest, some KVMs make them and
// cannot execute what every kernel does.
#pragma once

#include "absl/status/status.h"

namespace supercloud {

// Lets a guest of seven instructions take an interrupt, return from it, and say so. Takes a millisecond. NotFound: there is no /dev/kvm;
// PermissionDenied: it is not for this user; FailedPrecondition: it does not run that guest.
absl::Status probe_kvm_guest();

}  // namespace supercloud
