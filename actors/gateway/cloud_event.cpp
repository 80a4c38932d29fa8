#include "actors/gateway/cloud_event.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "core/json.h"

namespace supercloud {
namespace {

using Json = nlohmann::ordered_json;

std::string rfc3339(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E*SZ", time, absl::UTCTimeZone());
}

std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The member of the payload's union, as an object of its own: `type` says which it is.
Json payload_of(const Event& event) {
  std::string whole = to_json(event);
  Json json = Json::parse(whole, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) {  // text of another's that is no UTF-8
    for (char& c : whole)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
    json = Json::parse(whole, nullptr, false);
  }
  if (!json.is_object() || !json.contains("payload")) return nullptr;
  const Json& payload = json["payload"];
  return payload.is_object() && payload.size() == 1 ? payload.begin().value() : payload;
}

}  // namespace

std::string cloud_event_type(const Event& event) {
  if (const std::string_view known = topic_of(event.type()); !known.empty())
    return std::string(known);
  std::string prefix = topic_prefix(event.topic(), 2);
  prefix.pop_back();
  return prefix;
}

std::string cloud_event_json(const Event& event) {
  Json json = {{"specversion", "1.0"},
               {"id", event.id().to_string()},
               {"source", event.origin()},
               {"type", cloud_event_type(event)},
               {"time", rfc3339(event.time().wall())},
               {"subject", event.subject()},
               {"datacontenttype", "application/json"},
               {"correlationid", event.root().to_string()}};
  if (const EventId cause = event.cause(); !cause.empty()) json["causationid"] = cause.to_string();
  if (const EventId migration = event.migration(); !migration.empty())
    json["migrationid"] = migration.to_string();
  if (event.epoch() != 0) json["epoch"] = std::to_string(event.epoch());
  json["tenant"] = event.tenant();
  if (event.reader().getReconstructed()) json["reconstructed"] = true;
  json["data"] = payload_of(event);
  return one_line(json);
}

std::string gap_json(const MissedEvents& missed, std::string_view id, std::string_view source,
                     absl::Time time) {
  Json data = {{"origin", missed.origin},
               {"incarnation", std::to_string(missed.incarnation)},
               {"after", std::to_string(missed.after)},
               {"upTo", nullptr},
               {"why", missed.why}};
  if (missed.up_to) data["upTo"] = std::to_string(*missed.up_to);
  return one_line({{"specversion", "1.0"},
                   {"id", id},
                   {"source", source},
                   {"type", gap_type},
                   {"time", rfc3339(time)},
                   {"subject", missed.origin},
                   {"datacontenttype", "application/json"},
                   {"data", std::move(data)}});
}

std::string stream_message(std::string_view id, std::string_view type, std::string_view json) {
  std::string out;
  out.reserve(id.size() + type.size() + json.size() + 24);
  out.append("id: ").append(id).append("\nevent: ").append(type);
  out.append("\ndata: ").append(json).append("\n\n");
  return out;
}

}  // namespace supercloud
