// A path of the XenStore, checked when it is made.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace supercloud {

using DomainId = std::uint32_t;  // 0: the control domain

// A value. Three kinds: absolute ("/local/domain/0/name"), relative to the caller's own domain ("data/x"), and what can only be
// watched ("@introduceDomain", "@releaseDomain").
class XenPath {
 public:
  static constexpr std::size_t absolute_bytes_max = 3072;
  static constexpr std::size_t relative_bytes_max = 2048;

  // InvalidArgument says what is wrong where: the names between slashes are of [A-Za-z0-9-_@], none is empty.
  static absl::StatusOr<XenPath> parse(std::string_view text);
  static XenPath root() { return XenPath("/"); }
  static XenPath domains() { return XenPath("/local/domain"); }
  static XenPath domain(DomainId id) { return XenPath("/local/domain/" + std::to_string(id)); }
  static XenPath introduced() { return XenPath("@introduceDomain"); }
  static XenPath released() { return XenPath("@releaseDomain"); }

  // `below`: one name or several, "device/vif".
  absl::StatusOr<XenPath> operator/(std::string_view below) const;
  // Of the root and of a single name: themselves.
  XenPath parent() const;

  const std::string& text() const { return text_; }
  bool absolute() const { return text_.front() == '/'; }
  bool special() const { return text_.front() == '@'; }
  // Whether it is `other` or below it.
  bool within(const XenPath& other) const;
  // N of /local/domain/N and what is below it.
  std::optional<DomainId> domain_id() const;

  friend auto operator<=>(const XenPath&, const XenPath&) = default;

 private:
  explicit XenPath(std::string text) : text_(std::move(text)) {}
  std::string text_;  // never empty
};

}  // namespace supercloud
