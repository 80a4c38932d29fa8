// Errors of Xen's calls as statuses that keep the call's name and its errno.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace supercloud {

struct XenFailure {
  std::string call;  // "xc_domain_pause", "XS_WRITE"
  int error = 0;     // errno
};

// "XS_WRITE /a/b: ENOSPC (No space left on device)". The code says what it means for the caller: NotFound, PermissionDenied,
// AlreadyExists, InvalidArgument, ResourceExhausted (quotas, sizes), Aborted (EAGAIN: a conflict, do it again), Unavailable
// (who should answer is not there), Unimplemented, else Internal. `error`: not 0. `about`: what the call was about; may be empty.
absl::Status xen_error(std::string_view call, int error, std::string_view about = "");

// Unavailable: "no XenStore here: connect /run/xenstored/socket: ENOENT (...)". `what` is missing, as a call says.
absl::Status xen_absent(std::string_view what, std::string_view call, int error,
                        std::string_view about = "");

// What a status was made of; empty: it is not of a call to Xen.
std::optional<XenFailure> xen_failure(const absl::Status& status);

}  // namespace supercloud
