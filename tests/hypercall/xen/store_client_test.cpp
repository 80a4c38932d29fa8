// The client against what is no daemon, or a broken one: every request is answered, in time, and nothing crashes.
#include "hypercall/xen/store_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/random.h"
#include "hypercall/xen_error.h"
#include "tests/hypercall/xen/store_client_fixture.h"

namespace supercloud {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using xen_wire::Type;

namespace files = std::filesystem;

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

// Whose headers are right.
TEST_F(XenStoreClientTest, so_does_nonsense_in_an_answer) {
  struct Case {
    Type type;
    std::string body;
    std::function<void(XenStoreClient&, Reply<Done>)> ask;
  };
  const XenPath path = *XenPath::parse("/tool/x");
  const auto done = [](auto reply) {
    return [reply = std::move(reply)](const auto& value) mutable { reply(value.status()); };
  };
  const auto list = [&](XenStoreClient& client, Reply<Done> reply) {
    client.list(0, path, Reply<std::vector<std::string>>(far_future, done(std::move(reply))));
  };
  const auto begin = [&](XenStoreClient& client, Reply<Done> reply) {
    client.begin(Reply<XenTransactionId>(far_future, done(std::move(reply))));
  };
  const std::vector<Case> cases = {
      {Type::directory, "no end", list},
      {Type::directory_part, "no end", list},
      {Type::begin, "x", begin},
      {Type::begin, std::string("0\0", 2), begin},  // what is of no transaction says so
      {Type::get_permissions, std::string("?\0", 2),
       [&](XenStoreClient& client, Reply<Done> reply) {
         client.permissions(0, path, Reply<XenPermissions>(far_future, done(std::move(reply))));
       }},
  };
  for (const Case& one : cases) {
    FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
      if (request.type != one.type)
        return message(Type::error, request.request, std::string_view("E2BIG\0", 6));
      return message(request.type, request.request, one.body);
    });
    XenStoreClient client(loop, options);
    absl::Status status = absl::UnknownError("no reply");
    one.ask(client, Reply<Done>(far_future, [&](const absl::StatusOr<Done>& value) {
              status = value.status();
            }));
    ASSERT_TRUE(wait([&] { return !absl::IsUnknown(status); }));
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    ASSERT_TRUE(xen_failure(status)) << status;
    EXPECT_EQ(xen_failure(status)->call, xen_wire::name_of(one.type));
    EXPECT_EQ(xen_failure(status)->error, EPROTO);
    EXPECT_FALSE(client.connected()) << status;
  }
}

TEST_F(XenStoreClientTest, what_nobody_waits_for_any_more_is_not_sent) {
  std::vector<Type> seen;
  std::string held;
  FakeDaemon daemon(loop, options.path, [&](const xen_wire::Message& request) {
    seen.push_back(request.type);
    if (request.type != Type::read) return ok(request);
    held = message(request.type, request.request, "");
    return std::string();
  });
  options.silence_max = absl::Seconds(20);
  XenStoreClient client(loop, options);
  client.read(0, XenPath::root(), {});
  const Instant deadline = loop.clock().now() + absl::Milliseconds(20);
  std::vector<absl::Status> ends;
  const auto note = [&](const absl::StatusOr<Done>& done) { ends.push_back(done.status()); };
  client.write(0, XenPath::root(), "late", Reply<Done>(deadline, note));
  client.make(0, XenPath::root(), Reply<Done>(far_future, note));
  ASSERT_TRUE(wait([&] { return !held.empty() && loop.clock().now() >= deadline; }));
  daemon.send(held);
  ASSERT_TRUE(wait([&] { return ends.size() == 2; }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(ends[0]) || absl::IsDeadlineExceeded(ends[1]));
  EXPECT_THAT(seen, ElementsAre(Type::read, Type::make));
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
