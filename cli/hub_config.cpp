#include "cli/hub_config.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/membership.h"
#include "cli/toml_table.h"
#include "cli/toml_text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

// All of a hub's buses are tcp and have keys, or ipc and have none.
HubConfig::End read_end(TomlTable& file, const char* name, bool keys) {
  TomlTable table = file.table(name);
  HubConfig::End end;
  for (const auto& [key, endpoint] :
       {std::pair("publish", &end.publish_endpoint), std::pair("request", &end.request_endpoint)}) {
    *endpoint = table.required_text(key);
    if (const absl::Status good = check_endpoint(*endpoint, keys); !good.ok())
      table.complain(key, absl::StrCat("is refused: ", std::string(good.message())));
  }
  end.seeds = table.texts("seeds");
  for (const std::string& seed : end.seeds)
    if (const absl::Status good = check_seed(seed, keys); !good.ok())
      table.complain("seeds",
                     absl::StrCat("has one that is refused: ", std::string(good.message())));
  return end;
}

absl::StatusOr<HubConfig> read(TomlTable file, const std::string& toml) {
  HubConfig config;
  config.name = file.required_text("name");
  if (!config.name.empty() && !is_token(config.name))
    file.complain("name", absl::StrCat("has to be 1 to ", token_bytes_max, " of A-Z a-z 0-9 _ -"));
  for (const auto& [key, path] : {std::pair("key", &config.key), std::pair("trust", &config.trust)})
    if (file.has(key)) *path = path_beside(toml, file.required_text(key));
  if (config.key.empty() != config.trust.empty())
    file.complain(config.key.empty() ? "trust" : "key",
                  config.key.empty()
                      ? "needs the hub's own key beside it: write key = \"NAME.key\""
                      : "needs the keys of the others beside it: write trust = \"trust.toml\" "
                        "(docs/security.md)");
  config.cloud = read_end(file, "cloud", !config.key.empty());
  config.hubs = read_end(file, "hubs", !config.key.empty());
  if (const absl::Status good = file.status(); !good.ok()) return good;
  return config;
}

}  // namespace

absl::StatusOr<HubConfig> read_hub_config(const std::string& path) {
  auto file = TomlTable::read_file(path);
  if (!file.ok()) return file.status();
  return read(*std::move(file), path);
}

absl::StatusOr<HubConfig> parse_hub_config(std::string_view content, const std::string& name) {
  auto file = TomlTable::parse(content, name);
  if (!file.ok()) return file.status();
  return read(*std::move(file), name);
}

}  // namespace supercloud
