// `supercloud xenstore` and `doctor`, with a real daemon and with none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/node_config.h"
#include "cli/node_process.h"
#include "core/event_loop.h"
#include "hypercall/xen/store_client.h"
#include "tests/hypercall/xen/fake_daemon.h"
#include "tests/hypercall/xen/stand_in.h"
#include "tests/process/program.h"

namespace supercloud {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

class XenstoreCommand : public ProgramTest {
 protected:
  void SetUp() override {
    if (!XenDaemon::available(XenDaemon::Kind::c))
      GTEST_SKIP() << "no such daemon here; make build/.unpacked-daemons";
    const absl::Status started = daemon.start();
    ASSERT_TRUE(started.ok()) << started;
    client = std::make_unique<XenStoreClient>(loop, XenStoreClientOptions{.path = daemon.socket()});
    write("/local/domain/1/name", "web1");
    write("/local/domain/1/data/x", std::string_view("a\0\"b", 4));
  }
  void write(const std::string& path, std::string_view value) {
    bool done = false;
    client->write(
        0, *XenPath::parse(path), value,
        Reply<Done>(far_future, [&](const absl::StatusOr<Done>& written) { done = written.ok(); }));
    ASSERT_TRUE(loop.run_until([&] { return done; }, absl::Seconds(30)));
  }
  Said xenstore(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "xenstore");
    arguments.insert(arguments.end(), {"--store", daemon.socket()});
    return run(arguments);
  }

  XenStandIn xen;
  XenDaemon daemon{XenDaemon::Kind::c, xen};
  EventLoop loop;
  std::unique_ptr<XenStoreClient> client;
};

TEST_F(XenstoreCommand, lists_and_reads) {
  EXPECT_EQ(xenstore({"ls", "/local/domain/1"}).out, "data = \"\"\nname = \"web1\"\n");
  const Said all = xenstore({"ls", "/local/domain/1", "-r", "--json"});
  EXPECT_EQ(all.code, 0) << all.err;
  const Json nodes = Json::parse(all.out);
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(nodes[1]["path"], "/local/domain/1/data/x");
  EXPECT_EQ(nodes[1]["value"], "a\\000\\\"b");
  EXPECT_EQ(xenstore({"read", "/local/domain/1/name"}).out, "web1\n");
}

TEST_F(XenstoreCommand, says_what_is_wrong_and_by_its_exit_code) {
  const Said missing = xenstore({"read", "/local/domain/9/name"});
  EXPECT_EQ(missing.code, 4);
  EXPECT_THAT(missing.err, HasSubstr("XS_READ /local/domain/9/name: ENOENT"));
  const Said malformed = xenstore({"read", "/local//domain"});
  EXPECT_EQ(malformed.code, 2);
  EXPECT_THAT(malformed.err, HasSubstr("two slashes"));
  EXPECT_EQ(run({"xenstore", "read"}).code, 2);
  daemon.kill();
  const Said gone = xenstore({"ls"});
  EXPECT_EQ(gone.code, 3);
  EXPECT_THAT(gone.err, HasSubstr("no XenStore here: connect"));
  EXPECT_EQ(xenstore({"watch", "/local"}).code, 3);
}

TEST_F(XenstoreCommand, watches_also_over_a_restart_of_the_daemon) {
  const pid_t watching =
      start({"xenstore", "watch", "/local/domain/1", "--store", daemon.socket()}, "watched");
  ASSERT_TRUE(
      eventually([&] { return says("watched", "/local/domain/1 = \"\""); }, absl::Seconds(30)));
  write("/local/domain/1/name", "web2");
  EXPECT_TRUE(eventually([&] { return says("watched", "/local/domain/1/name = \"web2\""); },
                         absl::Seconds(30)));
  daemon.kill();
  ASSERT_TRUE(daemon.start().ok());
  EXPECT_TRUE(
      eventually([&] { return says("watched", "/local/domain/1 is gone"); }, absl::Seconds(30)));
  ::kill(watching, SIGINT);
  EXPECT_EQ(ended(watching, absl::Seconds(30)), 0);
}

TEST_F(XenstoreCommand, doctor_finds_it) {
  environment_["XENSTORED_PATH"] = daemon.socket();
  const Said said = run({"doctor", "--json"});
  EXPECT_THAT(said.out, HasSubstr(daemon.socket() + ", by xenstored"));
  daemon.kill();
  EXPECT_THAT(run({"doctor"}).out, HasSubstr("no XenStore here: connect " + daemon.socket()));
}

TEST_F(XenstoreCommand, a_node_that_is_to_be_a_xen_host_and_is_none_says_so) {
  if (::access("/dev/xen/privcmd", F_OK) == 0) GTEST_SKIP() << "there is Xen on this machine";
  const std::string config =
      ProgramTest::write("node.toml", node_toml("a", "pair", "a", "") + "[xen]\nstore = \"" +
                                          daemon.socket() + "\"\n");
  const Said said = run({"node", "--config", config});
  EXPECT_NE(said.code, 0);
  EXPECT_THAT(said.err, HasSubstr("[xen]: no Xen here: xc_interface_open: ENOENT"));
}

// What it needs to start is what the loader looks for.
TEST_F(ProgramTest, starts_on_a_machine_without_xens_libraries) {
  environment_["LD_TRACE_LOADED_OBJECTS"] = "1";
  const std::string loaded = run({"demo"}).out;
  EXPECT_THAT(loaded, HasSubstr("libc.so"));
  EXPECT_THAT(loaded, testing::Not(HasSubstr("libxen")));
}

TEST_F(XenstoreCommand, a_watcher_that_was_stopped_sees_the_last_value_of_every_node) {
  constexpr int nodes = 5000;
  const auto write_all = [&](const std::string& value) {
    int written = 0;
    int asked = 0;
    std::vector<int> lost;  // with their connection
    const auto put = [&](int node) {
      client->write(0, *XenPath::parse("/tool/storm/" + std::to_string(node)), value,
                    Reply<Done>(far_future, [&, node](const absl::StatusOr<Done>& done) {
                      if (done.ok())
                        ++written;
                      else
                        lost.push_back(node);
                    }));
    };
    const auto more = [&] {
      for (const int node : std::exchange(lost, {})) put(node);
      for (; asked < nodes && asked - written < 500; ++asked) put(asked);
      return written == nodes;
    };
    ASSERT_TRUE(loop.run_until(more, absl::Seconds(60)));
  };
  const auto shows_all = [&](const std::string& value) {
    return eventually(
        [&] {
          const std::string shown = output("watched");
          for (int i = 0; i < nodes; ++i)
            if (shown.find("/tool/storm/" + std::to_string(i) + " = \"" + value + "\"\n") ==
                std::string::npos)
              return false;
          return true;
        },
        absl::Seconds(60));
  };
  write("/tool/storm", "");
  const pid_t watching =
      start({"xenstore", "watch", "/tool/storm", "--store", daemon.socket()}, "watched");
  ASSERT_TRUE(eventually([&] { return says("watched", "/tool/storm = "); }, absl::Seconds(30)));
  write_all("1");
  ASSERT_TRUE(shows_all("1"));
  ::kill(watching, SIGSTOP);
  write_all("2");
  ::kill(watching, SIGCONT);
  EXPECT_TRUE(shows_all("2"));
  // It comes back to a daemon that has begun anew, and to what nobody has told it of.
  ::kill(watching, SIGSTOP);
  daemon.kill();
  ASSERT_TRUE(daemon.start().ok());
  write_all("3");
  ::kill(watching, SIGCONT);
  EXPECT_TRUE(shows_all("3"));
  ::kill(watching, SIGINT);
  EXPECT_EQ(ended(watching, absl::Seconds(30)), 0);
}

// A store that forbids one node of three.
TEST_F(ProgramTest, a_forbidden_node_is_named_and_the_others_are_listed) {
  EventLoop loop;
  const FakeDaemon daemon(loop, (folder_ / "store").string(), [](const xen_wire::Message& request) {
    const std::string path(request.body.substr(0, request.body.find('\0')));
    if (request.type == xen_wire::Type::directory)
      return message(request.type, request.request,
                     path == "/tool" ? std::string_view("a\0b\0c\0", 6) : std::string_view());
    if (path == "/tool/b")
      return message(xen_wire::Type::error, request.request, std::string_view("EACCES\0", 7));
    return message(request.type, request.request, "x");
  });
  const pid_t listing =
      start({"xenstore", "ls", "-r", "/tool", "--store", (folder_ / "store").string()}, "listed");
  const auto over = [&] { return says("listed", "c = "); };
  EXPECT_TRUE(loop.run_until(over, absl::Seconds(30)));
  EXPECT_EQ(ended(listing, absl::Seconds(30)), 0);
  EXPECT_EQ(output("listed"), "a = \"x\"\nb (no permission)\nc = \"x\"\n");
}

// The node that a [xen] table makes, in this process, whose hypervisor is the stand-in; another process hears of its domains.
TEST_F(XenstoreCommand, a_node_on_a_xen_host_tells_of_its_domains) {
  ::setenv("XEN_STAND_IN", xen.folder().c_str(), 1);
  xen.set_domain(1);
  const auto config = parse_node_config(
      node_toml("a", "supercloud/pair", "a", "") + "[xen]\nstore = \"" + daemon.socket() + "\"\n",
      "node.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EventLoop node_loop;
  auto node =
      NodeProcess::start(node_loop, *config, [](const absl::Status& why) { ADD_FAILURE() << why; });
  ASSERT_TRUE(node.ok()) << node.status();
  const auto told = [&](const std::string& words) {
    // It ends with what has been said so far, and is asked again.
    for (int i = 0; i < 60 && !says("told", words); ++i) {
      const pid_t asked =
          start({"events", "--cluster", "pair", "--since", "start", "vm.domain_changed.>"}, "told");
      int status = 0;
      node_loop.run_until([&] { return ::waitpid(asked, &status, WNOHANG) == asked; },
                          absl::Seconds(30));
      std::erase(children_, asked);
    }
    return says("told", words);
  };
  EXPECT_TRUE(told("domain 1 of a, web1, runs")) << output("told");
  write("/local/domain/1/name", "web2");
  EXPECT_TRUE(told("domain 1 of a, web2, runs")) << output("told");
  xen.remove_domain(1);
  EXPECT_TRUE(told("is gone")) << output("told");
  ::unsetenv("XEN_STAND_IN");
}

}  // namespace
}  // namespace supercloud
