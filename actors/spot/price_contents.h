// What price files hold: told where what is asked for is not there, and looked at to choose.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace supercloud {

struct PriceContents {
  // The product is what an instance runs ("Linux/UNIX", "Windows"), in the words of the cloud; empty where a file knows none.
  struct Names {
    std::string instance_type, product, zone;
    friend auto operator<=>(const Names&, const Names&) = default;
  };
  struct Series {
    std::uint64_t rows = 0;
    absl::Time first = absl::InfiniteFuture();
    absl::Time last = absl::InfinitePast();
    // Until when its prices are known to hold: of a table one row's time after the last; elsewhere unknown.
    absl::Time until = absl::InfinitePast();
  };
  std::map<Names, Series> series;
  std::uint64_t damaged = 0;  // rows that are left out, or in doubt

  void add(const Names& names, const Series& more);
  void add(const PriceContents& more);

  // Over all of them, or of one type.
  Series total() const;
  Series total(const std::string& instance_type) const;
  std::set<std::string> instance_types() const;
  std::set<std::string> zones() const;
  std::set<std::string> regions() const;
  // Those of the types; of all types where none is named. Without "none".
  std::set<std::string> products(const std::vector<std::string>& of_types) const;

  // "m3.medium (2 rows), r3.large (3930 rows)", the first twenty types.
  std::string types_text() const;
  // A line for each type: its rows, products, zones and times.
  std::string text() const;
};

// What is asked for where it is named. Else all there is, if that is one; "Linux/UNIX", if that is among several. InvalidArgument:
// which of several is not clear. NotFound: what is asked for is not there, or one of the types has other products only.
absl::StatusOr<std::vector<std::string>> choose_products(const PriceContents& contents,
                                                         const std::vector<std::string>& types,
                                                         const std::vector<std::string>& asked);

// OK where all of the types are there; else NotFound, with what there is. `where` begins the message.
absl::Status check_types(const PriceContents& contents, const std::vector<std::string>& types,
                         std::string_view where);

}  // namespace supercloud
