#include "bus/unread_answers.h"

#include "absl/strings/str_cat.h"

namespace supercloud {

absl::Status UnreadAnswers::room(std::string_view peer, std::size_t bytes) const {
  const auto found = of_.find(peer);
  const std::size_t unread = found == of_.end() ? 0 : found->second->load();
  if (unread + bytes <= bytes_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(unread >> 20, " MiB of answers wait until they are read, and there is room for ",
                   bytes_max >> 20, ": read them, and ask again"));
}

std::function<void()> UnreadAnswers::take(std::string_view peer, std::size_t bytes) {
  if (of_.size() >= look_) {
    std::erase_if(of_, [](const auto& each) { return each.second->load() == 0; });
    look_ = 2 * of_.size() + 16;  // so that a look costs no more than those who came since the last
  }
  auto found = of_.find(peer);
  if (found == of_.end()) found = of_.emplace(peer, std::make_shared<Bytes>(0)).first;
  found->second->fetch_add(bytes);
  return [unread = found->second, bytes] { unread->fetch_sub(bytes); };
}

}  // namespace supercloud
