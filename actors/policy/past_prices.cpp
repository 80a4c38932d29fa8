#include "actors/policy/past_prices.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/watcher.h"

namespace supercloud {

PastPrices::PastPrices(Context& context, LeaseTable& leases, PastPricesOptions options, Told told,
                       Past::Each read)
    : context_(context),
      leases_(leases),
      options_(options),
      told_(std::move(told)),
      logs_(context, {.patterns = {"spot.price_changed.>"}, .quiet = options.quiet},
            std::move(read)) {}

void PastPrices::ask(std::function<void()> known) {
  when_known_ = std::move(known);
  ask_again();
  context_.after(options_.patience, [this] { read_logs(); });
}

void PastPrices::hear(const Event& event) {
  if (reading_) logs_.hear(event);
}

void PastPrices::ask_again() {
  if (known_ || reading_) return;
  context_.after(options_.retry, [this] { ask_again(); });
  leases_.read(absl::StrCat("role/", feed_role),
               context_.reply<LeaseRecord>(options_.deadline,
                                           [this](const absl::StatusOr<LeaseRecord>& role) {
                                             if (role.ok()) ask_watcher(role->holder);
                                             if (absl::IsNotFound(role.status())) read_logs();
                                           }));
}

void PastPrices::ask_watcher(const std::string& node) {
  const auto request = Message<schema::Request>::build(
      [](schema::Request::Builder builder) { builder.setPriceHistory(); });
  context_.request({node, watcher_actor}, request, options_.deadline,
                   [this](const absl::StatusOr<Message<schema::Response>>& answer) {
                     if (known_ || !answer.ok() || !answer->reader().isPrices()) return;
                     for (const auto place : answer->reader().getPrices()) told_(place);
                     know();
                   });
}

void PastPrices::read_logs() {
  if (known_ || reading_) return;
  reading_ = true;
  logs_.read([this] { logs_.settled([this] { know(); }); });
}

void PastPrices::know() {
  known_ = true;
  when_known_();
}

}  // namespace supercloud
