// The client against what is no daemon, or a broken one: every request is answered, in time, and nothing crashes.
#include "hypercall/xen/store_client.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/random.h"
#include "hypercall/xen_error.h"
#include "tests/hypercall/xen/fake_daemon.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using xen_wire::Type;

namespace files = std::filesystem;

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
  ASSERT_TRUE(read(client).ok()) << "answered after all that came before it";
  EXPECT_EQ(watches, 3);
}

// ---- watches that are refused

TEST_F(XenStoreClientTest, a_watch_that_is_refused_disturbs_nothing_else) {
  bool refuse = true;
  int refused = 0;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
    if (request.type == Type::watch && request.body.starts_with("@release") && refuse) {
      ++refused;
      return message(Type::error, request.request, std::string_view("EACCES\0", 7));
    }
    return ok(request);
  });
  XenStoreClient client(loop, options);
  client.watch(*XenPath::parse("/tool"), [](const XenPath&) {}, {});
  const XenWatchId watch = client.watch(XenPath::released(), [](const XenPath&) {}, {});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(read(client).ok()) << i;
  ASSERT_TRUE(wait([&] { return refused >= 3; })) << "it is asked for again";
  EXPECT_TRUE(read(client).ok());
  EXPECT_EQ(daemon.connections, 1);
  refuse = false;
  int told = 0;
  client.unwatch(watch);
  bool registered = false;
  client.watch(
      XenPath::released(), [&](const XenPath&) { ++told; },
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { registered = done.ok(); }));
  ASSERT_TRUE(wait([&] { return registered; }));
  daemon.send(message(Type::watch_event, 0,
                      std::string_view("@releaseDomain\0"
                                       "3\0",
                                       17)));
  EXPECT_TRUE(wait([&] { return told == 1; }));
  EXPECT_EQ(daemon.connections, 1);
}

TEST_F(XenStoreClientTest, watches_and_ends_find_room_where_requests_do_not) {
  int watches = 0;
  int ends = 0;
  const auto answer = [&](const xen_wire::Message& request) {
    watches += request.type == Type::watch ? 1 : 0;
    ends += request.type == Type::end ? 1 : 0;
    if (request.type == Type::begin)
      return message(Type::begin, request.request, std::string_view("7\0", 2));
    return ok(request);
  };
  auto daemon = std::make_unique<FakeDaemon>(loop, options.path, answer);
  options.requests_max = 3;
  XenStoreClient client(loop, options);
  XenTransactionId in = 0;
  client.begin(Reply<XenTransactionId>(
      far_future, [&](const absl::StatusOr<XenTransactionId>& id) { in = id.value_or(0); }));
  ASSERT_TRUE(wait([&] { return in != 0; }));
  for (int i = 0; i < 5; ++i) client.read(0, XenPath::root(), {});
  for (int i = 0; i < 10; ++i)
    client.watch(*XenPath::parse(absl::StrCat("/w", i)), [](const XenPath&) {}, {});
  client.end(in, false, {});
  ASSERT_TRUE(wait([&] { return watches == 10 && ends == 1; }));
  daemon.reset();
  ASSERT_TRUE(wait([&] { return !client.connected(); }));
  daemon = std::make_unique<FakeDaemon>(loop, options.path, answer);
  ASSERT_TRUE(wait([&] { return watches == 20; })) << "all of them, at a new connection";
  EXPECT_TRUE(read(client).ok());
  EXPECT_EQ(daemon->connections, 1);
}

// ---- what daemons may do to this process

TEST_F(XenStoreClientTest, a_directory_without_an_end_is_cut_off) {
  std::uint64_t sent = 0;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
    if (request.type == Type::directory)
      return message(Type::error, request.request, std::string_view("E2BIG\0", 6));
    if (request.type != Type::directory_part) return ok(request);
    std::string part("1\0", 2);
    while (part.size() < 4000) part += std::string("a-name-of-many\0", 15);
    sent += part.size();
    return message(request.type, request.request, part);
  });
  options.listing_bytes_max = std::size_t{1} << 20U;
  XenStoreClient client(loop, options);
  absl::Status ended = absl::UnknownError("no reply");
  client.list(0, *XenPath::parse("/tool"),
              Reply<std::vector<std::string>>(
                  far_future, [&](const absl::StatusOr<std::vector<std::string>>& names) {
                    ended = names.status();
                  }));
  ASSERT_TRUE(wait([&] { return !absl::IsUnknown(ended); }));
  EXPECT_TRUE(absl::IsResourceExhausted(ended)) << ended;
  EXPECT_TRUE(xen_failure(ended)) << ended;
  EXPECT_LT(sent, options.listing_bytes_max + 10'000);
  EXPECT_TRUE(read(client).ok()) << "and all goes on";
}

// As a process that is stopped, or a machine that sleeps: the answer has long been there when it looks at its clock.
TEST_F(XenStoreClientTest, a_pause_of_our_own_is_not_the_daemons_death) {
  FakeDaemon* there = nullptr;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
    there->send(message(request.type, request.request, "value"));
    const Instant end = loop.clock().now() + options.silence_max * 2;
    while (loop.clock().now() < end) {
    }
    return "";
  });
  there = &daemon;
  XenStoreClient client(loop, options);
  const auto value = read(client);
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, "value");
  EXPECT_EQ(daemon.connections, 1);
}

TEST_F(XenStoreClientTest, what_is_lost_says_call_and_errno_and_whether_it_may_have_had_an_effect) {
  FakeDaemon* there = nullptr;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message&) {
    there->hang_up();
    return "";
  });
  there = &daemon;
  XenStoreClient client(loop, options);
  std::vector<absl::Status> ends;
  const auto note = [&](const absl::Status& status) { ends.push_back(status); };
  const XenPath path = *XenPath::parse("/a");
  const auto write = [&] {
    client.write(0, path, "x", Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) {
                   note(done.status());
                 }));
  };
  write();  // sent
  write();  // waits
  ASSERT_TRUE(wait([&] { return ends.size() == 2; }));
  client.read(0, path,
              Reply<std::string>(far_future, [&](const absl::StatusOr<std::string>& value) {
                note(value.status());
              }));
  ASSERT_TRUE(wait([&] { return ends.size() == 3; }));
  EXPECT_THAT(std::string(ends[0].message()),
              HasSubstr("XS_WRITE /a, not known whether it took effect: the XenStore at "));
  EXPECT_THAT(std::string(ends[1].message()), HasSubstr("XS_WRITE /a: the XenStore at "));
  EXPECT_THAT(std::string(ends[2].message()), testing::Not(HasSubstr("not known")));
  for (const absl::Status& end : ends) {
    EXPECT_TRUE(absl::IsUnavailable(end)) << end;
    ASSERT_TRUE(xen_failure(end)) << end;
    EXPECT_EQ(xen_failure(end)->error, ECONNRESET) << end;
  }
  EXPECT_EQ(xen_failure(ends[0])->call, "XS_WRITE");
}

TEST_F(XenStoreClientTest, a_device_that_is_no_store_says_the_kernels_errno) {
  options.path = "/dev/null";
  XenStoreClient client(loop, options);
  const absl::Status absent = read(client).status();
  EXPECT_TRUE(absl::IsUnavailable(absent)) << absent;
  ASSERT_TRUE(xen_failure(absent)) << absent;
  EXPECT_EQ(xen_failure(absent)->error, EPERM);
  EXPECT_EQ(xen_failure(absent)->call, "epoll_ctl");
}

// A terminal stands in for /dev/xen/xenbus: a character device with a daemon behind it, whose end does not end the descriptor.
class Device {
 public:
  Device(EventLoop& loop, FakeDaemon::Answer answer) : loop_(loop), answer_(std::move(answer)) {
    EXPECT_EQ(::grantpt(far_), 0);
    EXPECT_EQ(::unlockpt(far_), 0);
    termios raw = {};
    ::cfmakeraw(&raw);
    EXPECT_EQ(::tcsetattr(far_, TCSANOW, &raw), 0);
    near_ = ::open(path().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);  // else it ends with its client
    EXPECT_TRUE(loop_.watch_fd(far_, EPOLLIN, [this](std::uint32_t) { receive(); }).ok());
  }
  ~Device() {
    loop_.unwatch_fd(far_);
    ::close(near_);
    ::close(far_);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  std::string path() const { return ::ptsname(far_); }
  // Whether it takes no bytes: a write is EAGAIN then.
  void stop(bool stopped) const { EXPECT_EQ(::tcflow(near_, stopped ? TCOOFF : TCOON), 0); }

 private:
  void receive() {
    char bytes[4096];
    const ssize_t count = ::read(far_, bytes, sizeof bytes);
    if (count > 0) in_.append(bytes, static_cast<std::size_t>(count));
    std::string_view rest = in_;
    while (true) {
      const auto request = xen_wire::decode(rest);
      ASSERT_TRUE(request.ok()) << request.status();
      if (!*request) break;
      const std::string said = answer_(**request);
      EXPECT_EQ(::write(far_, said.data(), said.size()), static_cast<ssize_t>(said.size()));
    }
    in_.erase(0, in_.size() - rest.size());
  }
  EventLoop& loop_;
  FakeDaemon::Answer answer_;
  const int far_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  int near_ = -1;
  std::string in_;
};

TEST_F(XenStoreClientTest, a_device_is_asked_now_and_then_whether_its_watches_still_hold) {
  bool silent = false;
  int watches = 0;
  Device device(loop, [&](const xen_wire::Message& request) {
    if (silent) return std::string();
    watches += request.type == Type::watch ? 1 : 0;
    return ok(request);
  });
  options.path = device.path();
  XenStoreClient client(loop, options);
  client.watch(*XenPath::parse("/tool"), [](const XenPath&) {}, {});
  ASSERT_TRUE(wait([&] { return watches == 1; }));
  ASSERT_TRUE(read(client).ok());
  silent = true;
  ASSERT_TRUE(wait([&] { return !client.connected(); })) << "though nobody asks for anything";
  silent = false;
  EXPECT_TRUE(wait([&] { return watches >= 2; }));
  EXPECT_TRUE(read(client).ok());
}

TEST_F(XenStoreClientTest, a_device_that_takes_nothing_for_a_while_gets_all_of_it_later) {
  std::string written;
  Device device(loop, [&](const xen_wire::Message& request) {
    if (request.type == Type::write) written = request.payload;
    return ok(request);
  });
  options.path = device.path();
  options.silence_max = absl::Seconds(20);
  XenStoreClient client(loop, options);
  ASSERT_TRUE(read(client).ok());
  device.stop(true);
  absl::Status done = absl::UnknownError("no reply");
  const std::string value(4000, 'x');
  client.write(
      0, XenPath::root(), value,
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& reply) { done = reply.status(); }));
  bool later = false;
  loop.post([&] { later = true; });
  ASSERT_TRUE(wait([&] { return later; }));
  EXPECT_EQ(written, "");
  device.stop(false);
  ASSERT_TRUE(wait([&] { return !absl::IsUnknown(done); }));
  EXPECT_TRUE(done.ok()) << done;
  EXPECT_EQ(written, std::string("/\0", 2) + value);
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
