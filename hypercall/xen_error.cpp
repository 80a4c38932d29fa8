#include "hypercall/xen_error.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr const char* payload_type = "supercloud/xen-failure";  // "errno call"

absl::StatusCode code_of(int error) {
  switch (error) {
    case ENOENT:
    case ESRCH:
      return absl::StatusCode::kNotFound;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EINVAL:
    case EISDIR:
    case ENOTEMPTY:
      return absl::StatusCode::kInvalidArgument;
    case E2BIG:
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EMFILE:
    case ENOBUFS:
      return absl::StatusCode::kResourceExhausted;
    case EAGAIN:
      return absl::StatusCode::kAborted;
    case ENOSYS:
    case EOPNOTSUPP:
      return absl::StatusCode::kUnimplemented;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOTCONN:
    case ETIMEDOUT:
    case EPIPE:
    case EBUSY:
    case ENODEV:
    case ENXIO:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::Status call_failed(absl::StatusCode code, std::string_view introduction,
                         std::string_view call, int error, std::string_view about) {
  const char* name = ::strerrorname_np(error);
  const char* words = ::strerrordesc_np(error);
  return as_xen_failure(
      absl::Status(code,
                   absl::StrCat(absl_view(introduction), absl_view(call), about.empty() ? "" : " ",
                                absl_view(about), ": ", name == nullptr ? "an error" : name, " (",
                                words == nullptr ? absl::StrCat(error) : words, ")")),
      call, error);
}

}  // namespace

absl::Status xen_error(std::string_view call, int error, std::string_view about) {
  return call_failed(code_of(error), "", call, error, about);
}

absl::Status xen_absent(std::string_view what, std::string_view call, int error,
                        std::string_view about) {
  if (error == EACCES || error == EPERM)
    return call_failed(absl::StatusCode::kPermissionDenied,
                       absl::StrCat(absl_view(what), " is not open to this process: "), call, error,
                       about);
  return call_failed(absl::StatusCode::kUnavailable,
                     absl::StrCat("no ", absl_view(what), " here: "), call, error, about);
}

absl::Status as_xen_failure(absl::Status status, std::string_view call, int error) {
  // Not by Cord's constructor from a string: clang gives that template another name than the g++ that built the library.
  const std::string payload = absl::StrCat(error, " ", absl_view(call));
  status.SetPayload(payload_type, absl::Cord(absl::string_view(payload)));
  return status;
}

absl::Status as_unavailable(std::string_view lead, const absl::Status& status) {
  absl::Status led = absl::UnavailableError(absl::StrCat(absl_view(lead), ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { led.SetPayload(url, payload); });
  return led;
}

std::optional<XenFailure> xen_failure(const absl::Status& status) {
  const auto payload = status.GetPayload(payload_type);
  if (!payload) return std::nullopt;
  const std::string content(*payload);
  const std::size_t space = content.find(' ');
  XenFailure failure;
  if (space == std::string::npos || !absl::SimpleAtoi(content.substr(0, space), &failure.error))
    return std::nullopt;
  failure.call = content.substr(space + 1);
  return failure;
}

}  // namespace supercloud
