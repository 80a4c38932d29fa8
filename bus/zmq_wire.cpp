#include "bus/zmq_wire.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "bus/wire_format.h"
#include "core/event.h"

namespace supercloud {
namespace {

class Writer : public WireWriter {
 public:
  using WireWriter::WireWriter;
  Writer& number(std::uint64_t value) {
    WireWriter::number(value);
    return *this;
  }
  Writer& string(std::string_view value) {
    WireWriter::string(value);
    return *this;
  }
  Writer& member(const Member& m) {
    return string(m.name).number(m.nonce).string(m.publish_endpoint).string(m.request_endpoint);
  }
  Writer& tail(const OriginTail& t) {
    return string(t.origin).number(t.incarnation).number(t.sequence);
  }
};

class Parser : public WireParser {
 public:
  using WireParser::WireParser;
  Member member() {
    Member m;
    m.name = name();
    m.nonce = number();
    m.publish_endpoint = name();
    m.request_endpoint = name();
    if (m.name.empty() || m.name.find('/') != std::string::npos) fail();
    return m;
  }
  OriginTail tail() {
    OriginTail t;
    t.origin = name();
    t.incarnation = number();
    t.sequence = number();
    return t;
  }
};

constexpr std::size_t tails_max = 65536;

struct Encode {
  std::string operator()(const Hello& m) const {
    return Writer("h").number(m.beat).member(m.self).number(m.client ? 1 : 0).take();
  }
  std::string operator()(const Welcome& m) const {
    Writer writer("w");
    writer.number(m.beat).member(m.self).number(m.members.size());
    for (const Member& member : m.members) writer.member(member);
    return writer.take();
  }
  std::string operator()(const Refusal& m) const { return status("x", m.why).take(); }
  std::string operator()(const WireRequest& m) const {
    return Writer("q").number(m.id).string(m.actor).string(m.bytes).take();
  }
  std::string operator()(const WireOnward& m) const {
    return Writer("o").number(m.id).string(m.node).string(m.actor).string(m.bytes).take();
  }
  std::string operator()(const WireAnswer& m) const {
    Writer writer("a");
    writer.number(m.id).number(static_cast<std::uint64_t>(m.value.status().code()));
    const auto message = m.value.status().message();
    writer.string({message.data(), message.size()});
    return writer.string(m.value.ok() ? std::string_view(*m.value) : std::string_view()).take();
  }
  static Writer status(std::string_view kind, const absl::Status& status) {
    Writer writer(kind);
    writer.number(static_cast<std::uint64_t>(status.code()));
    writer.string({status.message().data(), status.message().size()});
    return writer;
  }
};

absl::Status status_of(std::uint64_t code, const std::string& message) {
  constexpr std::uint64_t newest = static_cast<std::uint64_t>(absl::StatusCode::kUnauthenticated);
  return {code > newest ? absl::StatusCode::kUnknown : static_cast<absl::StatusCode>(code),
          message};
}

}  // namespace

std::string encode(const Control& control) { return std::visit(Encode(), control); }

absl::StatusOr<Control> decode_control(std::string_view frame) {
  if (frame.empty()) return absl::InvalidArgumentError("an empty frame");
  Parser parser(frame.substr(1));
  std::string_view what;
  Control control;
  switch (frame[0]) {
    case 'h': {
      what = "hello";
      Hello m;
      m.beat = parser.number();
      m.self = parser.member();
      m.client = parser.number() != 0;
      control = std::move(m);
      break;
    }
    case 'w': {
      what = "welcome";
      Welcome m;
      m.beat = parser.number();
      m.self = parser.member();
      const std::size_t count = parser.count(32, members_max);
      for (std::size_t i = 0; i < count; ++i) m.members.push_back(parser.member());
      control = std::move(m);
      break;
    }
    case 'x': {
      what = "refusal";
      const std::uint64_t code = parser.number();
      control = Refusal{status_of(code, parser.string(4096))};
      if (code == 0) return absl::InvalidArgumentError("a refusal that says OK");
      break;
    }
    case 'q': {
      what = "request";
      WireRequest m;
      m.id = parser.number();
      m.actor = parser.name();
      m.bytes = parser.string(request_bytes_max);
      control = std::move(m);
      break;
    }
    case 'o': {
      what = "request onward";
      WireOnward m;
      m.id = parser.number();
      m.node = parser.name();
      if (m.node.empty()) return absl::InvalidArgumentError("a request onward to no node");
      m.actor = parser.name();
      m.bytes = parser.string(request_bytes_max);
      control = std::move(m);
      break;
    }
    case 'a': {
      what = "answer";
      WireAnswer m;
      m.id = parser.number();
      const std::uint64_t code = parser.number();
      const std::string message = parser.string(65536);
      std::string bytes = parser.string(request_bytes_max);
      if (code == 0)
        m.value = std::move(bytes);
      else
        m.value = status_of(code, message);
      control = std::move(m);
      break;
    }
    default:
      return absl::InvalidArgumentError("a frame of no known kind");
  }
  if (absl::Status done = parser.done(what); !done.ok()) return done;
  return control;
}

std::string encode(const PublishWish& wish) {
  return Writer().string(wish.publisher).string(wish.json).take();
}

absl::StatusOr<PublishWish> decode_wish(std::string_view bytes) {
  Parser parser(bytes);
  PublishWish wish;
  wish.publisher = parser.name();
  wish.json = parser.string(request_bytes_max);
  if (absl::Status done = parser.done("wish to publish"); !done.ok()) return done;
  return wish;
}

std::string encode(const Marker& marker) {
  Writer writer;
  writer.string(marker.publisher).number(marker.nonce).number(marker.tails.size());
  for (const OriginTail& tail : marker.tails) writer.tail(tail);
  if (marker.together || marker.relays) writer.number(marker.together ? 1 : 0);
  if (marker.relays) {
    writer.number(marker.under ? 2 : 1);
    for (const OriginTail& tail : marker.tails) writer.number(tail.since).number(tail.passed);
    if (!marker.under) return writer.take();
    for (const OriginTail& tail : marker.tails) {
      writer.number(tail.under.size());
      for (const OriginTail::Under& under : tail.under)
        writer.string(under.prefix).number(under.sequence).number(under.since).number(under.begun);
    }
  }
  return writer.take();
}

absl::StatusOr<Marker> decode_marker(std::string_view frame) {
  Parser parser(frame);
  Marker marker;
  marker.publisher = parser.name();
  marker.nonce = parser.number();
  const std::size_t count = parser.count(24, tails_max);
  for (std::size_t i = 0; i < count; ++i) marker.tails.push_back(parser.tail());
  if (!parser.at_end()) marker.together = parser.number() != 0;
  if (!parser.at_end()) {
    const std::uint64_t relays = parser.number();
    marker.relays = relays != 0;
    marker.under = relays == 2;
  }
  if (marker.relays) {
    for (OriginTail& tail : marker.tails) {
      tail.since = parser.number();
      tail.passed = parser.number();
    }
  }
  if (marker.under) {
    for (OriginTail& tail : marker.tails) {
      const std::size_t prefixes = parser.count(32, tails_max);
      for (std::size_t i = 0; i < prefixes; ++i) {
        OriginTail::Under& under = tail.under.emplace_back();
        under.prefix = parser.name();
        under.sequence = parser.number();
        under.since = parser.number();
        under.begun = parser.number();
      }
      std::ranges::sort(tail.under, {}, &OriginTail::Under::prefix);
    }
  }
  if (absl::Status done = parser.done("marker"); !done.ok()) return done;
  return marker;
}

bool asks_together(std::string_view marker_topic) {
  constexpr char asked[] = {together_asked, '/'};
  return marker_topic.ends_with(std::string_view(asked, sizeof asked));
}

bool asks_relay(std::string_view marker_topic) {
  constexpr char asked[] = {relay_asked, together_asked, '/'};
  return marker_topic.ends_with(std::string_view(asked, sizeof asked));
}

bool asks_under(std::string_view marker_topic) {
  constexpr char asked[] = {under_asked, relay_asked, together_asked, '/'};
  return marker_topic.ends_with(std::string_view(asked, sizeof asked));
}

absl::StatusOr<std::string_view> take_event(std::string_view& rest) {
  // Of one segment: nothing, and how many words follow.
  constexpr std::size_t framing_bytes = 8, word_bytes = 8;
  std::uint32_t framing[2] = {0, 0};
  if (rest.size() >= framing_bytes) std::memcpy(framing, rest.data(), framing_bytes);
  const std::size_t size = framing_bytes + std::size_t{framing[1]} * word_bytes;
  if (rest.size() < size || framing[0] != 0)
    return absl::InvalidArgumentError("events together, one of which is cut short");
  const std::string_view event = rest.substr(0, size);
  rest.remove_prefix(size);
  return event;
}

}  // namespace supercloud
