#include "actors/observer/observer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "actors/observer/state_json.h"

namespace supercloud {
namespace {

constexpr const char* kept_patterns[] = {
    "migration.>",          "vm.>",         "storage.>", "network.>", "policy.considered.>",
    "spot.price_changed.>", "node.joined.>"};

}  // namespace

Observer::Observer(Context& context, ObserverOptions options)
    : context_(context),
      options_(options),
      past_(context, {.patterns = {std::begin(kept_patterns), std::end(kept_patterns)}},
            [this](const Event& event) { apply(event); }) {
  context_.subscribe(Pattern::of("node.capacity.>"));
  subscriptions_ = static_cast<int>(std::size(kept_patterns));
  for (const char* pattern : kept_patterns)
    context_.subscribe(Pattern::of(pattern), [this] {
      if (--subscriptions_ == 0) past_.read([] {});
    });
}

void Observer::receive(const Event& event) {
  past_.hear(event);
  apply(event);
}

void Observer::apply(const Event& event) {
  fold_.apply(event);
  fold_.keep(options_.migrations_max, options_.prices_per_place_max);
}

absl::StatusOr<std::string> Observer::states(std::string_view asked) const {
  std::vector<const MigrationState*> states;
  if (!asked.empty()) {
    states = fold_.migrations_like(asked);
    if (states.empty())
      return absl::NotFoundError(
          absl::StrCat("no migration has an id that begins with \"", std::string(asked), "\""));
  } else {
    for (const auto& [id, state] : fold_.migrations())
      if (!ended(state)) states.push_back(&state);
  }
  return absl::StrCat("{\"migrations\":[",
                      absl::StrJoin(states, ",",
                                    [](std::string* out, const MigrationState* state) {
                                      out->append(to_json(*state));
                                    }),
                      "]}");
}

void Observer::serve(Message<schema::Request> request, Answer answer) {
  if (!request.reader().isMigrationState())
    return Actor::serve(std::move(request), std::move(answer));
  const auto json = states(text(request.reader().getMigrationState()));
  if (!json.ok()) return answer(json.status());
  answer(Message<schema::Response>::build(
      [&](schema::Response::Builder response) { response.setJson(*json); }));
}

}  // namespace supercloud
