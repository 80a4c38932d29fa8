#include "cli/trust_file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/replace_file.h"
#include "cli/toml_table.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr Duration look_interval = absl::Seconds(1);
constexpr std::string_view key_header = "[[key]]";

void check_name(TomlTable& table, std::string_view key, const std::string& name) {
  if (name.empty() || is_token(name)) return;
  table.complain(key, absl::StrCat("has \"", name, "\", which is no name: 1 to ", token_bytes_max,
                                   " of A-Z a-z 0-9 _ -"));
}

std::vector<Pattern> read_patterns(TomlTable& table, std::string_view key) {
  std::vector<Pattern> patterns;
  for (const std::string& text : table.texts(key)) {
    auto pattern = Pattern::parse(text);
    absl::Status good = pattern.status();
    if (good.ok()) good = check_right(*pattern);
    if (good.ok())
      patterns.push_back(*std::move(pattern));
    else
      table.complain(key,
                     absl::StrCat("has a pattern that is wrong: ", std::string(good.message())));
  }
  return patterns;
}

std::string pattern_list(const std::vector<Pattern>& patterns) {
  return absl::StrCat("[",
                      absl::StrJoin(patterns, ", ",
                                    [](std::string* out, const Pattern& pattern) {
                                      absl::StrAppend(out, "\"", pattern.text(), "\"");
                                    }),
                      "]");
}

std::string_view trimmed(std::string_view line) {
  while (!line.empty() && std::strchr(" \t\r", line.front()) != nullptr) line.remove_prefix(1);
  while (!line.empty() && std::strchr(" \t\r", line.back()) != nullptr) line.remove_suffix(1);
  return line;
}

std::vector<std::string> lines_of(const std::string& content) {
  std::vector<std::string> lines;
  std::istringstream stream(content);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

}  // namespace

absl::StatusOr<Trust> parse_trust(std::string_view content, const std::string& name) {
  auto parsed = TomlTable::parse(content, name);
  if (!parsed.ok()) return parsed.status();
  TomlTable& file = *parsed;
  Trust trust;
  for (TomlTable& entry : file.tables("key")) {
    const std::string whose = entry.required_text("name");
    check_name(entry, "name", whose);
    const std::string text = entry.required_text("public");
    const auto key = PublicKey::parse(text);
    const absl::Status good = key.ok() ? trust.enrol(*key, whose) : key.status();
    if (!good.ok()) entry.complain("public", std::string(good.message()));
  }
  for (TomlTable& entry : file.tables("rights")) {
    const std::vector<std::string> names = entry.texts("names");
    if (names.empty()) entry.complain("names", "is missing: write names = [\"...\"]");
    NameRights rights;
    rights.publish = read_patterns(entry, "publish");
    rights.subscribe = read_patterns(entry, "subscribe");
    rights.requests = entry.boolean("requests", false);
    rights.relays = entry.boolean("relays", false);
    for (const std::string& whose : names) {
      check_name(entry, "names", whose);
      if (trust.rights.find(whose) != nullptr)
        entry.complain("names", absl::StrCat("has ", whose,
                                             ", which has rights already: keep one of the two"));
      trust.rights.grant(whose, rights);
    }
  }
  if (const absl::Status status = file.status(); !status.ok()) return status;
  return trust;
}

absl::StatusOr<Trust> read_trust(const std::string& path) {
  std::ifstream input(path);
  if (!input)
    return absl::NotFoundError(absl::StrCat(path, ": no such trust file, or it may not be read"));
  std::ostringstream content;
  content << input.rdbuf();
  return parse_trust(content.str(), path);
}

absl::StatusOr<Credentials> read_credentials(const std::string& key, const std::string& trust) {
  auto own = read_secret_key(key);
  if (!own.ok()) return own.status();
  auto believed = read_trust(trust);
  if (!believed.ok()) return believed.status();
  return Credentials{*std::move(own), std::make_shared<const Trust>(*std::move(believed))};
}

absl::StatusOr<std::string> with_key(const std::string& content, const std::string& name,
                                     const NamedKey& key, const NameRights* rights) {
  const auto before = parse_trust(content, name);
  if (!before.ok()) return before.status();
  if (const std::string* whose = before->name_of(key.key.text()))
    return absl::AlreadyExistsError(absl::StrCat("the key is enrolled already, as ", *whose));
  if (rights != nullptr && before->rights.find(key.name) != nullptr)
    return absl::AlreadyExistsError(absl::StrCat(
        key.name, " has rights already: give none, to add a key to it, or change them in ", name));
  std::string text = content;
  if (!text.empty() && text.back() != '\n') text += '\n';
  absl::StrAppend(&text, text.empty() ? "" : "\n", "[[key]]\nname = \"", key.name,
                  "\"\npublic = \"", key.key.text(), "\"\n");
  if (rights != nullptr)
    absl::StrAppend(&text, "\n[[rights]]\nnames = [\"", key.name,
                    "\"]\npublish = ", pattern_list(rights->publish),
                    "\nsubscribe = ", pattern_list(rights->subscribe),
                    "\nrequests = ", rights->requests ? "true" : "false",
                    rights->relays ? "\nrelays = true" : "", "\n");
  const auto after = parse_trust(text, name);
  if (!after.ok()) return after.status();
  return text;
}

absl::StatusOr<std::string> without_key(const std::string& content, const std::string& name,
                                        const PublicKey& key) {
  const auto before = parse_trust(content, name);
  if (!before.ok()) return before.status();
  if (before->name_of(key.text()) == nullptr)
    return absl::NotFoundError(absl::StrCat(name, " does not have the key ", key.text()));
  std::vector<std::string> lines = lines_of(content);
  for (std::size_t begin = 0; begin < lines.size(); ++begin) {
    if (!trimmed(lines[begin]).starts_with(key_header)) continue;
    std::size_t end = begin + 1;  // behind the last line that says something
    bool is_it = false;
    for (std::size_t at = begin + 1; at < lines.size(); ++at) {
      const std::string_view line = trimmed(lines[at]);
      if (line.starts_with('[')) break;
      if (line.empty() || line.starts_with('#')) continue;
      end = at + 1;
      is_it = is_it || line.find(key.text()) != std::string_view::npos;
    }
    if (!is_it) continue;
    if (end < lines.size() && trimmed(lines[end]).empty()) ++end;
    lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(begin),
                lines.begin() + static_cast<std::ptrdiff_t>(end));
    break;
  }
  std::string text = absl::StrJoin(lines, "\n");
  if (!text.empty()) text += '\n';
  const auto after = parse_trust(text, name);
  if (after.ok() && after->name_of(key.text()) == nullptr &&
      after->keys().size() + 1 == before->keys().size() &&
      std::all_of(after->keys().begin(), after->keys().end(),
                  [&](const Trust::Enrolled& each) { return before->has(each.name, each.key); }) &&
      after->rights.names() == before->rights.names())
    return text;
  return absl::FailedPreconditionError(absl::StrCat(
      name, ": the entry of ", key.text(), " cannot be told from the rest: remove it by hand"));
}

absl::Status change_trust_file(
    const std::string& path,
    const std::function<absl::StatusOr<std::string>(const std::string& content)>& change) {
  const auto failed = [&](std::string_view what) {
    return absl::UnavailableError(
        absl::StrCat(path, ": ", std::string(what), ": ", std::strerror(errno)));
  };
  std::string content;
  struct stat facts{};
  mode_t mode = 0644;
  if (::stat(path.c_str(), &facts) == 0) {
    std::ifstream input(path);
    std::ostringstream text;
    text << input.rdbuf();
    if (!input) return failed("it cannot be read");
    content = text.str();
    mode = facts.st_mode & 0777;
  } else if (errno != ENOENT) {
    return failed("it cannot be looked at");
  }
  const auto changed = change(content);
  if (!changed.ok()) return changed.status();
  return replace_file(path, *changed, mode);
}

TrustWatch::TrustWatch(Scheduler& scheduler, std::string path, Changed changed)
    : scheduler_(scheduler),
      path_(std::move(path)),
      changed_(std::move(changed)),
      seen_(version()) {
  timer_ = scheduler_.at(scheduler_.clock().now() + look_interval, [this] { look(); });
}

TrustWatch::~TrustWatch() { scheduler_.cancel(timer_); }

TrustWatch::Version TrustWatch::version() const {
  struct stat facts{};
  if (::stat(path_.c_str(), &facts) != 0) return {};
  return {facts.st_ino, static_cast<std::uint64_t>(facts.st_size), facts.st_mtim.tv_sec,
          facts.st_mtim.tv_nsec};
}

void TrustWatch::look() {
  timer_ = scheduler_.at(scheduler_.clock().now() + look_interval, [this] { look(); });
  const Version now = version();
  if (now == seen_) return;
  seen_ = now;
  changed_(read_trust(path_));
}

}  // namespace supercloud
