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

// Unavailable: "no XenStore here: connect /run/xenstored/socket: ENOENT (...)". `what` is missing, as a call says. PermissionDenied,
// after EACCES and EPERM: it may be there, but "XenStore is not open to this process: connect ...".
absl::Status xen_absent(std::string_view what, std::string_view call, int error,
                        std::string_view about = "");

// A status of another code or other words, as one of a call that failed with `error`.
absl::Status as_xen_failure(absl::Status status, std::string_view call, int error);

// Unavailable, for whoever may find it otherwise later; of the same call, with words before its own.
absl::Status as_unavailable(std::string_view lead, const absl::Status& status);

// What a status was made of; empty: it is not of a call to Xen.
std::optional<XenFailure> xen_failure(const absl::Status& status);

}  // namespace supercloud
