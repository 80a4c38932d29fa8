// Moves of real guests that take a while: what is told of them, how they are called off, and over what they go.
#include "tests/process/qemu_nodes.h"

namespace supercloud {
namespace {

using schema::Payload;
using testing::HasSubstr;

class QemuMovesTest : public QemuNodesTest {
 protected:
  // A pass of its 16 MiB takes 16 s so, and it writes eight times as fast.
  static constexpr const char* slowly = "stream_mib_per_second = 1\n";

  // Has begun to send memory when this returns.
  pid_t begin_move(const std::string& to) {
    await_that_it_could_move_to(to);
    events_.clear();
    const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
    EXPECT_TRUE(hears([&](const Event& event) {
      return event.type() == Payload::MIGRATION_PROGRESS &&
             event.payload().getMigrationProgress().getSentBytes() > 0;
    })) << output("move.err");
    return mover;
  }
  std::vector<const Event*> heard_of(Payload::Which type) const {
    std::vector<const Event*> all;
    for (const Event& event : events_)
      if (event.type() == type) all.push_back(&event);
    return all;
  }

  // ---- certificates

  std::string path(const std::string& file) const { return (folder_ / file).string(); }
  void keys(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "keys");
    const Said said = run(arguments);
    ASSERT_EQ(said.code, 0) << said.err;
  }
  void make_key(const std::string& name) { keys({"new", name, "--directory", folder_.string()}); }
  void make_authority(const std::string& name) {
    make_key(name);
    keys({"authority", path(name + ".key")});
  }
  void certify(const std::string& node, const std::string& authority,
               const std::string& host = "localhost") {
    make_key(node);
    keys({"certify", path(node + ".pub"), "--authority", path(authority + ".key"), "--directory",
          folder_.string(), "--host", host});
    keys({"pem", path(node + ".key")});
  }
  std::string tls(const std::string& node, const std::string& authority) const {
    return "[host.qemu.tls]\nauthority = \"" + path(authority + ".crt") + "\"\ncertificate = \"" +
           path(node + ".crt") + "\"\nkey = \"" + path(node + ".pem") + "\"\n";
  }
  // Of b and c.
  void start_tls_nodes(const std::string& of_b, const std::string& of_c) {
    start_node("a");
    start_node("b", of_b);
    start_node("c", of_c);
  }
  // It went on at its source, and nothing is at the target.
  void expect_it_stayed() {
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    EXPECT_EQ(runs_on(), "b");
    expect_it_goes_on();
  }
};

TEST_F(QemuMovesTest, AMoveThatIsCancelledEndsWithinASecondAndLeavesNothing) {
  host_keys_ = slowly;
  start_nodes();
  create();
  listen();
  const auto before = show();
  for (const int passes : {1, 2}) {
    SCOPED_TRACE(passes);
    const pid_t mover = begin_move("c");
    EXPECT_TRUE(hears([&](const Event& event) {
      return event.type() == Payload::MIGRATION_PROGRESS &&
             event.payload().getMigrationProgress().getPass() >= static_cast<unsigned>(passes);
    }));
    const Said cancelled = run({"vm", "cancel", "web1"});
    EXPECT_EQ(cancelled.code, 0) << cancelled.err;
    EXPECT_TRUE(
        hears([](const Event& event) { return event.type() == Payload::MIGRATION_ABORTED; }));
    const auto asked = heard_of(Payload::MIGRATION_CANCEL_REQUESTED);
    const auto ended_at = heard_of(Payload::MIGRATION_ABORTED);
    ASSERT_TRUE(!asked.empty() && !ended_at.empty());
    EXPECT_LT(ended_at[0]->time().wall() - asked[0]->time().wall(), absl::Seconds(1));
    EXPECT_EQ(ended(mover, patience), 1) << output("move.out");
    EXPECT_THAT(output("move.out") + output("move.err"), HasSubstr("cancelled"));
    expect_it_stayed();
    EXPECT_EQ(show().value("epoch", 0), before.value("epoch", -1)) << "it never stopped";
    EXPECT_EQ(copies("c"), 0);
  }
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ACancelThatComesAfterTheCommitIsToldThatItIsTooLate) {
  start_nodes();
  create();
  listen();
  await_that_it_could_move_to("c");
  for (const Payload::Which moment : {Payload::STORAGE_SEALED, Payload::VM_RESUMED}) {
    const std::string from = runs_on(), to = from == "b" ? "c" : "b";
    await_that_it_could_move_to(to);
    events_.clear();
    const pid_t mover = start({"vm", "migrate", "web1", to}, "move.out", "move.err");
    EXPECT_TRUE(hears([&](const Event& event) { return event.type() == moment; }));
    const Said cancelled = run({"vm", "cancel", "web1"});
    const int moved = ended(mover, patience);
    EXPECT_TRUE(eventually([&] { return one_copy_runs(); }, patience));
    if (cancelled.code == 0) {
      EXPECT_EQ(moved, 1);
      EXPECT_EQ(runs_on(), from);
    } else if (moved == 0) {
      EXPECT_THAT(cancelled.err, HasSubstr("too late"));
      EXPECT_EQ(runs_on(), to);
    }
    expect_it_goes_on();
  }
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ProgressIsToldEachSecondAndNeverGoesBack) {
  host_keys_ = slowly;
  start_nodes();
  create();
  listen();
  const pid_t mover = begin_move("c");
  constexpr std::size_t seconds = 6;
  EXPECT_TRUE(
      hears([&](const Event&) { return heard_of(Payload::MIGRATION_PROGRESS).size() > seconds; }));
  const auto told = heard_of(Payload::MIGRATION_PROGRESS);
  EXPECT_EQ(run({"vm", "cancel", "web1"}).code, 0);
  EXPECT_EQ(ended(mover, patience), 1);
  for (std::size_t i = 1; i < told.size(); ++i) {
    const auto before = told[i - 1]->payload().getMigrationProgress();
    const auto now = told[i]->payload().getMigrationProgress();
    EXPECT_GE(now.getPercent(), before.getPercent());
    EXPECT_GE(now.getSentBytes(), before.getSentBytes());
    EXPECT_GE(told[i]->time().wall() - told[i - 1]->time().wall(), absl::Milliseconds(500));
  }
  const auto last = told.back()->payload().getMigrationProgress();
  EXPECT_GT(last.getPercent(), told.front()->payload().getMigrationProgress().getPercent());
  EXPECT_LT(last.getPercent(), 100U);
  // As it is on average: the cap holds.
  EXPECT_LE(last.getSentBytes(), (told.size() + 4) << 20U);
  EXPECT_GT(last.getEtaHighMs(), 0U);
  // On a machine that is busy some come late.
  EXPECT_LT(told.back()->time().wall() - told.front()->time().wall(), absl::Seconds(3 * seconds));
  stop_listening();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, MemoryGoesOverTlsWhereBothNodesHaveCertificates) {
  make_authority("tls");
  for (const char* node : {"b", "c"}) certify(node, "tls");
  start_tls_nodes(tls("b", "tls"), tls("c", "tls"));
  create();
  for (const char* target : {"c", "b", "c"}) move_to(target);
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ATargetThatAnotherAuthorityCertifiedGetsNothing) {
  for (const char* authority : {"tls", "other"}) make_authority(authority);
  certify("b", "tls");
  certify("c", "other");
  // Of the right authority, for another host.
  certify("elsewhere", "tls", "10.9.9.9");
  start_tls_nodes(tls("b", "tls"), tls("c", "other"));
  create();
  await_that_it_could_move_to("c");
  const Said refused = run({"vm", "migrate", "web1", "c"});
  EXPECT_EQ(refused.code, 1) << refused.out;
  EXPECT_THAT(refused.out + refused.err, HasSubstr("ertificate"));
  expect_it_stayed();
  end(nodes_.at("c"), SIGTERM);
  start_node("c", tls("elsewhere", "tls"));
  await_that_it_could_move_to("c");
  const Said other_host = run({"vm", "migrate", "web1", "c"});
  EXPECT_EQ(other_host.code, 1) << other_host.out;
  EXPECT_THAT(other_host.out + other_host.err, HasSubstr("ertificate"));
  expect_it_stayed();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ANodeWithTlsAndOneWithoutGiveEachOtherNothing) {
  make_authority("tls");
  certify("b", "tls");
  start_tls_nodes(tls("b", "tls"), "");
  create();
  Said said;
  EXPECT_TRUE(eventually(
      [&] {
        said = run({"vm", "migrate", "web1", "c", "--dry-run"});
        return said.out.find("hypervisor: ") != std::string::npos;
      },
      patience))
      << said.out;
  EXPECT_THAT(said.out, HasSubstr("tls)"));
  EXPECT_EQ(run({"vm", "migrate", "web1", "c"}).code, 1);
  expect_it_stayed();
  destroy_and_expect_nothing_left();
}

// ---- the way of memory

TEST_F(QemuMovesTest, ADryRunTellsWhatTheWayIsLike) {
  start_nodes();
  create();
  await_that_it_could_move_to("c");
  const Said said = run({"vm", "migrate", "web1", "c", "--dry-run"});
  EXPECT_EQ(said.code, 0) << said.out;
  EXPECT_THAT(said.out, HasSubstr("way: the way of memory has a round trip of "));
  EXPECT_THAT(said.out, HasSubstr(" MiB/s"));
  const auto json = nlohmann::json::parse(
      run({"vm", "migrate", "web1", "c", "--dry-run", "--json"}).out, nullptr, false);
  ASSERT_TRUE(json.is_object());
  EXPECT_TRUE(json["possible"].get<bool>()) << json;
  EXPECT_THAT(json["found"].value("way", ""), HasSubstr("round trip")) << json;
  move_to("c");
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, ATargetWhereMemoryCannotComeInIsRefusedBeforeAnythingMoves) {
  start_node("a");
  start_node("b");
  configured_["c"] = write(
      "c.toml",
      node_toml("c", "own", "c", seed()) +
          machine("c", "tiny",
                  "streams = \"tcp:127.0.0.1:0\"\nstreams_reached_at = \"tcp:127.0.0.1:1\"\n"));
  start_node("c");
  create();
  Said said;
  EXPECT_TRUE(eventually(
      [&] {
        said = run({"vm", "migrate", "web1", "c", "--dry-run"});
        return said.out.find("link: ") != std::string::npos;
      },
      patience))
      << said.out << said.err;
  EXPECT_THAT(said.out, HasSubstr("link: cannot reach tcp:127.0.0.1:1 from here: "));
  EXPECT_THAT(said.out, HasSubstr("Connection refused"));
  EXPECT_THAT(said.out, HasSubstr("streams_reached_at"));
  const Said moved = run({"vm", "migrate", "web1", "c"});
  EXPECT_EQ(moved.code, 1);
  EXPECT_THAT(moved.out, HasSubstr("main/web1 refused:"));
  EXPECT_THAT(moved.out, HasSubstr("link: cannot reach tcp:127.0.0.1:1"));
  EXPECT_EQ(copies("c"), 0);
  expect_it_goes_on();
  destroy_and_expect_nothing_left();
}

TEST_F(QemuMovesTest, WhatTheWayCannotCarryInTimeIsRefusedBeforeAnythingMoves) {
  host_keys_ = slowly;
  start_nodes();
  create("arguments = \"pages=4000\"\n");
  await_that_it_could_move_to("c");
  // When it has touched all that it writes to: 16 MiB, which take 16 s.
  Said said;
  EXPECT_TRUE(eventually(
      [&] {
        said = run({"vm", "migrate", "web1", "c", "--deadline", "5s", "--dry-run"});
        return said.out.find("are left, which takes") != std::string::npos;
      },
      patience))
      << said.out << said.err;
  said = run({"vm", "migrate", "web1", "c", "--deadline", "5s"});
  EXPECT_EQ(said.code, 1);
  // The latter if what was measured is forgotten already.
  EXPECT_THAT(said.out, testing::AnyOf(HasSubstr("main/web1 refused:"),
                                       HasSubstr("it cannot be done in time: ")));
  EXPECT_THAT(said.out, HasSubstr("are left, which takes"));
  EXPECT_THAT(said.out, HasSubstr("at 1 MiB/s"));
  EXPECT_TRUE(eventually([&] { return copies("c") == 0; }, patience));
  expect_it_goes_on();
  destroy_and_expect_nothing_left();
}

}  // namespace
}  // namespace supercloud
