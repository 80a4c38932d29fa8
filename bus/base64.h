// Bytes of keys, digests and signatures as text: base64url without padding, by libsodium, in time that does not depend on them.
#pragma once

#include <sodium.h>

#include <array>
#include <string>
#include <string_view>

namespace supercloud {

inline constexpr int base64_form = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

template <std::size_t size>
std::string to_base64(const std::array<std::uint8_t, size>& bytes) {
  std::array<char, sodium_base64_ENCODED_LEN(size, base64_form)> text;
  sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), base64_form);
  std::string result = text.data();
  sodium_memzero(text.data(), text.size());
  return result;
}

// So many bytes, and nothing else.
template <std::size_t size>
bool from_base64(std::string_view text, std::array<std::uint8_t, size>& bytes) {
  std::size_t found = 0;
  const char* end = nullptr;
  return sodium_base642bin(bytes.data(), size, text.data(), text.size(), nullptr, &found, &end,
                           base64_form) == 0 &&
         found == size && end == text.data() + text.size();
}

}  // namespace supercloud
