// Numbers, places and times as people read them; exact, without a double where money is concerned.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "core/hybrid_clock.h"
#include "core/message.h"
#include "core/units.h"

namespace supercloud {

// "us-east-1a/spot" of "aws/us-east-1/us-east-1a/m3.medium/spot"; what is no place id, unchanged.
std::string place_words(std::string_view place_id);
// The same for every place id that stands in a sentence.
std::string shorten_places(std::string_view sentence);

// "0.0331 USD", to the 0.0001 USD, half away from zero; sums below that keep the digits that tell them from nothing.
std::string money_words(Money amount);
// "0.0331 USD/h"
std::string price_words(std::int64_t nano_usd_per_hour);

// "14:03:07.125", in UTC; `dated`: "2015-08-22 14:03:07.125".
std::string clock_words(HybridTime time, bool dated = false);
// "14:03:07"; `dated`: "2015-08-22 14:03:07".
std::string second_words(HybridTime time, bool dated = false);
// Whether a time of day alone does not tell which of the times between the two is meant.
bool need_dates(HybridTime first, HybridTime last);
// Market time, "2015-08-22 14:03".
std::string market_words(std::int64_t market_ns);
// "850 ms", "3.2 s", "2 min 5 s", "1 h 30 min"
std::string span_words(absl::Duration span);
// What a takeover lost, as vm.started says it: "; what it wrote in the 4.2 s before is lost"; empty where nothing can be.
std::string loss_words(std::int64_t silent_ns, bool flushes_kept);
// "512 MiB", "1.5 GiB"
std::string bytes_words(std::uint64_t bytes);
// "1 byte", "3 passes"
std::string count_words(std::uint64_t count, std::string_view one, std::string_view many);

// ": why", or nothing.
std::string because(capnp::Text::Reader why);
// " (why)", or nothing.
std::string in_parentheses(capnp::Text::Reader why);
// As span_words.
std::string ns_words(std::int64_t ns);

}  // namespace supercloud
