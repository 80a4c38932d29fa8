// What peers were answered and have not taken yet, in bytes: who asks and does not read occupies so much and no more, whatever fits into
// queues that count messages.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace supercloud {

// Thread-bound, but for what take() gives.
class UnreadAnswers {
 public:
  static constexpr std::size_t bytes_max = 64 << 20;  // of one peer

  // ResourceExhausted: so many more find no room.
  absl::Status room(std::string_view peer, std::size_t bytes) const;
  // They count until the function is called, which may be on any thread, once, and after this is gone.
  std::function<void()> take(std::string_view peer, std::size_t bytes);

 private:
  using Bytes = std::atomic<std::size_t>;

  std::map<std::string, std::shared_ptr<Bytes>, std::less<>> of_;
  std::size_t look_ = 16;  // with so many peers, who of them has taken all
};

}  // namespace supercloud
