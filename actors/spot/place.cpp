#include "actors/spot/place.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/event.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::string_view spot_word = "spot";
constexpr std::string_view on_demand_word = "on-demand";

// Everything may stand in a field; "/", "%" and control characters are escaped.
bool is_escaped(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '/' || c == '%' || byte < 0x20 || byte == 0x7f;
}

void append_field(std::string& id, std::string_view field) {
  while (true) {
    const auto plain = std::ranges::find_if(field, is_escaped) - field.begin();
    id += field.substr(0, static_cast<std::size_t>(plain));
    field.remove_prefix(static_cast<std::size_t>(plain));
    if (field.empty()) break;
    id += absl::StrFormat("%%%02X", static_cast<unsigned char>(field.front()));
    field.remove_prefix(1);
  }
  id += '/';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool decode_field(std::string_view field, std::string& out) {
  for (std::size_t i = 0; i < field.size(); ++i) {
    if (field[i] != '%') {
      out += field[i];
      continue;
    }
    if (i + 2 >= field.size()) return false;
    const int high = hex_digit(field[i + 1]);
    const int low = hex_digit(field[i + 2]);
    if (high < 0 || low < 0) return false;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return true;
}

absl::Status malformed(std::string_view id, std::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("place \"", absl_view(id), "\": ", absl_view(what),
                   "; a place is written cloud/region/zone/type/spot or "
                   "cloud/region/zone/type/on-demand, with %2F "
                   "for a slash inside a name"));
}

}  // namespace

std::string PlaceName::id() const {
  std::string id;
  id.reserve(cloud.size() + region.size() + zone.size() + instance_type.size() + 16);
  append_field(id, cloud);
  append_field(id, region);
  append_field(id, zone);
  append_field(id, instance_type);
  id += spot ? spot_word : on_demand_word;
  return id;
}

absl::StatusOr<PlaceName> PlaceName::parse(std::string_view id) {
  PlaceName place;
  const std::array<std::string*, 4> fields = {&place.cloud, &place.region, &place.zone,
                                              &place.instance_type};
  constexpr std::array<std::string_view, 4> names = {"cloud", "region", "zone", "instance type"};
  std::string_view rest = id;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t slash = rest.find('/');
    if (slash == std::string_view::npos) {
      return malformed(id, "it has fewer than five parts");
    }
    const std::string_view field = rest.substr(0, slash);
    if (field.empty()) {
      const absl::string_view name(names[i].data(), names[i].size());
      return malformed(id, absl::StrCat("its ", name, " is empty"));
    }
    if (!decode_field(field, *fields[i]))
      return malformed(id, "a % is not followed by two hexadecimal digits");
    rest.remove_prefix(slash + 1);
  }
  if (rest == spot_word) {
    place.spot = true;
  } else if (rest == on_demand_word) {
    place.spot = false;
  } else {
    return malformed(id, "its last part is neither \"spot\" nor \"on-demand\"");
  }
  return place;
}

PlaceName place_name(schema::Place::Reader place) {
  return {std::string(text(place.getCloud())), std::string(text(place.getRegion())),
          std::string(text(place.getZone())), std::string(text(place.getInstanceType())),
          place.getSpot()};
}

void write_place(const PlaceName& place, const std::vector<LabelRule>& labels,
                 schema::Place::Builder builder) {
  const std::string id = place.id();
  builder.setId(id);
  builder.setCloud(place.cloud);
  builder.setRegion(place.region);
  builder.setZone(place.zone);
  builder.setInstanceType(place.instance_type);
  builder.setSpot(place.spot);
  std::vector<const LabelRule*> carried;
  for (const LabelRule& rule : labels) {
    if (id.starts_with(rule.place_prefix)) carried.push_back(&rule);
  }
  auto list = builder.initLabels(static_cast<unsigned>(carried.size()));
  for (unsigned i = 0; i < carried.size(); ++i) {
    list[i].setName(carried[i]->name);
    list[i].setValue(carried[i]->value);
  }
}

std::string place_subject(std::string_view place_id) {
  if (encode_token(place_id).size() <= token_bytes_max) return std::string(place_id);
  std::uint64_t digest = 0xcbf29ce484222325U;  // FNV-1a
  for (const char c : place_id) {
    digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  const std::string tail = absl::StrFormat("~%016x", digest);
  std::size_t length = place_id.size();
  std::string subject;
  do {
    subject = std::string(place_id.substr(0, --length)) + tail;
  } while (length > 0 && encode_token(subject).size() > token_bytes_max);
  return subject;
}

}  // namespace supercloud
