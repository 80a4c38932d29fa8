#include "bus/trust.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace supercloud {

absl::Status Trust::enrol(const PublicKey& key, std::string name) {
  // By what CURVE sees of it: two Ed25519 keys, of opposite sign, are the same X25519 key.
  const auto [place, fresh] = by_curve_.emplace(key.curve(), keys_.size());
  if (!fresh)
    return absl::AlreadyExistsError(
        absl::StrCat("is the key of ", keys_[place->second].name,
                     " already: a key has one name, remove one of them"));
  by_text_.emplace(key.text(), keys_.size());
  keys_.push_back({std::move(name), key});
  return absl::OkStatus();
}

const Trust::Enrolled* Trust::find(std::string_view key_text) const {
  const auto found = by_text_.find(key_text);
  return found == by_text_.end() ? nullptr : &keys_[found->second];
}

const Trust::Enrolled* Trust::find(const CurveKey& key) const {
  const auto found = by_curve_.find(key);
  return found == by_curve_.end() ? nullptr : &keys_[found->second];
}

bool Trust::has(std::string_view name, const PublicKey& key) const {
  return std::any_of(keys_.begin(), keys_.end(),
                     [&](const Enrolled& each) { return each.name == name && each.key == key; });
}

std::vector<PublicKey> Trust::keys_of(std::string_view name) const {
  std::vector<PublicKey> found;
  for (const Enrolled& each : keys_) {
    if (each.name == name) found.push_back(each.key);
  }
  return found;
}

bool same_name(const Trust& before, const Trust& after, std::string_view key_text) {
  const std::string* then = before.name_of(key_text);
  const std::string* now = after.name_of(key_text);
  return then != nullptr && now != nullptr && *then == *now;
}

bool same_subscriber(const Trust& before, const Trust& after, std::string_view key_text) {
  if (!same_name(before, after, key_text)) return false;
  const std::string& name = *after.name_of(key_text);
  static const NameRights none;
  const NameRights* then = before.rights.find(name);
  const NameRights* now = after.rights.find(name);
  return (then == nullptr ? none : *then).subscribe == (now == nullptr ? none : *now).subscribe;
}

}  // namespace supercloud
