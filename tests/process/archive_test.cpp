// A node is killed, and its folder removed: what it said is still told, from the archive of another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "cli/cluster_target.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using testing::Not;

class ArchiveProgramTest : public ProgramTest {
 protected:
  // `folder`: of the cluster's file, which is one's own on each machine.
  pid_t start_node(const std::string& name, const std::string& more,
                   const std::string& folder = "own") {
    const std::string seeds =
        name == "a" ? "" : "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"";
    const pid_t node = start(
        {"node", "--config", write(name + ".toml", node_toml(name, folder, name, seeds) + more)},
        name + ".out", name + ".err");
    EXPECT_TRUE(eventually([&] { return !output(name + ".out").empty(); }, absl::Minutes(1)))
        << output(name + ".err");
    return node;
  }
  std::string machine(const std::string& name) const {
    return "[links]\nlisten = \"unix:" + (folder_ / "run" / (name + ".link")).string() +
           "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
           "\"\ntype = \"desktop\"\n";
  }
  Said until_it_succeeds(const std::vector<std::string>& arguments) {
    Said said;
    EXPECT_TRUE(eventually(
        [&] {
          said = run(arguments);
          return said.code == 0;
        },
        absl::Minutes(1)))
        << said.out << said.err;
    return said;
  }
  // What the archive has of a node, by the ids of the events.
  std::set<EventId> archived_of(const std::string& node, const files::path& folder,
                                const std::string& pattern = ">") {
    std::set<EventId> ids;
    const auto target = load_cluster(folder);
    auto client = ClusterClient::connect(*target);
    if (!client.ok()) return ids;
    const auto request = Message<schema::Request>::build([&](auto builder) {
      auto read = builder.initReadLog();
      read.setPattern(pattern);
      read.setLimit(1000);
    });
    const auto page = (*client)->ask({"a", "archive"}, request, absl::Seconds(5));
    if (!page.ok()) return ids;
    for (const auto data : page->reader().getLog().getEvents()) {
      const auto event =
          (*client)->pool().parse({reinterpret_cast<const std::byte*>(data.begin()), data.size()});
      if (event.ok() && node_of(event->origin()) == node) ids.insert(event->id());
    }
    return ids;
  }
};

TEST_F(ArchiveProgramTest, WhatANodeSaidIsToldWhenItIsGoneWithItsDisk) {
  environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  start_node("a", "[archive]\n");
  const pid_t b = start_node("b", machine("b"));
  start_node("c", machine("c"));
  const std::string vm = write(
      "vm.toml", "name = \"web1\"\nmemory = \"64MiB\"\ndisk = \"16MiB\"\naddress = \"10.1.0.1\"\n");
  until_it_succeeds({"vm", "create", vm, "--node", "b", "--wait"});
  until_it_succeeds({"vm", "migrate", "web1", "c", "--wait"});
  // The last thing that is said of it.
  EXPECT_TRUE(eventually(
      [&] { return run({"events", "--since", "start", "migration.cleaned.main.web1"}).code == 0; },
      absl::Seconds(30)));
  const Said before = run({"events", "--since", "start", "migration.*.main.web1"});
  EXPECT_THAT(before.out, HasSubstr("migration.completed"));
  const auto explained = [&] {
    const Said story = run({"explain", "web1"});
    EXPECT_EQ(story.code, 0) << story.err;
    // What b alone has said.
    EXPECT_THAT(story.out, HasSubstr("b copies 64 MiB of web1 to c"));
    EXPECT_THAT(story.out, HasSubstr("web1 is paused on b"));
    EXPECT_THAT(story.out, HasSubstr("b sealed the disk of web1"));
  };
  explained();

  // All that is in its log, read where nobody is asked.
  const auto target = load_cluster(folder_ / "own");
  ASSERT_TRUE(target.ok()) << target.status();
  EventPool pool;
  std::set<EventId> said;
  const auto all_archived = [&] {
    ClusterClient* const offline = nullptr;
    const auto history = read_history(*target, Pattern::of(">"), pool, offline);
    if (!history.ok()) return false;
    said.clear();
    for (const Event& event : *history)
      if (node_of(event.origin()) == "b") said.insert(event.id());
    return archived_of("b", folder_ / "own") == said;
  };
  EXPECT_TRUE(eventually(all_archived, absl::Seconds(30)));
  ASSERT_FALSE(said.empty());

  ::kill(b, SIGKILL);
  EXPECT_EQ(ended(b, absl::Seconds(20)), -1);
  files::remove_all(folder_ / "own" / "b");
  const Said after = run({"events", "--since", "start", "migration.*.main.web1"});
  EXPECT_EQ(after.code, 0) << after.err;
  EXPECT_EQ(after.out, before.out) << "each once, in the same order";
  explained();

  const pid_t follower =
      start({"events", "--follow", "--since", "start", "migration.*.main.web1"}, "told");
  EXPECT_TRUE(eventually([&] { return says("told", "migration.completed"); }, absl::Minutes(1)))
      << output("told");
  ::kill(follower, SIGINT);
  EXPECT_EQ(ended(follower, absl::Seconds(20)), 0);

  // And when none of them runs any more.
  for (const pid_t child : std::vector<pid_t>(children_)) {
    ::kill(child, SIGKILL);
    ended(child, absl::Seconds(20));
  }
  const Said offline = run({"events", "--since", "start", "migration.*.main.web1"});
  EXPECT_EQ(offline.code, 0) << offline.err;
  EXPECT_EQ(offline.out, before.out);
  explained();
}

// A machine each: none has the files of another.
TEST_F(ArchiveProgramTest, WhatANodeSaidIsToldOnAMachineThatHasNeitherItsLogNorTheArchive) {
  start_node("a", "[archive]\n", "on-a");
  const pid_t b = start_node("b", machine("b"), "on-b");
  const pid_t c = start_node("c", machine("c"), "on-c");
  start_node("d", "", "on-d");
  environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "on-d").string();
  const std::string vm = write(
      "vm.toml", "name = \"web1\"\nmemory = \"64MiB\"\ndisk = \"16MiB\"\naddress = \"10.1.0.1\"\n");
  until_it_succeeds(
      {"vm", "create", vm, "--node", "b", "--wait", "--cluster", (folder_ / "on-b").string()});
  const auto told = [&](const std::string& pattern) {
    return run({"events", "--since", "start", pattern});
  };
  Said before;
  EXPECT_TRUE(eventually(
      [&] {
        before = told("vm.*.main.web1");
        return before.code == 0;
      },
      absl::Seconds(30)))
      << before.err;
  EXPECT_THAT(before.out, HasSubstr("vm.started"));
  EXPECT_THAT(before.err, Not(HasSubstr("cannot be read")));
  EXPECT_THAT(before.err, Not(HasSubstr("not read")));
  EXPECT_TRUE(eventually(
      [&] {
        return read_cluster_file(folder_ / "on-d")->nodes.size() == 1 &&
               !archived_of("c", folder_ / "on-a").empty() &&
               archived_of("b", folder_ / "on-a", "vm.*.main.web1").size() ==
                   static_cast<std::size_t>(std::ranges::count(before.out, '\n'));
      },
      absl::Seconds(30)));

  ::kill(b, SIGKILL);
  EXPECT_EQ(ended(b, absl::Seconds(20)), -1);
  // Still a member for the others, whom nobody reaches.
  ::kill(c, SIGSTOP);
  const Said after = told("vm.*.main.web1");
  EXPECT_EQ(after.code, 0) << after.err;
  EXPECT_EQ(after.out, before.out);
  EXPECT_THAT(after.err, HasSubstr("c: its log cannot be read"));
  EXPECT_THAT(after.err, HasSubstr("not read is the log of b, c"));
  const Said explained = run({"explain", "web1"});
  EXPECT_EQ(explained.code, 0) << explained.err;
  EXPECT_THAT(explained.err, HasSubstr("not read is the log of b"));
  ::kill(c, SIGCONT);
}

}  // namespace
}  // namespace supercloud
