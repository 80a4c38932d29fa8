#include "hypercall/xen/wire.h"

#include <xen/io/xs_wire.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud::xen_wire {
namespace {

constexpr std::string_view nul("\0", 1);

static_assert(header_bytes == sizeof(xsd_sockmsg));
static_assert(xen_payload_bytes_max == XENSTORE_PAYLOAD_MAX);
static_assert(XenPath::absolute_bytes_max == XENSTORE_ABS_PATH_MAX);
static_assert(XenPath::relative_bytes_max == XENSTORE_REL_PATH_MAX);
static_assert(static_cast<int>(Type::directory) == XS_DIRECTORY);
static_assert(static_cast<int>(Type::read) == XS_READ);
static_assert(static_cast<int>(Type::get_permissions) == XS_GET_PERMS);
static_assert(static_cast<int>(Type::watch) == XS_WATCH);
static_assert(static_cast<int>(Type::unwatch) == XS_UNWATCH);
static_assert(static_cast<int>(Type::begin) == XS_TRANSACTION_START);
static_assert(static_cast<int>(Type::end) == XS_TRANSACTION_END);
static_assert(static_cast<int>(Type::write) == XS_WRITE);
static_assert(static_cast<int>(Type::make) == XS_MKDIR);
static_assert(static_cast<int>(Type::remove) == XS_RM);
static_assert(static_cast<int>(Type::set_permissions) == XS_SET_PERMS);
static_assert(static_cast<int>(Type::watch_event) == XS_WATCH_EVENT);
static_assert(static_cast<int>(Type::error) == XS_ERROR);
static_assert(static_cast<int>(Type::directory_part) == XS_DIRECTORY_PART);

absl::Status damaged(std::string_view what) {
  return absl::DataLossError(absl::StrCat("the XenStore answers nonsense: ", absl_view(what)));
}

// Decimal digits and nothing else, and no number has two forms.
template <class Number>
bool read_number(std::string_view text, Number& number) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  if (text.front() == '0' && text.size() > 1) return false;
  if (text.back() < '0' || text.back() > '9') return false;  // SimpleAtoi would skip blanks
  return absl::SimpleAtoi(absl_view(text), &number);
}

}  // namespace

std::string_view name_of(Type type) {
  switch (type) {
    case Type::directory:
      return "XS_DIRECTORY";
    case Type::read:
      return "XS_READ";
    case Type::get_permissions:
      return "XS_GET_PERMS";
    case Type::watch:
      return "XS_WATCH";
    case Type::unwatch:
      return "XS_UNWATCH";
    case Type::begin:
      return "XS_TRANSACTION_START";
    case Type::end:
      return "XS_TRANSACTION_END";
    case Type::write:
      return "XS_WRITE";
    case Type::make:
      return "XS_MKDIR";
    case Type::remove:
      return "XS_RM";
    case Type::set_permissions:
      return "XS_SET_PERMS";
    case Type::watch_event:
      return "XS_WATCH_EVENT";
    case Type::error:
      return "XS_ERROR";
    case Type::directory_part:
      return "XS_DIRECTORY_PART";
  }
  return "a call without a name";
}

void encode(const Message& message, std::string& out) {
  const std::array<std::uint32_t, 4> header = {static_cast<std::uint32_t>(message.type),
                                               message.request, message.transaction,
                                               static_cast<std::uint32_t>(message.body.size())};
  static_assert(sizeof header == header_bytes);
  out.append(reinterpret_cast<const char*>(header.data()), sizeof header);
  out.append(message.body);
}

absl::StatusOr<std::optional<Message>> decode(std::string_view& bytes) {
  if (bytes.size() < header_bytes) return std::nullopt;
  std::array<std::uint32_t, 4> header = {};
  std::memcpy(header.data(), bytes.data(), sizeof header);
  const auto [type, request, transaction, length] = header;
  // Before the body is waited for: what is no header announces a body that never comes.
  if (type > type_max) return damaged(absl::StrCat("a message of type ", type));
  if (length > body_bytes_max) return damaged(absl::StrCat("a message of ", length, " bytes"));
  if (bytes.size() < header_bytes + length) return std::nullopt;
  const Message message{static_cast<Type>(type), request, transaction,
                        bytes.substr(header_bytes, length)};
  bytes.remove_prefix(header_bytes + length);
  return message;
}

absl::StatusOr<std::vector<std::string_view>> strings(std::string_view body) {
  std::vector<std::string_view> found;
  while (!body.empty()) {
    const std::size_t end = body.find('\0');
    if (end == std::string_view::npos) return damaged("a string without an end");
    found.push_back(body.substr(0, end));
    body.remove_prefix(end + 1);
  }
  return found;
}

absl::StatusOr<std::uint32_t> number(std::string_view body) {
  std::uint32_t value = 0;
  if (!body.ends_with(nul) || !read_number(body.substr(0, body.size() - 1), value))
    return damaged("no number where one should be");
  return value;
}

int error_number(std::string_view body) {
  if (body.ends_with(nul)) body.remove_suffix(1);
  for (const auto& known : xsd_errors)
    if (body == known.errstring) return known.errnum;
  return body == "EQUOTA" ? EDQUOT : 0;  // what oxenstored says where the C daemon says ENOSPC
}

std::string encode_permissions(const XenPermissions& permissions) {
  std::string body;
  for (const XenAccess& access : permissions) {
    const char letter = access.read ? (access.write ? 'b' : 'r') : (access.write ? 'w' : 'n');
    absl::StrAppend(&body, std::string(1, letter), access.domain, absl_view(nul));
  }
  return body;
}

absl::StatusOr<XenPermissions> decode_permissions(std::string_view body) {
  const auto parts = strings(body);
  if (!parts.ok()) return parts.status();
  if (parts->empty()) return damaged("permissions without an owner");
  XenPermissions permissions;
  for (const std::string_view part : *parts) {
    XenAccess access;
    constexpr std::string_view letters = "nrwb";
    const std::size_t letter = part.empty() ? std::string_view::npos : letters.find(part.front());
    if (letter == std::string_view::npos || !read_number(part.substr(1), access.domain))
      return damaged("permissions that are none");
    access.read = letter == 1 || letter == 3;
    access.write = letter == 2 || letter == 3;
    permissions.push_back(access);
  }
  return permissions;
}

absl::StatusOr<WatchEvent> decode_watch_event(std::string_view body) {
  const auto parts = strings(body);
  if (!parts.ok()) return parts.status();
  WatchEvent event;
  if (parts->size() != 2 || !read_number((*parts)[1], event.token))
    return damaged("a watch event that no watch of ours has made");
  event.path = (*parts)[0];
  return event;
}

absl::StatusOr<DirectoryPart> decode_directory_part(std::string_view body) {
  const auto parts = strings(body);
  if (!parts.ok()) return parts.status();
  if (parts->empty()) return damaged("a part of a directory without its generation");
  DirectoryPart part;
  part.generation = parts->front();
  for (std::size_t i = 1; i < parts->size(); ++i) {
    const std::string_view name = (*parts)[i];
    if (name.empty()) {
      if (i + 1 != parts->size()) return damaged("a name without letters in a directory");
      part.last = true;
      break;
    }
    part.names.push_back(name);
    part.bytes += name.size() + 1;
  }
  if (!part.last && part.names.empty()) return damaged("an endless directory");
  return part;
}

}  // namespace supercloud::xen_wire
