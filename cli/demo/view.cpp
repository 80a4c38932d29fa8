#include "cli/demo/view.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

constexpr const char* bold = "\x1b[1m";
constexpr const char* dim = "\x1b[2m";
constexpr const char* red = "\x1b[31m";
constexpr const char* green = "\x1b[32m";
constexpr const char* yellow = "\x1b[33m";
constexpr const char* cyan = "\x1b[36m";
constexpr const char* plain = "\x1b[0m";

constexpr std::size_t bar_width = 20;
constexpr std::size_t history_width = 24;
constexpr absl::Duration history_step = absl::Minutes(30);

std::size_t glyphs(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

// The first `width` glyphs.
std::string cut(std::string_view text, std::size_t width) {
  std::size_t seen = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;
    if (seen == width) return std::string(text.substr(0, i));
    ++seen;
  }
  return std::string(text);
}

class Line {
 public:
  explicit Line(int columns) : left_(static_cast<std::size_t>(std::max(columns - 1, 10))) {}
  // Cut or filled up to `width`; 0: as it is.
  Line& put(std::string_view text, const char* style = nullptr, std::size_t width = 0) {
    std::string shown = cut(text, std::min(width == 0 ? left_ : width, left_));
    const std::size_t wide = glyphs(shown);
    if (width > wide) shown.append(std::min(width, left_) - wide, ' ');
    left_ -= std::min(left_, glyphs(shown));
    if (style != nullptr)
      absl::StrAppend(&out_, style, shown, plain);
    else
      out_ += shown;
    return *this;
  }
  std::string done() const { return out_ + "\n"; }

 private:
  std::string out_;
  std::size_t left_;
};

std::string price(Money money) {
  return absl::StrFormat("%.4f", static_cast<double>(money.nano_usd) / 1e9);
}
std::string clock(absl::Time time) {
  return absl::FormatTime("%a %H:%M", time, absl::UTCTimeZone());
}

std::string age(absl::Duration span) {
  const auto minutes = absl::ToInt64Minutes(span);
  if (minutes < 0) return "";
  if (minutes < 120) return absl::StrCat(minutes, " min");
  if (minutes < 48 * 60) return absl::StrCat(minutes / 60, " h");
  return absl::StrCat(minutes / 60 / 24, " days");
}

// The price as it was, a step of time for each glyph; full height: twice the price of on-demand.
std::string history(const DemoStory::Place& place, absl::Time now, Money full) {
  static const char* const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string drawn;
  for (std::size_t i = 0; i < history_width; ++i) {
    const absl::Time at = now - history_step * static_cast<std::int64_t>(history_width - 1 - i);
    Money then{-1};
    for (const auto& [since, was] : place.prices)
      if (since <= at) then = was;
    if (then.nano_usd < 0 || full.nano_usd <= 0) {
      drawn += " ";
      continue;
    }
    drawn += heights[std::clamp<std::int64_t>(then.nano_usd * 8 / full.nano_usd, 0, 7)];
  }
  return drawn;
}

std::string bar(std::uint32_t percent) {
  std::string drawn;
  for (std::size_t i = 0; i < bar_width; ++i) drawn += i * 100 < percent * bar_width ? "█" : "░";
  return drawn;
}

}  // namespace

std::string draw(const DemoStory& story, const ViewFrame& frame) {
  std::string screen;
  const bool real = !frame.guests.empty();
  const auto line = [&] { return Line(frame.columns); };
  const auto add = [&](const Line& made) { screen += made.done(); };
  const auto section = [&](std::string_view title) {
    screen += "\n";
    add(line().put(title, bold));
  };

  if (frame.until_market > absl::ZeroDuration()) {
    add(line()
            .put("SUPERCLOUD DEMO", bold)
            .put(absl::StrFormat("   the site is up, the market opens in %.0f s",
                                 absl::ToDoubleSeconds(frame.until_market)),
                 yellow));
  } else {
    add(line()
            .put("SUPERCLOUD DEMO", bold)
            .put(absl::StrCat(
                     "   market time ",
                     absl::FormatTime("%a %d %b %Y %H:%M", frame.market, absl::UTCTimeZone()),
                     "   "),
                 cyan)
            .put(absl::StrFormat("%.0f of %.0f s, 1 s = %s", absl::ToDoubleSeconds(frame.elapsed),
                                 absl::ToDoubleSeconds(frame.duration),
                                 absl::FormatDuration(absl::Seconds(frame.speed)))));
  }
  add(line().put(absl::StrCat("real: ", frame.processes,
                              " node processes, ZeroMQ bus, logs and leases on RocksDB",
                              real ? ", guests of " : "", frame.guests),
                 dim));
  add(line().put(absl::StrCat("simulated: cloud, ", real ? "machines" : "machines, guests",
                              "; prices: ", frame.prices),
                 dim));

  Money on_demand;
  const DemoStory::Place* cheapest = nullptr;
  for (const DemoStory::Place& place : story.places()) {
    if (!place.spot) on_demand = place.price;
    if (place.known && (cheapest == nullptr || place.price < cheapest->price)) cheapest = &place;
  }
  section("PLACE         TRUST   USD/h  SINCE     LAST 12 HOURS             VMS");
  for (const DemoStory::Place& place : story.places()) {
    std::string vms;
    for (const DemoStory::Vm& vm : story.vms())
      if (!vm.node.empty() && vm.state != "lost" && vm.state != "failed" &&
          story.place_of_node(vm.node) == place.name)
        absl::StrAppend(&vms, vms.empty() ? "" : " ", vm.name);
    const bool dear =
        place.spot && place.known && place.price > on_demand && on_demand.nano_usd > 0;
    const char* colour = dear ? red : &place == cheapest ? green : nullptr;
    Line made = line();
    made.put(place.name, nullptr, 14).put(place.trusted ? "high" : "low", nullptr, 6);
    made.put(place.known ? price(place.price) : "     ?", colour, 8).put(" ", nullptr, 1);
    made.put(place.known ? age(frame.market - place.since) : "", dim, 10);
    made.put(place.spot ? history(place, frame.market, {on_demand.nano_usd * 2}) : "",
             colour == nullptr ? dim : colour, history_width)
        .put("  ");
    if (place.nodes.empty())
      made.put("no instance", dim);
    else if (!place.noticed.empty())
      made.put("NOTICE ", red).put(vms, bold);
    else
      made.put(vms, bold);
    add(made);
  }

  section(absl::StrCat("VM     POLICY    NEEDS       AT            MOVES  ",
                       real ? "COUNTS     " : "", "WHY IT IS THERE"));
  const auto moves = story.moves_under_way();
  for (const DemoStory::Vm& vm : story.vms()) {
    const bool moving = std::any_of(moves.begin(), moves.end(), [&](const DemoStory::Move& move) {
      return move.vm == vm.name && move.accepted;
    });
    const bool trouble = vm.state == "lost" || vm.state == "failed";
    Line made = line();
    made.put(vm.name, bold, 7)
        .put(vm.policy, nullptr, 10)
        .put(vm.needs.empty() ? "-" : vm.needs, nullptr, 12);
    made.put(vm.node.empty() || vm.state != "running" ? vm.state : story.place_of_node(vm.node),
             trouble  ? red
             : moving ? yellow
                      : nullptr,
             14);
    made.put(absl::StrCat(vm.moves), nullptr, 7);
    if (const auto count = frame.counts.find(vm.name); count != frame.counts.end())
      made.put(count->second, count->second == counts_broken ? red : green, 11);
    made.put(vm.reason, dim);
    add(made);
  }

  section("MOVES UNDER WAY");
  int shown = 0;
  for (const DemoStory::Move& move : moves) {
    if (++shown > 4) break;
    Line made = line();
    made.put(move.vm, bold, 7).put(absl::StrCat(move.from, " → ", move.to), yellow, 26);
    made.put(bar(move.percent), move.noticed ? red : green)
        .put(absl::StrFormat(" %3d %%  ", move.percent))
        .put(move.stage, dim);
    add(made);
  }
  for (; shown < 4; ++shown) screen += "\n";

  const Money instead = story.on_demand_cost(frame.market);
  const std::int64_t saved = instead.nano_usd - story.spent().nano_usd;
  screen += "\n";
  add(line()
          .put("MONEY  ", bold)
          .put(absl::StrCat("spent ", price(story.spent()), " USD; all on on-demand ",
                            price(instead), " USD; "))
          .put(absl::StrCat("saved ", price({saved}), " USD",
                            instead.nano_usd > 0
                                ? absl::StrFormat(" (%d %%)", saved * 100 / instead.nano_usd)
                                : std::string()),
               saved >= 0 ? green : red)
          .put(absl::StrCat("   idle instances ", price(story.idle()), " USD"), dim));

  section("WHAT HAPPENED");
  const int used = static_cast<int>(std::count(screen.begin(), screen.end(), '\n'));
  const int room = std::max(3, frame.rows - used - 1);
  // Steps of a move stand in the section above.
  std::vector<const DemoStory::Line*> latest;
  for (auto told = story.lines().rbegin();
       told != story.lines().rend() && latest.size() < static_cast<std::size_t>(room); ++told)
    if (!told->step) latest.push_back(&*told);
  for (auto told = latest.rbegin(); told != latest.rend(); ++told)
    add(line().put(clock((*told)->market), dim, 10).put((*told)->text));
  return screen;
}

}  // namespace supercloud
