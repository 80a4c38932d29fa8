// The XenStore's wire protocol (xen/io/xs_wire.h), as far as this program speaks it.
//
//   message     = type request transaction length body
//   type, request, transaction, length = 32 bits each, in the machine's byte order
//   body        = length bytes: at most 4096 of a request; of an answer too, but that oxenstored sends any directory whole
//
//   READ          path NUL                    ->  value
//   WRITE         path NUL value              ->  "OK" NUL
//   MKDIR, RM     path NUL                    ->  "OK" NUL
//   DIRECTORY     path NUL                    ->  (name NUL)*
//   DIRECTORY_PART  path NUL offset NUL       ->  generation NUL (name NUL)* [NUL: that was all]
//   GET_PERMS     path NUL                    ->  (access NUL)+
//   SET_PERMS     path NUL (access NUL)+      ->  "OK" NUL
//   WATCH         path NUL token NUL          ->  "OK" NUL
//   UNWATCH       path NUL token NUL          ->  "OK" NUL
//   TRANSACTION_START  NUL                    ->  number NUL
//   TRANSACTION_END    ("T" | "F") NUL        ->  "OK" NUL
//   (any)                                     ->  ERROR, name of an errno NUL
//                                             ->  WATCH_EVENT, request 0: path NUL token NUL, at any time
//   access      = ("n" | "r" | "w" | "b") decimal number of a domain
//
// An answer carries the request's number, and its type unless it is an error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "hypercall/xen_store.h"

namespace supercloud::xen_wire {

enum class Type : std::uint32_t {
  directory = 1,
  read = 2,
  get_permissions = 3,
  watch = 4,
  unwatch = 5,
  begin = 6,
  end = 7,
  write = 11,
  make = 12,
  remove = 13,
  set_permissions = 14,
  watch_event = 15,
  error = 16,
  directory_part = 22,
};
inline constexpr std::uint32_t type_max = 22;

std::string_view name_of(Type type);  // "XS_READ"

struct Message {
  Type type = Type::error;
  std::uint32_t request = 0;
  std::uint32_t transaction = 0;
  std::string_view body;
};

inline constexpr std::size_t header_bytes = 16;
// A directory of all that oxenstored lets a guest have: 1000 nodes, with names of less than 1024 bytes.
inline constexpr std::size_t body_bytes_max = std::size_t{1} << 20U;

// Appends it to `out`.
void encode(const Message& message, std::string& out);
// The first message of `bytes`, which is taken off; its body points into them. Empty: not all of it is there yet. DataLoss: this is
// no such message, and what follows cannot be read either.
absl::StatusOr<std::optional<Message>> decode(std::string_view& bytes);

// Strings that each end with NUL. DataLoss: the last one does not.
absl::StatusOr<std::vector<std::string_view>> strings(std::string_view body);

absl::StatusOr<std::uint32_t> number(std::string_view body);  // decimal, NUL
int error_number(std::string_view body);                      // 0: none of that name

std::string encode_permissions(const XenPermissions& permissions);
absl::StatusOr<XenPermissions> decode_permissions(std::string_view body);

struct WatchEvent {
  std::string_view path;
  std::uint64_t token = 0;
};
absl::StatusOr<WatchEvent> decode_watch_event(std::string_view body);

struct DirectoryPart {
  std::string_view generation;
  std::vector<std::string_view> names;
  std::size_t bytes = 0;  // of the names: the next part begins so much further
  bool last = false;
};
absl::StatusOr<DirectoryPart> decode_directory_part(std::string_view body);

}  // namespace supercloud::xen_wire
