// Lines of a monitor by which a measurement speaks to a QEMU, which its guest may own.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "cli/guests/qmp_script.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto word =
      supercloud::read_qmp_word(std::string_view(reinterpret_cast<const char*>(data), size));
  if (word && word->greeting + word->answer + !word->event.empty() != 1) std::abort();
  return 0;
}
