// The client against what is no daemon, or a broken one: every request is answered, in time, and nothing crashes.
#include "hypercall/xen/store_client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/random.h"
#include "hypercall/xen_error.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using xen_wire::Type;

namespace files = std::filesystem;

// Listens, and does with each request what the test says: what it gives is sent as it is.
class FakeDaemon {
 public:
  using Answer = std::function<std::string(const xen_wire::Message& request)>;

  FakeDaemon(EventLoop& loop, const std::string& path, Answer answer)
      : loop_(loop), answer_(std::move(answer)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    EXPECT_TRUE(loop_.watch_fd(listener_, EPOLLIN, [this](std::uint32_t) { accept(); }).ok());
  }
  ~FakeDaemon() {
    hang_up();
    loop_.unwatch_fd(listener_);
    ::close(listener_);
  }
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  void hang_up() {
    if (client_ < 0) return;
    loop_.unwatch_fd(client_);
    ::close(std::exchange(client_, -1));
  }
  void send(const std::string& bytes) const {
    EXPECT_EQ(::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  int connections = 0;

 private:
  void accept() {
    hang_up();
    client_ = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    ++connections;
    in_.clear();
    EXPECT_TRUE(loop_.watch_fd(client_, EPOLLIN, [this](std::uint32_t) { receive(); }).ok());
  }
  void receive() {
    char bytes[65536];
    const ssize_t count = ::read(client_, bytes, sizeof bytes);
    if (count <= 0) return hang_up();
    in_.append(bytes, static_cast<std::size_t>(count));
    std::string_view rest = in_;
    while (client_ >= 0) {
      const auto request = xen_wire::decode(rest);
      ASSERT_TRUE(request.ok()) << "the client itself speaks nonsense: " << request.status();
      if (!*request) break;
      const std::string answer = answer_(**request);
      if (client_ >= 0 && !answer.empty())
        ::send(client_, answer.data(), answer.size(), MSG_NOSIGNAL);  // it may have hung up
    }
    in_.erase(0, in_.size() - rest.size());
  }

  EventLoop& loop_;
  Answer answer_;
  int listener_ = -1;
  int client_ = -1;
  std::string in_;
};

std::string message(Type type, std::uint32_t request, std::string_view body) {
  std::string bytes;
  xen_wire::encode({type, request, 0, body}, bytes);
  return bytes;
}
std::string ok(const xen_wire::Message& request) {
  return message(request.type, request.request, std::string_view("OK\0", 3));
}

class XenStoreClientTest : public testing::Test {
 protected:
  XenStoreClientTest() {
    std::string name = (files::temp_directory_path() / "supercloud-client-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    options.path = (folder / "socket").string();
    options.silence_max = absl::Milliseconds(200);
    options.retry_min = absl::Milliseconds(1);
    options.retry_max = absl::Milliseconds(5);
  }
  ~XenStoreClientTest() override {
    std::error_code error;
    files::remove_all(folder, error);
  }
  absl::StatusOr<std::string> read(XenStoreClient& client) {
    absl::StatusOr<std::string> value = absl::UnknownError("no reply");
    client.read(0, *XenPath::parse("/tool/x"),
                Reply<std::string>(far_future, [&](absl::StatusOr<std::string> reply) {
                  value = std::move(reply);
                }));
    EXPECT_TRUE(wait([&] { return !absl::IsUnknown(value.status()); })) << "it hangs";
    return value;
  }
  bool wait(absl::FunctionRef<bool()> done) { return loop.run_until(done, absl::Seconds(20)); }

  EventLoop loop;
  files::path folder;
  XenStoreClientOptions options;
};

TEST_F(XenStoreClientTest, tells_where_nobody_is) {
  XenStoreClient client(loop, options);
  const absl::Status absent = read(client).status();
  EXPECT_TRUE(absl::IsUnavailable(absent)) << absent;
  EXPECT_THAT(std::string(absent.message()), HasSubstr("no XenStore here: stat " + options.path));
  ASSERT_TRUE(xen_failure(absent));
  EXPECT_EQ(xen_failure(absent)->error, ENOENT);
}

TEST_F(XenStoreClientTest, tells_of_a_socket_file_that_was_left_behind) {
  {
    const FakeDaemon gone(loop, options.path, ok);
  }
  ASSERT_TRUE(files::exists(options.path));
  XenStoreClient client(loop, options);
  const absl::Status absent = read(client).status();
  EXPECT_TRUE(absl::IsUnavailable(absent)) << absent;
  ASSERT_TRUE(xen_failure(absent));
  EXPECT_EQ(xen_failure(absent)->error, ECONNREFUSED);
  files::remove(options.path);
  std::ofstream(options.path) << "no socket at all";
  XenStoreClient another(loop, options);
  EXPECT_TRUE(absl::IsUnavailable(read(another).status()));
}

TEST_F(XenStoreClientTest, a_path_that_no_socket_can_have_is_no_store) {
  options.path = std::string(200, 'a');
  XenStoreClient client(loop, options);
  EXPECT_TRUE(absl::IsUnavailable(read(client).status()));
}

TEST_F(XenStoreClientTest, a_daemon_that_hangs_counts_as_gone) {
  FakeDaemon daemon(loop, options.path, [](const xen_wire::Message&) { return ""; });
  XenStoreClient client(loop, options);
  const absl::Status silent = read(client).status();
  EXPECT_TRUE(absl::IsUnavailable(silent)) << silent;
  EXPECT_THAT(std::string(silent.message()), HasSubstr("no answer for 200ms"));
}

TEST_F(XenStoreClientTest, so_does_one_that_announces_more_than_it_sends) {
  FakeDaemon daemon(loop, options.path, [](const xen_wire::Message& request) {
    return message(request.type, request.request, std::string(4096, 'x')).substr(0, 100);
  });
  XenStoreClient client(loop, options);
  EXPECT_TRUE(absl::IsUnavailable(read(client).status()));
}

TEST_F(XenStoreClientTest, nonsense_ends_the_connection_and_says_so) {
  const std::vector<std::function<std::string(const xen_wire::Message&)>> answers = {
      [](const auto&) { return std::string(64, '\xff'); },
      [](const auto& request) { return message(request.type, request.request + 1, "x"); },
      [](const auto& request) { return message(Type::directory, request.request, "x"); },
      [](const auto&) { return message(Type::watch_event, 0, "no token"); },
      [](const auto&) { return message(Type::watch_event, 0, std::string_view("/a\0x\0", 5)); },
  };
  for (std::size_t i = 0; i < answers.size(); ++i) {
    FakeDaemon daemon(loop, options.path, answers[i]);
    XenStoreClient client(loop, options);
    const absl::Status nonsense = read(client).status();
    EXPECT_TRUE(absl::IsUnavailable(nonsense)) << i << ": " << nonsense;
    EXPECT_THAT(std::string(nonsense.message()), HasSubstr("answers nonsense")) << i;
  }
}

TEST_F(XenStoreClientTest, an_error_without_a_name_that_is_known_is_an_error) {
  FakeDaemon daemon(loop, options.path, [](const xen_wire::Message& request) {
    return message(Type::error, request.request, "ENEW");
  });
  XenStoreClient client(loop, options);
  EXPECT_EQ(xen_failure(read(client).status())->error, EPROTO);
}

TEST_F(XenStoreClientTest, whatever_arrives_every_request_is_answered) {
  Random random(6);
  int answered = 0;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
    std::string bytes = random.chance(500'000) ? message(request.type, request.request, "value")
                                               : message(Type::error, request.request,
                                                         std::string_view("ENOENT\0", 7));
    if (random.chance(300'000))
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    if (random.chance(100'000)) bytes.resize(random.below(bytes.size()));
    return bytes;
  });
  options.silence_max = absl::Milliseconds(5);
  options.retry_min = options.retry_max = absl::ZeroDuration();
  XenStoreClient client(loop, options);
  client.watch(*XenPath::parse("/tool"), [](const XenPath&) {}, {});
  constexpr int asked = 500;
  for (int i = 0; i < asked; ++i) {
    client.read(
        0, *XenPath::parse("/tool/x"),
        Reply<std::string>(far_future, [&](const absl::StatusOr<std::string>&) { ++answered; }));
    client.list(
        0, *XenPath::parse("/tool"),
        Reply<std::vector<std::string>>(
            far_future, [&](const absl::StatusOr<std::vector<std::string>>&) { ++answered; }));
    ASSERT_TRUE(wait([&] { return answered == 2 * (i + 1); })) << i;
  }
  EXPECT_GT(daemon.connections, 10) << "else this tests nothing";
}

TEST_F(XenStoreClientTest, more_requests_than_may_wait_are_refused) {
  FakeDaemon daemon(loop, options.path, [](const xen_wire::Message&) { return ""; });
  options.requests_max = 3;
  XenStoreClient client(loop, options);
  std::vector<absl::StatusCode> codes;
  for (int i = 0; i < 5; ++i)
    client.read(0, XenPath::root(),
                Reply<std::string>(far_future, [&](const absl::StatusOr<std::string>& reply) {
                  codes.push_back(reply.status().code());
                }));
  ASSERT_TRUE(wait([&] { return codes.size() == 5; }));
  EXPECT_EQ(std::ranges::count(codes, absl::StatusCode::kResourceExhausted), 2);
  EXPECT_EQ(std::ranges::count(codes, absl::StatusCode::kUnavailable), 3);
}

TEST_F(XenStoreClientTest, a_directory_that_changes_while_it_is_read_is_read_again) {
  int parts = 0;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) -> std::string {
    if (request.type == Type::directory)
      return message(Type::error, request.request, std::string_view("E2BIG\0", 6));
    using namespace std::string_view_literals;
    constexpr std::string_view said[] = {"1\0a\0"sv, "2\0c\0\0"sv, "2\0b\0"sv, "2\0c\0\0"sv};
    return message(request.type, request.request, said[parts++]);
  });
  XenStoreClient client(loop, options);
  std::vector<std::string> names;
  client.list(
      0, *XenPath::parse("/tool"),
      Reply<std::vector<std::string>>(
          far_future, [&](absl::StatusOr<std::vector<std::string>> found) { names = *found; }));
  ASSERT_TRUE(wait([&] { return !names.empty(); }));
  EXPECT_THAT(names, ElementsAre("b", "c"));
  EXPECT_EQ(parts, 4);
}

TEST_F(XenStoreClientTest, tells_a_watch_once_of_what_came_together) {
  FakeDaemon daemon(loop, options.path, ok);
  XenStoreClient client(loop, options);
  std::vector<std::string> told;
  bool registered = false;
  client.watch(
      *XenPath::parse("/tool"), [&](const XenPath& path) { told.push_back(path.text()); },
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { registered = done.ok(); }));
  ASSERT_TRUE(wait([&] { return registered; }));
  std::string events;
  for (int i = 0; i < 100; ++i)
    events += message(Type::watch_event, 0,
                      std::string_view("/tool/a\0"
                                       "1\0",
                                       10));
  events += message(Type::watch_event, 0,
                    std::string_view("/tool/b\0"
                                     "1\0",
                                     10));
  events += message(Type::watch_event, 0,
                    std::string_view("/tool/b\0"
                                     "99\0",
                                     11));
  daemon.send(events);
  ASSERT_TRUE(wait([&] { return !told.empty(); }));
  EXPECT_THAT(told, ElementsAre("/tool/a", "/tool/b")) << "nothing of a watch that has ended";
}

TEST_F(XenStoreClientTest, registers_its_watches_with_whoever_listens_next) {
  int watches = 0;
  const auto count = [&](const xen_wire::Message& request) {
    watches += request.type == Type::watch ? 1 : 0;
    return ok(request);
  };
  auto daemon = std::make_unique<FakeDaemon>(loop, options.path, count);
  XenStoreClient client(loop, options);
  client.watch(*XenPath::parse("/a"), [](const XenPath&) {}, {});
  const XenWatchId ended = client.watch(*XenPath::parse("/b"), [](const XenPath&) {}, {});
  ASSERT_TRUE(wait([&] { return watches == 2; }));
  client.unwatch(ended);
  daemon.reset();
  ASSERT_TRUE(wait([&] { return !client.connected(); }));
  daemon = std::make_unique<FakeDaemon>(loop, options.path, count);
  ASSERT_TRUE(wait([&] { return client.connected(); }));
  ASSERT_TRUE(wait([&] { return watches == 3; }));
}

TEST_F(XenStoreClientTest, may_go_while_requests_are_under_way) {
  FakeDaemon daemon(loop, options.path, [](const xen_wire::Message&) { return ""; });
  bool replied = false;
  {
    XenStoreClient client(loop, options);
    client.read(0, XenPath::root(),
                Reply<std::string>(far_future,
                                   [&](const absl::StatusOr<std::string>&) { replied = true; }));
    client.write(0, XenPath::root(), std::string(5000, 'x'), {});
  }
  bool later = false;
  loop.post([&] { later = true; });
  ASSERT_TRUE(wait([&] { return later; }));
  EXPECT_FALSE(replied);
}

}  // namespace
}  // namespace supercloud
