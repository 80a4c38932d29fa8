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
  static constexpr std::size_t bytes_max = 64 << 20;          // of one peer
  static constexpr std::size_t short_bytes_max = 68 << 20;    // with short answers, as refusals are
  static constexpr std::size_t bytes_of_message = 512;        // that it takes beside its own
  static constexpr std::size_t bytes_of_question = 16 << 10;  // while it is not answered
  static constexpr std::size_t short_answer_bytes_max = 4096;  // of one

  // Counts while it is there. May go on any thread, and after this.
  using Share = std::shared_ptr<const void>;

  // Unavailable: so many more find no room.
  absl::Status room(std::string_view peer, std::size_t bytes) const;
  bool has_room_for_short(std::string_view peer, std::size_t bytes) const;
  Share take(std::string_view peer, std::size_t bytes);

 private:
  using Bytes = std::atomic<std::size_t>;

  std::size_t of(std::string_view peer) const;

  std::map<std::string, std::shared_ptr<Bytes>, std::less<>> of_;
  std::size_t look_ = 16;  // with so many peers, who of them has taken all
};

}  // namespace supercloud
