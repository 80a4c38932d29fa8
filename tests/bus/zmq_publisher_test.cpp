// What a publisher makes of what peers say to it, whoever they are.
#include "bus/zmq_publisher.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bus/zmq_bus.h"
#include "bus/zmq_wire.h"
#include "core/event_loop.h"
#include "tests/bus/bus_process.h"
#include "tests/bus/listener.h"

namespace supercloud {
namespace {

// A subscriber that speaks ZMTP 2.0 or 3.0 itself: it may say what no ZeroMQ socket would.
class RawPeer {
 public:
  RawPeer(const std::string& path, int version) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    std::string greeting = "\xff" + std::string(8, '\0') + "\x7f";
    if (version == 2) {
      const char revision = 1, subscriber = 2;
      greeting += {revision, subscriber};
      greeting += std::string(2, '\0');  // no identity
    } else {
      const std::string ready = "\x05READY\x0bSocket-Type" + std::string(3, '\0') + "\x03SUB";
      greeting += {'\x03', '\x00'};
      greeting += "NULL" + std::string(16 + 32, '\0');
      greeting += {'\x04', static_cast<char>(ready.size())};
      greeting += ready;
    }
    put(greeting);
    if (version == 2) return;
    // Until both are ready libzmq takes a message for a mistake.
    pollfd readable{fd_, POLLIN, 0};
    for (int parts = 0; parts < 10 && !heard("READY"); ++parts) ::poll(&readable, 1, 20'000);
    EXPECT_TRUE(heard("READY"));
  }
  ~RawPeer() { ::close(fd_); }
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  void subscribe(const std::string& topic) { message('\x01' + topic); }
  void unsubscribe(const std::string& topic) { message('\x00' + topic); }
  // Of a message that goes on.
  void part(const std::string& body) { frame('\x01', body); }
  // What the kernel takes from a sender before this one reads.
  std::size_t kernel_bytes() const {
    int bytes = 0;
    socklen_t size = sizeof bytes;
    EXPECT_EQ(::getsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
    return static_cast<std::size_t>(bytes);
  }
  // Whether such bytes have come.
  bool heard(const std::string& bytes) {
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0;)
      heard_.append(buffer.data(), static_cast<std::size_t>(got));
    return heard_.find(bytes) != std::string::npos;
  }

 private:
  void message(const std::string& body) { frame('\x00', body); }
  void frame(char flags, const std::string& body) {
    put(std::string{flags, static_cast<char>(body.size())} + body);
  }
  void put(const std::string& bytes) {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }

  const int fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string heard_;
};

class ZmqPublisherTest : public testing::Test {
 protected:
  ZmqPublisherTest() {
    std::string name = testing::TempDir() + "busXXXXXX";
    directory_ = mkdtemp(name.data());
    path_ = directory_ + "/a.pub";
    auto made = ZmqPublisher::bind(context_, loop_, self_, no_keys_, {.endpoint = endpoint()},
                                   [](const std::string&, const std::string&) {});
    EXPECT_TRUE(made.ok()) << made.status();
    publisher_ = *std::move(made);
    publisher_->start({});
  }
  ~ZmqPublisherTest() override {
    publisher_.reset();
    std::filesystem::remove_all(directory_);
  }

  std::string endpoint() const { return "ipc://" + path_; }
  void publish(const std::string& vm) {
    publisher_->publish(streams_.event(pool_, "executor", vm));
  }
  std::string new_marker() {
    return absl::StrCat(std::string(marker_lead), "x/1/", ++markers_, "/");
  }
  // Somebody else's socket wakes no loop: looks again with each turn.
  bool eventually(const std::function<bool()>& holds) {
    const Instant end = loop_.clock().now() + absl::Seconds(20);
    while (!holds()) {
      if (loop_.clock().now() > end) return false;
      loop_.run_until([] { return false; }, absl::Milliseconds(2));
    }
    return true;
  }

  std::string directory_;
  std::string path_;
  EventLoop loop_;
  EventPool pool_;
  TestStreams streams_ = TestStreams("a");
  const Member self_{"a", 7, "", ""};
  const Credentials no_keys_;
  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  std::unique_ptr<ZmqPublisher> publisher_;
  int markers_ = 0;
};

TEST_F(ZmqPublisherTest, nobody_is_cut_off_by_what_another_lets_go) {
  for (const int version : {2, 3}) {
    for (const std::string_view lead : {std::string_view(), together_lead, json_lead}) {
      const std::string prefix = std::string(lead) + "vm.";
      Listener listener(endpoint());
      const std::string ready = new_marker();
      listener.subscribe(prefix);
      listener.subscribe(ready);
      ASSERT_TRUE(eventually([&] { return listener.has(ready); }));
      RawPeer raw(path_, version);
      raw.unsubscribe(prefix);  // which it never had
      raw.subscribe(prefix);
      raw.unsubscribe(prefix);
      raw.unsubscribe(prefix);
      // The second is heard behind all that the first may have led to.
      for (int i = 0; i < 2; ++i) {
        const std::string said = new_marker();
        raw.subscribe(said);
        ASSERT_TRUE(eventually([&] { return raw.heard(said); })) << version;
      }
      publish("web1");
      EXPECT_TRUE(eventually([&] {
        const auto& all = listener.heard();
        return std::any_of(all.begin(), all.end(),
                           [&](const auto& message) { return message.first.starts_with(prefix); });
      })) << "ZMTP "
          << version << ", a form of " << lead.size() << " bytes";
    }
  }
}

// Of a message of two parts libzmq tells the first, as one that goes on, and not the second, where it lets go what others have.
TEST_F(ZmqPublisherTest, a_message_of_parts_takes_no_subscription_of_anothers_with_it) {
  Listener listener(endpoint());
  const std::string common = new_marker();
  listener.subscribe(common);
  RawPeer raw(path_, 3);
  for (int i = 0; i < 20; ++i) {
    const std::string ready = new_marker();
    raw.subscribe(common);
    raw.part("x");
    raw.unsubscribe(common);
    listener.subscribe(ready);
    // Nothing says when both have come, to be taken one behind the other: most times by now.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_TRUE(eventually([&] { return listener.has(ready); })) << i;
  }
}

TEST_F(ZmqPublisherTest, a_marker_is_answered_though_another_has_subscribed_it_before) {
  const std::string marker = new_marker();
  RawPeer raw(path_, 3);
  raw.subscribe(marker);
  ASSERT_TRUE(eventually([&] { return raw.heard(marker); }));
  Listener listener(endpoint());
  listener.subscribe(marker);
  EXPECT_TRUE(eventually([&] { return listener.has(marker); }));
}

TEST_F(ZmqPublisherTest, what_waits_for_a_subscriber_that_reads_nothing_is_bounded_in_bytes) {
  constexpr std::size_t messages = 8;
  const std::string path = path_ + ".short";
  std::map<std::string, std::uint64_t> told;
  auto made = ZmqPublisher::bind(
      context_, loop_, self_, no_keys_,
      {.endpoint = "ipc://" + path,
       .high_water_mark = messages,
       .on_slow_subscriber = [&](const std::string& name,
                                 std::uint64_t backlog) { told[name] += backlog; }},
      [](const std::string&, const std::string&) {});
  ASSERT_TRUE(made.ok()) << made.status();
  ZmqPublisher& publisher = **made;
  publisher.start({});
  RawPeer raw(path, 3);
  const std::string ready = new_marker();
  raw.subscribe(std::string(together_lead) + "vm.");
  raw.subscribe(ready);
  ASSERT_TRUE(eventually([&] { return raw.heard(ready); }));
  const std::size_t sockets_bytes = 2 * raw.kernel_bytes();
  std::size_t bytes = 0;
  while (publisher.dropped() == 0 && bytes < 100 * sockets_bytes) {
    const Event event = streams_.event(pool_, "executor", "web1");
    bytes += event.bytes().size();
    publisher.publish(event);
  }
  EXPECT_GT(publisher.dropped(), 1U) << "all events of the message";
  EXPECT_LT(bytes, messages * together_bytes_max + sockets_bytes);
  ASSERT_TRUE(eventually([&] { return told.size() == 1; }));
  EXPECT_GE(told.begin()->second, messages + publisher.dropped());
  EXPECT_TRUE(ready.starts_with(absl::StrCat(std::string(marker_lead), told.begin()->first, "/")))
      << "it is named, for it has a marker";
  const std::size_t most = static_cast<std::size_t>(ZmqBusOptions().high_water_mark);
  EXPECT_LE(most * together_bytes_max, 100U << 20) << "where nobody says otherwise";
}

TEST_F(ZmqPublisherTest, who_lost_something_is_told_before_it_is_given_what_follows) {
  const std::string path = path_ + ".short";
  auto made = ZmqPublisher::bind(context_, loop_, self_, no_keys_,
                                 {.endpoint = "ipc://" + path, .high_water_mark = 16},
                                 [](const std::string&, const std::string&) {});
  ASSERT_TRUE(made.ok()) << made.status();
  ZmqPublisher& publisher = **made;
  publisher.start({});
  Listener listener("ipc://" + path);
  const std::string marker = new_marker();
  for (const std::string& topic : {std::string("vm."), std::string("migration."), marker})
    listener.subscribe(topic);
  ASSERT_TRUE(eventually([&] { return listener.has(marker); }));

  std::size_t looked_at = 0, told_losses = 0, untold_losses = 0;
  std::uint64_t last = 0;
  bool told = false;
  const auto judge = [&] {
    for (; looked_at < listener.heard().size(); ++looked_at) {
      const auto& [topic, body] = listener.heard()[looked_at];
      if (topic.starts_with(marker_lead)) {
        told = told || body == loss_sign;
        continue;
      }
      const auto event =
          pool_.parse({reinterpret_cast<const std::byte*>(body.data()), body.size()});
      ASSERT_TRUE(event.ok()) << event.status();
      if (event->sequence() != last + 1) ++(told ? told_losses : untold_losses);
      told = false;
      last = event->sequence();
    }
  };
  for (int i = 0; i < 100'000 && (i < 20'000 || told_losses < 8); ++i) {
    publisher.publish(i % 2 == 0 ? streams_.event(pool_, "executor", "web1")
                                 : streams_.other(pool_, "executor", "web1"));
    // It reads far less often than is published.
    if (i % 3000 == 0) judge();
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(publisher.dropped(), 0U);
  EXPECT_GE(told_losses, 8U) << "of " << publisher.dropped();
  // Where this thread stood still between its look for room and what it sent then: seldom, and on a machine that is busy as often.
  EXPECT_LE(untold_losses, 4 * told_losses);
}

TEST_F(ZmqPublisherTest,
       who_subscribes_everything_and_is_slow_remains_without_a_name_and_others_do_not) {
  constexpr std::size_t messages = 64, at_once = 4;
  const std::string path = path_ + ".short";
  std::map<std::string, std::uint64_t> told;
  auto made = ZmqPublisher::bind(
      context_, loop_, self_, no_keys_,
      {.endpoint = "ipc://" + path,
       .high_water_mark = messages,
       .on_slow_subscriber = [&](const std::string& name,
                                 std::uint64_t backlog) { told[name] += backlog; }},
      [](const std::string&, const std::string&) {});
  ASSERT_TRUE(made.ok()) << made.status();
  ZmqPublisher& publisher = **made;
  publisher.start({});
  Listener takes("ipc://" + path);
  RawPeer all(path, 3), some(path, 3);
  const auto join = [](auto& who, const std::string& prefix, const std::string& name) {
    who.subscribe(prefix);
    const std::string marker = absl::StrCat(std::string(marker_lead), name, "/1/1/");
    who.subscribe(marker);
    return marker;
  };
  const std::string first = join(takes, "vm.", "takes"), second = join(all, "", "all"),
                    third = join(some, "vm.", "some");
  ASSERT_TRUE(
      eventually([&] { return takes.has(first) && all.heard(second) && some.heard(third); }));
  for (int i = 0; i < 100'000 && (told.count("some") == 0 || told.count("") == 0); ++i) {
    for (std::size_t each = 0; each < at_once; ++each)
      publisher.publish(streams_.event(pool_, "executor", "web1"));
    const std::size_t all_of_them = (static_cast<std::size_t>(i) + 1) * at_once;
    ASSERT_TRUE(eventually([&] {
      const auto& had = takes.heard();
      return all_of_them == static_cast<std::size_t>(
                                std::count_if(had.begin(), had.end(), [](const auto& message) {
                                  return message.first.starts_with("vm.");
                                }));
    })) << i;
  }
  EXPECT_EQ(told.count("some"), 1U);
  EXPECT_EQ(told.count(""), 1U);
  EXPECT_EQ(told.size(), 2U) << told.begin()->first;
}

// Of events in one message, and of a turn that goes on long after.
class LongTurnTest : public ZmqPublisherTest {
 protected:
  void SetUp() override {
    const std::string ready = new_marker();
    listener_.subscribe(lead_ + "vm.");
    listener_.subscribe(ready);
    ASSERT_TRUE(eventually([&] { return listener_.has(ready); }));
  }
  // Two events, of which the second waits for others; then `then`. Whether `heard` holds before the turn ends.
  bool within_the_turn(const std::function<void()>& then, const std::function<bool()>& heard) {
    bool done = false, held = false;
    loop_.post([&] {
      publish("web1");
      publish("web2");
      then();
      const Instant end = loop_.clock().now() + absl::Seconds(20);
      while (!(held = heard()) && loop_.clock().now() < end) {
      }
      done = true;
    });
    EXPECT_TRUE(loop_.run_until([&] { return done; }, absl::Seconds(40)));
    return held;
  }
  std::size_t rates() {
    const auto& all = listener_.heard();
    return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), [&](const auto& message) {
      return message.first == lead_ + "vm.dirty_rate.main.";
    }));
  }

  const std::string lead_ = std::string(together_lead);
  Listener listener_ = Listener(endpoint());
};

TEST_F(LongTurnTest, what_waits_leaves_with_whatever_is_published_next) {
  EXPECT_TRUE(within_the_turn(
      [&] {
        const Instant until = loop_.clock().now() + EventBatch::wait_max;
        while (loop_.clock().now() < until) {
        }
        publisher_->publish(streams_.other(pool_, "mover", "web1"));
      },
      [&] { return rates() == 2; }));
}

TEST_F(LongTurnTest, what_a_blackout_waits_for_leaves_at_once) {
  Draft draft = pool_.draft("web1");
  draft.payload().initVmPaused();
  Envelope envelope;
  envelope.origin = "a/keeper";
  envelope.incarnation = envelope.sequence = 1;
  const absl::StatusOr<Event> paused = std::move(draft).seal(envelope);
  ASSERT_TRUE(paused.ok()) << paused.status();
  EXPECT_TRUE(within_the_turn([&] { publisher_->publish(*paused); },
                              [&] { return listener_.has(lead_ + "vm.paused.main."); }));
  EXPECT_EQ(rates(), 2U) << "and what was said before it, before it";
}

}  // namespace
}  // namespace supercloud
