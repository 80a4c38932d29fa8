#include "bus/zmq_socket.h"

#include <gtest/gtest.h>
#include <zmq.h>

#include <memory>
#include <string>
#include <vector>

#include "core/event_loop.h"

namespace supercloud {
namespace {

// libzmq's descriptor tells once of what comes, and not at all when libzmq has been asked for its events since.
TEST(ZmqSocketTest, what_comes_while_nothing_can_be_sent_is_taken) {
  EventLoop loop;
  const auto context = std::make_shared<ZmqContext>();
  void* sender = zmq_socket(context->get(), ZMQ_PUSH);
  std::vector<std::string> heard;
  {
    // It never may send: each time it has taken what there was, it asks whether it may by now.
    ZmqSocket socket(
        context, ZMQ_PULL, {}, loop,
        [&](ZmqSocket::Frames frames) {
          heard.emplace_back(frames[0]);
          // Behind all that was taken, and before that question.
          if (heard.size() == 1) EXPECT_EQ(zmq_send(sender, "second", 6, 0), 6);
        },
        [] { FAIL() << "a PULL socket sends nothing"; });
    ASSERT_TRUE(socket.bind("inproc://pull").ok());
    ASSERT_EQ(zmq_connect(sender, "inproc://pull"), 0);
    socket.start();
    bool waits = false;  // for the descriptor alone
    loop.post([&] { loop.post([&] { waits = true; }); });
    ASSERT_TRUE(loop.run_until([&] { return waits; }, absl::Seconds(20)));
    ASSERT_EQ(zmq_send(sender, "first", 5, 0), 5);
    EXPECT_TRUE(loop.run_until([&] { return heard.size() == 2; }, absl::Seconds(20)));
  }
  EXPECT_EQ(heard, (std::vector<std::string>{"first", "second"}));
  const int none = 0;
  zmq_setsockopt(sender, ZMQ_LINGER, &none, sizeof none);
  zmq_close(sender);
}

}  // namespace
}  // namespace supercloud
