// A cluster of three nodes on this machine, a (site alone), b and c (hosts of real guests), and a guest whose console is read wherever
// it is: cli/measure/guest/guest.cpp, which counts and checks its memory.
#pragma once

#include <gmock/gmock.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "cli/cluster_target.h"
#include "hypercall/keeper/keeper_client.h"
#include "hypercall/qemu/qemu_hypervisor.h"
#include "hypercall/qemu/record.h"
#include "tests/guest/guest_parts.h"
#include "tests/hypercall/keeper/guest_guard.h"
#include "tests/process/program.h"

namespace supercloud {

class QemuNodesTest : public ProgramTest {
 protected:
  static constexpr absl::Duration patience = absl::Minutes(1);
  static constexpr const char* vm = "main/web1";

  QemuNodesTest() { guard_.watch(folder_); }
  // Daemons first: they would start guests that end.
  ~QemuNodesTest() override {
    for (const pid_t child : std::exchange(children_, {})) end(child, SIGKILL);
  }

  void SetUp() override {
    if (const std::string missing = GuestParts::find().missing; !missing.empty())
      GTEST_SKIP() << missing;
    environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  }

  // ---- nodes

  std::string seed() const { return "\"ipc://" + (folder_ / "run" / "a.req").string() + "\""; }
  std::string machine(const std::string& node, const std::string& image = "tiny",
                      const std::string& qemu = "") const {
    return "[links]\nlisten = \"unix:" + (folder_ / "run" / (node + ".link")).string() +
           "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + node +
           "\"\ntype = \"desktop\"\nmemory_mib = 256\n" + host_keys_ + "[host.qemu]\n" + qemu +
           "program = \"" + files::absolute(GuestParts::find().qemu).string() + "\"\nkeeper = \"" +
           ::getenv("SUPERCLOUD_KEEPER") + "\"\n[host.qemu.image." + image + "]\nkernel = \"" +
           ::getenv("SUPERCLOUD_TINY_GUEST") + "\"\n";
  }
  void start_node(const std::string& node, const std::string& more = "") {
    if (!more.empty() || !configured_.contains(node))
      configured_[node] =
          write(node + ".toml", node_toml(node, "own", node, node == "a" ? "" : seed()) +
                                    (node == "a" ? "" : machine(node)) + more);
    const std::string out = node + "-" + std::to_string(++starts_);
    nodes_[node] = start({"node", "--config", configured_[node], "--exit-with-parent"},
                         out + ".out", out + ".err");
    ASSERT_TRUE(eventually([&] { return !output(out + ".out").empty(); }, patience))
        << node << ": " << output(out + ".err");
  }
  void start_nodes(const std::string& more = "") {
    for (const char* node : {"a", "b", "c"}) start_node(node, more);
  }
  void end(pid_t process, int signal) {
    ::kill(process, signal);
    ::waitpid(process, nullptr, 0);
    std::erase(children_, process);
  }
  void kill_node(const std::string& node) { end(nodes_.at(node), SIGKILL); }

  // ---- the guest

  void create(const std::string& more = "", const std::string& node = "b") {
    const std::string file = write("vm.toml",
                                   "name = \"web1\"\nmemory = \"32MiB\"\naddress = \"10.1.0.1\"\n"
                                   "image = \"tiny\"\n" +
                                       more);
    Said created;
    // It may be a moment before others hear of a new node.
    ASSERT_TRUE(eventually(
        [&] {
          created = run({"vm", "create", file, "--node", node, "--wait"});
          return created.code == 0;
        },
        patience))
        << created.err;
    open_console();
    expect_it_goes_on();
  }
  void open_console() { console_ = start({"vm", "console", "web1"}, "console.out", "console.err"); }
  nlohmann::json show() {
    const auto shown =
        nlohmann::json::parse(run({"vm", "show", "web1", "--json"}).out, nullptr, false);
    return shown.is_object() ? shown : nlohmann::json::object();
  }
  std::string runs_on() {
    const auto shown = show();
    return shown.value("state", "") == "running" ? shown.value("node", "") : "";
  }

  // All that it ever said. Lines that are not whole were cut by a move.
  struct Heard {
    int lines = 0;
    unsigned long ticks = 0;  // in the last one
    bool broken = false;      // a page was not what it was left as
    int restarts = 0;         // it counts from the beginning again
  };
  Heard heard() const {
    Heard all;
    std::istringstream lines(output("console.out"));
    for (std::string line; std::getline(lines, line);) {
      unsigned long ticks = 0;
      char memory[8] = {};
      if (std::sscanf(line.c_str(), "tick %lu memory %7s", &ticks, memory) != 2) continue;
      ++all.lines;
      all.broken = all.broken || std::string(memory) == "broken";
      all.restarts += ticks < all.ticks ? 1 : 0;
      all.ticks = ticks;
    }
    return all;
  }
  // It executes, and is the one that was created, or was started anew at most so often since.
  void expect_it_goes_on(int restarts_max = 0) {
    const int before = heard().lines;
    EXPECT_TRUE(eventually([&] { return heard().lines >= before + 3; }, patience))
        << "after " << before << " lines nothing is heard of it\n"
        << output("console.err");
    EXPECT_FALSE(heard().broken);
    EXPECT_LE(heard().restarts, restarts_max);
  }

  // It has counted further than one that is started anew does before that is heard.
  void await_that_a_restart_would_be_heard() {
    ASSERT_TRUE(eventually([&] { return heard().ticks >= 200; }, patience)) << heard().ticks;
  }

  // ---- what is there

  std::string guests(const std::string& node) const { return folder_ / "own" / node / "guests"; }
  // But for targets that are kept ready.
  int copies(const std::string& node) const {
    int count = 0;
    for (const auto& entry : files::directory_iterator(guests(node))) {
      const auto record =
          nlohmann::json::parse(content(entry.path() / QemuRecord::file), nullptr, false);
      const bool standby = record.is_object() && !record.value("own", true) &&
                           record.value("migration", "-").empty();
      count += entry.is_directory() && !standby ? 1 : 0;
    }
    return count;
  }
  // Of the VM's disk on that node; 0: there is none.
  int fence(const std::string& node) const {
    const auto kept = nlohmann::json::parse(
        content(folder_ / "own" / node / "volumes" / "main.web1"), nullptr, false);
    return kept.is_object() ? kept.value("fence", 0) : 0;
  }
  // Of the VM's copy on that node.
  std::string guest_folder(const std::string& node, const std::string& of = vm) const {
    return files::path(QemuHypervisor::console_of(guests(node), of)).parent_path();
  }
  std::optional<KeeperState> keeper(const std::string& node, const std::string& of = vm) {
    const auto found = KeeperClient::find(loop_, guest_folder(node, of) + "/keeper", nullptr);
    return found.ok() ? std::optional((*found)->told()) : std::nullopt;
  }
  pid_t keeper_process(const std::string& node) {
    const auto state = keeper(node);
    if (!state || state->guest <= 1) return 0;
    const std::string stat = content("/proc/" + std::to_string(state->guest) + "/stat");
    const std::size_t name_end = stat.rfind(')');
    return name_end == std::string::npos ? 0 : std::atoi(stat.c_str() + name_end + 4);
  }
  // One copy in all, where it is said to run.
  bool one_copy_runs() {
    const std::string node = runs_on();
    return !node.empty() && copies("b") + copies("c") == 1 && copies(node) == 1;
  }
  // Processes, but for the nodes and commands of this test, that have to do with its folder.
  std::vector<std::string> left_processes() const {
    std::vector<std::string> left;
    std::error_code error;
    for (const auto& entry : files::directory_iterator("/proc", error)) {
      const pid_t process = std::atoi(entry.path().filename().c_str());
      if (process <= 1 || std::ranges::find(children_, process) != children_.end()) continue;
      const std::string command = content(entry.path() / "cmdline");
      if (command.find(folder_.string() + "/own") != std::string::npos) left.push_back(command);
    }
    return left;
  }
  void destroy_and_expect_nothing_left() {
    const Said destroyed = run({"vm", "destroy", "web1", "--wait"});
    EXPECT_EQ(destroyed.code, 0) << destroyed.err;
    const auto empty = [&](const files::path& folder) {
      for (const auto& entry : files::recursive_directory_iterator(folder))
        if (entry.path().filename() != "lock") return false;
      return true;
    };
    for (const char* node : {"b", "c"}) {
      EXPECT_TRUE(eventually([&] { return empty(guests(node)); }, patience)) << node;
      EXPECT_TRUE(eventually([&] { return empty(folder_ / "own" / node / "volumes"); }, patience))
          << node;
    }
    EXPECT_TRUE(eventually([&] { return left_processes().empty(); }, patience))
        << testing::PrintToString(left_processes());
    for (const char* node : {"c", "b", "a"}) end(nodes_.at(node), SIGTERM);
    for (const auto& entry : files::directory_iterator(folder_ / "run"))
      EXPECT_EQ(entry.path().string().find(".link"), std::string::npos) << entry.path();
  }

  // ---- moves

  // Nodes that were restarted have to hear of each other first.
  void await_that_it_could_move_to(const std::string& target) {
    Said said;
    ASSERT_TRUE(eventually(
        [&] {
          said = run({"vm", "migrate", "web1", target, "--dry-run"});
          return said.code == 0;
        },
        patience))
        << said.out << said.err;
  }
  // On a machine that is busy a blackout may last too long: then the guest goes on where it was, and is moved again.
  void move_to(const std::string& target) {
    await_that_it_could_move_to(target);
    Said moved;
    EXPECT_TRUE(eventually(
        [&] {
          moved = run({"vm", "migrate", "web1", target});
          return moved.code == 0;
        },
        patience))
        << moved.out << moved.err;
    EXPECT_EQ(runs_on(), target);
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    expect_it_goes_on();
  }

  void listen() {
    const auto target = load_cluster(folder_ / "own");
    ASSERT_TRUE(target.ok()) << target.status();
    auto connected = ClusterClient::connect(*target);
    ASSERT_TRUE(connected.ok()) << connected.status();
    client_ = *std::move(connected);
    const absl::Status subscribed = client_->subscribe(
        Pattern::of(">"), [this](const Event& event) { events_.push_back(event); });
    ASSERT_TRUE(subscribed.ok()) << subscribed;
  }
  // Events first: they are of its pool.
  void stop_listening() {
    events_.clear();
    client_.reset();
  }
  bool hears(const std::function<bool(const Event&)>& is) {
    bool found = false;
    client_->run_until(
        [&] {
          found = std::ranges::any_of(events_, is);
          return found;
        },
        client_->loop().clock().now() + patience);
    return found;
  }

  GuestGuard guard_;
  EventLoop loop_;
  std::string host_keys_;  // more of [host], for nodes that are started after
  std::map<std::string, std::string> configured_;
  std::map<std::string, pid_t> nodes_;
  int starts_ = 0;
  pid_t console_ = 0;
  std::unique_ptr<ClusterClient> client_;
  std::vector<Event> events_;
};

}  // namespace supercloud
