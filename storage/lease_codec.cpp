#include "storage/lease_codec.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace supercloud {
namespace {

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

absl::Status check_name(std::string_view what, std::string_view name, bool may_be_empty = false) {
  if (name.empty() && !may_be_empty) {
    return absl::InvalidArgumentError(absl::StrCat("no ", absl_view(what), " is given"));
  }
  if (name.size() > lease_name_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("a ", absl_view(what), " of ", name.size(),
                                                   " bytes: at most ", lease_name_bytes_max));
  }
  if (has_control_characters(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a ", absl_view(what), " with control characters"));
  }
  return absl::OkStatus();
}

absl::Status check_nodes(const std::vector<std::string>& nodes) {
  if (nodes.size() > lease_in_sync_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("an in-sync set of ", nodes.size(), " nodes: at most ", lease_in_sync_max));
  }
  for (const std::string& node : nodes) {
    if (absl::Status good = check_name("node in sync", node); !good.ok()) return good;
  }
  return absl::OkStatus();
}

absl::Status check_value(std::string_view value) {
  if (value.size() <= lease_value_bytes_max) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a lease's value of ", value.size(), " bytes: at most ", lease_value_bytes_max));
}

absl::Status check_claim(std::string_view claim) {
  if (claim.size() > lease_claim_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a claim of ", claim.size(), " bytes: at most ", lease_claim_bytes_max));
  }
  if (has_control_characters(claim)) {
    return absl::InvalidArgumentError("a claim with control characters");
  }
  return absl::OkStatus();
}

// What would be ignored is refused.
absl::Status check_claims(const Swap& swap) {
  if (swap.claim.empty()) return absl::OkStatus();
  if (swap.kind == SwapKind::DEFINE) return check_claim(swap.claim);
  return absl::InvalidArgumentError("only a define claims anything");
}

absl::Status check_heir(const std::optional<Heir>& heir) {
  if (!heir) return absl::OkStatus();
  if (absl::Status good = check_name("heir", heir->node, true); !good.ok()) return good;
  return check_name("heir's migration", heir->migration.origin, true);
}

std::optional<Heir> read_heir(capnp::Text::Reader node, schema::EventId::Reader migration) {
  if (node.size() == 0 && migration.getOrigin().size() == 0) return std::nullopt;
  return Heir{std::string(text(node)), EventId::from(migration)};
}

template <class List>
std::vector<std::string> read_texts(List list) {
  std::vector<std::string> texts;
  // What is too long is refused by validate(); it need not be copied first.
  const std::size_t count = std::min<std::size_t>(list.size(), lease_in_sync_max + 1);
  texts.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    texts.emplace_back(text(list[static_cast<unsigned>(i)]));
  }
  return texts;
}

std::string read_data(capnp::Data::Reader data) {
  return {reinterpret_cast<const char*>(data.begin()), data.size()};
}

capnp::Data::Reader as_data(const std::string& bytes) {
  return {reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()};
}

// An enumerant that this program does not know reads as its number.
absl::Status check_kind(SwapKind kind) {
  if (static_cast<std::uint16_t>(kind) <= static_cast<std::uint16_t>(SwapKind::REMOVE)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("a swap of the unknown kind ",
                                                 static_cast<std::uint16_t>(kind),
                                                 "; the lease site is older than who asks"));
}

// The first of them that is not OK.
template <class... Statuses>
absl::Status all_of(Statuses... statuses) {
  absl::Status first;
  ((first.ok() ? static_cast<void>(first = std::move(statuses)) : static_cast<void>(0)), ...);
  return first;
}

}  // namespace

absl::Status validate_lease_key(std::string_view key) {
  if (key.size() > lease_key_bytes_max) {
    return absl::InvalidArgumentError(
        absl::StrCat("a lease key of ", key.size(), " bytes: at most ", lease_key_bytes_max));
  }
  if (has_control_characters(key)) {
    return absl::InvalidArgumentError("a lease key with control characters");
  }
  const std::vector<absl::string_view> parts = absl::StrSplit(absl_view(key), '/');
  const bool vm = parts.size() == 3 && parts[0] == "vm";
  const bool role = parts.size() >= 2 && parts[0] == "role";
  const bool whole =
      std::none_of(parts.begin(), parts.end(), [](absl::string_view part) { return part.empty(); });
  if ((vm || role) && whole) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "'", absl_view(key), "' is no lease key; expected vm/<tenant>/<name> or role/<name>"));
}

absl::Status validate(const OpenSession& request) {
  return all_of(check_name("node", request.node), check_name("identity", request.identity));
}

absl::Status validate(const Swap& swap) {
  return all_of(validate_lease_key(swap.key), check_kind(swap.kind),
                check_name("session", swap.session), check_name("swap id", swap.swap_id),
                check_heir(swap.heir), check_nodes(swap.in_sync), check_value(swap.value),
                check_claims(swap));
}

absl::Status validate(const LeaseRecord& record) {
  return all_of(validate_lease_key(record.key), check_kind(record.swap_kind),
                check_name("holder", record.holder), check_name("session", record.session, true),
                check_name("swap id", record.swap_id, true), check_heir(record.heir),
                check_nodes(record.in_sync), check_value(record.value), check_claim(record.claim));
}

void write_lease(const LeaseRecord& record, schema::Lease::Builder builder) {
  builder.setKey(record.key);
  builder.setHolder(record.holder);
  builder.setSession(record.session);
  builder.setSwapId(record.swap_id);
  builder.setSwapKind(record.swap_kind);
  builder.setEpoch(record.epoch);
  if (record.heir) {
    builder.setHeirNode(record.heir->node);
    record.heir->migration.write(builder.initHeirMigration());
  }
  auto in_sync = builder.initInSync(static_cast<unsigned>(record.in_sync.size()));
  for (unsigned i = 0; i < in_sync.size(); ++i) in_sync.set(i, record.in_sync[i]);
  builder.setLossAllowed(record.loss_allowed);
  builder.setValue(as_data(record.value));
  builder.setClaim(record.claim);
  builder.setRevision(record.revision);
  builder.setSessionAlive(record.session_alive);
  builder.setHeirAlive(record.heir_alive);
}

absl::StatusOr<LeaseRecord> read_lease(schema::Lease::Reader reader) {
  LeaseRecord record{.key = std::string(text(reader.getKey())),
                     .holder = std::string(text(reader.getHolder())),
                     .session = std::string(text(reader.getSession())),
                     .swap_id = std::string(text(reader.getSwapId())),
                     .swap_kind = reader.getSwapKind(),
                     .epoch = reader.getEpoch(),
                     .heir = read_heir(reader.getHeirNode(), reader.getHeirMigration()),
                     .in_sync = read_texts(reader.getInSync()),
                     .loss_allowed = reader.getLossAllowed(),
                     .value = read_data(reader.getValue()),
                     .claim = std::string(text(reader.getClaim())),
                     .revision = reader.getRevision(),
                     .session_alive = reader.getSessionAlive(),
                     .heir_alive = reader.getHeirAlive()};
  if (absl::Status good = validate(record); !good.ok()) return good;
  return record;
}

void write_swap(const Swap& swap, schema::Swap::Builder builder) {
  builder.setKey(swap.key);
  builder.setKind(swap.kind);
  builder.setSession(swap.session);
  builder.setSwapId(swap.swap_id);
  builder.setEpoch(swap.epoch);
  builder.setRevision(swap.revision);
  if (swap.heir) {
    builder.setHeirNode(swap.heir->node);
    swap.heir->migration.write(builder.initHeirMigration());
  }
  auto in_sync = builder.initInSync(static_cast<unsigned>(swap.in_sync.size()));
  for (unsigned i = 0; i < in_sync.size(); ++i) in_sync.set(i, swap.in_sync[i]);
  builder.setLossAllowed(swap.loss_allowed);
  builder.setValue(as_data(swap.value));
  builder.setClaim(swap.claim);
}

absl::StatusOr<Swap> read_swap(schema::Swap::Reader reader) {
  Swap swap{.key = std::string(text(reader.getKey())),
            .kind = reader.getKind(),
            .session = std::string(text(reader.getSession())),
            .swap_id = std::string(text(reader.getSwapId())),
            .epoch = reader.getEpoch(),
            .revision = reader.getRevision(),
            .heir = read_heir(reader.getHeirNode(), reader.getHeirMigration()),
            .in_sync = read_texts(reader.getInSync()),
            .loss_allowed = reader.getLossAllowed(),
            .value = read_data(reader.getValue()),
            .claim = std::string(text(reader.getClaim()))};
  if (absl::Status good = validate(swap); !good.ok()) return good;
  return swap;
}

Message<schema::Response> error_response(const absl::Status& status) {
  return Message<schema::Response>::build([&](schema::Response::Builder builder) {
    builder.setCode(static_cast<std::uint16_t>(status.code()));
    builder.setMessage(std::string(status.message()));
  });
}

absl::Status response_status(schema::Response::Reader response) {
  const std::uint16_t code = response.getCode();
  if (code == 0) return absl::OkStatus();
  const bool known = code <= static_cast<std::uint16_t>(absl::StatusCode::kUnauthenticated);
  return absl::Status(known ? static_cast<absl::StatusCode>(code) : absl::StatusCode::kUnknown,
                      absl_view(text(response.getMessage())));
}

std::string encode_stored_lease(const StoredLease& lease) {
  const auto message = Message<schema::Response>::build(
      [&](schema::Response::Builder builder) { write_lease(lease.record, builder.initLease()); });
  std::string bytes;
  bytes.reserve(2 + lease.last_attempt.size() + message.bytes().size());
  bytes.push_back(static_cast<char>(lease.last_attempt.size() >> 8U & 0xffU));
  bytes.push_back(static_cast<char>(lease.last_attempt.size() & 0xffU));
  bytes.append(lease.last_attempt);
  bytes.append(message.bytes());
  return bytes;
}

absl::StatusOr<StoredLease> decode_stored_lease(std::string_view bytes) {
  if (bytes.size() < 2) return absl::DataLossError("a lease is cut short");
  const std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(bytes[0])) << 8U |
                             static_cast<unsigned char>(bytes[1]);
  if (bytes.size() < 2 + length) return absl::DataLossError("a lease is cut short");
  const auto message = Message<schema::Response>::parse(bytes.substr(2 + length));
  if (!message.ok()) {
    return absl::DataLossError(absl::StrCat("a lease is malformed: ", message.status().message()));
  }
  if (!message->reader().isLease()) return absl::DataLossError("a lease is something else");
  absl::StatusOr<LeaseRecord> record = read_lease(message->reader().getLease());
  if (!record.ok()) {
    return absl::DataLossError(absl::StrCat("a lease is malformed: ", record.status().message()));
  }
  return StoredLease{*std::move(record), std::string(bytes.substr(2, length))};
}

std::string encode_stored_session(const StoredSession& session) {
  const auto message = Message<schema::Request>::build([&](schema::Request::Builder builder) {
    auto open = builder.initOpenSession();
    open.setNode(session.node);
    open.setIdentity(session.identity);
  });
  return std::string(message.bytes());
}

absl::StatusOr<StoredSession> decode_stored_session(SessionId id, std::string_view bytes) {
  const auto message = Message<schema::Request>::parse(bytes);
  if (!message.ok() || !message->reader().isOpenSession()) {
    return absl::DataLossError(absl::StrCat("session ", id, " is malformed"));
  }
  const auto open = message->reader().getOpenSession();
  const OpenSession request{.node = std::string(text(open.getNode())),
                            .identity = std::string(text(open.getIdentity()))};
  if (absl::Status good = validate(request); !good.ok()) {
    return absl::DataLossError(absl::StrCat("session ", id, " is malformed: ", good.message()));
  }
  return StoredSession{std::move(id), request.node, request.identity};
}

}  // namespace supercloud
