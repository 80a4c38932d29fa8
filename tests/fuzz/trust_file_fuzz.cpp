// Any text as a trust file: no crash; what is taken can be enrolled in and revoked from, and nothing else changes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cli/trust_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace supercloud;
  const std::string content(reinterpret_cast<const char*>(data), size);
  const auto trust = parse_trust(content, "trust.toml");
  if (!trust.ok()) {
    if (trust.status().message().find("trust.toml:") != 0) std::abort();  // says where
    return 0;
  }
  for (const auto& [name, rights] : trust->rights.names()) {
    for (const char* prefix : {"", "v", "vm.", "vm.started.main."}) {
      for (const std::string& allowed : trust->rights.allowed(name, prefix)) {
        if (!allowed.starts_with(prefix)) std::abort();
      }
    }
  }
  const auto fresh = PublicKey::parse("ed25519:_FHNjmIYoaONpH7QAjDwWAgW7RO6MwOsXeuRFUiQgCU");
  if (!fresh.ok()) std::abort();
  const auto more = with_key(content, "trust.toml", {"fresh", *fresh}, nullptr);
  if (more.ok()) {
    const auto after = parse_trust(*more, "trust.toml");
    if (!after.ok() || after->keys().size() != trust->keys().size() + 1) std::abort();
    const auto less = without_key(*more, "trust.toml", *fresh);
    if (!less.ok()) {
      if (!absl::IsFailedPrecondition(less.status())) std::abort();
      return 0;
    }
    const auto again = parse_trust(*less, "trust.toml");
    if (!again.ok() || again->keys().size() != trust->keys().size()) std::abort();
  }
  return 0;
}
