// Any bytes as RocksDB's list of its files: no crash; what is to be read is a part of it, and that part is read as a whole.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "storage/whole_records.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string_view manifest(reinterpret_cast<const char*>(data), size);
  const std::size_t whole = whole_records_of(manifest);
  if (whole > size) std::abort();
  if (whole_records_of(manifest.substr(0, whole)) != whole) std::abort();
  return 0;
}
