// A TOML file read with care: every mistake is told with file, line, key and cure, and a key that nobody asked for is one.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace supercloud {

// Thread-bound. Getters return their default after the first mistake, which status() tells; so a file is read in one go and
// judged at the end.
class TomlTable {
 public:
  // NotFound, InvalidArgument. The table outlives its parts.
  static absl::StatusOr<TomlTable> read_file(const std::string& path);
  static absl::StatusOr<TomlTable> parse(std::string_view content, const std::string& name);

  bool has(std::string_view key) const;
  bool is_table(std::string_view key) const;
  std::vector<std::string> keys() const;  // in order
  std::string text(std::string_view key, std::string_view otherwise);
  std::string required_text(std::string_view key);
  std::int64_t integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                       std::int64_t most);
  double number(std::string_view key, double otherwise);
  bool boolean(std::string_view key, bool otherwise);
  absl::Duration duration(std::string_view key, absl::Duration otherwise);  // "1.5s"
  // RFC 3339, as text or as TOML's own
  absl::Time time(std::string_view key);
  std::vector<std::string> texts(std::string_view key);               // one alone is a list of one
  std::map<std::string, std::string> text_map(std::string_view key);  // a table of texts
  // empty where there is none
  TomlTable table(std::string_view key);
  std::vector<TomlTable> tables(std::string_view key);  // [[key]]

  // A mistake of the caller's own about a key that is there.
  void complain(std::string_view key, std::string_view what);
  // The first mistake, an unknown key among them. Call when everything has been asked for.
  absl::Status status() const;

 private:
  struct Document;
  TomlTable(std::shared_ptr<Document> document, const toml::table* table, std::string prefix);
  const toml::node* find(std::string_view key);
  std::string full(std::string_view key) const;
  void mistake(const toml::node* node, std::string_view key, std::string_view what);

  std::shared_ptr<Document> document_;
  const toml::table* table_;
  std::string prefix_;
};

}  // namespace supercloud
