#include "actors/gateway/metrics.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

void family(std::string& out, std::string_view name, std::string_view kind, std::string_view help) {
  absl::StrAppend(&out, "# HELP supercloud_gateway_", absl_view(name), " ", absl_view(help),
                  "\n# TYPE supercloud_gateway_", absl_view(name), " ", absl_view(kind), "\n");
}

void sample(std::string& out, std::string_view name, const GatewayMetrics::Count& value,
            std::string_view label = "", std::string_view label_value = "") {
  absl::StrAppend(&out, "supercloud_gateway_", absl_view(name));
  if (!label.empty())
    absl::StrAppend(&out, "{", absl_view(label), "=\"", absl_view(label_value), "\"}");
  absl::StrAppend(&out, " ", value.load(), "\n");
}

}  // namespace

void GatewayMetrics::rejected(int status) {
  switch (status) {
    case 400:
      ++bad_request;
      break;
    case 401:
      ++unauthorized;
      break;
    case 403:
      ++forbidden;
      break;
    case 503:
      ++too_many;
      break;
    default:
      ++refused_otherwise;
  }
}

std::string prometheus_text(const GatewayMetrics& metrics) {
  std::string out;
  const auto counter = [&](std::string_view name, const GatewayMetrics::Count& value,
                           std::string_view help) {
    family(out, name, "counter", help);
    sample(out, name, value);
  };
  const auto gauge = [&](std::string_view name, const GatewayMetrics::Count& value,
                         std::string_view help) {
    family(out, name, "gauge", help);
    sample(out, name, value);
  };
  family(out, "events_seen_total", "counter", "Events that came over the bus, by type.");
  for (std::size_t type = 0; type < GatewayMetrics::types_max; ++type) {
    if (metrics.seen[type] == 0) continue;
    const auto name = topic_of(static_cast<schema::Payload::Which>(type));
    sample(out, "events_seen_total", metrics.seen[type], "type", name.empty() ? "unknown" : name);
  }
  counter("events_sent_total", metrics.sent, "Events given to readers.");
  counter("sent_bytes_total", metrics.sent_bytes, "Bytes written to readers.");
  counter("gaps_total", metrics.gaps, "Gaps told to readers.");
  counter("bus_gaps_total", metrics.bus_gaps, "Gaps of the gateway's own on the bus.");
  family(out, "slow_readers_total", "counter", "Streams ended because their reader was too slow.");
  constexpr std::string_view kinds[slow_reader_kinds] = {"buffer", "stalled", "behind"};
  for (std::size_t kind = 0; kind < slow_reader_kinds; ++kind)
    sample(out, "slow_readers_total", metrics.slow[kind], "reason", kinds[kind]);
  family(out, "rejected_total", "counter", "Requests that were refused.");
  sample(out, "rejected_total", metrics.bad_request, "reason", "bad_request");
  sample(out, "rejected_total", metrics.unauthorized, "reason", "unauthorized");
  sample(out, "rejected_total", metrics.forbidden, "reason", "forbidden");
  sample(out, "rejected_total", metrics.too_many, "reason", "unavailable");
  sample(out, "rejected_total", metrics.refused_otherwise, "reason", "other");
  counter("pages_total", metrics.pages, "Pages of the nodes' logs that were asked for.");
  counter("pages_failed_total", metrics.pages_failed, "Pages that no node answered with.");
  gauge("nodes", metrics.nodes, "Nodes that show a sign of life.");
  gauge("subscribers", metrics.streams, "Event streams that are open.");
  gauge("connections", metrics.connections, "Connections that are open.");
  gauge("queue_bytes", metrics.queued_bytes, "Bytes that wait for readers, all together.");
  gauge("pages_waiting", metrics.pages_waiting, "Pages that readers wait for.");
  return out;
}

}  // namespace supercloud
