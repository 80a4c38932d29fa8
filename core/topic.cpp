#include "core/topic.h"

#include <array>
#include <cassert>
#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "core/text.h"

namespace supercloud {
namespace {

constexpr char hex_digits[] = "0123456789ABCDEF";

// By byte. A table: every event's origin goes through it.
constexpr auto plain_bytes = [] {
  std::array<bool, 256> table{};
  for (int c = 0; c < 256; ++c) {
    table[static_cast<std::size_t>(c)] = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                                         (c >= '0' && c <= '9') || c == '_' || c == '-';
  }
  return table;
}();

bool plain(char c) { return plain_bytes[static_cast<unsigned char>(c)]; }

// Upper case only: a token has one spelling.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// As most are. False: it may be one all the same.
bool is_plain_token(std::string_view token) {
  if (token.empty() || token.size() > token_bytes_max) return false;
  for (const char c : token)
    if (!plain(c)) return false;
  return true;
}

bool is_plain_topic(std::string_view topic) {
  std::size_t length = 0;  // of the token
  for (const char c : topic) {
    if (plain(c)) {
      ++length;
    } else if (c == '.' && length > 0 && length <= token_bytes_max) {
      length = 0;
    } else {
      return false;
    }
  }
  return length > 0 && length <= token_bytes_max;
}

// Why `token` is none; empty: it is one. `decoded`, if given, receives its meaning.
std::string token_fault(std::string_view token, std::string* decoded) {
  if (token.empty()) return "is empty";
  if (token.size() > token_bytes_max) {
    return absl::StrCat("has ", token.size(), " bytes, more than ", token_bytes_max,
                        ": choose a shorter name");
  }
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (plain(token[i])) {
      if (decoded != nullptr) decoded->push_back(token[i]);
      continue;
    }
    if (token[i] != '%') {
      return absl::StrCat("has a byte at ", i,
                          " that is none of A-Z a-z 0-9 _ -: percent-encode it");
    }
    const int high = i + 2 < token.size() ? hex_value(token[i + 1]) : -1;
    const int low = i + 2 < token.size() ? hex_value(token[i + 2]) : -1;
    if (high < 0 || low < 0) {
      return absl::StrCat("has a '%' at ", i, " without two hexadecimal digits (0-9 A-F) after it");
    }
    const char c = static_cast<char>(high * 16 + low);
    if (plain(c)) {
      return absl::StrCat("encodes '", std::string(1, c), "' at ", i,
                          ", which stands for itself: write it plainly");
    }
    if (decoded != nullptr) decoded->push_back(c);
    i += 2;
  }
  return "";
}

}  // namespace

void append_token(std::string_view raw, std::string& out) {
  if (is_plain_token(raw)) {
    out.append(raw);
    return;
  }
  while (!raw.empty()) {
    std::size_t run = 0;
    while (run < raw.size() && plain(raw[run])) ++run;
    out.append(raw.substr(0, run));
    raw.remove_prefix(run);
    if (raw.empty()) return;
    const auto byte = static_cast<unsigned char>(raw.front());
    const char escaped[3] = {'%', hex_digits[byte >> 4], hex_digits[byte & 15]};
    out.append(escaped, sizeof escaped);
    raw.remove_prefix(1);
  }
}

std::string encode_token(std::string_view raw) {
  std::string token;
  token.reserve(raw.size());
  append_token(raw, token);
  return token;
}

absl::StatusOr<std::string> decode_token(std::string_view token) {
  std::string decoded;
  const std::string fault = token_fault(token, &decoded);
  if (!fault.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("topic token '", absl_view(token), "' ", fault));
  }
  return decoded;
}

bool is_token(std::string_view text) {
  return is_plain_token(text) || token_fault(text, nullptr).empty();
}

bool is_origin(std::string_view text) {
  const std::size_t slash = text.find('/');
  return slash != std::string_view::npos && is_token(text.substr(0, slash)) &&
         is_token(text.substr(slash + 1));
}

absl::Status validate_topic(std::string_view topic) {
  if (topic.size() + 1 > topic_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("a topic of ", topic.size(),
                                                   " bytes, more than ", topic_bytes_max - 1,
                                                   ": choose shorter names"));
  }
  if (is_plain_topic(topic)) return absl::OkStatus();
  std::size_t index = 0;
  for (std::string_view rest = topic;; ++index) {
    const std::size_t dot = rest.find('.');
    const std::string fault = token_fault(rest.substr(0, dot), nullptr);
    if (!fault.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("token ", index + 1, " ('", absl_view(rest.substr(0, dot)), "') of topic '",
                       absl_view(topic), "' ", fault));
    }
    if (dot == std::string_view::npos) return absl::OkStatus();
    rest.remove_prefix(dot + 1);
  }
}

std::string_view topic_token(std::string_view topic, std::size_t index) {
  for (; index > 0; --index) {
    const std::size_t dot = topic.find('.');
    if (dot == std::string_view::npos) return {};
    topic.remove_prefix(dot + 1);
  }
  return topic.substr(0, topic.find('.'));
}

std::string topic_prefix(std::string_view topic, std::size_t tokens) {
  if (tokens == 0) return "";
  std::size_t end = 0;
  for (; tokens > 0; --tokens) {
    const std::size_t dot = topic.find('.', end);
    if (dot == std::string_view::npos) return std::string(topic) + ".";
    end = dot + 1;
  }
  return std::string(topic.substr(0, end));
}

std::string_view leading_tokens(std::string_view text, std::size_t tokens) {
  std::size_t end = 0;
  for (; tokens > 0; --tokens) {
    const std::size_t dot = text.find('.', end);
    if (dot == std::string_view::npos) break;
    end = dot + 1;
  }
  return text.substr(0, end);
}

absl::StatusOr<Pattern> Pattern::parse(std::string_view text) {
  constexpr std::size_t prefix_tokens_max = 3;
  const auto invalid = [&](std::size_t index, const std::string& why) {
    return absl::InvalidArgumentError(
        absl::StrCat("token ", index + 1, " of pattern '", absl_view(text), "' ", why));
  };
  if (text.size() + 1 > topic_bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("a pattern of ", text.size(),
                                                   " bytes, more than ", topic_bytes_max - 1,
                                                   ": no topic is that long"));
  }
  Pattern pattern;
  pattern.text_ = std::string(text);
  bool literal_so_far = true;
  for (std::string_view rest = text;;) {
    const std::size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    const std::size_t index = pattern.tokens_.size();
    if (token == ">") {
      if (dot != std::string_view::npos)
        return invalid(index, "is '>', which can only be the last");
      pattern.tail_ = true;
      break;
    }
    if (token == "*") {
      literal_so_far = false;
    } else {
      const std::string fault = token_fault(token, nullptr);
      if (!fault.empty()) {
        return invalid(index, absl::StrCat("('", absl_view(token), "') ", fault,
                                           " ('*' and '>' stand alone)"));
      }
      if (literal_so_far && index < prefix_tokens_max) {
        pattern.wire_prefix_.append(token);
        pattern.wire_prefix_.push_back('.');
      }
    }
    pattern.tokens_.emplace_back(token);
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return pattern;
}

Pattern Pattern::of(std::string_view text) {
  absl::StatusOr<Pattern> pattern = parse(text);
  if (!pattern.ok()) {
    std::fprintf(stderr, "Pattern::of: %s\n", pattern.status().ToString().c_str());
    std::abort();
  }
  return *std::move(pattern);
}

bool Pattern::matches(std::string_view topic) const {
  std::string_view rest = topic;
  bool more = true;  // a token is left in `rest`
  for (const std::string& token : tokens_) {
    if (!more) return false;
    const std::size_t dot = rest.find('.');
    if (token != "*" && rest.substr(0, dot) != token) return false;
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
  }
  return more == tail_;
}

}  // namespace supercloud
