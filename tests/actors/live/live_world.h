// A feed in virtual time whose requests go over real sockets to a server on loopback.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "actors/spot/price_feed.h"
#include "core/event_loop.h"
#include "core/http/curl_http.h"
#include "core/virtual_scheduler.h"
#include "gtest/gtest.h"
#include "tests/core/http/http_server.h"

namespace supercloud {

// Real requests of something that lives in virtual time: their deadlines are on the loop's clock.
class HttpFromVirtualTime final : public HttpClient {
 public:
  // `sent` gets the virtual time of each request.
  HttpFromVirtualTime(EventLoop& loop, const Clock& clock, CurlHttpOptions options,
                      std::vector<Instant>& sent)
      : loop_(loop), clock_(clock), sent_(sent), http_(loop, std::move(options)) {}
  void send(HttpRequest request, Reply<HttpAnswer> reply) override {
    sent_.push_back(clock_.now());
    const Instant deadline = loop_.clock().now() + (reply.deadline() - clock_.now());
    http_.send(std::move(request),
               Reply<HttpAnswer>(
                   deadline, [reply = std::move(reply)](absl::StatusOr<HttpAnswer> answer) mutable {
                     reply(std::move(answer));
                   }));
  }

 private:
  EventLoop& loop_;
  const Clock& clock_;
  std::vector<Instant>& sent_;
  CurlHttp http_;
};

class LiveWorld : public testing::Test {
 protected:
  static constexpr Duration patience = absl::Seconds(20);

  std::unique_ptr<HttpClient> http(CurlHttpOptions options = {}) {
    return std::make_unique<HttpFromVirtualTime>(loop, time.clock(), std::move(options), sent);
  }
  // Asks; what comes is in `told`.
  void ask() {
    told.reset();
    feed->next(
        Reply<Price>(far_future, [this](absl::StatusOr<Price> price) { told = std::move(price); }));
  }
  bool settle() {
    return loop.run_until([this] { return told.has_value(); }, patience);
  }
  // The next of the feed, which needs no virtual time to pass.
  absl::StatusOr<Price> next() {
    ask();
    if (!settle()) return absl::DeadlineExceededError("the feed says nothing");
    return *told;
  }
  // "type/zone price @seconds since the start", or the status.
  std::string next_text() { return text_of(next()); }
  std::string text_of(const absl::StatusOr<Price>& price) const {
    if (!price.ok()) return price.status().ToString();
    return absl::StrCat(price->place.id(), " ", price->usd_per_hour.nano_usd, " @",
                        absl::ToInt64Seconds(price->since - start));
  }

  const absl::Time start = VirtualScheduler::default_start();
  EventLoop loop;
  VirtualScheduler time;
  HttpServer server{loop};
  std::vector<Instant> sent;
  std::optional<absl::StatusOr<Price>> told;
  std::unique_ptr<PriceFeed> feed;
};

}  // namespace supercloud
