#include "bus/unread_answers.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

std::size_t UnreadAnswers::of(std::string_view peer) const {
  const auto found = of_.find(peer);
  return found == of_.end() ? 0 : found->second->load();
}

// ResourceExhausted is a word of those who are asked.
absl::Status UnreadAnswers::room(std::string_view peer, std::size_t bytes) const {
  const std::size_t unread = of(peer);
  if (unread + bytes <= bytes_max) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(unread, " bytes of answers wait to be read, and ",
                                             bytes, " more find no room in ", bytes_max,
                                             ": read them, and ask again"));
}

bool UnreadAnswers::has_room_for_short(std::string_view peer, std::size_t bytes) const {
  return of(peer) + bytes <= short_bytes_max;
}

UnreadAnswers::Share UnreadAnswers::take(std::string_view peer, std::size_t bytes) {
  struct Taken {
    Taken(std::shared_ptr<Bytes> all_of_peer, std::size_t taken_bytes)
        : all(std::move(all_of_peer)), bytes(taken_bytes) {
      all->fetch_add(bytes);
    }
    ~Taken() { all->fetch_sub(bytes); }
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;

    const std::shared_ptr<Bytes> all;
    const std::size_t bytes;
  };
  if (of_.size() >= look_) {
    std::erase_if(of_, [](const auto& each) { return each.second->load() == 0; });
    look_ = 2 * of_.size() + 16;  // so that a look costs no more than those who came since the last
  }
  auto found = of_.find(peer);
  if (found == of_.end()) found = of_.emplace(peer, std::make_shared<Bytes>(0)).first;
  return std::make_shared<const Taken>(found->second, bytes);
}

}  // namespace supercloud
