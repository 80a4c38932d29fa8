// Peers that mean harm, with a key and without: nothing crashes, nobody gets more than is theirs, memory stays bounded, and it is told who it was.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include <fstream>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "bus/calls.h"
#include "bus/history.h"
#include "bus/unread_answers.h"
#include "core/node.h"
#include "tests/bus/security_fixture.h"
#include "tests/bus/stranger.h"
#include "tests/core/memory_log.h"
#include "tests/core/node_fixture.h"

namespace supercloud {
namespace {

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::size_t kib = 0;
  while (status >> word)
    if (word == "VmRSS:") status >> kib;
  return kib;
}

// So many files may be open, if the system lets them; as many as before at the end.
class FilesAllowed {
 public:
  explicit FilesAllowed(rlim_t wanted) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit more{std::max(before_.rlim_cur, std::min(wanted, before_.rlim_max)),
                      before_.rlim_max};
    allowed_ = ::setrlimit(RLIMIT_NOFILE, &more) == 0 ? more.rlim_cur : before_.rlim_cur;
  }
  ~FilesAllowed() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FilesAllowed(const FilesAllowed&) = delete;
  FilesAllowed& operator=(const FilesAllowed&) = delete;
  rlim_t allowed() const { return allowed_; }

 private:
  rlimit before_{};
  rlim_t allowed_ = 0;
};

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER
#endif
#endif
#ifdef UNDER_ADDRESS_SANITIZER
constexpr bool under_address_sanitizer = true;
#else
constexpr bool under_address_sanitizer = false;
#endif

class AttackTest : public SecurityTest {
 protected:
  // A connection that says nothing.
  static int silent_connection(const std::string& endpoint) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(endpoint.substr(endpoint.rfind(':') + 1), &port)) << endpoint;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
};

TEST_F(AttackTest, what_is_no_subscription_gets_nobody_anothers_grant) {
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"node.heartbeat.>"}, false));
  auto a = start(member("a", trust));
  const std::string endpoint = bus(*a).publish_endpoint();
  Stranger friendly(loop_, ZMQ_SUB, "b", "a", endpoint);
  Stranger shifter(loop_, ZMQ_XSUB, "c", "a", endpoint);
  Stranger taker(loop_, ZMQ_SUB, "c", "a", endpoint);
  const auto times_told = [&] {
    return std::count_if(a->rejected.begin(), a->rejected.end(), [](const std::string& line) {
      return line.find(
                 "c: it is cut off, for it sends to what publishes what is no subscription") !=
             std::string::npos;
    });
  };
  const auto at_marker = [&](Stranger& each, const std::string& of, int number) {
    const std::string marker = std::string(marker_lead) + of + "/1/" + std::to_string(number) + "/";
    each.subscribe(marker);
    return each.eventually([&] { return each.heard_of(marker); });
  };
  constexpr int rounds = 12;
  int marker = 0;
  for (int round = 0; round < rounds; ++round) {
    ASSERT_TRUE(at_marker(friendly, "b", ++marker));
    ASSERT_TRUE(at_marker(taker, "c", ++marker));
    const auto told = times_told();
    // All wait at once, for the loop does not turn.
    shifter.send("nothing that one subscribes");
    friendly.subscribe("vm.dirty_rate.main.t" + std::to_string(round) + ".");
    taker.subscribe("node.heartbeat.main.t" + std::to_string(round) + ".");
    ASSERT_TRUE(taker.eventually([&] { return times_told() > told; })) << round;
  }
  ASSERT_TRUE(at_marker(friendly, "b", ++marker));
  ASSERT_TRUE(at_marker(taker, "c", ++marker));
  // Who was cut off for another's doing has what it asked for all the same.
  for (int round = 0; round < rounds; ++round) a->publish("executor", "t" + std::to_string(round));
  EXPECT_TRUE(friendly.eventually([&] {
    for (int round = 0; round < rounds; ++round)
      if (!friendly.heard_of("vm.dirty_rate.main.t" + std::to_string(round) + ".")) return false;
    return true;
  }));
  ASSERT_TRUE(at_marker(taker, "c", ++marker));
  EXPECT_FALSE(taker.heard_of("vm."));
  EXPECT_FALSE(shifter.heard_of("vm."));
}

TEST_F(AttackTest, connections_without_a_word_make_room_for_others) {
  ZmqBusOptions options = member("a", all_);
  options.connections_max = 16;
  auto a = start(options);
  std::vector<int> silent;
  for (const std::string& endpoint : {bus(*a).publish_endpoint(), bus(*a).request_endpoint()})
    for (int i = 0; i < 64; ++i) silent.push_back(silent_connection(endpoint));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  EXPECT_TRUE(rejected(*a, "a connection: more than 16 processes are connected to what publishes"));
  EXPECT_TRUE(rejected(*a, "a connection: more than 16 processes are connected to what answers"));
  for (const int fd : silent) ::close(fd);
}

TEST_F(AttackTest, thousands_of_connections_occupy_little_and_keep_nobody_out) {
  constexpr std::size_t most = 2000;
  constexpr std::size_t kib_of_each = 32;  // under AddressSanitizer too, which takes half more
  const FilesAllowed files(5 * most);
  // As many as the process may have: some hundreds where it may open a thousand files.
  const std::size_t connections = std::min<std::size_t>(most, files.allowed() / 5 / 100 * 100);
  ASSERT_GT(connections, 0) << "this process may open " << files.allowed() << " files alone";
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  subscribe(*b, "vm.");
  const std::size_t before = resident_kib();
  std::vector<int> open;
  const std::string garbage(64, '\xff');
  for (std::size_t i = 0; i < connections; ++i) {
    open.push_back(silent_connection(bus(*a).publish_endpoint()));
    if (i % 2 == 0) {
      EXPECT_GT(::send(open.back(), garbage.data(), garbage.size(), MSG_NOSIGNAL), 0);
    }
    if (i % 100 == 0) a->publish("executor", "web1");
  }
  ASSERT_TRUE(run_until([&] { return b->events.size() == connections / 100; }))
      << "a neighbour goes on";
  // Behind them in the queue of what is accepted: they all have been by then.
  auto c = start(member("c", all_), a.get());
  meet(*a, *c);
  subscribe(*c, "vm.");
  const std::size_t with_them = resident_kib();
  EXPECT_LT(with_them, before + connections * kib_of_each);
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return c->events.size() == 1; }));
  EXPECT_EQ(a->met["b"], 1);
  EXPECT_TRUE(a->gaps.empty() && b->gaps.empty() && c->gaps.empty());
  for (const int fd : open) ::close(fd);
}

TEST_F(AttackTest, events_from_the_future_are_dropped_and_told) {
  EventPool pool;
  MemoryLog log(loop_);
  auto opened = ZmqBus::open(loop_, pool, member("a", all_));
  ASSERT_TRUE(opened.ok()) << opened.status();
  auto node =
      std::make_unique<Node>(NodeSeams{loop_, **opened, log, pool}, NodeOptions{.name = "a"});
  std::vector<std::string> heard;
  node->spawn("listener", [&](Context& context) {
    context.subscribe(Pattern::of("vm.>"));
    return std::make_unique<Puppet>(
        context, [&](Context&, const Event& event) { heard.emplace_back(event.topic()); });
  });
  ZmqBusOptions options = member("b", all_);
  options.seeds = {"a@" + (*opened)->request_endpoint()};
  auto b = start(options);
  ASSERT_TRUE(run_until([&] { return b->sees("a"); }));
  subscribe(*b, "bus.");
  b->streams.ahead =
      static_cast<std::uint64_t>(absl::ToUnixMicros(loop_.clock().wall()) + 60'000'000);
  const auto told = [&](schema::Payload::Which type) {
    return std::any_of(b->events.begin(), b->events.end(),
                       [&](const Event& event) { return event.type() == type; });
  };
  ASSERT_TRUE(run_until([&] {
    b->publish("executor", "future");
    return told(schema::Payload::BUS_REJECTED) && told(schema::Payload::BUS_GAP);
  }));
  EXPECT_TRUE(heard.empty());
  b->streams.ahead = 0;
  b->publish("executor", "present");
  ASSERT_TRUE(run_until([&] { return !heard.empty(); }));
  EXPECT_EQ(heard, std::vector<std::string>{"vm.dirty_rate.main.present"});
  node.reset();
}

TEST_F(AttackTest, who_never_stops_subscribing_is_cut_off) {
  auto a = start(member("a", all_));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  for (std::size_t i = 0; i <= ZmqPublisher::subscriptions_max; ++i)
    c.subscribe("vm." + std::to_string(i) + ".");
  ASSERT_TRUE(c.eventually([&] { return c.times(ZMQ_EVENT_DISCONNECTED) > 0; }));
  EXPECT_TRUE(rejected(*a, "c: it is cut off, for it sends to what publishes more subscriptions"));
}

TEST_F(AttackTest, a_topic_longer_than_any_is_cut_off) {
  auto a = start(member("a", all_));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  c.subscribe("vm." + std::string(2000, 'x'));
  ASSERT_TRUE(c.eventually([&] { return c.times(ZMQ_EVENT_DISCONNECTED) > 0; }));
  EXPECT_TRUE(
      rejected(*a, "c: it is cut off, for it sends to what publishes a topic that is too long"));
  // libzmq itself takes none that is larger than any may be.
  Stranger larger(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  larger.subscribe("vm." + std::string(ZmqSocket::subscription_bytes_max, 'x'));
  ASSERT_TRUE(larger.eventually([&] { return larger.times(ZMQ_EVENT_DISCONNECTED) > 0; }));
}

// Else it would be told of as slow when c is, and c's end would take its name away.
TEST_F(AttackTest, a_marker_in_the_name_of_another_is_cut_off) {
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  c.subscribe(std::string(marker_lead) + "b/1/1/");
  ASSERT_TRUE(c.eventually([&] { return c.times(ZMQ_EVENT_DISCONNECTED) > 0; }));
  EXPECT_TRUE(rejected(
      *a, "c: it is cut off, for it sends to what publishes a marker in the name of another"));
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
}

// What is sent to find out who is slow would find whoever has such a part.
TEST_F(AttackTest, a_part_of_markers_is_cut_off_whatever_the_right) {
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  for (const char* part : {"\xff", "\xffm", "\xffmb", "\xffmb/", "\xffmb/1/1"}) {
    const auto told = [&] {
      return std::count_if(a->rejected.begin(), a->rejected.end(), [](const std::string& line) {
        return line.starts_with("c: it is cut off, for it sends to what publishes a part of");
      });
    };
    const auto before = told();
    Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
    c.subscribe("vm.");
    c.subscribe(part);
    ASSERT_TRUE(c.eventually([&] { return c.times(ZMQ_EVENT_DISCONNECTED) > 0; })) << part;
    EXPECT_GT(told(), before) << part;
  }
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
}

// Whose nonce it is each member is told, with its client's hello: so another may be there first.
TEST_F(AttackTest, who_takes_the_markers_of_anothers_client_keeps_it_from_nothing) {
  auto a = start(member("a", all_));
  const std::string client = std::string(marker_lead) + "client-1/5/";
  Stranger b(loop_, ZMQ_SUB, "b", "a", bus(*a).publish_endpoint());
  b.subscribe(client + "1b/");
  ASSERT_TRUE(b.eventually([&] { return b.heard_of(client + "1b/"); }));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  for (const char* which : {"1b/", "2b/"}) {
    c.subscribe("vm.");
    c.subscribe(client + which);
    ASSERT_TRUE(c.eventually([&] { return c.heard_of(client + which); })) << which;
  }
  a->publish("executor", "web1");
  EXPECT_TRUE(c.eventually([&] { return c.heard_of("vm."); }));
  EXPECT_EQ(b.times(ZMQ_EVENT_DISCONNECTED) + c.times(ZMQ_EVENT_DISCONNECTED), 0);
  EXPECT_TRUE(a->rejected.empty());
}

TEST_F(AttackTest, a_form_that_this_build_does_not_know_is_not_granted) {
  auto a = start(member("a", all_));
  Stranger c(loop_, ZMQ_SUB, "c", "a", bus(*a).publish_endpoint());
  const std::string marker = std::string(marker_lead) + "c/1/1/";
  c.subscribe("\xffzvm.");
  c.subscribe(marker);
  ASSERT_TRUE(c.eventually([&] { return c.heard_of(marker); })) << "a newer build goes on";
  EXPECT_TRUE(rejected(*a, "c: it subscribes events in a form that this build does not know"));
}

TEST_F(AttackTest, giant_frames_and_garbage_harm_nobody) {
  auto a = start(member("a", all_));
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  Stranger giant(loop_, ZMQ_DEALER, "c", "a", bus(*a).request_endpoint());
  giant.send(std::string(ZmqSocket::message_bytes_max + 1, 'x'));
  ASSERT_TRUE(giant.eventually([&] { return giant.times(ZMQ_EVENT_DISCONNECTED) > 0; }));
  Stranger garbage(loop_, ZMQ_DEALER, "c", "a", bus(*a).request_endpoint());
  for (int i = 0; i < 256; ++i)
    garbage.send(std::string(static_cast<std::size_t>(i), static_cast<char>(i)));
  ASSERT_TRUE(run_until([&] { return rejected(*a, "c: "); }));
  subscribe(*b, "vm.");
  a->publish("executor", "web1");
  ASSERT_TRUE(run_until([&] { return b->events.size() == 1; }));
  EXPECT_EQ(a->met["b"], 1);
}

// Of those that two connections of one name ask and do not read: what is kept for them, and what happens meanwhile.
class UnreadTest : public AttackTest {
 protected:
  // What libzmq and the kernel have taken besides, and what AddressSanitizer keeps of what was freed.
  static constexpr std::size_t kib_max = (UnreadAnswers::short_bytes_max >> 10) + (64 << 10) +
                                         (under_address_sanitizer ? 300 << 10 : 0);

  void SetUp() override {
    a_ = start(member("a", all_));
    b_ = start(member("b", all_), a_.get());
    meet(*a_, *b_);
    for (auto* each : {&one_, &other_})
      *each = std::make_unique<Stranger>(loop_, ZMQ_DEALER, "c", "a", bus(*a_).request_endpoint(),
                                         /*unread_max=*/1);
    before_ = resident_kib();
  }
  static std::string question(std::uint64_t id, std::string_view actor, std::string bytes = "") {
    return encode(Control(WireRequest{id, std::string(actor), std::move(bytes)}));
  }
  std::size_t told() const {
    return static_cast<std::size_t>(std::ranges::count_if(a_->rejected, [](const auto& line) {
      return line.starts_with("c: it asks and does not read: ");
    }));
  }
  void expect_bounded_and_others_served() {
    EXPECT_LT(resident_kib(), before_ + kib_max);
    EXPECT_TRUE(ask(*b_, {"a", "echo"}, "x").ok());
  }
  // Reads all, and what comes of a question after it.
  static void expect_answered_again(Stranger& c, std::uint64_t id, const std::string& question,
                                    std::size_t size) {
    const auto is_last = [&] {
      const auto& heard = c.heard();
      return !heard.empty() && heard.back().size() == size &&
             heard.back().substr(1, 8) == WireWriter().number(id).take();
    };
    // What is refused while it still reads is asked again.
    for (int tries = 0; tries < 100 && !is_last(); ++tries) {
      c.send(question);
      c.eventually(is_last, absl::Milliseconds(200));
    }
    EXPECT_TRUE(is_last());
  }

  std::unique_ptr<BusProcess> a_, b_;
  std::unique_ptr<Stranger> one_, other_;
  std::size_t before_ = 0;
};

TEST_F(UnreadTest, history_that_nobody_reads_occupies_a_bounded_part_of_memory) {
  constexpr std::size_t bytes_of_each = 512 << 10;
  constexpr std::uint64_t questions = 1500;  // of each, of which all answers are 1.5 GB
  a_->keeps_log = true;
  a_->log.push_back(
      a_->streams.started(*a_->pool, "executor", "main/web1", std::string(bytes_of_each, 'x')));
  StreamRange range{.origin = "a/executor", .incarnation = 1};
  range.prefixes = {""};
  range.up_to = 1;
  const std::string what = encode_question(range);
  for (std::uint64_t id = 1; id <= questions; ++id)
    for (auto* each : {&one_, &other_}) (*each)->send(question(id, history_actor, what));
  ASSERT_TRUE(run_until([&] { return told() > 100; }));
  expect_bounded_and_others_served();
  for (auto* each : {&one_, &other_})
    expect_answered_again(**each, questions + 1, question(questions + 1, history_actor, what),
                          /*size=*/4096);
}

// Which are no less unread.
TEST_F(UnreadTest, short_answers_that_nobody_reads_occupy_no_more) {
  constexpr std::uint64_t questions = 24'000;  // a queue has room for half of them, and more
  for (std::uint64_t id = 1; id <= questions; ++id)
    (id % 2 == 0 ? one_ : other_)->send(question(id, "echo", std::string(3000, 'x')));
  ASSERT_TRUE(run_until([&] { return told() > 100; }));
  expect_bounded_and_others_served();
  // A process of that name that begins now is let in all the same.
  Stranger fresh(loop_, ZMQ_DEALER, "c", "a", bus(*a_).request_endpoint());
  fresh.send(encode(Control(Hello{.self = {.name = "c", .nonce = 7}, .client = true})));
  EXPECT_TRUE(fresh.eventually([&] { return !fresh.heard().empty(); }));
}

TEST_F(AttackTest, who_guesses_numbers_of_requests_neither_cancels_nor_watches_them) {
  Trust trust = all_;
  trust.rights.grant("c", rights({}, {"vm.>"}, false));
  auto a = start(member("a", trust));
  auto b = start(member("b", trust), a.get());
  meet(*a, *b);
  std::optional<absl::StatusOr<std::string>> answer;
  auto call = std::make_shared<Call>([](const Progress&) {});
  b->bus->request({"a", "far"}, "x",
                  Reply<std::string>(far_future, [&](auto value) { answer = value; }, call));
  ASSERT_TRUE(run_until([&] { return a->kept.contains("x"); }));
  a->kept.at("x").call()->tell({1, 2, "a secret"});
  Stranger guesser(loop_, ZMQ_DEALER, "c", "a", bus(*a).request_endpoint());
  constexpr std::uint64_t guesses = 100;
  for (std::uint64_t id = 1; id <= guesses; ++id) {
    guesser.send(encode(Control(WireRequest{id, std::string(cancel_actor), encode_cancel(id)})));
    guesser.send(encode(Control(
        WireRequest{guesses + id, std::string(progress_actor), encode(ProgressQuestion{id, 0})})));
  }
  ASSERT_TRUE(guesser.eventually([&] { return guesser.heard().size() == 2 * guesses; }));
  for (const std::string& frame : guesser.heard()) {
    const auto said = decode_control(frame);
    ASSERT_TRUE(said.ok()) << said.status();
    EXPECT_TRUE(absl::IsNotFound(std::get<WireAnswer>(*said).value.status()));
  }
  EXPECT_EQ(a->cancelled["x"], 0);
  a->kept.at("x")("there");
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer->ok()) << answer->status();
}

TEST_F(AttackTest, what_speaks_no_zeromq_harms_nobody) {
  auto a = start(member("a", all_));
  std::vector<int> open;
  for (const std::string& endpoint : {bus(*a).publish_endpoint(), bus(*a).request_endpoint()}) {
    for (const char lead : {'\0', 'G', '\xff'}) {
      const int fd = silent_connection(endpoint);
      const std::string words(4096, lead);
      EXPECT_GT(::send(fd, words.data(), words.size(), MSG_NOSIGNAL), 0);
      open.push_back(fd);
    }
  }
  auto b = start(member("b", all_), a.get());
  meet(*a, *b);
  EXPECT_FALSE(a->sees("c"));
  for (const int fd : open) ::close(fd);
}

}  // namespace
}  // namespace supercloud
