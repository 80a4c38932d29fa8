#include "hypercall/qemu/way_probe.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
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
    sources_.reset();
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
    if (by_hand_) return handshake::WayOffer{address_, token(), way_bytes_max};
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
    begin_to_try(measure);
    EXPECT_TRUE(until([&] { return told_.has_value(); }));
    return told_.value_or(absl::InternalError("nothing was told"));
  }
  void begin_to_try(bool measure) {
    told_.reset();
    if (!sources_) sources_.emplace(loop_, *network_);
    sources_->try_way(
        network_->endpoint(), measure,
        Reply<Way>(far_future, [this](absl::StatusOr<Way> way) { told_ = std::move(way); }));
  }
  // The stream of a source that tries the way to a host whose part the test plays: it is answered until it says filler.
  OwnFd stream_that_is_filled() {
    by_hand_ = true;
    begin_to_try(true);
    char ping = 0;
    EXPECT_TRUE(until([&] {
      return !given_.empty() && ::recv(given_.front().get(), &ping, 1, MSG_DONTWAIT) == 1;
    }));
    EXPECT_EQ(::send(given_.front().get(), &ping, 1, MSG_NOSIGNAL), 1);
    return given_.empty() ? OwnFd() : std::move(given_.front());
  }
  // Also of what this loop does not watch.
  bool until(absl::FunctionRef<bool()> done) {
    const Instant end = loop_.clock().now() + absl::Seconds(20);
    while (loop_.clock().now() < end)
      if (loop_.run_until(done, absl::Milliseconds(2))) return true;
    return false;
  }
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
  bool earlier_release_ = false, by_hand_ = false;
  std::optional<absl::StatusOr<Way>> told_;
  std::optional<WaySources> sources_;
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
  const auto again = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->bytes, way_bytes_max);
  const auto third = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(third->bytes, 0U);
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
  WaySources sources(loop_, *network_);
  sources.try_way(nobody, true,
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

TEST_F(WayProbe, AHostThatReadsNothingIsReachedAndWhatTheWayCarriesIsNotKnown) {
  const OwnFd stream = stream_that_is_filled();
  ASSERT_TRUE(until([&] { return told_.has_value(); }));
  ASSERT_TRUE(told_->ok()) << told_->status();
  EXPECT_GT((*told_)->round_trip, absl::ZeroDuration());
  EXPECT_EQ((*told_)->bytes_per_second, 0U);
}

TEST_F(WayProbe, AHostThatReadsSlowlyIsSeenToTakeNoMore) {
  const OwnFd stream = stream_that_is_filled();
  constexpr Duration turn = absl::Milliseconds(5);
  std::vector<char> bytes(32 << 10);
  WayReport report;
  std::optional<Instant> first;
  bool said_all = false;
  std::function<void()> read = [&] {
    const Instant now = loop_.clock().now();
    const ssize_t got = ::recv(stream.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0 && first) report.bytes += static_cast<std::uint64_t>(got);
    if (got > 0 && !first) first = now;
    said_all = got > 0 && bytes[static_cast<std::size_t>(got) - 1] == 2;
    if (!said_all && got != 0) {
      loop_.at(now + turn, [&] { read(); });
      return;
    }
    report.nanoseconds = static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(now - *first));
    const std::string said = encode(report);
    EXPECT_EQ(::send(stream.get(), said.data(), said.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(said.size()));
  };
  read();
  ASSERT_TRUE(until([&] { return told_.has_value(); }));
  ASSERT_TRUE(said_all);
  ASSERT_TRUE(told_->ok()) << told_->status();
  EXPECT_GT((*told_)->bytes_per_second, 0U);
  // 32 KiB in 5 ms.
  EXPECT_LE((*told_)->bytes_per_second, std::uint64_t{7} << 20U);
  EXPECT_FALSE((*told_)->at_least);
}

TEST_F(WayProbe, ATargetReportsWhatCameAlsoIfNotAllWasSaid) {
  const auto offer = target_.offer({.measure = true}, address_, token());
  ASSERT_TRUE(offer.ok());
  const OwnFd stream = connect(offer->token);
  ASSERT_EQ(::send(stream.get(), "\x01", 1, MSG_NOSIGNAL), 1);
  char pong = 0;
  ASSERT_TRUE(until([&] { return ::recv(stream.get(), &pong, 1, MSG_DONTWAIT) == 1; }));
  const std::string filler(1000, '\0');
  ASSERT_EQ(::send(stream.get(), filler.data(), filler.size(), MSG_NOSIGNAL), 1000);
  const auto report = decode_way_report(said_until_its_end(stream));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_LE(report->bytes, 1000U);
  EXPECT_GT(report->nanoseconds, 1'000'000'000U);
}

TEST_F(WayProbe, TriesThatAreUnderWayEndWithTheirHost) {
  by_hand_ = true;
  begin_to_try(true);
  ASSERT_TRUE(until([&] { return !given_.empty(); }));
  begin_to_try(true);  // this one has not connected
  sources_.reset();
  ASSERT_TRUE(told_.has_value());
  EXPECT_TRUE(absl::IsCancelled(told_->status())) << told_->status();
  // Its stream is closed, after the ping.
  EXPECT_EQ(said_until_its_end(given_.front()), "\x01");
}

TEST_F(WayProbe, AFaultOfThisHostIsNotSaidToBeOneOfTheWay) {
  struct rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  struct rlimit none = before;
  none.rlim_cur = 0;
  sources_.emplace(loop_, *network_);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto way = try_way(true);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FALSE(way.ok());
  EXPECT_FALSE(absl::IsUnavailable(way.status())) << way.status();
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

TEST(WayReport, SaysWhatTheWayCarriesOnlyIfThatWasWaitedForLongEnough) {
  const Duration filled = absl::Milliseconds(100), near_by = absl::Milliseconds(1);
  const WayReport report{1'000'000, 50'000'000};
  const Way measured = way_of(report, near_by, filled, absl::Milliseconds(90));
  EXPECT_EQ(measured.bytes_per_second, 20'000'000U);
  EXPECT_FALSE(measured.at_least);
  // It had not come up to its speed, or this loop was late, or the other one was.
  const Way far = way_of(report, absl::Milliseconds(20), filled, filled);
  EXPECT_EQ(far.bytes_per_second, 20'000'000U);
  EXPECT_TRUE(far.at_least);
  EXPECT_TRUE(way_of(report, near_by, filled, absl::Milliseconds(40)).at_least);
  EXPECT_TRUE(way_of({4'000'000, 23'000'000}, near_by, filled, filled).at_least);
  EXPECT_EQ(way_of({0, 0}, near_by, filled, filled).bytes_per_second, 0U);
}

}  // namespace
}  // namespace supercloud
