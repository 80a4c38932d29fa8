#include "cli/bench/told.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <ostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/measure/paired.h"
#include "cli/text_table.h"

namespace supercloud {
namespace {

constexpr absl::Duration redraw = absl::Milliseconds(100);
constexpr double too_early = 0.02;  // to say how long it will take

std::size_t columns() {
  winsize size = {};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col - 1U : 79;
}

std::string spell_rate(double per_second) { return absl::StrFormat("%.0f/s", per_second); }

void add_durations(const BenchResult& result, std::string& out) {
  std::vector<std::vector<std::string>> rows = {{"", "p50", "p90", "p99", "p99.9", "max", "count"}};
  for (const BenchMeasure& measure : result.measures) {
    if (measure.rate) continue;
    const BenchFigures& took = measure.took;
    rows.push_back({measure.what, spell_seconds(took.p50), spell_seconds(took.p90),
                    spell_seconds(took.p99), spell_seconds(took.p999), spell_seconds(took.max),
                    absl::StrCat(measure.count)});
  }
  if (rows.size() > 1) absl::StrAppend(&out, text_table(rows));
}

void add_rates(const BenchResult& result, std::string& out) {
  std::vector<std::vector<std::string>> rows = {{"", "median", "least", "most", "count"}};
  for (const BenchMeasure& measure : result.measures) {
    if (!measure.rate || measure.parts.empty()) continue;
    const auto [least, most] = std::minmax_element(measure.parts.begin(), measure.parts.end());
    rows.push_back({measure.what, spell_rate(median(measure.parts)), spell_rate(*least),
                    spell_rate(*most), absl::StrCat(measure.count)});
  }
  if (rows.size() > 1) absl::StrAppend(&out, text_table(rows));
}

void add_changes(const BenchComparison& comparison, std::string& out) {
  absl::StrAppend(&out, "\nbeside ", comparison.with, " (", comparison.earlier.sentence(), ")\n");
  std::vector<std::vector<std::string>> rows = {{"", "now", "then", "ratio", "95 %", ""}};
  for (const BenchChange& change : comparison.changes) {
    const bool rate = change.figure == "per_second";
    const auto spell = [rate](double value) {
      return rate ? spell_rate(value) : spell_seconds(value);
    };
    rows.push_back({rate ? change.measure : absl::StrCat(change.measure, " ", change.figure),
                    spell(change.now), spell(change.earlier), absl::StrFormat("%.2f", change.ratio),
                    absl::StrFormat("%.2f to %.2f", change.low, change.high), change.verdict});
  }
  absl::StrAppend(&out, rows.size() > 1 ? text_table(rows) : "  nothing in common\n");
}

}  // namespace

std::string bench_bar(const std::string& what, double done, absl::Duration left,
                      std::size_t width) {
  constexpr std::size_t length = 20;
  const auto full = static_cast<std::size_t>(std::clamp(done, 0.0, 1.0) * length);
  std::string line = absl::StrFormat("[%s%s] %3.0f %%  %s", std::string(full, '#'),
                                     std::string(length - full, '-'), done * 100, what);
  if (done >= too_early)
    absl::StrAppend(&line, ", ", absl::ToInt64Seconds(absl::Ceil(left, absl::Seconds(1))),
                    " s left");
  line.resize(std::min(line.size(), width));
  return line;
}

BenchProgress::BenchProgress(std::ostream& out, bool terminal, absl::Time start)
    : out_(out), terminal_(terminal), start_(start), next_(start) {}
BenchProgress::~BenchProgress() { clear(); }

void BenchProgress::show(absl::Time now, const std::string& what, double done) {
  if (!terminal_ || now < next_) return;
  next_ = now + redraw;
  shown_ = true;
  const absl::Duration left =
      done > 0 ? (now - start_) * ((1 - done) / done) : absl::ZeroDuration();
  out_ << "\r\x1b[K" << bench_bar(what, done, left, columns()) << std::flush;
}

void BenchProgress::clear() {
  if (shown_) out_ << "\r\x1b[K" << std::flush;
  shown_ = false;
}

std::string spell_seconds(std::optional<double> seconds) {
  if (!seconds) return "-";
  struct Unit {
    double seconds;
    const char* name;
  };
  for (const Unit unit : {Unit{1, "s"}, Unit{1e-3, "ms"}, Unit{1e-6, "us"}})
    if (*seconds >= unit.seconds)
      return absl::StrFormat("%.3g %s", *seconds / unit.seconds, unit.name);
  return absl::StrFormat("%.0f ns", *seconds * 1e9);
}

std::string bench_text(const BenchResult& result, const BenchComparison* comparison) {
  std::string out = absl::StrCat("between ", result.subject.sentence(), "\n");
  if (!result.complete)
    absl::StrAppend(&out, result.measures.empty()
                              ? "stopped before anything was measured\n"
                              : "stopped: this is what was measured until then\n");
  add_durations(result, out);
  add_rates(result, out);
  if (comparison != nullptr) add_changes(*comparison, out);
  return out;
}

}  // namespace supercloud
