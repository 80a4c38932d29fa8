// Topics and patterns.
//
//   topic   = token *( "." token )          at most 255 bytes with the trailing "." it has on the wire
//   token   = 1*64( A-Z a-z 0-9 _ - %XX )   anything else is percent-encoded, the dot too
//   event   = domain "." event "." tenant "." subject
//   pattern = ( token | "*" ) *( "." ( token | "*" ) ) [ "." ">" ] | ">"
//
// "*" matches one token, ">" one or more at the end. A subscription leaves the process as the pattern's longest prefix of
// whole literal tokens, at most three; what that lets through too much is filtered at the receiver.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace supercloud {

inline constexpr std::size_t topic_bytes_max = 255;
inline constexpr std::size_t token_bytes_max = 64;
inline constexpr std::string_view default_tenant = "main";

// "a.b" -> "a%2Eb". Tokens that would exceed token_bytes_max are refused by validate_topic, not cut.
std::string encode_token(std::string_view raw);
void append_token(std::string_view raw, std::string& out);  // encoded
absl::StatusOr<std::string> decode_token(std::string_view token);
bool is_token(std::string_view text);
// "node/actor", both of them tokens: who an event is from.
bool is_origin(std::string_view text);
inline std::string_view node_of(std::string_view origin) {
  return origin.substr(0, origin.find('/'));
}

// OK, or InvalidArgument that names the offending token and its cure.
absl::Status validate_topic(std::string_view topic);

// Token `index` of a valid topic; empty beyond its end.
std::string_view topic_token(std::string_view topic, std::size_t index);

// The first `tokens` tokens with the dot after each: "a.b." for ("a.b.c", 2); the whole topic and a dot if it has fewer.
std::string topic_prefix(std::string_view topic, std::size_t tokens);
// The same of what has its dots, without a copy; of fewer tokens than that all that end in a dot: "a." for ("a.b", 2).
std::string_view leading_tokens(std::string_view text, std::size_t tokens);

class Pattern {
 public:
  // InvalidArgument names the place in `text`.
  static absl::StatusOr<Pattern> parse(std::string_view text);
  // For literals in code: a malformed one is a bug and aborts.
  static Pattern of(std::string_view text);

  bool matches(std::string_view topic) const;
  // What leaves the process: "", "a.", "a.b." or "a.b.c.".
  const std::string& wire_prefix() const { return wire_prefix_; }
  const std::string& text() const { return text_; }

  friend bool operator==(const Pattern& a, const Pattern& b) { return a.text_ == b.text_; }

 private:
  Pattern() = default;

  std::string text_;
  std::string wire_prefix_;
  std::vector<std::string> tokens_;
  bool tail_ = false;  // ends with ">"
};

}  // namespace supercloud
