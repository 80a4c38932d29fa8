#include "hypercall/qemu/handshake.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/hypervisor.h"
#include "hypercall/qemu/qmp_message.h"

namespace supercloud::qemu_handshake {
namespace {

constexpr std::size_t why_bytes_max = 1024;
constexpr std::size_t handshake_depth_max = 4;

absl::Status malformed_handshake(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("malformed handshake of QEMU's streams: ", why));
}

constexpr const char* kinds[] = {"hello", "ask", "again"};  // as Hello::Kind

struct Encoder {
  QmpValue operator()(const Hello& hello) const {
    return {{kinds[static_cast<std::size_t>(hello.kind)],
             {{"version", protocol_version},
              {"vm", hello.vm},
              {"epoch", hello.epoch},
              {"migration", hello.migration.to_string()},
              {"tls", hello.tls}}}};
  }
  QmpValue operator()(const Accept& accept) const {
    const absl::string_view token(accept.token.data(), accept.token.size());
    return {{"accept",
             {{"address", accept.address},
              {"token", absl::BytesToHexString(token)},
              {"post_copy", accept.post_copy}}}};
  }
  QmpValue operator()(const Probe& probe) const {
    return {{"probe", {{"version", protocol_version}, {"measure", probe.measure}}}};
  }
  QmpValue operator()(const WayOffer& offer) const {
    const absl::string_view token(offer.token.data(), offer.token.size());
    return {{"way",
             {{"address", offer.address},
              {"token", absl::BytesToHexString(token)},
              {"bytes", offer.bytes}}}};
  }
  QmpValue operator()(const Refuse& refuse) const {
    return {{"refuse", refuse.why.substr(0, why_bytes_max)}};
  }
  QmpValue operator()(const Arrived&) const { return {{"arrived", true}}; }
  QmpValue operator()(const Whole&) const { return {{"whole", true}}; }
  QmpValue operator()(const Lost& lost) const {
    return {{"lost", lost.why.substr(0, why_bytes_max)}};
  }
};

absl::StatusOr<Frame> hello_of(const QmpValue& said, Hello::Kind kind) {
  if (qmp_number(said, "version") != protocol_version) {
    return malformed_handshake("its protocol version is not 1; run the same release on both nodes");
  }
  auto migration = EventId::parse(qmp_text(said, "migration"));
  if (!migration.ok()) return malformed_handshake("its migration is no event");
  Hello hello{qmp_text(said, "vm"), qmp_number(said, "epoch"), *std::move(migration), kind,
              qmp_flag(said, "tls")};
  if (hello.vm.empty()) return malformed_handshake("it names no VM");
  return hello;
}

absl::StatusOr<Frame> probe_of(const QmpValue& said) {
  if (qmp_number(said, "version") != protocol_version)
    return malformed_handshake("its protocol version is not 1; run the same release on both nodes");
  return Probe{qmp_flag(said, "measure")};
}

absl::StatusOr<Accept> accept_of(const QmpValue& said) {
  const std::string hex = qmp_text(said, "token");
  const bool right = hex.size() == 2 * token_bytes &&
                     hex.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!right) return malformed_handshake("its token is not of 32 hexadecimal digits");
  Accept accept{qmp_text(said, "address"), absl::HexStringToBytes(hex),
                qmp_flag(said, "post_copy")};
  if (accept.address.empty()) return malformed_handshake("it has no address");
  return accept;
}

}  // namespace

std::string encode(const Frame& frame) {
  return std::visit(Encoder(), frame).dump(-1, ' ', false, QmpValue::error_handler_t::replace);
}

absl::StatusOr<Frame> decode(std::string_view bytes) {
  if (bytes.size() > frame_bytes_max) return malformed_handshake("it is too long");
  const QmpValue json = QmpValue::parse(
      bytes,
      [](int depth, QmpValue::parse_event_t, QmpValue&) {
        return depth <= static_cast<int>(handshake_depth_max);
      },
      /*allow_exceptions=*/false);
  if (!json.is_object() || json.size() != 1)
    return malformed_handshake("it is no JSON object of one member");
  const std::string kind = json.begin().key();
  const QmpValue& said = *json.begin();
  for (const Hello::Kind each : {Hello::Kind::hello, Hello::Kind::ask, Hello::Kind::again})
    if (kind == kinds[static_cast<std::size_t>(each)]) return hello_of(said, each);
  if (kind == "probe") return probe_of(said);
  if (kind == "accept" || kind == "way") {
    auto accept = accept_of(said);
    if (!accept.ok()) return accept.status();
    if (kind == "accept") return *std::move(accept);
    const std::uint64_t granted = qmp_number(said, "bytes");
    if (granted > way_bytes_max) return malformed_handshake("its way is to be tried with too much");
    return WayOffer{std::move(accept->address), std::move(accept->token), granted};
  }
  if (kind == "refuse" && said.is_string()) return Refuse{said.get<std::string>()};
  if (kind == "lost" && said.is_string()) return Lost{said.get<std::string>()};
  if (kind == "arrived" && said == true) return Arrived{};
  if (kind == "whole" && said == true) return Whole{};
  return malformed_handshake("it says nothing that is known");
}

}  // namespace supercloud::qemu_handshake
