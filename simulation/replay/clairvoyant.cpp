#include "simulation/replay/clairvoyant.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/strings/str_cat.h"

namespace supercloud {
namespace {

constexpr int no_way = -1;

// How a state was come to: its last arrival, and the way before. Ways share their beginnings.
class Ways {
 public:
  // Holds `before` for as long as the new way is held, which begins with one holder.
  int arrive(int before, Schedule::Stay stay) {
    if (before != no_way) ++ways_[before].holders;
    int way = free_;
    if (way == no_way) {
      way = static_cast<int>(ways_.size());
      ways_.emplace_back();
    } else {
      free_ = ways_[way].before;
    }
    ways_[way] = {stay, before, 1};
    return way;
  }

  void drop(int way) {
    while (way != no_way && --ways_[way].holders == 0) {
      const int before = ways_[way].before;
      ways_[way].before = free_;
      free_ = way;
      way = before;
    }
  }

  Schedule schedule(int way) const {
    Schedule result;
    for (; way != no_way; way = ways_[way].before) result.stays.push_back(ways_[way].stay);
    std::reverse(result.stays.begin(), result.stays.end());
    return result;
  }

 private:
  struct Way {
    Schedule::Stay stay;
    int before = no_way;  // of free ones: the next free one
    int holders = 0;
  };
  std::vector<Way> ways_;
  int free_ = no_way;
};

struct State {
  std::int64_t cost = std::numeric_limits<std::int64_t>::max();
  int moves = 0;
  int way = no_way;  // none: nobody is here

  bool reached() const { return way != no_way; }
  bool better_than(const State& other) const {
    if (!reached() || !other.reached()) return reached();
    return cost != other.cost ? cost < other.cost : moves < other.moves;
  }
  State plus(Money amount) const { return {cost + amount.nano_usd, moves, way}; }
};

// The states of one place (and one number of moves), by the step at which their unit began: a ring as long as a unit.
class Window {
 public:
  explicit Window(int unit_steps)
      : length_(unit_steps),
        states_(static_cast<std::size_t>(unit_steps)),
        queue_(static_cast<std::size_t>(unit_steps)) {}

  State& begun_at(int step) { return states_[static_cast<std::size_t>(step % length_)]; }
  bool empty() const { return reached_ == 0; }
  const std::vector<State>& states() const { return states_; }

  // The best of the states that began at `first` or later. `first` never falls.
  State best_since(int first) {
    while (size_ > 0 && queue_[head_] < first) pop_front();
    return size_ > 0 ? begun_at(queue_[head_]) : State{};
  }

  // Puts a state in the place of the one whose unit ends. Steps come one after the other, but for those after clear().
  void put(int step, const State& state) {
    State& slot = begun_at(step);
    reached_ += (state.reached() ? 1 : 0) - (slot.reached() ? 1 : 0);
    slot = state;
    if (size_ > 0 && queue_[head_] <= step - length_) pop_front();
    if (!state.reached()) return;
    while (size_ > 0 && !begun_at(back()).better_than(state)) --size_;
    ++size_;
    back() = step;
  }

  template <class F>
  void clear(const F& dropped) {
    for (State& state : states_) {
      if (state.reached()) dropped(state.way);
      state = {};
    }
    size_ = reached_ = 0;
  }

 private:
  int& back() {
    const int end = head_ + size_ - 1;
    return queue_[static_cast<std::size_t>(end < length_ ? end : end - length_)];
  }
  void pop_front() {
    head_ = head_ + 1 < length_ ? head_ + 1 : 0;
    --size_;
  }

  int length_;
  std::vector<State> states_;
  std::vector<int>
      queue_;  // ring of steps in order, each one's state the best of those that began no earlier
  int head_ = 0, size_ = 0, reached_ = 0;
};

class Search {
 public:
  // Without a budget moves are not told apart: one layer, which a move does not leave.
  Search(const ScheduleModel& model, std::optional<int> budget)
      : model_(model),
        grid_(model.grid()),
        places_(grid_.places()),
        layers_(budget ? *budget + 1 : 1),
        budgeted_(budget.has_value()),
        windows_(static_cast<std::size_t>(layers_ * places_), Window(model.unit_steps())),
        leaving_(windows_.size()) {}

  void run() {
    const std::optional<int>& start = model_.costs().start;
    for (int place = 0; place < places_; ++place) {
      if ((start && *start != place) || !model_.usable(place, 0)) continue;
      const int way = ways_.arrive(no_way, {0, place});
      window(0, place).put(0, {model_.unit(place, 0).nano_usd, 0, way});
    }
    for (int step = 1; step < grid_.steps(); ++step) {
      const int layers = std::min(layers_, step + 1);  // there is one move per step at most
      for (int layer = 0; layer < layers; ++layer)
        for (int place = 0; place < places_; ++place)
          leaving_[index(layer, place)] = best_leaving(window(layer, place), place, step);
      for (int layer = 0; layer < layers; ++layer)
        for (int place = 0; place < places_; ++place) go_on(layer, place, step);
      for (const int way : dropped_) ways_.drop(way);
      dropped_.clear();
    }
  }

  // The best with exactly `layer` moves, or of any number without a budget.
  State best(int layer) {
    State result;
    for (int place = 0; place < places_; ++place)
      for (const State& state : window(layer, place).states())
        if (state.better_than(result)) result = state;
    return result;
  }

  Clairvoyance told(const State& state) const {
    return {Money{state.cost}, ways_.schedule(state.way)};
  }

 private:
  std::size_t index(int layer, int place) const {
    return static_cast<std::size_t>(layer * places_ + place);
  }
  Window& window(int layer, int place) { return windows_[index(layer, place)]; }

  State best_leaving(Window& window, int place, int step) const {
    if (window.empty()) return {};
    const int oldest = step - model_.unit_steps();
    const bool refunded = model_.costs().refunds && !model_.usable(place, step);
    // What the hold may outlast, and what is refunded, each has its own price of leaving; for all others it is nothing.
    const int alike = refunded ? step : oldest + model_.held_steps();
    State result = window.best_since(alike);
    for (int begun = std::max(oldest, 0); begun < alike; ++begun) {
      const State& state = window.begun_at(begun);
      if (!state.reached()) continue;
      const State left = state.plus(model_.leave(place, begun, step));
      if (left.better_than(result)) result = left;
    }
    return result;
  }

  State best_arrival(int layer, int place) const {
    State result;
    const int from = budgeted_ ? layer - 1 : layer;
    if (from < 0) return result;
    for (int other = 0; other < places_; ++other) {
      const State& left = leaving_[index(from, other)];
      if (other == place || !left.reached()) continue;
      const State arrival = left.plus(model_.move(other, place));
      if (arrival.better_than(result)) result = arrival;
    }
    ++result.moves;
    return result;
  }

  // Of a place: the state whose unit ends goes on, or is replaced by an arrival.
  void go_on(int layer, int place, int step) {
    Window& here = window(layer, place);
    if (!model_.usable(place, step)) {
      if (!here.empty()) here.clear([this](int way) { dropped_.push_back(way); });
      return;
    }
    State state = here.begun_at(step);  // still the one that began a unit ago
    const State arrival = best_arrival(layer, place);
    if (arrival.better_than(state)) {
      if (state.reached()) dropped_.push_back(state.way);
      state = arrival;
      state.way = ways_.arrive(arrival.way, {step, place});
    }
    here.put(step, state.reached() ? state.plus(model_.unit(place, step)) : state);
  }

  const ScheduleModel& model_;
  const PriceGrid& grid_;
  const int places_;
  const int layers_;
  const bool budgeted_;
  std::vector<Window> windows_;
  std::vector<State> leaving_;  // the best to leave each window at this step
  Ways ways_;
  std::vector<int> dropped_;  // within this step; until its end others may still come that way
};

absl::Status nowhere(const ScheduleModel& model) {
  return absl::FailedPreconditionError(absl::StrCat(
      "between ", absl::FormatTime(model.grid().from(), absl::UTCTimeZone()), " and ",
      absl::FormatTime(model.grid().to(), absl::UTCTimeZone()),
      " there is a time at which the VM can be nowhere; let it go on-demand, too, or bid more"));
}

}  // namespace

absl::StatusOr<Clairvoyance> clairvoyant(const ScheduleModel& model) {
  Search search(model, std::nullopt);
  search.run();
  const State best = search.best(0);
  if (!best.reached()) return nowhere(model);
  return search.told(best);
}

std::optional<int> fewest_moves(const ScheduleModel& model) {
  const int places = model.grid().places();
  const std::optional<int>& start = model.costs().start;
  // To be at each place; nullopt: nobody can be there.
  std::vector<std::optional<int>> here(static_cast<std::size_t>(places));
  for (int place = 0; place < places; ++place)
    if ((!start || *start == place) && model.usable(place, 0)) here[place] = 0;
  std::optional<int> fewest = 0;
  const auto fewer = [](std::optional<int> a, std::optional<int> b) {
    return !a || (b && *b < *a) ? b : a;
  };
  for (int step = 1; step <= model.grid().steps(); ++step) {
    fewest.reset();
    for (const std::optional<int>& moves : here) fewest = fewer(fewest, moves);
    if (!fewest || step == model.grid().steps()) break;
    for (int place = 0; place < places; ++place)
      here[place] = model.usable(place, step) ? fewer(here[place], *fewest + 1) : std::nullopt;
  }
  return fewest;
}

absl::StatusOr<std::vector<std::optional<Clairvoyance>>> clairvoyant_curve(
    const ScheduleModel& model, const std::vector<int>& budgets) {
  const absl::StatusOr<Clairvoyance> unlimited = clairvoyant(model);
  if (!unlimited.ok()) return unlimited.status();
  int most = -1;
  for (const int budget : budgets) {
    if (budget < 0) return absl::InvalidArgumentError("a budget of moves cannot be below zero");
    if (budget < unlimited->schedule.moves()) most = std::max(most, budget);
  }
  std::vector<std::optional<Clairvoyance>> with_at_most(static_cast<std::size_t>(most + 1));
  if (most >= 0) {
    Search search(model, most);
    search.run();
    State best;
    for (int moves = 0; moves <= most; ++moves) {
      const State state = search.best(moves);
      if (state.better_than(best)) best = state;
      if (best.reached()) with_at_most[static_cast<std::size_t>(moves)] = search.told(best);
    }
  }
  std::vector<std::optional<Clairvoyance>> result;
  for (const int budget : budgets) {
    if (budget <= most) {
      result.push_back(with_at_most[static_cast<std::size_t>(budget)]);
    } else {
      result.emplace_back(*unlimited);
    }
  }
  return result;
}

absl::StatusOr<Clairvoyance> clairvoyant_with_moves(const ScheduleModel& model, int budget) {
  auto curve = clairvoyant_curve(model, {budget});
  if (!curve.ok()) return curve.status();
  if (!curve->front()) {
    return absl::FailedPreconditionError(
        absl::StrCat("with at most ", budget, " moves the VM would be taken by the cloud; allow ",
                     fewest_moves(model).value_or(budget + 1), ", or let it go on-demand, too"));
  }
  return *std::move(curve->front());
}

}  // namespace supercloud
