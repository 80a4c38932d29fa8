#include "core/utf8.h"

#include <cstddef>

namespace supercloud {

bool is_utf8(std::string_view said) {
  const auto byte = [said](std::size_t i) { return static_cast<unsigned char>(said[i]); };
  for (std::size_t i = 0; i < said.size();) {
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (length == 1) {
      ++i;
      continue;
    }
    if (first < 0xc2 || first > 0xf4 || said.size() - i < length) return false;
    for (std::size_t k = 1; k < length; ++k)
      if ((byte(i + k) & 0xc0) != 0x80) return false;
    const unsigned second = byte(i + 1);
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90))
      return false;
    i += length;
  }
  return true;
}

}  // namespace supercloud
