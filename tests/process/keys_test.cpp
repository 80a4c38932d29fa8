// Keys as a person meets them: two nodes over tcp, commands that ask them, and a trust file that changes while all run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class KeysProgram : public ProgramTest {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void make_key(const std::string& name) {
    const Said made = run({"keys", "new", name, "--directory", folder_.string()});
    ASSERT_EQ(made.code, 0) << made.err;
  }
  void enrol(const std::string& name, const std::vector<std::string>& rights) {
    std::vector<std::string> arguments = {"keys", "enrol", path(name + ".pub"), "--trust",
                                          path("trust.toml")};
    arguments.insert(arguments.end(), rights.begin(), rights.end());
    const Said done = run(arguments);
    ASSERT_EQ(done.code, 0) << done.err;
  }
  // `keys`: lines of [bus].
  std::string tcp_node(const std::string& name, const std::string& seeds,
                       const std::string& keys) const {
    return "name = \"" + name + "\"\ncluster = \"pair\"\nsite = \"a\"\ndirectory = \"" +
           path("supercloud/pair") + "\"\nseeds = [" + seeds +
           "]\n[bus]\npublish = \"tcp://127.0.0.1:*\"\nrequest = \"tcp://127.0.0.1:*\"\n" + keys +
           "[links]\nlisten = \"unix:" + path("run/" + name + ".link") +
           "\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-1\"\ntype = "
           "\"desktop\"\n";
  }
  pid_t start_node(const std::string& name, const std::string& seeds) {
    const std::string keys = "key = \"" + name + ".key\"\ntrust = \"trust.toml\"\n";
    const pid_t node =
        start({"node", "--config", write(name + ".toml", tcp_node(name, seeds, keys))}, name);
    EXPECT_TRUE(eventually([&] { return says(name, "node " + name + " runs"); }, absl::Seconds(30)))
        << output(name);
    return node;
  }
  std::string endpoint(const std::string& node) const {
    const auto cluster = read_cluster_file(folder_ / "supercloud" / "pair");
    if (!cluster.ok()) return "";
    for (const NodeEntry& each : cluster->nodes)
      if (each.name == node) return each.request_endpoint;
    return "";
  }
  std::vector<std::string> as(const std::string& name, std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(),
                     {"--key", path(name + ".key"), "--trust", path("trust.toml")});
    return arguments;
  }
};

TEST_F(KeysProgram, WithoutKeysThereIsNoTcp) {
  const Said plain = run({"node", "--config", write("a.toml", tcp_node("a", "", ""))});
  EXPECT_EQ(plain.code, 2);
  EXPECT_THAT(plain.err, HasSubstr("bus.publish is refused: tcp://127.0.0.1:*"));
  EXPECT_THAT(plain.err, HasSubstr("docs/security.md"));
}

TEST_F(KeysProgram, CertificatesAreOfTheClustersOwnAuthority) {
  const auto said = [&](std::vector<std::string> arguments) {
    return run([&] {
      arguments.insert(arguments.begin(), "keys");
      return arguments;
    }());
  };
  for (const char* name : {"tls", "a", "stranger"}) make_key(name);
  const std::vector<std::string> certify = {"certify",       path("a.pub"), "--authority",
                                            path("tls.key"), "--directory", folder_.string(),
                                            "--host",        "10.0.0.1"};
  EXPECT_THAT(said(certify).err, HasSubstr("tls.crt cannot be read: `supercloud keys authority"));
  ASSERT_EQ(said({"authority", path("tls.key")}).code, 0);
  const Said issued = said(certify);
  EXPECT_EQ(issued.code, 0) << issued.err;
  EXPECT_THAT(issued.out, HasSubstr(path("a.crt") + ": a, until "));
  const Said secret = said({"pem", path("a.key")});
  EXPECT_EQ(secret.out, path("a.pem") + "\n");
  EXPECT_EQ(std::filesystem::status(path("a.pem")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  enrol("a", {"--node"});
  std::vector<std::string> of_trust = certify;
  of_trust.insert(of_trust.end(), {"--trust", path("trust.toml")});
  EXPECT_EQ(said(of_trust).code, 0);
  of_trust[1] = path("stranger.pub");
  EXPECT_THAT(said(of_trust).err, HasSubstr("enrol it first"));
  EXPECT_FALSE(std::filesystem::exists(path("stranger.crt")));
  std::vector<std::string> own = certify;
  own[1] = path("tls.pub");
  EXPECT_THAT(said(own).err, HasSubstr("is the authority's own certificate"));
}

TEST_F(KeysProgram, WhatALogTakesIsSigned) {
  for (const char* name : {"a", "alice"}) make_key(name);
  enrol("a", {"--node"});
  enrol("alice", {"--subscribe", ">", "--requests"});
  start_node("a", "");
  const Said all = run(as("alice", {"events", "--cluster", "pair", "--since", "start"}));
  EXPECT_THAT(all.out, HasSubstr("node.joined"));
  EXPECT_THAT(all.out, Not(HasSubstr("bus.checkpoint"))) << "nobody asked for them";
  const Said checkpoints =
      run(as("alice", {"events", "--cluster", "pair", "--since", "start", "bus.checkpoint.>"}));
  EXPECT_THAT(checkpoints.out, HasSubstr("signed by a")) << checkpoints.err;
}

TEST_F(KeysProgram, WhatIsLoggedInAnotherCloudIsTakenWithItsProof) {
  for (const char* name : {"a", "b", "hub-a", "hub-b", "alice"}) make_key(name);
  for (const char* name : {"a", "b"}) enrol(name, {"--node"});
  for (const char* name : {"hub-a", "hub-b"}) enrol(name, {"--hub"});
  enrol("alice", {"--subscribe", ">", "--requests"});
  const auto start_hub = [&](const std::string& name, const std::string& nodes,
                             const std::string& hubs) {
    const std::string bound =
        "publish = \"tcp://127.0.0.1:*\"\nrequest = \"tcp://127.0.0.1:*\"\nseeds = [";
    const std::string toml = "name = \"" + name + "\"\nkey = \"" + name +
                             ".key\"\ntrust = \"trust.toml\"\n[cloud]\n" + bound + nodes +
                             "]\n[hubs]\n" + bound + hubs + "]\n";
    start({"hub", "--config", write(name + ".toml", toml)}, name);
    EXPECT_TRUE(eventually([&] { return says(name, "with the hubs at "); }, absl::Seconds(30)))
        << output(name);
  };
  // "hub NAME joins the cloud at ENDPOINT with the hubs at ENDPOINT"
  const auto endpoint_behind = [&](const std::string& hub, const std::string& words) {
    const std::string said = output(hub);
    const std::size_t begin = said.find(words) + words.size();
    return "\"" + hub + "@" + said.substr(begin, said.find_first_of(" \n", begin) - begin) + "\"";
  };
  start_node("a", "");
  start_hub("hub-a", "\"a@" + endpoint("a") + "\"", "");
  start_hub("hub-b", "", endpoint_behind("hub-a", "with the hubs at "));
  start_node("b", endpoint_behind("hub-b", "joins the cloud at "));
  const std::string vm = write(
      "vm.toml", "name = \"web1\"\nmemory = \"64MiB\"\ndisk = \"64MiB\"\naddress = \"10.1.0.1\"\n");
  Said said;
  const auto succeeds = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--cluster", "pair"});
    return eventually(
        [&] {
          said = run(as("alice", arguments));
          return said.code == 0;
        },
        absl::Minutes(1));
  };
  EXPECT_TRUE(succeeds({"vm", "create", vm, "--node", "a"})) << said.out << said.err;
  EXPECT_TRUE(succeeds({"vm", "migrate", "web1", "b", "--wait"})) << said.out << said.err;
  // Nobody was without a proof, and had to ask a log.
  EXPECT_TRUE(succeeds({"events", "--since", "start", "bus.>"}));
  EXPECT_THAT(said.out, Not(HasSubstr("no checkpoint proves")));
  EXPECT_THAT(said.out, Not(testing::ContainsRegex("missed .* under (vm|migration|storage)")));
}

TEST_F(KeysProgram, WhoMayMakeRequestsMayMeasureTheWayBetweenNodes) {
  for (const char* name : {"a", "b", "alice", "dora"}) make_key(name);
  for (const char* name : {"a", "b"}) enrol(name, {"--node"});
  enrol("alice", {"--subscribe", ">", "--requests"});
  enrol("dora", {"--subscribe", ">"});
  start_node("a", "");
  start_node("b", "\"a@" + endpoint("a") + "\"");
  const Said measured = run(as("alice", {"bench", "bus", "--seconds", "0.5", "--json"}));
  EXPECT_EQ(measured.code, 0) << measured.err;
  EXPECT_THAT(measured.out, HasSubstr("\"per_second\": "));
  const Said refused = run(as("dora", {"bench", "bus", "--quick"}));
  EXPECT_EQ(refused.code, 3) << refused.out;
  EXPECT_THAT(refused.err, HasSubstr("request")) << "which right it takes";
}

TEST_F(KeysProgram, WhoIsEnrolledComesInAndWhoIsRevokedIsCutOff) {
  for (const char* name : {"a", "b", "alice", "carol", "mallory"}) make_key(name);
  for (const char* name : {"a", "b"}) enrol(name, {"--node"});
  enrol("alice", {"--subscribe", ">", "--requests"});
  enrol("carol", {"--subscribe", "vm.>", "--requests"});
  const Said list = run({"keys", "list", "--trust", path("trust.toml")});
  EXPECT_EQ(list.code, 0);
  EXPECT_THAT(list.out, HasSubstr("alice"));
  EXPECT_EQ(run({"keys", "revoke", "nobody", "--trust", path("trust.toml")}).code, 4);

  const pid_t a = start_node("a", "");
  start_node("b", "\"a@" + endpoint("a") + "\"");
  const Said nobody = run({"vm", "list"});
  EXPECT_EQ(nobody.code, 3);
  EXPECT_THAT(nobody.err, HasSubstr("has keys: name yours with --key"));
  const Said unknown = run(as("mallory", {"vm", "list"}));
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("does not let in the key ed25519:"));
  EXPECT_THAT(unknown.err, HasSubstr("`supercloud keys enrol` adds it"));
  const Said known = run(as("alice", {"vm", "list"}));
  EXPECT_EQ(known.code, 0) << known.err;

  // What one has no right to see is said.
  const pid_t narrow = start(as("carol", {"events", "--follow", "migration.>"}), "narrow");
  EXPECT_TRUE(eventually(
      [&] { return says("narrow", "carol has no right to subscribe all of migration.>"); },
      absl::Seconds(30)))
      << output("narrow");
  ::kill(narrow, SIGTERM);
  EXPECT_NE(ended(narrow, absl::Seconds(30)), -2);

  // Revoked while it listens.
  start(as("alice", {"events", "--follow", "--json", "node.>"}), "listener");
  ASSERT_TRUE(eventually([&] { return says("listener", "node.heartbeat."); }, absl::Seconds(30)))
      << output("listener");
  ASSERT_EQ(run({"keys", "revoke", "alice", "--trust", path("trust.toml")}).code, 0);
  EXPECT_TRUE(
      eventually([&] { return says("listener", "does not let in the key"); }, absl::Seconds(5)))
      << output("listener");
  // Each node reads the file for itself.
  EXPECT_TRUE(
      eventually([&] { return run(as("alice", {"vm", "list"})).code == 3; }, absl::Seconds(5)));
  EXPECT_EQ(run(as("carol", {"vm", "list"})).code, 0);

  // A node, too.
  ASSERT_EQ(run({"keys", "revoke", "b", "--trust", path("trust.toml")}).code, 0);
  EXPECT_TRUE(eventually([&] { return says("b", "does not let in this node"); }, absl::Seconds(5)))
      << output("b");
  // A file with a mistake changes nothing.
  write("trust.toml", "[[key]]\nname = \"a\"\n");
  EXPECT_TRUE(
      eventually([&] { return says("a", "what was trusted before goes on"); }, absl::Seconds(10)))
      << output("a");
  EXPECT_THAT(output("a"), HasSubstr("trust.toml:1: key.public is missing"));
  ::kill(a, SIGTERM);
  EXPECT_EQ(ended(a, absl::Seconds(30)), 0) << output("a");
}

// examples/bus_client.py, whose CURVE keys are made of what the key file and the trust file say.
TEST_F(KeysProgram, AProcessOfAnothersMakingHearsAndHasPublishedWhatItMay) {
  for (const char* name : {"a", "alice", "mallory"}) make_key(name);
  enrol("a", {"--node"});
  enrol("alice", {"--subscribe", "latency.>", "--publish", "latency.>"});
  const pid_t a = start_node("a", "");
  const auto client = [&](const std::string& key, const std::string& name,
                          std::vector<std::string> command) {
    const std::string program = SUPERCLOUD_SOURCE_ROOT "/examples/bus_client.py";
    std::vector<std::string> arguments = {program,
                                          "--name",
                                          name,
                                          "--key",
                                          path(key + ".key"),
                                          "--trust",
                                          path("trust.toml"),
                                          "a@" + endpoint("a")};
    arguments.insert(arguments.end(), command.begin(), command.end());
    return arguments;
  };
  const std::vector<std::string> latency = {
      "publish", "latency.measured.main.probe-1",
      R"({"latencyMeasured": {"client": "probe-1", "milliseconds": 3.5}})"};
  const std::string python = "/usr/bin/python3";
  with(python,
       [&] { return start(client("alice", "alice", {"subscribe"}), "heard", "heard.err"); });
  const auto publishes = [&] {
    const Said said = with(python, [&] { return run(client("alice", "alice", latency)); });
    EXPECT_EQ(said.code, 0) << said.err;
    return says("heard", "a/for-alice");
  };
  EXPECT_TRUE(eventually(publishes, absl::Seconds(30))) << output("heard.err") << output("a");
  EXPECT_FALSE(says("heard", "node.heartbeat")) << "which alice may not subscribe";

  const Said feigned = with(python, [&] { return run(client("alice", "bob", latency)); });
  EXPECT_EQ(feigned.code, 1);
  EXPECT_THAT(feigned.err, HasSubstr("alice has no right to publish as bob"));
  const Said wider = with(python, [&] {
    return run(
        client("alice", "alice", {"publish", "spot.feed_lost.main.x", R"({"spotFeedLost": {}})"}));
  });
  EXPECT_EQ(wider.code, 1);
  EXPECT_THAT(wider.err, HasSubstr("alice has no right to publish spot.feed_lost.main.x"));
  const Said stranger = with(python, [&] { return run(client("mallory", "mallory", latency)); });
  EXPECT_EQ(stranger.code, 1);
  EXPECT_THAT(stranger.err, HasSubstr("no node answers"));
  ::kill(a, SIGTERM);
  EXPECT_EQ(ended(a, absl::Seconds(30)), 0) << output("a");
}

}  // namespace
}  // namespace supercloud
