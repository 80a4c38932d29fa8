#include "tests/process/torture/run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bus/gap_detector.h"
#include "core/event_loop.h"
#include "core/random.h"
#include "storage/rocks_event_log.h"
#include "tests/process/torture/links.h"
#include "tests/process/torture/member.h"
#include "tests/process/torture/plan.h"

extern char** environ;

namespace supercloud::torture {
namespace {

constexpr int look_ms = 10;
constexpr Duration step_max = absl::Seconds(120);  // for what has to come once all is healed
constexpr std::size_t faults_max = 3;              // at a time

enum class Fault : std::uint8_t { kill, stop, stop_and_kill, cut, stall };
constexpr std::size_t fault_kinds = 5;

class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options), random_(options.seed) {
    std::string folder = (std::filesystem::temp_directory_path() / "sc-torture-XXXXXX").string();
    if (::mkdtemp(folder.data()) == nullptr) std::abort();
    plan_.folder = folder;
    plan_.seed = options.seed;
    plan_.repair = options.repair;
    // About twenty seconds, and of more events a second where there are more.
    plan_.rate = static_cast<unsigned>(std::clamp<std::size_t>(options.events / 30, 200, 400));
    plan_.short_queues = options.short_queues;
    // No other run's, for the ports are always the same.
    const auto own = static_cast<unsigned>(::getpid());
    if (options.tcp)
      plan_.address =
          absl::StrCat("127.", 1 + own % 200, ".", own / 200 % 200, ".", 1 + options.seed % 250);
    members_.resize(plan_.members());
    busy_links_.resize(2 * plan_.members());
  }
  ~Run() {
    for (Member& member : members_) {
      if (member.pid > 0) ::kill(member.pid, SIGKILL), ::waitpid(member.pid, nullptr, 0);
      if (member.input >= 0) ::close(member.input);
    }
    std::error_code error;
    std::filesystem::remove_all(plan_.folder, error);
  }

  RunResult go() {
    const Instant began = clock_.now();
    if (options_.tcp && !plan_.make_keys().ok()) std::abort();
    for (std::size_t i = 0; i < plan_.members(); ++i)
      for (const bool requests : {false, true})
        links_.add(plan_.reached(i, requests), plan_.bound(i, requests));
    links_.start();
    for (std::size_t i = 0; i < plan_.members(); ++i) start(i);
    if (play()) finish();
    for (std::size_t i = 0; i < plan_.members(); ++i) end(i);
    if (result_.broken.empty()) weigh();
    result_.connections = links_.broken();
    result_.seconds = absl::ToDoubleSeconds(clock_.now() - began);
    return std::move(result_);
  }

 private:
  struct Member {
    pid_t pid = 0;  // 0: none lives
    int input = -1;
    unsigned life = 0;
    bool busy = false;                                 // with a fault
    std::vector<std::unique_ptr<RecordReader>> lives;  // what each wrote down
  };
  struct Active {
    Fault fault;
    std::size_t member;
    Instant until;
  };

  void broke(std::string what) { result_.broken.push_back(std::move(what)); }

  void start(std::size_t index) {
    Member& member = members_[index];
    ++member.life;
    ++result_.lives;
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
    std::vector<std::string> words = plan_.arguments(index, member.life);
    words.insert(words.begin(), {"torture", "member"});
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
    ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, plan_.file(index, "said").c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (::posix_spawn(&member.pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ) != 0)
      std::abort();
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[0]);
    member.input = ends[1];
    member.lives.push_back(std::make_unique<RecordReader>(plan_.records(index, member.life)));
  }

  void kill(std::size_t index) {
    Member& member = members_[index];
    ::kill(member.pid, SIGKILL);
    ::waitpid(member.pid, nullptr, 0);
    member.pid = 0;
    ::close(std::exchange(member.input, -1));
    ++result_.kills;
  }

  // The orderly end.
  void end(std::size_t index) {
    Member& member = members_[index];
    if (member.pid == 0) return;
    ::kill(member.pid, SIGCONT);
    ::close(std::exchange(member.input, -1));
    int status = 0;
    const Instant limit = clock_.now() + step_max;
    while (::waitpid(member.pid, &status, WNOHANG) == 0) {
      if (clock_.now() > limit) {
        ::kill(member.pid, SIGKILL);
        ::waitpid(member.pid, &status, 0);
        break;
      }
      ::poll(nullptr, 0, look_ms);
    }
    member.pid = 0;
    if (status != 0)
      broke(absl::StrCat(plan_.name(index), " ended with status ", status, said(index)));
  }

  std::string said(std::size_t index) const {
    std::ifstream file(plan_.file(index, "said"));
    const std::string all{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    return absl::StrCat(": ", all.substr(all.size() - std::min<std::size_t>(all.size(), 500)));
  }

  // Until `holds`, looking every few milliseconds; false: a process has died of itself, or it took too long.
  bool wait_until(const std::string& what, const std::function<bool()>& holds) {
    const Instant limit = clock_.now() + step_max;
    for (;;) {
      for (std::size_t i = 0; i < members_.size(); ++i) {
        int status = 0;
        if (members_[i].pid == 0 || ::waitpid(members_[i].pid, &status, WNOHANG) == 0) continue;
        members_[i].pid = 0;
        broke(absl::StrCat(plan_.name(i), " died with status ", status, said(i)));
        return false;
      }
      for (Member& member : members_)
        if (!member.lives.empty()) member.lives.back()->poll();
      if (holds()) return true;
      if (clock_.now() > limit) {
        broke(absl::StrCat("this did not come: ", what));
        return false;
      }
      ::poll(nullptr, 0, look_ms);
    }
  }

  std::size_t acknowledged(std::size_t member) const {
    std::size_t count = 0;
    for (const auto& life : members_[member].lives)
      for (const Record& record : life->records())
        count += record.note == Note::acknowledged ? 1 : 0;
    return count;
  }
  std::size_t acknowledged() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < plan_.publishers; ++i) count += acknowledged(i);
    return count;
  }
  bool has(std::size_t member, Note note, std::size_t times) const {
    const auto& records = members_[member].lives.back()->records();
    return std::count_if(records.begin(), records.end(), [note](const Record& record) {
             return record.note == note;
           }) >= static_cast<std::ptrdiff_t>(times);
  }
  bool all_ready() const {
    for (std::size_t i = plan_.publishers; i < plan_.members(); ++i)
      if (!has(i, Note::ready, plan_.origins().size())) return false;
    return true;
  }

  // ---- faults --------------------------------------------------------------------------------------------------------

  void set_links(std::size_t member, const std::function<void(std::size_t link)>& each) {
    for (const std::size_t link : {2 * member, 2 * member + 1}) each(link);
  }
  Instant in(std::int64_t low_ms, std::int64_t high_ms) {
    return clock_.now() + absl::Milliseconds(random_.between(low_ms, high_ms));
  }

  void begin(Fault fault, std::size_t index) {
    Member& member = members_[index];
    const auto seed = static_cast<unsigned>(random_.next());
    switch (fault) {
      case Fault::kill:
        kill(index);
        active_.push_back({fault, index, in(0, 1200)});
        break;
      case Fault::stop:
      case Fault::stop_and_kill:
        ::kill(member.pid, SIGSTOP);
        ++result_.stops;
        active_.push_back({fault, index, in(50, 2500)});
        break;
      case Fault::cut: {
        // All connections and no new ones for a while, or some, which may be made again at once.
        const bool all = random_.below(2) == 0;
        set_links(index, [&](std::size_t link) {
          links_.refuse(link, all);
          links_.cut(link, all ? 1 : 0.5, seed);
        });
        ++result_.cuts;
        active_.push_back({fault, index, in(0, all ? 1500 : 100)});
        break;
      }
      case Fault::stall:
        set_links(index, [&](std::size_t link) { links_.stall(link, true); });
        ++result_.stalls;
        active_.push_back({fault, index, in(50, 2500)});
        break;
    }
    if (fault == Fault::cut || fault == Fault::stall) {
      busy_links_[index] = true;
    } else {
      member.busy = true;
    }
  }

  void end_fault(const Active& active) {
    Member& member = members_[active.member];
    switch (active.fault) {
      case Fault::stop_and_kill:
        kill(active.member);
        start(active.member);
        break;
      case Fault::kill:
        start(active.member);
        break;
      case Fault::stop:
        ::kill(member.pid, SIGCONT);
        break;
      case Fault::cut:
        set_links(active.member, [&](std::size_t link) { links_.refuse(link, false); });
        break;
      case Fault::stall:
        set_links(active.member, [&](std::size_t link) { links_.stall(link, false); });
        break;
    }
    if (active.fault == Fault::cut || active.fault == Fault::stall) {
      busy_links_[active.member] = false;
    } else {
      member.busy = false;
    }
  }

  void end_faults(bool all) {
    for (std::size_t i = 0; i < active_.size();) {
      if (!all && active_[i].until > clock_.now()) {
        ++i;
        continue;
      }
      const Active over = active_[i];
      active_.erase(active_.begin() + static_cast<std::ptrdiff_t>(i));
      end_fault(over);
    }
  }

  // Each kind once, in some order, then whichever.
  Fault next_fault() {
    if (tried_ == 0)
      for (std::size_t i = order_.size(); i > 1; --i)
        std::swap(order_[i - 1], order_[random_.below(i)]);
    if (tried_ < order_.size()) return order_[tried_++];
    return static_cast<Fault>(random_.below(fault_kinds));
  }

  // False: the run cannot go on.
  bool play() {
    if (!wait_until("every subscriber is ready", [&] { return all_ready(); })) return false;
    // Whatever the seed: what is published over a broken link is lost on its way.
    set_links(0, [&](std::size_t link) { links_.refuse(link, true), links_.cut(link, 1, 0); });
    ++result_.cuts;
    const std::size_t before = acknowledged(0);
    if (!wait_until("events are published over a broken link",
                    [&] { return acknowledged(0) >= before + 200; }))
      return false;
    set_links(0, [&](std::size_t link) { links_.refuse(link, false); });

    Instant next = clock_.now();
    std::size_t progress = 0;
    while (acknowledged() < options_.events) {
      progress = acknowledged();
      // Faults go on whether or not there is progress; without any for long, the run is broken.
      const bool goes_on = wait_until("more events are acknowledged", [&] {
        end_faults(false);
        if (clock_.now() >= next && active_.size() < faults_max) {
          next = in(50, 500);
          const Fault fault = next_fault();
          const std::size_t index = random_.below(plan_.members());
          const bool link = fault == Fault::cut || fault == Fault::stall;
          // Without repair, a subscriber may be told late what it missed: one that is killed, never.
          const bool kill = fault == Fault::kill || fault == Fault::stop_and_kill;
          if (kill && !plan_.repair && !plan_.publishes(index)) return false;
          if (link ? !busy_links_[index] : !members_[index].busy) begin(fault, index);
        }
        return acknowledged() >= progress + 500;
      });
      if (!goes_on) return false;
    }
    end_faults(true);
    return true;
  }

  // ---- the end -------------------------------------------------------------------------------------------------------

  // Whether a subscriber has everything of every origin, or was told that it is missing.
  bool has_all(std::size_t subscriber, const std::map<std::uint8_t, Record>& last) const {
    std::map<std::uint8_t, std::uint64_t> got;
    for (const Record& record : members_[subscriber].lives.back()->records()) {
      if (record.note != Note::received && record.note != Note::gap) continue;
      std::uint64_t& to = got[record.origin];
      to = std::max(to, record.note == Note::gap ? record.previous : record.sequence);
    }
    return std::all_of(last.begin(), last.end(), [&](const auto& entry) {
      const auto found = got.find(entry.first);
      return found != got.end() && found->second >= entry.second.sequence;
    });
  }

  void finish() {
    const Instant healed = clock_.now();
    if (!wait_until("every subscriber is ready again", [&] { return all_ready(); })) return;
    // What is published last is lost on its way, too.
    set_links(0, [&](std::size_t link) { links_.refuse(link, true), links_.cut(link, 1, 0); });
    for (std::size_t i = 0; i < plan_.publishers; ++i)
      if (::write(members_[i].input, &finish_byte, 1) != 1)
        return broke("a publisher does not listen");
    const bool finished = wait_until("every publisher has finished", [&] {
      for (std::size_t i = 0; i < plan_.publishers; ++i)
        if (!has(i, Note::finished, 2)) return false;
      return true;
    });
    set_links(0, [&](std::size_t link) { links_.refuse(link, false); });
    if (!finished) return;
    std::map<std::uint8_t, Record> last;
    for (std::size_t i = 0; i < plan_.publishers; ++i)
      for (const Record& record : members_[i].lives.back()->records())
        if (record.note == Note::acknowledged) last[record.origin] = record;
    const bool reached = wait_until("every subscriber has everything", [&] {
      for (std::size_t i = plan_.publishers; i < plan_.members(); ++i)
        if (!has_all(i, last)) return false;
      return true;
    });
    if (reached) result_.catch_up_s = absl::ToDoubleSeconds(clock_.now() - healed);
  }

  // Every event of a member's log.
  void read_log(std::size_t member, const std::function<void(const Event&)>& each) {
    EventLoop loop;
    EventPool pool;
    auto log = RocksEventLog::open_read_only(loop, pool, {.path = plan_.file(member, "log")});
    if (!log.ok()) return broke(log.status().ToString());
    for (std::uint64_t from = 0;;) {
      std::optional<absl::StatusOr<LogPage>> page;
      (*log)->read(from, Pattern::of(">"), 4096,
                   Reply<LogPage>(far_future,
                                  [&](absl::StatusOr<LogPage> read) { page = std::move(read); }));
      if (!loop.run_until([&] { return page.has_value(); }, step_max) || !page->ok())
        return broke(absl::StrCat("the log of ", plan_.name(member), " cannot be read"));
      for (const Event& event : (*page)->events) each(event);
      from = (*page)->next;
      if ((*page)->end) return;
    }
  }

  void weigh() {
    std::vector<OriginTruth> origins;
    for (const std::string& name : plan_.origins()) origins.push_back({name, {}, {}});
    std::vector<SubscriberLife> lives;
    for (std::size_t i = 0; i < plan_.members(); ++i) {
      std::set<std::pair<std::string, std::uint64_t>> said;  // gaps, as this node published them
      read_log(i, [&](const Event& event) {
        Record record;
        if (describe(event, plan_.origins(), record)) origins[record.origin].log.push_back(record);
        if (event.type() != schema::Payload::BUS_GAP) return;
        const auto gap = event.payload().getBusGap();
        said.emplace(text(gap.getOrigin()), gap.getUpTo());
      });
      for (unsigned life = 1; life <= members_[i].life; ++life) {
        RecordReader& reader = *members_[i].lives[life - 1];
        reader.poll();
        const bool last = life == members_[i].life;
        for (const Record& record : reader.records()) {
          if (record.note == Note::acknowledged)
            origins[record.origin].acknowledged.push_back(record);
          if (record.note == Note::refused) broke(plan_.name(i) + "'s log refused an event");
          if (record.note == Note::history) ++result_.questions, result_.given += record.count;
          if (record.note != Note::gap) continue;
          ++result_.gaps;
          if (last && !said.contains({origins[record.origin].name, record.previous}))
            ++result_.unsaid;
        }
        if (!plan_.publishes(i))
          lives.push_back({absl::StrCat(plan_.name(i), " in its life ", life), plan_.tokens(i),
                           last, reader.records()});
      }
    }
    for (const OriginTruth& origin : origins) result_.acknowledged += origin.acknowledged.size();
    result_.verdict = judge(origins, lives);
    if (result_.verdict.good() || !plan_.repair) return;
    // Why what is named by gaps was not repaired, but for telemetry, which no log has.
    for (std::size_t i = plan_.publishers; i < plan_.members(); ++i) {
      std::ifstream file(plan_.file(i, "said"));
      for (std::string line; std::getline(file, line);)
        if (line.find(gap_not_in_log) == std::string::npos)
          result_.verdict.wrong.push_back(plan_.name(i) + " said: " + line);
    }
  }

  const RunOptions options_;
  LiveClock clock_;
  Random random_;
  Plan plan_;
  Links links_;
  std::vector<Member> members_;
  std::vector<bool> busy_links_;  // by member
  std::vector<Active> active_;
  std::vector<Fault> order_ = {Fault::kill, Fault::stop, Fault::stop_and_kill, Fault::cut,
                               Fault::stall};
  std::size_t tried_ = 0;
  RunResult result_;
};

}  // namespace

std::string RunResult::summary(const RunOptions& options) const {
  return absl::StrFormat(
      "torture over %s%s%s, seed %d: %d durable events acknowledged, owed %d times to subscribers; "
      "%d "
      "lives of processes, %d kills, %d stops, %d cuts (%d connections), %d stalls; %d questions "
      "to "
      "logs gave %d events; %d gaps told, which name %d durable events; longest wait for an "
      "acknowledged event %.1f s, all caught up %.1f s after the last fault; %.1f s",
      options.tcp ? "tcp" : "ipc", options.short_queues ? ", short queues" : "",
      options.repair ? "" : ", without repair", options.seed, acknowledged, verdict.owed, lives,
      kills, stops, cuts, connections, stalls, questions, given, gaps, verdict.named,
      static_cast<double>(verdict.longest_wait_ns) / 1e9, catch_up_s, seconds);
}

RunResult run(const RunOptions& options) { return Run(options).go(); }

}  // namespace supercloud::torture
