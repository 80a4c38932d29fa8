#include "core/vm_name.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/message.h"
#include "core/text.h"
#include "core/utf8.h"

namespace supercloud {

VmName VmName::of(std::string_view vm) {
  const std::size_t slash = vm.find('/');
  VmName found;
  if (slash != std::string_view::npos) found.tenant = vm.substr(0, slash);
  found.name = slash == std::string_view::npos ? vm : vm.substr(slash + 1);
  return found;
}

absl::StatusOr<VmName> VmName::parse(std::string_view text) {
  VmName found = of(text);
  if (found.name.empty() || found.tenant.empty() || found.name.find('/') != std::string::npos)
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" is no VM's name: write name or tenant/name"));
  return found;
}

absl::Status VmName::check(std::string_view vm) {
  constexpr std::size_t quoted_bytes_max = 80;
  const auto parsed = parse(vm);
  const auto fits = [](const std::string& part) {
    return encode_token(part).size() <= token_bytes_max;
  };
  if (parsed.ok() && parsed->to_string() == vm && is_utf8(vm) && fits(parsed->tenant) &&
      fits(parsed->name))
    return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::CHexEscape(absl_view(vm.substr(0, quoted_bytes_max))),
                   vm.size() > quoted_bytes_max ? "..." : "",
                   "\" is no VM's name: write tenant/name, each of 1 to ", token_bytes_max,
                   " letters, digits, - and _"));
}

VmName VmName::of(const Event& event) { return {std::string(event.tenant()), event.subject()}; }

VmName VmName::of(schema::VmSpec::Reader spec) {
  return {std::string(text(spec.getTenant())), std::string(text(spec.getName()))};
}

VmName VmName::of(schema::Request::VmRef::Reader ref) {
  return {std::string(text(ref.getTenant())), std::string(text(ref.getName()))};
}

void VmName::write(schema::Request::VmRef::Builder ref) const {
  ref.setTenant(tenant);
  ref.setName(name);
}

}  // namespace supercloud
