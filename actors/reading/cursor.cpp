#include "actors/reading/cursor.h"

#include <charconv>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr std::string_view cursor_version = "1";
constexpr std::size_t stand_bytes_max = 43;  // two numbers and what is around them

// What stands before `separator`, which is taken off `rest` with it.
std::string_view cut(std::string_view& rest, char separator) {
  const std::size_t at = rest.find(separator);
  const std::string_view part = rest.substr(0, at);
  rest = at == std::string_view::npos ? std::string_view() : rest.substr(at + 1);
  return part;
}

// Decimal, written the one way it is.
std::optional<std::uint64_t> cursor_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') return std::nullopt;
  return value;
}

absl::Status no_cursor(std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("not a cursor: ", absl_view(why)));
}

absl::Status read_stands(std::string_view group, Cursor& cursor) {
  const std::size_t slash = group.find('/');
  const std::string_view node = group.substr(0, slash);
  if (slash == std::string_view::npos || !is_token(node)) return no_cursor("a node's name is none");
  std::string_view rest = group.substr(slash + 1);
  do {
    std::string_view entry = cut(rest, ',');
    const std::string_view actor = cut(entry, ':');
    const auto incarnation = cursor_number(cut(entry, ':'));
    const auto sequence = cursor_number(entry);
    if (!is_token(actor) || !incarnation || !sequence || *incarnation == 0)
      return no_cursor("a stand is no actor:incarnation:sequence");
    std::string origin = absl::StrCat(absl_view(node), "/", absl_view(actor));
    if (cursor.find(origin) != nullptr) return no_cursor("an origin stands in it twice");
    if (!cursor.pass(origin, {*incarnation, *sequence}))
      return no_cursor("it names too many origins");
  } while (!rest.empty());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Cursor> Cursor::parse(std::string_view text) {
  if (text.size() > text_bytes_max) return no_cursor("it is too long");
  std::string_view rest = text;
  if (cut(rest, ';') != cursor_version)
    return no_cursor(absl::StrCat("it does not begin with \"", absl_view(cursor_version), ";\""));
  auto pattern = Pattern::parse(cut(rest, ';'));
  if (!pattern.ok()) return no_cursor(std_view(pattern.status().message()));
  const auto start = cursor_number(cut(rest, ';'));
  if (!start) return no_cursor("its start is no number");
  Cursor cursor(*std::move(pattern), HybridTime{*start});
  while (!rest.empty()) {
    if (rest == "~") {
      cursor.full = true;
      break;
    }
    if (const absl::Status read = read_stands(cut(rest, ';'), cursor); !read.ok()) return read;
  }
  return cursor;
}

std::string Cursor::text() const {
  std::string out = absl::StrCat(absl_view(cursor_version), ";", pattern.text(), ";", start.value);
  std::string_view node;
  for (const auto& [origin, stand] : origins) {
    const std::string_view of = node_of(origin);
    absl::StrAppend(&out, of == node ? "," : absl::StrCat(";", absl_view(of), "/"),
                    absl_view(std::string_view(origin).substr(of.size() + 1)), ":",
                    stand.incarnation, ":", stand.sequence);
    node = of;
  }
  if (full) out += ";~";
  return out;
}

bool Cursor::pass(std::string_view origin, Stand stand) {
  if (const auto known = origins.find(origin); known != origins.end()) {
    if (known->second < stand) known->second = stand;
    return true;
  }
  // As text, at most.
  std::size_t bytes = origin.size() + stand_bytes_max;
  for (const auto& [other, unused] : origins) bytes += other.size() + stand_bytes_max;
  if (bytes > stands_bytes_max) return false;
  origins.emplace(origin, stand);
  return true;
}

const Stand* Cursor::find(std::string_view origin) const {
  const auto known = origins.find(origin);
  return known == origins.end() ? nullptr : &known->second;
}

}  // namespace supercloud
