#include "simulation/replay/schedule.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "actors/ledger/billing.h"

namespace supercloud {
namespace {

absl::Status bad_costs(const std::string& why) {
  return absl::InvalidArgumentError(absl::StrCat("costs of a schedule: ", why));
}

absl::Status check_costs(const PriceGrid& grid, const ScheduleCosts& costs) {
  const std::string step = absl::FormatDuration(grid.step());
  if (costs.hour < grid.step() || costs.hour % grid.step() != absl::ZeroDuration()) {
    return bad_costs(absl::StrCat("a billing hour of ", absl::FormatDuration(costs.hour),
                                  " is not a multiple of the grid's step of ", step,
                                  "; read the prices with a step that divides it"));
  }
  if (std::min({costs.launch, costs.migration, costs.notice, costs.blackout}) <
      absl::ZeroDuration()) {
    return bad_costs("launch, migration, notice and blackout cannot be below zero");
  }
  if (costs.launch + costs.migration >= costs.hour || costs.notice >= costs.hour) {
    return bad_costs(absl::StrCat(
        "launch and migration together, and notice, must be shorter than a billing hour, ",
        absl::FormatDuration(costs.hour)));
  }
  if (costs.transfer_bytes < 0) return bad_costs("the bytes of a move cannot be below zero");
  if (costs.start && (*costs.start < 0 || *costs.start >= grid.places())) {
    return bad_costs(absl::StrCat("the VM begins at place ", *costs.start, " of ", grid.places()));
  }
  return absl::OkStatus();
}

std::string schedule_time(absl::Time at) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", at, absl::UTCTimeZone());
}

std::string per_hour(Money price) {
  return absl::StrFormat("%.4f", static_cast<double>(price.nano_usd) / 1e9);
}

}  // namespace

absl::StatusOr<ScheduleModel> ScheduleModel::create(const PriceGrid& grid,
                                                    const ScheduleCosts& costs) {
  if (absl::Status status = check_costs(grid, costs); !status.ok()) return status;
  ScheduleModel model(grid, costs);
  model.hold_ = costs.launch + costs.migration;
  const auto held = static_cast<int>(absl::Ceil(model.hold_, grid.step()) / grid.step());
  if (costs.billing == schema::Billing::HOURLY) {
    model.unit_steps_ = static_cast<int>(costs.hour / grid.step());
  }
  model.held_steps_ = std::min(held, model.unit_steps_);
  model.down_ = supercloud::cost(costs.downtime_per_hour, costs.blackout);
  for (int from = 0; from < grid.places(); ++from) {
    model.find_usable(from);
    for (int to = 0; to < grid.places(); ++to) {
      Money move = model.down_;
      if (costs.egress_per_gib && from != to)
        move += transfer_cost(costs.egress_per_gib(grid.place(from), grid.place(to)),
                              static_cast<std::uint64_t>(costs.transfer_bytes));
      model.moves_.push_back(move);
    }
  }
  return model;
}

void ScheduleModel::find_usable(int place) {
  std::vector<std::uint8_t>& usable = usable_.emplace_back();
  usable.reserve(static_cast<std::size_t>(grid_->steps()));
  for (int step = 0; step < grid_->steps(); ++step)
    usable.push_back(grid_->known(place, step) ? 1 : 0);
  const absl::Duration early = std::max(hold_ - costs_.notice, absl::ZeroDuration());
  for (const auto& [step, at] : grid_->exceeded(place)) {
    const absl::Duration into = at - grid_->time_of(step);
    const absl::Duration before = std::max(early - into, absl::ZeroDuration());
    const auto steps_before = static_cast<int>(absl::Ceil(before, grid_->step()) / grid_->step());
    for (int i = std::max(step - steps_before, 0); i <= step; ++i)
      usable[static_cast<std::size_t>(i)] = 0;
  }
}

Money ScheduleModel::unit(int place, int step) const {
  if (costs_.billing == schema::Billing::PER_SECOND) return grid_->paid(place, step, step + 1);
  const Money price = grid_->price(place, step);
  const absl::Duration paid = std::min(costs_.hour, grid_->step() * (grid_->steps() - step));
  return paid == absl::Hours(1) ? price : supercloud::cost(price, paid);
}

Money ScheduleModel::leave(int place, int begun, int step) const {
  if (costs_.billing == schema::Billing::PER_SECOND) {
    const auto whole = static_cast<int>(hold_ / grid_->step());
    if (step + whole >= grid_->steps()) return grid_->paid(place, step, grid_->steps());
    return grid_->paid(place, step, step + whole, hold_ - grid_->step() * whole);
  }
  const int end = begun + unit_steps_;
  const absl::Duration rest = grid_->step() * (end - step);
  if (costs_.refunds && !usable(place, step)) {
    const auto& all = grid_->exceeded(place);
    const auto first = std::lower_bound(
        all.begin(), all.end(), step,
        [](const std::pair<int, absl::Time>& at, int sought) { return at.first < sought; });
    if (first != all.end()) {
      const absl::Duration taken = grid_->step() * (first->first - step) +
                                   (first->second - grid_->time_of(first->first)) + costs_.notice;
      // Hours that are over by then are paid, and the one that has begun is free.
      if (rest > taken) return Money{} - unit(place, begun);
      Money whole;
      for (int hour = end; hour < grid_->steps(); hour += unit_steps_) {
        if (grid_->step() * (hour + unit_steps_ - step) > taken) break;
        whole += unit(place, hour);
      }
      return whole;
    }
  }
  return end < grid_->steps() && rest < hold_ ? unit(place, end) : Money{};
}

absl::StatusOr<std::vector<ScheduleModel::Paid>> ScheduleModel::payments(
    const Schedule& schedule) const {
  const auto& stays = schedule.stays;
  if (stays.empty() || stays.front().step != 0) {
    return absl::InvalidArgumentError("a schedule begins at step 0");
  }
  const bool hourly = costs_.billing == schema::Billing::HOURLY;
  const int together =
      hourly ? unit_steps_ : std::max(static_cast<int>(costs_.hour / grid_->step()), 1);
  std::vector<Paid> result;
  for (std::size_t i = 0; i < stays.size(); ++i) {
    const auto [from, place] = stays[i];
    const int to = i + 1 < stays.size() ? stays[i + 1].step : grid_->steps();
    if (from >= to || place < 0 || place >= grid_->places() ||
        (i > 0 && stays[i - 1].place == place)) {
      return absl::InvalidArgumentError(absl::StrCat("stay ", i, " of the schedule, at place ",
                                                     place, " from step ", from, " to ", to,
                                                     ", is none, or no move"));
    }
    for (int step = from; step < to; ++step) {
      if (usable(place, step)) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "the VM cannot be at ", grid_->place(place).id(), " at ",
          schedule_time(grid_->time_of(step)),
          grid_->known(place, step) ? ": the price exceeds the bid" : ": there is no price yet"));
    }
    if (i > 0) {
      result.push_back({from, move(stays[i - 1].place, place) - down_, &ReplayStrategy::transfer});
      result.push_back({from, down_, &ReplayStrategy::downtime});
    }
    int begun = from;
    for (int step = from; step < to; step += together) {
      result.push_back({step, hourly ? unit(place, step)
                                     : grid_->paid(place, step, std::min(step + together, to))});
      begun = step;
    }
    if (i + 1 < stays.size()) result.push_back({to, leave(place, begun, to)});
  }
  return result;
}

absl::StatusOr<Money> ScheduleModel::cost(const Schedule& schedule) const {
  const auto paid = payments(schedule);
  if (!paid.ok()) return paid.status();
  Money sum;
  for (const Paid& payment : *paid) sum += payment.amount;
  return sum;
}

absl::StatusOr<ReplayStrategy> ScheduleModel::strategy(const Schedule& schedule, std::string name,
                                                       const std::string& vm) const {
  const auto paid = payments(schedule);
  if (!paid.ok()) return paid.status();
  ReplayStrategy result;
  result.name = std::move(name);
  for (const Paid& payment : *paid) {
    result.cost += payment.amount;
    result.*payment.of += payment.amount;
    const absl::Time at = grid_->time_of(payment.step);
    if (!result.cumulative.empty() && result.cumulative.back().first == at) {
      result.cumulative.back().second = result.cost;
    } else {
      result.cumulative.emplace_back(at, result.cost);
    }
  }
  result.moves = schedule.moves();
  result.down = costs_.blackout * schedule.moves();
  for (std::size_t i = 0; i < schedule.stays.size(); ++i) {
    const auto [step, place] = schedule.stays[i];
    ReplayStay stay;
    stay.vm = vm;
    stay.from = grid_->time_of(step);
    stay.to =
        i + 1 < schedule.stays.size() ? grid_->time_of(schedule.stays[i + 1].step) : grid_->to();
    stay.place = grid_->place(place).id();
    if (i == 0) {
      stay.reason = "it begins here";
    } else {
      const int before = schedule.stays[i - 1].place;
      stay.flight = !usable(before, step);
      result.revocations += stay.flight ? 1 : 0;
      stay.reason =
          absl::StrCat(stay.flight ? "the cloud takes the other" : "what follows is known", "; ",
                       per_hour(grid_->price(place, step)), " per hour here, ",
                       per_hour(grid_->price(before, step)), " at ", grid_->place(before).id());
    }
    result.stays.push_back(std::move(stay));
  }
  return result;
}

}  // namespace supercloud
