#include "hypercall/qemu/way_probe.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/socket_link.h"

namespace supercloud {
namespace {

namespace handshake = qemu_handshake;

// A host that takes streams in as QemuHypervisor does, and one that tries the way to it, on one loop.
class WayProbe : public ::testing::Test {
 protected:
  WayProbe() {
    std::string pattern = "/tmp/supercloud-way-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~WayProbe() override {
    listener_.reset();
    network_.reset();
    std::filesystem::remove_all(folder_);
  }

  void SetUp() override {
    auto network = SocketLinkNetwork::open(loop_, "unix:" + folder_ + "/links");
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    auto listener = StreamListener::open(loop_, "tcp:127.0.0.1:0",
                                         [this](const std::string& token, OwnFd stream) {
                                           if (!target_.take(token, stream))
                                             given_.push_back(std::move(stream));
                                         });
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    address_ = listener_->endpoint();
    ASSERT_TRUE(network_
                    ->listen(handshake::service,
                             [this](std::unique_ptr<Link> link) {
                               auto* raw = link.get();
                               links_.push_back(std::move(link));
                               raw->set_handler({.on_frame =
                                                     [this, raw](const std::string& bytes) {
                                                       raw->send(encode(answer(bytes)));
                                                     },
                                                 .on_closed = [](const absl::Status&) {}});
                             })
                    .ok());
  }
  handshake::Frame answer(const std::string& bytes) {
    const auto frame = handshake::decode(bytes);
    const auto* probe = frame.ok() ? std::get_if<handshake::Probe>(&*frame) : nullptr;
    if (probe == nullptr || earlier_release_)
      return handshake::Refuse{"it says nothing that is known"};
    auto offered = target_.offer(*probe, address_, token());
    if (!offered.ok()) return handshake::Refuse{std::string(offered.status().message())};
    return *std::move(offered);
  }
  std::string token() {
    std::string token(handshake::token_bytes, 't');
    token.back() = static_cast<char>('a' + tokens_++);
    return token;
  }
  absl::StatusOr<Way> try_way(bool measure) {
    std::optional<absl::StatusOr<Way>> told;
    try_way_to(loop_, *network_, network_->endpoint(), measure,
               Reply<Way>(far_future, [&](absl::StatusOr<Way> way) { told = std::move(way); }));
    EXPECT_TRUE(until([&] { return told.has_value(); }));
    return told.value_or(absl::InternalError("nothing was told"));
  }
  bool until(absl::FunctionRef<bool()> done) { return loop_.run_until(done, absl::Seconds(20)); }
  // With a token that was offered: what a source would say next is said by the test.
  OwnFd connect(const std::string& shown) {
    std::optional<absl::StatusOr<OwnFd>> connected;
    connect_stream(loop_, address_, shown, Reply<OwnFd>(far_future, [&](absl::StatusOr<OwnFd> fd) {
                     connected.emplace(std::move(fd));
                   }));
    EXPECT_TRUE(until([&] { return connected.has_value(); }));
    return connected && connected->ok() ? *std::move(*connected) : OwnFd();
  }
  // All that is said on it until it is closed.
  std::string said_until_its_end(const OwnFd& stream) {
    std::string all;
    std::array<char, 256> bytes{};
    EXPECT_TRUE(until([&] {
      const ssize_t got = ::recv(stream.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (got > 0) all.append(bytes.data(), static_cast<std::size_t>(got));
      return got == 0 || (got < 0 && errno == ECONNRESET);
    }));
    return all;
  }

  EventLoop loop_;
  std::string folder_, address_;
  WayTarget target_{loop_};
  std::unique_ptr<StreamListener> listener_;
  std::unique_ptr<SocketLinkNetwork> network_;
  std::vector<std::unique_ptr<Link>> links_;
  std::vector<OwnFd> given_;  // streams that would have been QEMU's
  int tokens_ = 0;
  bool earlier_release_ = false;
};

TEST_F(WayProbe, IsReachedAndMeasured) {
  const auto way = try_way(true);
  ASSERT_TRUE(way.ok()) << way.status();
  EXPECT_GT(way->round_trip, absl::ZeroDuration());
  EXPECT_GT(way->bytes_per_second, 0U);
  EXPECT_TRUE(given_.empty());
}

TEST_F(WayProbe, IsReachedWithoutBeingMeasured) {
  const auto way = try_way(false);
  ASSERT_TRUE(way.ok()) << way.status();
  EXPECT_GT(way->round_trip, absl::ZeroDuration());
  EXPECT_EQ(way->bytes_per_second, 0U);
}

TEST_F(WayProbe, IsNotFilledByThoseWhoAskAgainAndAgain) {
  const auto first = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->bytes, way_bytes_max);
  const auto second = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->bytes, 0U);
  std::set<absl::StatusCode> codes;
  for (std::size_t i = 0; i < WayTarget::offers_max; ++i)
    codes.insert(target_.offer({.measure = true}, address_, token()).status().code());
  EXPECT_TRUE(codes.contains(absl::StatusCode::kResourceExhausted));
}

TEST_F(WayProbe, ClosesToWhoSaysMoreThanHeMay) {
  const auto offer = target_.offer({.measure = false}, address_, token());
  ASSERT_TRUE(offer.ok());
  const OwnFd stream = connect(offer->token);
  ASSERT_EQ(::send(stream.get(), "\x01\0\0\0\x02", 5, MSG_NOSIGNAL), 5);
  EXPECT_LE(said_until_its_end(stream), std::string("\x01"));  // the pong at most, and no report
}

TEST_F(WayProbe, ClosesToWhoDoesNotBeginAsItShould) {
  const auto offer = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(offer.ok());
  const OwnFd stream = connect(offer->token);
  ASSERT_EQ(::send(stream.get(), "Q", 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(said_until_its_end(stream), "");
}

TEST_F(WayProbe, ItsTokenIsGoodForOneConnectionAndNoTransfer) {
  const auto offer = target_.offer({.measure = false}, address_, token());
  ASSERT_TRUE(offer.ok());
  OwnFd none;
  EXPECT_TRUE(target_.take(offer->token, none));
  EXPECT_FALSE(target_.take(offer->token, none));
  EXPECT_FALSE(target_.take(std::string(handshake::token_bytes, 'x'), none));
}

TEST_F(WayProbe, WhatCannotBeReachedIsNamedWithItsReason) {
  listener_.reset();
  const auto way = try_way(true);
  EXPECT_TRUE(absl::IsUnavailable(way.status())) << way.status();
  EXPECT_NE(way.status().message().find(address_), std::string::npos) << way.status();
  EXPECT_NE(way.status().message().find("Connection refused"), std::string::npos) << way.status();
}

TEST_F(WayProbe, AHostWithoutLinksIsNamedToo) {
  const std::string nobody = "unix:" + folder_ + "/nobody";
  std::optional<absl::StatusOr<Way>> told;
  try_way_to(loop_, *network_, nobody, true,
             Reply<Way>(far_future, [&](absl::StatusOr<Way> way) { told = std::move(way); }));
  ASSERT_TRUE(until([&] { return told.has_value(); }));
  EXPECT_TRUE(absl::IsUnavailable(told->status())) << told->status();
  EXPECT_NE(told->status().message().find(nobody), std::string::npos) << told->status();
}

TEST_F(WayProbe, AnEarlierReleaseTellsNothingWhichIsNoFailure) {
  earlier_release_ = true;
  EXPECT_TRUE(absl::IsUnimplemented(try_way(true).status()));
}

TEST_F(WayProbe, SomebodyElseAtTheAddressIsNoHost) {
  auto stranger = StreamListener::open(loop_, "tcp:127.0.0.1:0",
                                       [](const std::string&, const OwnFd&) {});  // hangs up
  ASSERT_TRUE(stranger.ok());
  address_ = (*stranger)->endpoint();
  const auto way = try_way(true);
  EXPECT_TRUE(absl::IsUnavailable(way.status())) << way.status();
  EXPECT_NE(way.status().message().find(address_), std::string::npos) << way.status();
}

TEST(WayReport, IsReadAsItWasSaidAndNothingElseIs) {
  const WayReport report{4'000'000, 12'345'678};
  const auto again = decode_way_report(encode(report));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, report);
  EXPECT_FALSE(decode_way_report("").ok());
  EXPECT_FALSE(decode_way_report(encode(report) + "x").ok());
  EXPECT_FALSE(decode_way_report(encode({way_bytes_max + 1, 1})).ok());
  EXPECT_FALSE(decode_way_report(encode({1, ~std::uint64_t{0}})).ok());
}

TEST(WayReport, OfAConnectionThatIsNotUpToItsSpeedSaysOnlyAtLeast) {
  const WayReport report{1'000'000, 50'000'000};
  const Way near_by = way_of(report, absl::Milliseconds(1));
  EXPECT_EQ(near_by.bytes_per_second, 20'000'000U);
  EXPECT_FALSE(near_by.at_least);
  const Way far = way_of(report, absl::Milliseconds(20));
  EXPECT_EQ(far.bytes_per_second, 20'000'000U);
  EXPECT_TRUE(far.at_least);
  EXPECT_EQ(way_of({0, 0}, absl::Milliseconds(1)).bytes_per_second, 0U);
}

}  // namespace
}  // namespace supercloud
