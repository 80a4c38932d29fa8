#include "cli/toml_table.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/near_names.h"

namespace supercloud {
namespace {

constexpr absl::Duration longest = absl::Hours(24 * 3653);
constexpr absl::Time last_time = absl::FromUnixSeconds(4'102'444'800);  // 2100

// As absl does, and days: "90d".
bool parse_span(const std::string& said, absl::Duration& span) {
  std::int64_t days = 0;
  if (!said.ends_with('d')) return absl::ParseDuration(said, &span);
  if (!absl::SimpleAtoi(absl::string_view(said.data(), said.size() - 1), &days)) return false;
  span = absl::Hours(24) * days;
  return true;
}

}  // namespace

struct TomlTable::Document {
  std::string name;
  toml::table root;
  absl::Status first;
  std::uint32_t first_line = 0;
  // looked up by address, never iterated
  std::map<const toml::table*, std::set<std::string>> asked;
};

TomlTable::TomlTable(std::shared_ptr<Document> document, const toml::table* table,
                     std::string prefix)
    : document_(std::move(document)), table_(table), prefix_(std::move(prefix)) {}

absl::StatusOr<TomlTable> TomlTable::read_file(const std::string& path) {
  std::ifstream input(path);
  if (!input)
    return absl::NotFoundError(absl::StrCat(path, ": no such file, or it may not be read"));
  std::ostringstream content;
  content << input.rdbuf();
  return parse(content.str(), path);
}

absl::StatusOr<TomlTable> TomlTable::parse(std::string_view content, const std::string& name) {
  auto document = std::make_shared<Document>();
  document->name = name;
  try {
    document->root = toml::parse(content, name);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        name, ":", error.source().begin.line, ": not TOML: ", std::string(error.description())));
  }
  const toml::table* root = &document->root;
  return TomlTable(std::move(document), root, "");
}

std::string TomlTable::full(std::string_view key) const {
  return prefix_.empty() ? std::string(key) : absl::StrCat(prefix_, ".", std::string(key));
}

void TomlTable::mistake(const toml::node* node, std::string_view key, std::string_view what) {
  if (!document_->first.ok()) return;
  const toml::node* at = node != nullptr ? node : table_;
  const std::uint32_t line = at == nullptr ? 0 : at->source().begin.line;
  document_->first_line = line;
  document_->first = absl::InvalidArgumentError(absl::StrCat(
      document_->name, ":", line == 0 ? 1 : line, ": ", full(key), " ", std::string(what)));
}

void TomlTable::complain(std::string_view key, std::string_view what) {
  mistake(find(key), key, what);
}

const toml::node* TomlTable::find(std::string_view key) {
  if (table_ == nullptr) return nullptr;
  document_->asked[table_].insert(std::string(key));
  return table_->get(key);
}

bool TomlTable::has(std::string_view key) const {
  return table_ != nullptr && table_->contains(key);
}

bool TomlTable::is_table(std::string_view key) const {
  return has(key) && table_->get(key)->is_table();
}

std::vector<std::string> TomlTable::keys() const {
  std::vector<std::string> keys;
  if (table_ == nullptr) return keys;
  for (const auto& [key, node] : *table_) keys.emplace_back(key.str());
  return keys;
}

std::string TomlTable::text(std::string_view key, std::string_view otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return std::string(otherwise);
  if (const auto* value = node->as_string()) return value->get();
  mistake(node, key, "has to be a text, in quotes");
  return std::string(otherwise);
}

std::string TomlTable::required_text(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) {
    mistake(nullptr, key, "is missing: write it as a text, in quotes");
    return {};
  }
  std::string value = text(key, "");
  if (value.empty()) mistake(node, key, "must not be empty");
  return value;
}

std::int64_t TomlTable::integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                                std::int64_t most) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  const auto* value = node->as_integer();
  if (value != nullptr && value->get() >= least && value->get() <= most) return value->get();
  mistake(node, key, absl::StrCat("has to be a whole number from ", least, " to ", most));
  return otherwise;
}

double TomlTable::number(std::string_view key, double otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  if (const auto value = node->value<double>()) return *value;
  mistake(node, key, "has to be a number");
  return otherwise;
}

bool TomlTable::boolean(std::string_view key, bool otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  if (const auto* value = node->as_boolean()) return value->get();
  mistake(node, key, "has to be true or false");
  return otherwise;
}

absl::Duration TomlTable::duration(std::string_view key, absl::Duration otherwise) {
  const toml::node* node = find(key);
  if (node == nullptr) return otherwise;
  absl::Duration parsed;
  if (const auto* value = node->as_string(); value != nullptr && parse_span(value->get(), parsed) &&
                                             parsed > absl::ZeroDuration() && parsed <= longest)
    return parsed;
  mistake(node, key,
          "has to be a length of time above zero, of ten years at most, such as \"1.5s\", \"10m\" "
          "or \"90d\"");
  return otherwise;
}

absl::Time TomlTable::time(std::string_view key) {
  const toml::node* node = find(key);
  if (node == nullptr) {
    mistake(nullptr, key, "is missing: write it as \"2015-08-22T00:00:00Z\"");
    return absl::UnixEpoch();
  }
  absl::Time parsed;
  std::string error;
  if (const auto* value = node->as_string();
      value != nullptr && absl::ParseTime(absl::RFC3339_full, value->get(), &parsed, &error) &&
      parsed >= absl::UnixEpoch() && parsed <= last_time)
    return parsed;
  mistake(node, key, "has to be a time from 1970 to 2100, such as \"2015-08-22T00:00:00Z\"");
  return absl::UnixEpoch();
}

std::vector<std::string> TomlTable::texts(std::string_view key) {
  std::vector<std::string> values;
  const toml::node* node = find(key);
  if (node == nullptr) return values;
  if (const auto* alone = node->as_string()) return {alone->get()};
  const toml::array* array = node->as_array();
  if (array != nullptr)
    for (const toml::node& element : *array)
      if (const auto* value = element.as_string()) values.push_back(value->get());
  if (array == nullptr || values.size() != array->size())
    mistake(node, key, "has to be a list of texts, such as [\"a\", \"b\"]");
  return values;
}

std::map<std::string, std::string> TomlTable::text_map(std::string_view key) {
  std::map<std::string, std::string> values;
  const toml::node* node = find(key);
  if (node == nullptr) return values;
  const toml::table* table = node->as_table();
  if (table == nullptr) {
    mistake(node, key, "has to be a table of texts");
    return values;
  }
  for (const auto& [name, element] : *table) {
    document_->asked[table].insert(std::string(name.str()));
    if (const auto* value = element.as_string())
      values[std::string(name.str())] = value->get();
    else
      mistake(&element, absl::StrCat(std::string(key), ".", std::string(name.str())),
              "has to be a text, in quotes");
  }
  return values;
}

TomlTable TomlTable::table(std::string_view key) {
  const toml::node* node = find(key);
  const toml::table* table = node == nullptr ? nullptr : node->as_table();
  if (node != nullptr && table == nullptr)
    mistake(node, key, absl::StrCat("has to be a table: [", full(key), "]"));
  return TomlTable(document_, table, full(key));
}

std::vector<TomlTable> TomlTable::tables(std::string_view key) {
  std::vector<TomlTable> found;
  const toml::node* node = find(key);
  if (node == nullptr) return found;
  const toml::array* array = node->as_array();
  if (array != nullptr)
    for (const toml::node& element : *array)
      if (const toml::table* table = element.as_table())
        found.push_back(TomlTable(document_, table, full(key)));
  if (array == nullptr || found.size() != array->size())
    mistake(node, key, absl::StrCat("has to be a list of tables: [[", full(key), "]]"));
  return found;
}

absl::Status TomlTable::status() const {
  if (!document_->first.ok()) return document_->first;
  struct Level {
    const toml::table* table;
    std::string prefix;
  };
  std::vector<Level> levels{{&document_->root, ""}};
  while (!levels.empty()) {
    const Level level = levels.back();
    levels.pop_back();
    const auto& asked = document_->asked[level.table];
    for (const auto& [key, node] : *level.table) {
      const std::string name(key.str());
      const std::string whole = level.prefix.empty() ? name : absl::StrCat(level.prefix, ".", name);
      if (!asked.contains(name)) {
        const auto near = near_names(name, {asked.begin(), asked.end()});
        return absl::InvalidArgumentError(absl::StrCat(
            document_->name, ":", key.source().begin.line, ": ", whole, " is not known here: ",
            near.empty() ? "remove it" : absl::StrCat("did you mean ", near.front(), "?")));
      }
      if (const toml::table* table = node.as_table()) levels.push_back({table, whole});
      if (const toml::array* array = node.as_array())
        for (const toml::node& element : *array)
          if (const toml::table* table = element.as_table()) levels.push_back({table, whole});
    }
  }
  return absl::OkStatus();
}

}  // namespace supercloud
