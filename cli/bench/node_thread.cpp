#include "cli/bench/node_thread.h"

#include <utility>

#include "cli/node_process.h"

namespace supercloud {

NodeThread::NodeThread(NodeConfig config, std::function<void(NodeActorsOptions&)> adjust)
    : thread_([this, config = std::move(config), adjust = std::move(adjust)] {
        run(config, adjust);
      }) {}

NodeThread::~NodeThread() {
  if (started().ok()) loop_->stop();
  thread_.join();
}

void NodeThread::run(const NodeConfig& config,
                     const std::function<void(NodeActorsOptions&)>& adjust) {
  EventLoop loop;
  const auto node = NodeProcess::start(loop, config, [&](const absl::Status&) {}, adjust);
  {
    const std::lock_guard lock(mutex_);
    told_ = true;
    status_ = node.status();
    loop_ = &loop;
  }
  changed_.notify_all();
  if (node.ok()) loop.run();
}

absl::Status NodeThread::started() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return told_; });
  return status_;
}

// The watcher's side.
class GivenPrices::Feed final : public PriceFeed {
 public:
  explicit Feed(std::shared_ptr<GivenPrices> prices) : prices_(std::move(prices)) {}
  std::string source() const override { return "benchmark"; }
  void next(Reply<Price> reply) override {
    prices_->reply_ = std::move(reply);
    prices_->give();
  }

 private:
  std::shared_ptr<GivenPrices> prices_;
};

FeedFactory GivenPrices::feed() {
  return [prices = shared_from_this()]() -> absl::StatusOr<std::unique_ptr<PriceFeed>> {
    return std::make_unique<Feed>(prices);
  };
}

void GivenPrices::add(Price price) {
  waiting_.push_back(std::move(price));
  give();
}

void GivenPrices::give() {
  if (waiting_.empty() || !reply_) return;
  const Price price = waiting_.front();
  waiting_.erase(waiting_.begin());
  reply_(price);
}

}  // namespace supercloud
