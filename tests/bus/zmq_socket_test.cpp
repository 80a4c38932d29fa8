#include "bus/zmq_socket.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/event_loop.h"

namespace supercloud {
namespace {

// libzmq's descriptor tells once of what comes, and not at all when libzmq has been asked for its events since.
TEST(ZmqSocketTest, what_comes_while_nothing_can_be_sent_is_taken) {
  EventLoop loop;
  const auto context = std::make_shared<ZmqContext>();
  const std::unique_ptr<void, int (*)(void*)> sender(zmq_socket(context->get(), ZMQ_PUSH),
                                                     zmq_close);
  const int none = 0;
  zmq_setsockopt(sender.get(), ZMQ_LINGER, &none, sizeof none);
  std::vector<std::string> heard;
  // It never may send: each time it has taken what there was, it asks whether it may by now.
  ZmqSocket socket(
      context, ZMQ_PULL, {}, loop,
      [&](ZmqSocket::Frames frames) {
        heard.emplace_back(frames[0]);
        // Behind all that was taken, and before that question.
        if (heard.size() == 1) {
          EXPECT_EQ(zmq_send(sender.get(), "second", 6, 0), 6);
        }
      },
      [] { FAIL() << "a PULL socket sends nothing"; });
  ASSERT_TRUE(socket.bind("inproc://pull").ok());
  ASSERT_EQ(zmq_connect(sender.get(), "inproc://pull"), 0);
  socket.start();
  bool waits = false;  // for the descriptor alone
  loop.post([&] { loop.post([&] { waits = true; }); });
  ASSERT_TRUE(loop.run_until([&] { return waits; }, absl::Seconds(20)));
  ASSERT_EQ(zmq_send(sender.get(), "first", 5, 0), 5);
  EXPECT_TRUE(loop.run_until([&] { return heard.size() == 2; }, absl::Seconds(20)));
  EXPECT_EQ(heard, (std::vector<std::string>{"first", "second"}));
}

// Somebody else's socket, by tcp: it says nothing but messages, and asks for none of ours.
class BarePeer {
 public:
  explicit BarePeer(int type) : socket_(zmq_socket(context_, type)) {
    const int none = 0, few = 10;
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(socket_, ZMQ_SNDHWM, &few, sizeof few);
    EXPECT_EQ(zmq_socket_monitor(socket_, "inproc://connections",
                                 ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_CONNECTED),
              0);
    EXPECT_EQ(zmq_connect(connections_, "inproc://connections"), 0);
  }
  ~BarePeer() { end(); }
  BarePeer(const BarePeer&) = delete;
  BarePeer& operator=(const BarePeer&) = delete;

  // What is returned is where it is bound.
  std::string bind(const std::string& endpoint) {
    EXPECT_EQ(zmq_bind(socket_, endpoint.c_str()), 0) << zmq_strerror(zmq_errno());
    std::array<char, 256> name{};
    std::size_t size = name.size();
    EXPECT_EQ(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, name.data(), &size), 0);
    return name.data();
  }
  void connect(const std::string& endpoint) {
    EXPECT_EQ(zmq_connect(socket_, endpoint.c_str()), 0) << zmq_strerror(zmq_errno());
  }
  void subscribe(std::string_view prefix) {
    EXPECT_EQ(zmq_setsockopt(socket_, ZMQ_SUBSCRIBE, prefix.data(), prefix.size()), 0);
  }
  void wait_until_connected() { connection(); }
  // False: there is no room, and was none for as long as it takes to make some.
  bool send(std::string_view message) {
    zmq_pollitem_t room = {socket_, 0, ZMQ_POLLOUT, 0};
    return zmq_poll(&room, 1, 30) == 1 &&
           zmq_send(socket_, message.data(), message.size(), ZMQ_DONTWAIT) >= 0;
  }
  // Since the last call.
  bool has_heard() { return zmq_recv(socket_, nullptr, 0, ZMQ_DONTWAIT) >= 0; }
  // What was said is acknowledged: no kernel will say anything more of it.
  bool is_quiet() {
    const int now = 1;
    ::setsockopt(connection(), IPPROTO_TCP, TCP_QUICKACK, &now, sizeof now);
    int unacknowledged = 0;
    EXPECT_EQ(::ioctl(connection(), SIOCOUTQ, &unacknowledged), 0);
    return unacknowledged == 0;
  }
  // Its connection will end, with it, without a word to the other side. False: that takes CAP_NET_ADMIN.
  bool fall_silent() {
    const int on = 1;
    return ::setsockopt(connection(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) == 0;
  }
  void end() {
    if (context_ == nullptr) return;
    zmq_socket_monitor(socket_, nullptr, 0);
    zmq_close(connections_);
    zmq_close(socket_);
    zmq_ctx_term(std::exchange(context_, nullptr));
  }

 private:
  // Of the one that is connected, or will be.
  int connection() {
    if (connection_ >= 0) return connection_;
    std::array<char, 6> event{};  // 16 bits of its kind, 32 of its value: the descriptor
    EXPECT_EQ(zmq_recv(connections_, event.data(), event.size(), 0), 6);
    std::memcpy(&connection_, event.data() + 2, sizeof connection_);
    return connection_;
  }

  void* context_ = zmq_ctx_new();
  void* socket_;
  void* connections_ = zmq_socket(context_, ZMQ_PAIR);
  std::int32_t connection_ = -1;
};

// A SUB socket that has room for few messages, and the XPUB socket that it connects to.
class ZmqSubscriberTest : public testing::Test {
 protected:
  static constexpr Duration silence = absl::Milliseconds(300);

  ZmqSubscriberTest() { look(); }
  // Somebody else's socket does not wake the loop.
  void look() {
    loop_.at(loop_.clock().now() + absl::Milliseconds(10), [this] { look(); });
  }
  ZmqSocketOptions options() const {
    ZmqSocketOptions options;
    options.high_water_mark = 10;
    options.silence_max = silence;
    return options;
  }
  void subscribe(const std::string& endpoint) {
    ASSERT_TRUE(subscriber_.connect(endpoint).ok());
    subscriber_.subscribe("");
    subscriber_.start();
  }
  bool run_until(const std::function<bool()>& condition) {
    return loop_.run_until(condition, absl::Seconds(20));
  }

  EventLoop loop_;
  std::shared_ptr<ZmqContext> context_ = std::make_shared<ZmqContext>();
  std::vector<std::string> heard_;
  ZmqSocket subscriber_{context_, ZMQ_SUB, options(), loop_,
                        [this](ZmqSocket::Frames frames) { heard_.emplace_back(frames[0]); }};
};

// Were it libzmq's heartbeats that the subscriber went by, its connection would be made anew while messages wait in front of it, and
// taking one of them would end the process: an assertion of libzmq (its issue 3937).
TEST_F(ZmqSubscriberTest, a_subscriber_that_took_nothing_for_longer_than_the_silence_goes_on) {
  bool subscribed = false;
  ZmqSocket publisher(context_, ZMQ_XPUB, options(), loop_,
                      [&](ZmqSocket::Frames) { subscribed = true; });
  ASSERT_TRUE(publisher.bind("tcp://127.0.0.1:*").ok());
  publisher.start();
  subscribe(publisher.endpoint());
  ASSERT_TRUE(run_until([&] { return subscribed; }));
  // More than the sockets' buffers hold: the subscriber's side reads no further.
  const std::string early(64 << 10, 'e');
  for (int i = 0; i < 1000; ++i) publisher.send({early});
  std::this_thread::sleep_for(absl::ToChronoMilliseconds(5 * silence));  // how slow it is
  const auto late = [&] {
    publisher.send({"late"});
    return std::find(heard_.begin(), heard_.end(), "late") != heard_.end();
  };
  EXPECT_TRUE(run_until(late));
  EXPECT_EQ(heard_.front(), early);
}

// Were it libzmq's heartbeats that the bound end went by, the next one after the other had gone would end the process: an assertion of libzmq, too.
TEST_F(ZmqSubscriberTest,
       a_bound_end_whose_peer_went_while_its_words_waited_takes_them_and_goes_on) {
  std::size_t taken = 0;
  ZmqSocket bound(context_, ZMQ_PULL, options(), loop_, [&](ZmqSocket::Frames) { ++taken; });
  ASSERT_TRUE(bound.bind("tcp://127.0.0.1:*").ok());
  bound.start();
  BarePeer peer(ZMQ_PUSH);
  peer.connect(bound.endpoint());
  peer.wait_until_connected();
  // Until the bound end reads no further.
  std::size_t sent = 0;
  const std::string word(64 << 10, 'w');
  while (peer.send(word)) ++sent;
  ASSERT_GT(sent, 10U);
  peer.end();
  std::this_thread::sleep_for(absl::ToChronoMilliseconds(5 * silence));  // how slow it is
  EXPECT_TRUE(run_until([&] { return taken >= 10; }));
  BarePeer next(ZMQ_PUSH);
  next.connect(bound.endpoint());
  const std::size_t before = taken;
  EXPECT_TRUE(run_until([&] { return next.send("next") && taken > before; }));
}

TEST_F(ZmqSubscriberTest, a_subscriber_whose_publisher_vanished_without_a_word_finds_the_next) {
  auto publisher = std::make_unique<BarePeer>(ZMQ_XPUB);
  const std::string endpoint = publisher->bind("tcp://127.0.0.1:*");
  subscribe(endpoint);
  ASSERT_TRUE(run_until([&] { return publisher->has_heard(); }));
  ASSERT_TRUE(run_until([&] { return publisher->is_quiet(); }));
  if (!publisher->fall_silent()) GTEST_SKIP() << "only root can end a connection so";
  publisher->end();
  publisher = std::make_unique<BarePeer>(ZMQ_XPUB);
  publisher->bind(endpoint);
  EXPECT_TRUE(run_until([&] { return publisher->has_heard(); }));
}

TEST_F(ZmqSubscriberTest, a_publisher_lets_go_of_a_subscriber_that_vanished_without_a_word) {
  std::vector<std::string> asked;
  ZmqSocket publisher(context_, ZMQ_XPUB, options(), loop_,
                      [&](ZmqSocket::Frames frames) { asked.emplace_back(frames[0]); });
  ASSERT_TRUE(publisher.bind("tcp://127.0.0.1:*").ok());
  publisher.start();
  BarePeer gone(ZMQ_SUB);
  gone.subscribe("vm.");
  gone.connect(publisher.endpoint());
  ASSERT_TRUE(run_until([&] { return asked.size() == 1; }));
  EXPECT_EQ(asked[0], "\1vm.");
  gone.wait_until_connected();
  ASSERT_TRUE(run_until([&] { return gone.is_quiet(); }));
  if (!gone.fall_silent()) GTEST_SKIP() << "only root can end a connection so";
  gone.end();
  ASSERT_TRUE(run_until([&] { return asked.size() == 2; }));
  EXPECT_EQ(asked[1], std::string_view("\0vm.", 4));
}

}  // namespace
}  // namespace supercloud
