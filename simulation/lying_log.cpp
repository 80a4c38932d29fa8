#include "simulation/lying_log.h"

#include <memory>

#include "core/json.h"

namespace supercloud {

Event reconstructed(EventPool& pool, const Event& event) {
  std::string json = to_json(event);
  constexpr std::string_view truth = "\"reconstructed\":false";
  const std::size_t at = json.find(truth);
  if (at == std::string::npos) return event;
  json.replace(at, truth.size(), "\"reconstructed\":true");
  absl::StatusOr<Event> lie = event_from_json(pool, json);
  return lie.ok() ? *std::move(lie) : event;
}

void LyingLog::read_stream(StreamRange range, std::size_t bytes_max, Reply<StreamPart> reply) {
  auto shared = std::make_shared<Reply<StreamPart>>(std::move(reply));
  const std::uint64_t one_in = random_.between(1, 2);
  real_.read_stream(std::move(range), bytes_max,
                    Reply<StreamPart>(shared->deadline(),
                                      [this, shared, one_in](absl::StatusOr<StreamPart> part) {
                                        if (part.ok()) {
                                          for (Event& event : part->events)
                                            if (event.sequence() % one_in == 0)
                                              event = reconstructed(pool_, event);
                                        }
                                        (*shared)(std::move(part));
                                      }));
}

}  // namespace supercloud
