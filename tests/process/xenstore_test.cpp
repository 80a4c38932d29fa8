// `supercloud xenstore` and `doctor`, with a real daemon and with none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/event_loop.h"
#include "hypercall/xen/store_client.h"
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

}  // namespace
}  // namespace supercloud
