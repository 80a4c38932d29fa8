// What only the ZeroMQ bus promises.

#include "bus/zmq_bus.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "bus/history.h"
#include "bus/zmq_server.h"
#include "bus/zmq_socket.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"
#include "core/json.h"
#include "tests/bus/bus_process.h"
#include "tests/bus/bus_world.h"
#include "tests/bus/listener.h"

namespace supercloud {
namespace {

class ZmqBusTest : public testing::Test {
 protected:
  ZmqBusTest() {
    std::string name = testing::TempDir() + "busXXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~ZmqBusTest() override { std::filesystem::remove_all(directory_); }

  std::string ipc(const std::string& name) const { return "ipc://" + directory_ + "/" + name; }
  ZmqBusOptions member(const std::string& name) const {
    ZmqBusOptions options;
    options.name = name;
    options.publish_bind = ipc(name + ".pub");
    options.request_bind = ipc(name + ".req");
    return options;
  }
  std::unique_ptr<BusProcess> start(ZmqBusOptions options) {
    auto process = std::make_unique<BusProcess>(options.name, std::make_unique<EventPool>());
    auto bus = ZmqBus::open(loop_, *process->pool, std::move(options));
    EXPECT_TRUE(bus.ok()) << bus.status();
    process->bus = *std::move(bus);
    process->bus->start(*process, {});
    return process;
  }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(20));
  }

  std::string directory_;
  EventLoop loop_;
};

TEST_F(ZmqBusTest, a_client_comes_asks_and_goes_unnoticed) {
  auto a = start(member("a"));
  ZmqBusOptions second = member("b");
  second.seeds = {ipc("a.req")};
  auto b = start(second);
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  ZmqBusOptions options;
  options.name = "client-1";
  options.client = true;
  options.seeds = {ipc("gone.req"), ipc("a.req")};  // a dead seed does not hold it up
  const Instant begin = loop_.clock().now();
  auto client = start(options);
  std::optional<absl::StatusOr<std::string>> answer;
  client->bus->request({"b", "echo"}, "x",
                       Reply<std::string>(far_future, [&](absl::StatusOr<std::string> value) {
                         answer = std::move(value);
                       }));
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  const Duration took = loop_.clock().now() - begin;
  ASSERT_TRUE(answer->ok()) << answer->status();
  EXPECT_EQ(**answer, "echo:x");
  RecordProperty("milliseconds", static_cast<int>(absl::ToInt64Milliseconds(took)));
  std::cout << "first answer after " << took << "\n";
  EXPECT_LT(took, absl::Seconds(2)) << "less than the liveness timeout, on the slowest machine";
  EXPECT_FALSE(a->sees("client-1"));
  EXPECT_FALSE(b->sees("client-1"));
}

TEST_F(ZmqBusTest, whoever_is_one_neighbour_too_many_is_told_of_and_all_go_on) {
  EXPECT_EQ(ZmqBusOptions().neighbours_max, 128U);
  const auto with_seed = [&](const std::string& name) {
    ZmqBusOptions options = member(name);
    options.neighbours_max = 2;
    if (name != "a") options.seeds = {ipc("a.req")};
    return options;
  };
  auto a = start(with_seed("a"));
  auto b = start(with_seed("b"));
  auto c = start(with_seed("c"));
  ASSERT_TRUE(run_until([&] {
    return a->sees("b") && a->sees("c") && b->sees("a") && b->sees("c") && c->sees("a") &&
           c->sees("b");
  }));
  bool ended = false;
  ZmqBusOptions fourth = with_seed("d");
  fourth.on_fatal = [&](const absl::Status&) { ended = true; };
  auto d = start(fourth);
  ASSERT_TRUE(run_until([&] { return !a->rejected.empty(); }));
  EXPECT_TRUE(a->rejected[0].starts_with("d: a has 2 neighbours")) << a->rejected[0];
  EXPECT_NE(a->rejected[0].find("supercloud hub"), std::string::npos) << a->rejected[0];
  EXPECT_FALSE(a->sees("d") || b->sees("d") || c->sees("d"));
  // A client is none, and one that ends makes room when it is found out.
  ZmqBusOptions client = with_seed("client-1");
  client.client = true;
  client.neighbours_max = 1;
  auto asker = start(client);
  ASSERT_TRUE(run_until([&] { return asker->sees("a") && asker->sees("b") && asker->sees("c"); }));
  c.reset();
  EXPECT_TRUE(run_until([&] { return a->sees("d") && b->sees("d") && d->sees("b"); }));
  EXPECT_FALSE(ended) << "a refusal ends processes, of older builds whatever they are members of";
}

TEST_F(ZmqBusTest, who_finds_no_room_is_answered_nothing) {
  ZmqBusOptions options = member("a");
  options.neighbours_max = 1;
  auto a = start(options);
  ZmqBusOptions second = member("b");
  second.seeds = {ipc("a.req")};
  auto b = start(second);
  ASSERT_TRUE(run_until([&] { return a->sees("b"); }));
  std::vector<std::string> answers;
  ZmqSocket older(std::make_shared<ZmqContext>(), ZMQ_DEALER, {.high_water_mark = 10}, loop_,
                  [&](ZmqSocket::Frames frames) { answers.emplace_back(frames[0]); });
  ASSERT_TRUE(older.connect(ipc("a.req")).ok());
  older.start();
  const auto hello = [&](std::uint64_t beat, bool client) {
    const Member self{"older", 7, ipc("older.pub"), ipc("older.req")};
    const std::string frame = encode(Control(Hello{beat, self, client}));
    const std::string_view frames[] = {frame};
    return older.send(frames);
  };
  ASSERT_TRUE(hello(1, false));
  ASSERT_TRUE(run_until([&] { return !a->rejected.empty(); }));
  EXPECT_TRUE(a->rejected[0].starts_with("older: a has 1 neighbours")) << a->rejected[0];
  ASSERT_TRUE(hello(2, true));
  ASSERT_TRUE(run_until([&] { return !answers.empty(); }));
  const auto first = decode_control(answers[0]);
  ASSERT_TRUE(first.ok() && std::holds_alternative<Welcome>(*first)) << first.status();
  EXPECT_EQ(std::get<Welcome>(*first).beat, 2);
}

// A process that answers hellos as the test wants.
class AnsweringTest : public ZmqBusTest {
 protected:
  void answer_at(const std::string& endpoint, ZmqServer::OnHello answer) {
    auto server = ZmqServer::bind(std::make_shared<ZmqContext>(), loop_, *other_.pool, other_.name,
                                  plain_, {.endpoint = endpoint});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->start(other_, std::move(answer));
  }

  Credentials plain_;
  BusProcess other_ = BusProcess("other", std::make_unique<EventPool>());
  std::unique_ptr<ZmqServer> server_;
};

TEST_F(AnsweringTest, a_refusal_for_want_of_room_ends_nobody) {
  answer_at(ipc("other.req"), [](const Hello&, const Trust::Enrolled*) {
    return Control(Refusal{absl::ResourceExhaustedError("full")});
  });
  ZmqBusOptions options = member("a");
  options.seeds = {ipc("other.req")};
  bool ended = false;
  options.on_fatal = [&](const absl::Status&) { ended = true; };
  auto a = start(options);
  ASSERT_TRUE(run_until([&] { return a->rejected.size() > 1; }));
  EXPECT_NE(a->rejected[0].find("full"), std::string::npos) << a->rejected[0];
  EXPECT_FALSE(ended);
}

TEST_F(AnsweringTest, who_is_only_told_of_gives_way_to_who_says_hello_itself) {
  Welcome lies{0, {"other", 7, ipc("other.pub"), ipc("other.req")}, {}};
  for (const char* name : {"c", "d", "e", "f"})
    lies.members.push_back(
        {name, 7, ipc(std::string(name) + ".pub"), ipc(std::string(name) + ".req")});
  answer_at(ipc("other.req"), [&](const Hello& hello, const Trust::Enrolled*) {
    lies.beat = hello.beat;
    return Control(lies);
  });
  ZmqBusOptions options = member("a");
  options.neighbours_max = 3;
  options.hello_interval = absl::Milliseconds(20);
  options.seeds = {ipc("other.req")};
  auto a = start(options);
  ASSERT_TRUE(run_until([&] { return a->sees("other"); }));
  ZmqBusOptions second = member("b");
  second.seeds = {ipc("a.req")};
  auto b = start(second);
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  EXPECT_FALSE(std::ranges::any_of(
      a->rejected, [](const std::string& line) { return line.starts_with("b: "); }));
}

TEST_F(ZmqBusTest, events_come_in_json_to_who_subscribes_them_so_and_to_nobody_else) {
  ZmqBusOptions first = member("a");
  first.hello_interval = absl::Milliseconds(20);  // somebody else's socket does not wake the loop
  auto a = start(first);
  ZmqBusOptions second = member("b");
  second.seeds = {ipc("a.req")};
  auto b = start(second);
  bool ready = false;
  b->bus->subscribe("", Reply<Done>(far_future, [&](const auto&) { ready = true; }));
  ASSERT_TRUE(run_until([&] { return ready && b->sees("a"); }));
  const std::string json(json_lead);
  int markers = 0;
  const auto marked = [&](Listener& listener) {
    const std::string marker = std::string(marker_lead) + "x/1/" + std::to_string(++markers) + "/";
    listener.subscribe(marker);
    return run_until([&] { return listener.has(marker); });
  };
  Listener plain(ipc("a.pub"));
  plain.subscribe("");
  ASSERT_TRUE(marked(plain));
  a->publish("executor", "web0");  // before anybody wants JSON
  ASSERT_TRUE(run_until([&] { return plain.has("vm.dirty_rate.main.web0."); }));
  EXPECT_FALSE(plain.has(json + "vm.dirty_rate.main.web0."));

  Listener c(ipc("a.pub"));
  c.subscribe(json + "vm.");
  ASSERT_TRUE(marked(c));
  a->publish("executor", "web1");
  a->bus->publish(a->streams.other(*a->pool, "executor", "web1"));
  ASSERT_TRUE(run_until([&] { return c.has(json + "vm.dirty_rate.main.web1."); }));
  const Event event = a->streams.event(*a->pool, "executor", "web2");
  a->bus->publish(event);
  ASSERT_TRUE(
      run_until([&] { return c.last(json + "vm.dirty_rate.main.web2.") == to_json(event); }));
  EXPECT_FALSE(c.has(json + "migration.progress.main.web1."));
  ASSERT_TRUE(run_until([&] { return b->events.size() == 4; }));
  EXPECT_TRUE(b->rejected.empty()) << b->rejected[0];
  EXPECT_TRUE(b->gaps.empty());

  // Nobody wants it any more: it is not even made, as soon as the publisher has made sure of that.
  c.unsubscribe(json + "vm.");
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(marked(c));
  a->publish("executor", "web3");
  ASSERT_TRUE(run_until([&] { return plain.has("vm.dirty_rate.main.web3."); }));
  a->publish("executor", "web4");
  ASSERT_TRUE(run_until([&] { return plain.has("vm.dirty_rate.main.web4."); }));
  EXPECT_FALSE(plain.has(json + "vm.dirty_rate.main.web3."));
}

TEST_F(ZmqBusTest, a_log_answers_in_json_as_much_as_has_room) {
  EventPool pool;
  TestStreams streams("a");
  StreamPart part;
  part.events = {streams.event(pool, "executor", "web1"), streams.event(pool, "executor", "web2")};
  part.through = 9;
  const StreamRange range{"a/executor", 1, {""}, 0, 9};
  const std::string all = encode_json_answer(part);
  const auto answer = decode_answer(all, range);
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->through, 9U);
  ASSERT_EQ(answer->events.size(), 2U);
  EXPECT_EQ(answer->events[1], to_json(part.events[1]));

  Draft draft = pool.draft("web3");
  // Six bytes of JSON for each of its own.
  draft.payload().initVmFailed().setWhy(std::string(event_bytes_max / 4, '\x01'));
  Envelope envelope{.origin = "a/executor", .incarnation = 1, .sequence = 3};
  const absl::StatusOr<Event> large = std::move(draft).seal(envelope);
  ASSERT_TRUE(large.ok()) << large.status();
  ASSERT_GT(to_json(*large).size(), request_bytes_max);
  part.events.push_back(*large);
  const std::string before = encode_json_answer(part);
  ASSERT_TRUE(decode_answer(before, range).ok()) << decode_answer(before, range).status();
  EXPECT_EQ(decode_answer(before, range)->through, 2U) << "the rest is asked for";
  EXPECT_EQ(decode_answer(before, range)->events.size(), 2U);
  const std::string alone = encode_json_answer({{*large}, 9});
  ASSERT_TRUE(decode_answer(alone, range).ok()) << decode_answer(alone, range).status();
  EXPECT_EQ(decode_answer(alone, range)->through, 3U) << "and cannot be had: it gets on";
  EXPECT_TRUE(decode_answer(alone, range)->events.empty());
}

// A member that is slow to answer a client's hello, and quick otherwise.
class SlowMember {
 public:
  SlowMember(EventLoop& loop, const std::string& requests, const std::string& friend_of)
      : requests_(context_, ZMQ_ROUTER, {}, loop,
                  [this](ZmqSocket::Frames frames) { take(frames); }),
        hello_(context_, ZMQ_DEALER, {}, loop, [](ZmqSocket::Frames) {}) {
    EXPECT_TRUE(requests_.bind(requests).ok());
    EXPECT_TRUE(hello_.connect(friend_of).ok());
    self_ = {"slow", 1, requests + ".pub", requests_.endpoint()};
    requests_.start();
    hello_.start();
    const std::string frame = encode(Control(Hello{1, self_, false}));
    const std::string_view frames[] = {frame};
    hello_.send(frames);
  }
  void welcome_clients() {
    welcoming_ = true;
    for (const auto& [to, hello] : std::exchange(kept_, {})) welcome(to, hello);
  }
  std::size_t clients_waiting() const { return kept_.size(); }

 private:
  void take(ZmqSocket::Frames frames) {
    const std::string from(frames[0]);
    const auto control = decode_control(frames[1]);
    if (!control.ok()) return;
    if (const Hello* hello = std::get_if<Hello>(&*control)) {
      if (hello->client && !welcoming_) {
        kept_.emplace_back(from, *hello);
      } else {
        welcome(from, *hello);
      }
    } else if (const WireRequest* request = std::get_if<WireRequest>(&*control)) {
      send(from, WireAnswer{request->id, std::string("here")});
    }
  }
  void welcome(const std::string& to, const Hello& hello) {
    send(to, Welcome{hello.beat, self_, {}});
  }
  void send(const std::string& to, const Control& control) {
    const std::string frame = encode(control);
    const std::string_view frames[] = {to, frame};
    requests_.send(frames);
  }

  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  Member self_;
  bool welcoming_ = false;
  std::vector<std::pair<std::string, Hello>> kept_;
  ZmqSocket requests_;
  ZmqSocket hello_;
};

TEST_F(ZmqBusTest, a_client_waits_for_a_seed_of_which_another_says_that_it_is_there) {
  auto a = start(member("a"));
  SlowMember slow(loop_, ipc("slow.req"), ipc("a.req"));
  ASSERT_TRUE(run_until([&] { return a->sees("slow"); }));
  ZmqBusOptions options;
  options.name = "client-1";
  options.client = true;
  options.seeds = {ipc("slow.req"), ipc("a.req")};
  auto client = start(options);
  std::optional<absl::StatusOr<std::string>> answer;
  client->bus->request({"slow", "echo"}, "x",
                       Reply<std::string>(far_future, [&](absl::StatusOr<std::string> value) {
                         answer = std::move(value);
                       }));
  ASSERT_TRUE(run_until([&] { return client->sees("a") && slow.clients_waiting() > 0; }));
  EXPECT_FALSE(answer.has_value()) << answer->status();
  slow.welcome_clients();
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  ASSERT_TRUE(answer->ok()) << answer->status();
  EXPECT_EQ(**answer, "here");
}

TEST_F(ZmqBusTest, a_client_hears_events_published_after_its_subscribe_reply) {
  auto a = start(member("a"));
  ZmqBusOptions options;
  options.name = "client-1";
  options.client = true;
  options.seeds = {ipc("a.req")};
  auto client = start(options);
  bool ready = false;
  client->bus->subscribe("", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
  ASSERT_TRUE(run_until([&] { return ready; }));
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return client->events.size() == 1; }));
}

TEST_F(ZmqBusTest, without_any_living_seed_a_request_ends_as_unavailable) {
  ZmqBusOptions options;
  options.name = "client-1";
  options.client = true;
  options.seeds = {ipc("gone.req")};
  options.silence_max = absl::Seconds(2);  // a loaded machine is no silence
  options.hello_interval = absl::Milliseconds(100);
  auto client = start(options);
  absl::Status status;
  client->bus->request({"b", "echo"}, "x",
                       Reply<std::string>(far_future, [&](absl::StatusOr<std::string> value) {
                         status = value.status();
                       }));
  ASSERT_TRUE(run_until([&] { return !status.ok(); }));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST_F(ZmqBusTest, a_process_at_an_endpoint_that_is_served_does_not_start) {
  auto a = start(member("a"));
  EventPool pool;
  const auto second = ZmqBus::open(loop_, pool, member("a"));
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_NE(second.status().message().find("a.req"), std::string::npos);
}

TEST_F(ZmqBusTest, what_a_process_left_behind_at_its_endpoint_is_no_hindrance) {
  {
    const auto a = start(member("a"));
  }
  std::ofstream(directory_ + "/a.req").put('x');
  auto a = start(member("a"));
  EXPECT_TRUE(a->fatal.empty());
}

TEST_F(ZmqBusTest, an_endpoint_that_cannot_be_is_named) {
  EventPool pool;
  ZmqBusOptions options = member("a");
  options.publish_bind = "ipc:///nowhere/at/all";
  const auto bus = ZmqBus::open(loop_, pool, options);
  EXPECT_TRUE(absl::IsInvalidArgument(bus.status())) << bus.status();
  EXPECT_NE(bus.status().message().find("/nowhere/at/all"), std::string::npos);
  options = member("a/b");
  EXPECT_TRUE(absl::IsInvalidArgument(ZmqBus::open(loop_, pool, options).status()));
}

TEST_F(ZmqBusTest, what_is_published_just_before_the_end_still_leaves) {
  ZmqBusOptions first = member("a");
  first.linger = absl::Seconds(10);  // the machine may be busy
  auto a = start(first);
  ZmqBusOptions second = member("b");
  second.seeds = {ipc("a.req")};
  auto b = start(second);
  bool ready = false;
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  b->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
  ASSERT_TRUE(run_until([&] { return ready; }));
  for (int i = 0; i < 1000; ++i) a->publish("executor", "web1");
  a.reset();
  EXPECT_TRUE(run_until([&] { return b->events.size() == 1000; })) << b->events.size();
}

TEST_F(ZmqBusTest, a_name_that_is_no_token_is_refused) {
  EventPool pool;
  const auto bus = ZmqBus::open(loop_, pool, member("host1.example.com"));
  EXPECT_TRUE(absl::IsInvalidArgument(bus.status())) << bus.status();
  EXPECT_NE(bus.status().message().find("host1.example.com"), std::string::npos);
}

TEST_F(ZmqBusTest,
       a_member_without_a_socket_is_rejected_and_comes_in_when_a_dead_one_is_forgotten) {
  ZmqBusOptions options = member("a");
  options.sockets_max = 5;  // its own three, and those of one other
  options.hello_interval = absl::Milliseconds(50);
  options.silence_max = absl::Seconds(2);  // a loaded machine is no silence
  options.forget_after = absl::Milliseconds(300);
  auto a = start(options);
  options = member("b");
  options.seeds = {ipc("a.req")};
  auto b = start(options);
  ASSERT_TRUE(run_until([&] { return a->sees("b") && b->sees("a"); }));
  options = member("c");
  options.seeds = {ipc("a.req")};
  options.hello_interval = absl::Milliseconds(50);
  auto c = start(options);
  ASSERT_TRUE(run_until([&] { return !a->rejected.empty(); }));
  EXPECT_NE(a->rejected[0].find("cannot make a socket"), std::string::npos) << a->rejected[0];
  EXPECT_FALSE(a->sees("c"));
  bool answered = false;
  a->bus->request({"b", "echo"}, "x",
                  Reply<std::string>(far_future, [&](auto value) { answered = value.ok(); }));
  ASSERT_TRUE(run_until([&] { return answered; })) << "the others notice nothing";
  b.reset();
  ASSERT_TRUE(run_until([&] { return a->sees("c"); }));
  // And what it publishes arrives.
  bool ready = false;
  a->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
  ASSERT_TRUE(run_until([&] { return ready; }));
  // The socket for that may come a moment after the one by which it was seen.
  ASSERT_TRUE(run_until([&] {
    c->publish("executor", "web1");
    return !a->events.empty();
  }));
}

TEST_F(ZmqBusTest, a_forgotten_member_that_comes_back_is_heard_again) {
  ZmqBusOptions options = member("a");
  options.hello_interval = absl::Milliseconds(50);
  options.silence_max = absl::Seconds(2);  // a loaded machine is no silence
  options.forget_after = absl::Milliseconds(300);
  auto a = start(options);
  bool ready = false;
  a->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
  for (int life = 0; life < 2; ++life) {
    options = member("b");
    options.nonce = 7;  // as one process that was cut off
    options.seeds = {ipc("a.req")};
    auto b = start(options);
    ASSERT_TRUE(run_until([&] { return ready && a->sees("b") && b->sees("a"); }));
    const std::size_t before = a->events.size();
    ASSERT_TRUE(run_until([&] {
      b->publish("executor", "web1");
      return a->events.size() > before;
    }));
    b.reset();
    ASSERT_TRUE(run_until([&] { return !a->sees("b"); }));
    const Instant forgotten = loop_.clock().now() + absl::Milliseconds(500);
    ASSERT_TRUE(run_until([&] { return loop_.clock().now() >= forgotten; }));
  }
}

TEST(ZmqBusOutside, what_is_too_large_is_rejected_and_the_rest_goes_on) {
  for (const MakeBusWorld& make : {MakeBusWorld(make_ipc_world), MakeBusWorld(make_tcp_world)}) {
    const auto world = make();
    auto a = world->start("a");
    auto b = world->start("b");
    ASSERT_TRUE(world->run_until([&] { return a->sees("b") && b->sees("a"); }));
    bool ready = false;
    b->bus->subscribe("vm.", Reply<Done>(far_future, [&](absl::StatusOr<Done>) { ready = true; }));
    ASSERT_TRUE(world->run_until([&] { return ready; }));
    world->send_garbage(*b);
    // The last of it is above 2 MiB, on both sockets: there the liar is cut off.
    ASSERT_TRUE(world->run_until([&] {
      return std::any_of(b->rejected.begin(), b->rejected.end(), [](const std::string& line) {
        return line.find("too large") != std::string::npos;
      });
    }));
    a->publish("executor", "web1");
    ASSERT_TRUE(world->run_until([&] { return b->events.size() == 1; }));
    bool answered = false;
    a->bus->request({"b", "echo"}, "x", Reply<std::string>(far_future, [&](const auto& value) {
                      answered = value.ok();
                    }));
    ASSERT_TRUE(world->run_until([&] { return answered; }));
    EXPECT_TRUE(b->sees("a"));
    EXPECT_TRUE(b->fatal.empty());
  }
}

}  // namespace
}  // namespace supercloud
