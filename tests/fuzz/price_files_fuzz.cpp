// Any bytes as two price files in whatever form: either refused, or read together to the end with prices that are sane, in the order of
// time, and said once.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "actors/spot/price_files.h"

namespace {

// A file without a disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(::memfd_create("prices", MFD_CLOEXEC)) {
    if (fd_ < 0 ||
        ::write(fd_, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      std::abort();
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return absl::StrCat("/proc/self/fd/", fd_); }

 private:
  const int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  // The first byte chooses the options; a line "---" stands between the files.
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  constexpr std::string_view between = "\n---\n";
  const std::size_t at = text.find(between);
  if (at == std::string_view::npos) return 0;
  const MemoryFile first(text.substr(0, at)), second(text.substr(at + between.size()));
  PriceFileOptions options;
  if ((data[0] & 1U) != 0) options.from = absl::FromUnixSeconds(1'440'201'600);
  if ((data[0] & 2U) != 0) options.instance_types = {"r3.large"};
  if ((data[0] & 4U) != 0) options.products = {"Linux/UNIX"};
  auto feed = open_price_files({first.path(), second.path()}, options);
  if (!feed.ok()) return 0;
  std::map<PlaceName, absl::Time> newest;
  absl::Time last = absl::InfinitePast();
  bool end = false;
  // One reply per row at most, and the prices in force.
  for (std::size_t calls = 0; !end; ++calls) {
    if (calls > 2 * size + 10) std::abort();
    (*feed)->next(Reply<Price>(far_future, [&](const absl::StatusOr<Price>& price) {
      end = absl::IsOutOfRange(price.status()) || absl::IsNotFound(price.status());
      if (!price.ok()) return;
      if (price->since < last || price->usd_per_hour <= Money{}) std::abort();
      last = price->since;
      const auto [known, is_new] = newest.try_emplace(price->place, price->since);
      if (!is_new && price->since <= std::exchange(known->second, price->since)) std::abort();
    }));
  }
  return 0;
}
