// What a VM is called: "tenant/name", wherever one text stands for it (events, guests, volumes, ports, the keys of leases).
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/event.h"
#include "core/schema/request.capnp.h"
#include "core/topic.h"

namespace supercloud {

struct VmName {
  std::string tenant = std::string(default_tenant);
  std::string name;

  // As a person writes it: "tenant/name", or a name of the default tenant's. InvalidArgument: one of the two is empty, or there is
  // another slash.
  static absl::StatusOr<VmName> parse(std::string_view text);
  // Of what comes from outside to a seam: OK, or InvalidArgument unless it is "tenant/name", both of them UTF-8 that fits a token of
  // topics once it is encoded.
  static absl::Status check(std::string_view vm);
  // As a seam gives it, and is given it: never refused.
  static VmName of(std::string_view vm);
  static VmName of(const Event& event);
  static VmName of(schema::VmSpec::Reader spec);
  static VmName of(schema::Request::VmRef::Reader ref);

  std::string to_string() const { return tenant + "/" + name; }
  void write(schema::Request::VmRef::Builder ref) const;
  friend bool operator==(const VmName&, const VmName&) = default;
};

}  // namespace supercloud
