#include "core/socket_link.h"

#include <arpa/inet.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace supercloud {
namespace {

constexpr Duration link_patience = absl::Seconds(20);

struct End {
  std::unique_ptr<Link> link;
  std::vector<std::string> frames;
  absl::Status closed;

  void take(std::unique_ptr<Link> made) {
    link = std::move(made);
    link->set_handler({[this](std::string frame) { frames.push_back(std::move(frame)); },
                       [this](absl::Status why) { closed = std::move(why); }});
  }
};

class SocketLinks : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / absl::StrCat("supercloud-link-", getpid());
    std::filesystem::create_directory(folder_);
    std::string endpoint = GetParam();
    if (endpoint == "unix") endpoint = "unix:" + (folder_ / "socket").string();
    auto opened = SocketLinkNetwork::open(loop, endpoint);
    ASSERT_TRUE(opened.ok()) << opened.status();
    network = *std::move(opened);
    ASSERT_TRUE(
        network
            ->listen("pages", [this](std::unique_ptr<Link> link) { server.take(std::move(link)); })
            .ok());
  }
  void TearDown() override {
    client.link.reset();
    server.link.reset();
    network.reset();
    std::filesystem::remove_all(folder_);
  }
  template <class Done>
  bool until(Done done) {
    return loop.run_until(done, link_patience);
  }
  // A plain socket, to say what no Link would.
  int raw() const {
    const std::string endpoint = network->endpoint();
    if (endpoint.starts_with("unix:")) {
      const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      endpoint.substr(5).copy(address.sun_path, sizeof address.sun_path - 1);
      EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
      return fd;
    }
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port =
        htons(static_cast<std::uint16_t>(std::stoi(endpoint.substr(endpoint.rfind(':') + 1))));
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  EventLoop loop;
  std::filesystem::path folder_;
  std::unique_ptr<SocketLinkNetwork> network;
  End client;
  End server;
};

TEST_P(SocketLinks, CarryFramesBothWaysInOrder) {
  client.take(network->connect(network->endpoint(), "pages"));
  std::vector<std::string> sent;
  for (int i = 0; i < 300; ++i)
    sent.emplace_back(static_cast<std::size_t>(i * 7), static_cast<char>('a' + i % 26));
  sent.emplace_back(link_frame_bytes_max, 'z');
  for (const std::string& frame : sent) client.link->send(frame);
  EXPECT_GT(client.link->backlog(), 0U);
  ASSERT_TRUE(until([&] { return server.frames.size() == sent.size(); }))
      << server.frames.size() << client.closed;
  EXPECT_EQ(server.frames, sent);
  EXPECT_EQ(client.link->backlog(), 0U);
  server.link->send("answer");
  server.link->send("");
  ASSERT_TRUE(until([&] { return client.frames.size() == 2; }));
  EXPECT_EQ(client.frames, (std::vector<std::string>{"answer", ""}));
}

TEST_P(SocketLinks, FramesWaitUntilThereIsAHandler) {
  client.link = network->connect(network->endpoint(), "pages");
  ASSERT_TRUE(until([&] { return server.link != nullptr; }));
  server.link->send("early");
  server.link.reset();
  loop.run_until([] { return false; }, absl::Milliseconds(5));
  client.take(std::move(client.link));
  ASSERT_TRUE(until([&] { return !client.closed.ok(); }));
  EXPECT_EQ(client.frames, (std::vector<std::string>{"early"}));
}

TEST_P(SocketLinks, TheOtherSideLearnsThatALinkWasClosed) {
  client.take(network->connect(network->endpoint(), "pages"));
  ASSERT_TRUE(until([&] { return server.link != nullptr; }));
  client.link.reset();
  ASSERT_TRUE(until([&] { return !server.closed.ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(server.closed)) << server.closed;
  server.link->send("into the void");
}

TEST_P(SocketLinks, AnUnknownServiceIsRefusedWithTheReason) {
  client.take(network->connect(network->endpoint(), "blocks"));
  client.link->send("eager");
  ASSERT_TRUE(until([&] { return !client.closed.ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(client.closed));
  EXPECT_NE(client.closed.message().find("nobody here listens for \"blocks\""),
            absl::string_view::npos)
      << client.closed;
}

TEST_P(SocketLinks, WhereNobodyListensTheLinkClosesWithTheReasonAlsoForALateHandler) {
  const std::string endpoint = network->endpoint();
  network.reset();
  auto other = SocketLinkNetwork::open(loop, "tcp:127.0.0.1:0");
  ASSERT_TRUE(other.ok());
  client.link = (*other)->connect(endpoint, "pages");
  loop.run_until([] { return false; }, absl::Milliseconds(5));
  client.take(std::move(client.link));
  ASSERT_TRUE(until([&] { return !client.closed.ok(); }));
  client.closed = absl::OkStatus();
  client.take((*other)->connect("nonsense", "pages"));
  ASSERT_TRUE(until([&] { return !client.closed.ok(); }));
  EXPECT_TRUE(absl::IsInvalidArgument(client.closed));
}

TEST_P(SocketLinks, APeerThatBreaksTheGrammarIsClosed) {
  const int fd = raw();
  EXPECT_EQ(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 18);
  // "GET " is a length far above the limit of a hello.
  timeval limit{20, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ssize_t got = -2;
  ASSERT_TRUE(until([&] {
    char byte = 0;
    got = recv(fd, &byte, 1, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) loop.post([] {});
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }));
  close(fd);
  EXPECT_EQ(server.link, nullptr);
}

TEST_P(SocketLinks, AFrameAboveTheLimitClosesTheLinkOnBothSides) {
  const int fd = raw();
  const std::string hello = "supercloud-link/1 pages";
  const char length = static_cast<char>(hello.size());
  // 4 MiB
  const std::string bytes = std::string{length, 0, 0, 0} + hello + std::string{0, 0, 64, 0};
  EXPECT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  ASSERT_TRUE(until([&] { return server.link != nullptr; }));
  const std::string too_long{1, 0, 64, 0};
  const std::string body(link_frame_bytes_max, 'x');
  std::size_t sent = 0;
  ASSERT_TRUE(until([&] {
    const ssize_t wrote =
        send(fd, body.data() + sent, body.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote > 0) sent += static_cast<std::size_t>(wrote);
    loop.post([] {});
    return sent == body.size();
  }));
  ASSERT_TRUE(until([&] { return server.frames.size() == 1; }));
  EXPECT_EQ(send(fd, too_long.data(), 4, MSG_NOSIGNAL), 4);
  ASSERT_TRUE(until([&] { return !server.closed.ok(); }));
  EXPECT_TRUE(absl::IsInvalidArgument(server.closed)) << server.closed;
  close(fd);

  client.take(network->connect(network->endpoint(), "pages"));
  client.link->send(std::string(link_frame_bytes_max + 1, 'x'));
  EXPECT_TRUE(client.closed.ok()) << "never from inside send()";
  ASSERT_TRUE(until([&] { return !client.closed.ok(); }));
  EXPECT_TRUE(absl::IsInvalidArgument(client.closed));
}

TEST_P(SocketLinks, AHandlerMayDropItsLink) {
  int calls = 0;
  client.link = network->connect(network->endpoint(), "pages");
  client.link->set_handler({[&](std::string) {
                              ++calls;
                              client.link.reset();
                            },
                            [&](absl::Status) { ++calls; }});
  ASSERT_TRUE(until([&] { return server.link != nullptr; }));
  server.link->send("one");
  server.link->send("two");
  ASSERT_TRUE(until([&] { return !server.closed.ok(); }));
  EXPECT_EQ(calls, 1);
}

TEST_P(SocketLinks, OutOfDescriptorsNobodyIsAcceptedForAWhileAndTheLoopRests) {
  client.take(network->connect(network->endpoint(), "pages"));
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = files.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  int turns = 0;
  loop.run_until(
      [&] {
        ++turns;
        return false;
      },
      absl::Milliseconds(500));
  EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(server.link, nullptr);
  EXPECT_LT(turns, 100);
  EXPECT_TRUE(until([&] { return server.link != nullptr; })) << "as soon as there are some";
}

INSTANTIATE_TEST_SUITE_P(
    Over, SocketLinks, testing::Values("unix", "tcp:127.0.0.1:0"),
    [](const testing::TestParamInfo<const char*>& test) {
      return std::string(test.param).substr(0, std::string(test.param).find(':'));
    });

TEST(SocketLinkEndpoints, AreRefusedWithTheReason) {
  EventLoop loop;
  EXPECT_TRUE(absl::IsInvalidArgument(SocketLinkNetwork::open(loop, "udp:1.2.3.4:5").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SocketLinkNetwork::open(loop, "tcp:localhost:5").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      SocketLinkNetwork::open(loop, "unix:" + std::string(200, 'x')).status()));
  EXPECT_TRUE(absl::IsUnavailable(SocketLinkNetwork::open(loop, "unix:/nowhere/at/all").status()));
}

}  // namespace
}  // namespace supercloud
