// A cluster whose leases are on a real etcd: none of its nodes is the site.
#include <gmock/gmock.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/process/program.h"
#include "tests/storage/etcd/etcd_server.h"

namespace supercloud {
namespace {

using testing::HasSubstr;

class EtcdNodesTest : public ProgramTest {
 protected:
  static constexpr absl::Duration patience = absl::Minutes(1);

  // Nodes first, else each would tell that the table is gone.
  ~EtcdNodesTest() override {
    for (const pid_t child : std::exchange(children_, {})) end(child);
  }
  void SetUp() override {
    if (!EtcdServer::available()) GTEST_SKIP() << EtcdServer::missing;
    ASSERT_TRUE(etcd_.start().ok());
    environment_["SUPERCLOUD_CLUSTER"] = (folder_ / "own").string();
  }

  std::string toml(const std::string& name, const std::string& etcd) const {
    const std::string at = (folder_ / "run" / name).string();
    return "name = \"" + name + "\"\ncluster = \"own\"\ndirectory = \"" +
           (folder_ / "own").string() + "\"\nseeds = [" +
           (name == "a" ? "" : "\"ipc://" + (folder_ / "run" / "a.req").string() + "\"") +
           "]\n[bus]\npublish = \"ipc://" + at + ".pub\"\nrequest = \"ipc://" + at +
           ".req\"\n[lease.etcd]\nendpoints = [\"" + etcd + "\"]\n[links]\nlisten = \"unix:" + at +
           ".link\"\n[host]\ncloud = \"home\"\nregion = \"cellar\"\nzone = \"rack-" + name +
           "\"\ntype = \"desktop\"\nmemory_mib = 1024\n";
  }
  void start_node(const std::string& name) { start_node(name, etcd_.endpoint()); }
  void start_node(const std::string& name, const std::string& etcd) {
    const std::string out = name + std::to_string(++starts_);
    nodes_[name] = start({"node", "--config", write(name + ".toml", toml(name, etcd))},
                         out + ".out", out + ".err");
    errors_[name] = out + ".err";
    ASSERT_TRUE(eventually([&] { return !output(out + ".out").empty(); }, patience))
        << output(out + ".err");
  }
  void end(pid_t process) {
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    std::erase(children_, process);
  }
  void until_it_succeeds(const std::vector<std::string>& arguments) {
    Said said;
    EXPECT_TRUE(eventually([&] { return (said = run(arguments)).code == 0; }, patience))
        << said.out << said.err;
  }
  // "running on a", as its holder says.
  std::string vm() {
    const auto shown =
        nlohmann::json::parse(run({"vm", "show", "web1", "--json"}).out, nullptr, false);
    if (!shown.is_object()) return "";
    return shown.value("state", "") + " on " + shown.value("node", "");
  }
  bool becomes(const std::string& expected) {
    return eventually([&] { return vm() == expected; }, patience);
  }
  std::uint64_t epoch() {
    const auto shown =
        nlohmann::json::parse(run({"vm", "show", "web1", "--json"}).out, nullptr, false);
    return shown.is_object() ? shown.value("epoch", std::uint64_t{0}) : 0;
  }

  EtcdServer etcd_;
  std::map<std::string, pid_t> nodes_;
  std::map<std::string, std::string> errors_;
  int starts_ = 0;
};

TEST_F(EtcdNodesTest, a_vm_moves_and_is_fenced_while_etcd_is_away_and_goes_on_when_it_is_back) {
  start_node("a");
  start_node("b");
  const std::string file =
      write("vm.toml", "name = \"web1\"\nmemory = \"64MiB\"\naddress = \"10.1.0.1\"\n");
  until_it_succeeds({"vm", "create", file, "--node", "a", "--wait"});
  EXPECT_TRUE(becomes("running on a")) << vm();
  until_it_succeeds({"vm", "migrate", "web1", "b", "--wait"});
  EXPECT_TRUE(becomes("running on b")) << vm();
  EXPECT_THAT(run({"vm", "list"}).out, HasSubstr("web1"));
  EXPECT_THAT(run({"doctor"}).out, HasSubstr("etcd"));
  const std::uint64_t before = epoch();

  const absl::Time killed = absl::Now();
  etcd_.kill();
  EXPECT_TRUE(
      eventually([&] { return says(errors_["b"], "the lease table does not answer"); }, patience));
  EXPECT_TRUE(says(errors_["b"], etcd_.endpoint())) << output(errors_["b"]);
  const Said meanwhile = run({"vm", "show", "web1"});
  EXPECT_NE(meanwhile.code, 0) << meanwhile.out;
  EXPECT_THAT(meanwhile.err, HasSubstr(etcd_.endpoint()));
  // For longer than the TTL, 3 s.
  EXPECT_TRUE(eventually([&] { return absl::Now() > killed + absl::Seconds(4); }, patience));
  ASSERT_TRUE(etcd_.start().ok());
  EXPECT_TRUE(becomes("running on b")) << vm();
  EXPECT_GT(epoch(), before) << "what was stopped runs again under another epoch only";
  EXPECT_TRUE(eventually([&] { return says(errors_["b"], "answers again"); }, patience));

  until_it_succeeds({"vm", "migrate", "web1", "a", "--wait"});
  EXPECT_TRUE(becomes("running on a")) << vm();
}

TEST_F(EtcdNodesTest, what_a_lost_node_ran_another_takes_over) {
  for (const char* node : {"a", "b", "c"}) start_node(node);
  const std::string file = write("vm.toml",
                                 "name = \"web1\"\nmemory = \"64MiB\"\naddress = \"10.1.0.1\"\n"
                                 "disk = \"16MiB\"\nreplicas = 1\ndisk_loss = \"sync\"\n");
  until_it_succeeds({"vm", "create", file, "--node", "b", "--wait"});
  EXPECT_TRUE(becomes("running on b")) << vm();
  end(nodes_["b"]);
  EXPECT_TRUE(eventually(
      [&] {
        const std::string now = vm();
        return now == "running on a" || now == "running on c";
      },
      patience))
      << vm();
}

TEST_F(EtcdNodesTest, a_second_node_of_one_name_ends_and_says_why) {
  start_node("a");
  std::string config = toml("a", etcd_.endpoint());
  for (const std::string& own : {(folder_ / "own").string(), (folder_ / "run" / "a").string()})
    for (std::size_t at = 0; (at = config.find(own, at)) != std::string::npos;)
      config.insert(at += own.size(), "-2");
  const Said second = run({"node", "--config", write("second.toml", config)});
  EXPECT_NE(second.code, 0);
  EXPECT_THAT(second.err, HasSubstr("another node named 'a' is alive"));
}

}  // namespace
}  // namespace supercloud
