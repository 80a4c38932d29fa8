// The guest that is measured with (guest.cpp), as a file's content for QEMU's -kernel.
#pragma once

#include <cstdint>
#include <string_view>

namespace supercloud {

std::string_view tiny_guest_kernel();

// What it says on its second serial port in its tick of this number; a '?' there says that its memory is not what it was left as.
constexpr std::uint8_t guest_beat(std::uint64_t tick) {
  return static_cast<std::uint8_t>(0x40 + tick % 64);
}

}  // namespace supercloud
