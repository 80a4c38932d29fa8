#include "hypercall/qemu/version.h"

#include <cctype>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::size_t version_shown_max = 80;

// Takes a number from the front of `rest`; false if there is none.
bool take_version_part(std::string_view& rest, int& number) {
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  if (error != std::errc() || number < 0) return false;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  return true;
}

bool take_dot(std::string_view& rest) {
  if (!rest.starts_with('.')) return false;
  rest.remove_prefix(1);
  return true;
}

}  // namespace

std::string QemuVersion::to_string() const { return absl::StrCat(major, ".", minor, ".", micro); }

absl::StatusOr<QemuVersion> parse_qemu_version(std::string_view printed) {
  constexpr std::string_view before = "version ";
  const std::size_t at = printed.find(before);
  if (at != std::string_view::npos) {
    std::string_view rest = printed.substr(at + before.size());
    QemuVersion version;
    if (take_version_part(rest, version.major) && take_dot(rest) &&
        take_version_part(rest, version.minor)) {
      if (take_dot(rest) && !take_version_part(rest, version.micro)) version.micro = 0;
      return version;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "this is no version of QEMU: \"", absl_view(printed.substr(0, version_shown_max)), "\""));
}

absl::Status check_qemu_version(const QemuVersion& version, std::string_view program) {
  if (version >= qemu_version_min) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(absl_view(program), " is QEMU ", version.to_string(),
                   ", which corrupts guests that write their memory while they are sent; install ",
                   qemu_version_min.to_string(),
                   " or later (Debian 12: qemu-system-x86 of bookworm-backports), or name one"));
}

}  // namespace supercloud
