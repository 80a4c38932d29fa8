// docs/wire-format.md as the tests see it: its examples, each with the bytes and what stands beside them, and its tables.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bus/wire_format.h"
#include "bus/zmq_wire.h"
#include "core/text.h"

namespace supercloud {

// Some bytes, what part of a frame they are, and what they say.
struct Part {
  std::string bytes, field, value;

  friend bool operator==(const Part&, const Part&) = default;
  friend void PrintTo(const Part& part, std::ostream* out) {
    *out << absl::BytesToHexString(part.bytes) << " | " << part.field << " | " << part.value;
  }
};

struct Example {
  std::string form, kind;  // of the fence: ```form kind
  std::size_t line = 0;
  std::string text;
  std::vector<Part> parts;  // of bytes

  std::string bytes() const {
    std::string all;
    for (const Part& part : parts) all += part.bytes;
    return all;
  }
};

inline std::string_view trimmed(std::string_view text) {
  const absl::string_view got = absl::StripAsciiWhitespace(absl_view(text));
  return {got.data(), got.size()};
}

class Document {
 public:
  Document() {
    std::ifstream file(WIRE_FORMAT_DOCUMENT);
    bool inside = false;
    std::size_t number = 0;
    for (std::string line; std::getline(file, line);) {
      ++number;
      if (line.starts_with("```")) {
        inside = !inside;
        if (!inside) continue;
        const std::size_t blank = line.find(' ');
        examples_.push_back({line.substr(3, blank - 3),
                             blank == std::string::npos ? "" : line.substr(blank + 1),
                             number,
                             "",
                             {}});
      } else if (inside) {
        absl::StrAppend(&examples_.back().text, line, "\n");
      } else if (line.starts_with("| `")) {
        std::vector<std::string> cells = absl::StrSplit(line, '|');
        std::vector<std::string> row;
        for (std::size_t i = 1; i + 1 < cells.size(); ++i) row.emplace_back(trimmed(cells[i]));
        rows_.push_back(std::move(row));
      }
    }
    for (Example& example : examples_)
      if (example.form == "bytes") read_parts(example);
  }

  const std::vector<Example>& examples() const { return examples_; }
  std::vector<Example> of(std::string_view form, std::string_view kind) const {
    std::vector<Example> found;
    for (const Example& each : examples_)
      if (each.form == form && each.kind == kind) found.push_back(each);
    EXPECT_FALSE(found.empty()) << "no example of " << form << " " << kind;
    return found;
  }
  // What "{event in JSON}" stands for.
  std::string named(std::string_view name) const {
    const bool json = name.ends_with(" in JSON");
    const std::string_view kind = json ? name.substr(0, name.size() - 8) : name;
    const std::vector<Example> found = of(json ? "json" : "bytes", kind);
    if (found.empty()) return "";
    return json ? std::string(trimmed(found[0].text)) : found[0].bytes();
  }
  // Rows of tables whose first cell is code.
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

 private:
  void read_parts(Example& example) {
    for (const absl::string_view line : absl::StrSplit(example.text, '\n', absl::SkipEmpty())) {
      const std::vector<std::string> cells = absl::StrSplit(line, absl::MaxSplits('|', 2));
      ASSERT_EQ(cells.size(), 3) << "line after " << example.line << ": " << line;
      const std::string_view hex = trimmed(cells[0]);
      std::string bytes;
      if (hex.starts_with("{")) {
        bytes = named(hex.substr(1, hex.size() - 2));
      } else {
        std::string digits(hex);
        std::erase(digits, ' ');
        ASSERT_EQ(digits.find_first_not_of("0123456789abcdef"), std::string::npos) << line;
        bytes = absl::HexStringToBytes(digits);
      }
      const std::string field(trimmed(cells[1]));
      if (field.empty()) {
        ASSERT_FALSE(example.parts.empty()) << line;
        example.parts.back().bytes += bytes;
      } else {
        example.parts.push_back({bytes, field, std::string(trimmed(cells[2]))});
      }
    }
  }

  std::vector<Example> examples_;
  std::vector<std::vector<std::string>> rows_;
};

inline const Document& document() {
  static const Document read;
  return read;
}

// What an example has to be, of what was decoded.
class Said {
 public:
  Said& kind(char c) { return raw("kind", std::string(1, c), quoted({&c, 1})); }
  Said& number(std::string field, std::uint64_t value) {
    return raw(std::move(field), WireWriter().number(value).take(), std::to_string(value));
  }
  Said& string(std::string field, std::string_view value) {
    return raw(std::move(field), WireWriter().string(value).take(), quoted(value));
  }
  // Whose bytes are another example.
  Said& other(std::string field, std::string_view value, const std::string& name) {
    EXPECT_EQ(absl::BytesToHexString(absl_view(value)),
              absl::BytesToHexString(document().named(name)));
    return raw(std::move(field), WireWriter().string(value).take(), "the " + name);
  }
  Said& member(const std::string& whose, const Member& member) {
    return string(whose + "name", member.name)
        .number(whose + "nonce", member.nonce)
        .string(whose + "publish endpoint", member.publish_endpoint)
        .string(whose + "request endpoint", member.request_endpoint);
  }
  Said& raw(std::string field, std::string bytes, std::string value) {
    parts_.push_back({std::move(bytes), std::move(field), std::move(value)});
    return *this;
  }
  static std::string quoted(std::string_view text) {
    return absl::StrCat("\"", absl_view(text), "\"");
  }
  const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

}  // namespace supercloud
