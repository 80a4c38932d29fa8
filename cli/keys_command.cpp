#include "cli/keys_command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/certificate.h"
#include "cli/program.h"
#include "cli/replace_file.h"
#include "cli/text_table.h"
#include "cli/trust_file.h"
#include "core/topic.h"

namespace supercloud {
namespace {

struct KeysAsked {
  std::string what;  // a name, a key file or a key
  std::string name;
  std::string directory = ".";
  bool node = false, hub = false;
  std::vector<std::string> publish, subscribe;
  bool requests = false;
  std::string authority;  // its secret file; the certificate is beside it
  std::vector<std::string> hosts;
  std::optional<int> days;
};

constexpr int authority_days = 3650;
constexpr int certificate_days = 30;

int keys_exit_code(const absl::Status& status) {
  if (absl::IsNotFound(status)) return exit_no_match;
  return absl::IsInvalidArgument(status) ? exit_usage : exit_failed;
}

absl::StatusOr<std::string> trust_path(const Program& program) {
  if (!program.trust.empty()) return program.trust;
  return absl::InvalidArgumentError("which trust file? Name it with --trust or SUPERCLOUD_TRUST");
}

// A public key written out, or in a file.
absl::StatusOr<NamedKey> key_given(const std::string& text) {
  if (text.starts_with("ed25519")) {
    const auto key = PublicKey::parse(text);
    if (!key.ok())
      return absl::InvalidArgumentError(absl::StrCat("what is given ", key.status().message()));
    return NamedKey{"", *key};
  }
  return read_public_key(text);
}

// With the name that was said, or else with that of the file.
absl::StatusOr<NamedKey> named_key(const KeysAsked& asked) {
  auto key = key_given(asked.what);
  if (!key.ok()) return key.status();
  if (!asked.name.empty()) key->name = asked.name;
  if (!is_token(key->name))
    return absl::InvalidArgumentError(
        "whose key is it? Say --name NAME: 1 to 64 of A-Z a-z 0-9 _ -");
  return key;
}

absl::Status new_key(const KeysAsked& asked) {
  if (!is_token(asked.what))
    return absl::InvalidArgumentError(absl::StrCat("\"", asked.what, "\" is no name: 1 to ",
                                                   token_bytes_max, " of A-Z a-z 0-9 _ -"));
  const std::filesystem::path folder = asked.directory;
  const auto key = KeyPair::generate();
  const std::filesystem::path secret_file = folder / (asked.what + ".key");
  if (const absl::Status written = write_secret_key(secret_file, *key); !written.ok())
    return written;
  const NamedKey named{asked.what, key->public_key()};
  if (const absl::Status written = write_public_key(folder / (asked.what + ".pub"), named);
      !written.ok()) {
    std::error_code error;
    std::filesystem::remove(secret_file, error);
    return written;
  }
  std::cout << named.key.text() << " " << named.name << "\n" << std::flush;
  std::cerr << "the secret is in " << secret_file.string() << " and leaves this machine never; "
            << asked.what << ".pub is for `supercloud keys enrol`\n";
  return absl::OkStatus();
}

absl::Status show_key(const KeysAsked& asked, const Program& program) {
  auto named = key_given(asked.what);
  if (absl::IsInvalidArgument(named.status())) {  // or of a secret file, its public half
    const auto secret = read_secret_key(asked.what);
    if (secret.ok()) named = NamedKey{"", (*secret)->public_key()};
    if (absl::IsPermissionDenied(secret.status())) return secret.status();
  }
  if (!named.ok()) return named.status();
  if (program.json)
    std::cout << nlohmann::ordered_json{{"public", named->key.text()}, {"name", named->name}}.dump(
                     2)
              << "\n";
  else
    std::cout << named->key.text() << (named->name.empty() ? "" : " ") << named->name << "\n";
  std::cout << std::flush;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Pattern>> patterns_of(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const std::string& text : texts) {
    auto pattern = Pattern::parse(text);
    if (!pattern.ok()) return pattern.status();
    if (const absl::Status good = check_right(*pattern); !good.ok()) return good;
    patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

absl::Status enrol_key(const KeysAsked& asked, const Program& program) {
  const auto path = trust_path(program);
  if (!path.ok()) return path.status();
  const auto key = named_key(asked);
  if (!key.ok()) return key.status();
  NameRights rights;
  if (asked.node) {
    rights = {{Pattern::of(">")}, {Pattern::of(">")}, true};
  } else if (asked.hub) {  // of its own it says nothing but heartbeats, and who is slow or refused
    rights = {{Pattern::of("node.heartbeat.>"), Pattern::of("bus.slow_subscriber.>"),
               Pattern::of("bus.rejected.>")},
              {Pattern::of(">")},
              true,
              /*relays=*/true};
  } else {
    auto publish = patterns_of(asked.publish);
    if (!publish.ok()) return publish.status();
    auto subscribe = patterns_of(asked.subscribe);
    if (!subscribe.ok()) return subscribe.status();
    rights = {*std::move(publish), *std::move(subscribe), asked.requests};
  }
  const bool any = !(rights == NameRights());
  bool may_something = any;
  const absl::Status changed = change_trust_file(*path, [&](const std::string& content) {
    const auto before = parse_trust(content, *path);
    may_something = any || (before.ok() && before->rights.find(key->name) != nullptr);
    return with_key(content, *path, *key, any ? &rights : nullptr);
  });
  if (!changed.ok()) return changed;
  std::cout << key->name << " is enrolled in " << *path << ": " << key->key.text() << "\n"
            << std::flush;
  if (!may_something)
    std::cerr << key->name << " has no right yet: add [[rights]] with names = [\"" << key->name
              << "\"] to the file\n";
  return absl::OkStatus();
}

absl::Status revoke_keys(const KeysAsked& asked, const Program& program) {
  const auto path = trust_path(program);
  if (!path.ok()) return path.status();
  std::vector<PublicKey> gone;
  const absl::Status changed =
      change_trust_file(*path, [&](const std::string& content) -> absl::StatusOr<std::string> {
        const auto before = parse_trust(content, *path);
        if (!before.ok()) return before.status();
        gone = before->keys_of(asked.what);
        if (gone.empty()) {
          const auto key = key_given(asked.what);
          if (!key.ok())
            return absl::NotFoundError(absl::StrCat(*path, " has no key of \"", asked.what,
                                                    "\", and that is no key file either"));
          gone = {key->key};
        }
        std::string text = content;
        for (const PublicKey& key : gone) {
          auto without = without_key(text, *path, key);
          if (!without.ok()) return without.status();
          text = *std::move(without);
        }
        return text;
      });
  if (!changed.ok()) return changed;
  for (const PublicKey& key : gone) std::cout << "revoked: " << key.text() << "\n";
  std::cout << std::flush;
  std::cerr << "in force where " << *path << " is a node's trust file, within seconds\n";
  return absl::OkStatus();
}

std::filesystem::path certificate_beside(std::filesystem::path key) {
  return key.replace_extension(".crt");
}

Validity days_from_now(int days) { return {absl::Now(), absl::Hours(24 * days)}; }

absl::Status keep_certificate(const std::filesystem::path& path, const std::string& name,
                              const absl::StatusOr<std::string>& pem, int days) {
  if (!pem.ok()) return pem.status();
  if (const absl::Status written = replace_file(path, *pem); !written.ok()) return written;
  std::cout << path.string() << ": " << name << ", until "
            << absl::FormatTime("%Y-%m-%d %H:%M", absl::Now() + absl::Hours(24 * days),
                                absl::UTCTimeZone())
            << " UTC\n"
            << std::flush;
  return absl::OkStatus();
}

absl::Status make_authority(const KeysAsked& asked) {
  const auto key = read_secret_key(asked.what);
  if (!key.ok()) return key.status();
  const std::filesystem::path file = asked.what;
  const std::string name = asked.name.empty() ? file.stem().string() : asked.name;
  const int days = asked.days.value_or(authority_days);
  return keep_certificate(certificate_beside(file), name,
                          authority_certificate(**key, name, days_from_now(days)), days);
}

// Whose key it is, as the file says; where there is a trust file, as that does.
absl::StatusOr<NamedKey> enrolled_key(const KeysAsked& asked, const Program& program) {
  const auto key = named_key(asked);
  if (!key.ok()) return key.status();
  if (program.trust.empty()) return key;
  const auto trust = read_trust(program.trust);
  if (!trust.ok()) return trust.status();
  if (!trust->has(key->name, key->key))
    return absl::FailedPreconditionError(
        absl::StrCat(program.trust, " does not say that this is a key of ", key->name,
                     ": enrol it first, or leave --trust out"));
  return key;
}

absl::Status certify_key(const KeysAsked& asked, const Program& program) {
  const auto authority = read_secret_key(asked.authority);
  if (!authority.ok()) return authority.status();
  const std::filesystem::path issuer = certificate_beside(asked.authority);
  std::ifstream input(issuer);
  const std::string certificate{std::istreambuf_iterator<char>(input), {}};
  if (!input)
    return absl::NotFoundError(absl::StrCat(issuer.string(), " cannot be read: `supercloud keys ",
                                            "authority ", asked.authority, "` makes it"));
  const auto subject = enrolled_key(asked, program);
  if (!subject.ok()) return subject.status();
  const std::filesystem::path file =
      std::filesystem::path(asked.directory) / (subject->name + ".crt");
  std::error_code error;
  if (std::filesystem::equivalent(file, issuer, error))
    return absl::InvalidArgumentError(
        absl::StrCat(file.string(),
                     " is the authority's own certificate: choose another --name or --directory"));
  const int days = asked.days.value_or(certificate_days);
  auto issued =
      issue_certificate(**authority, certificate, {*subject, asked.hosts, days_from_now(days)});
  if (absl::IsFailedPrecondition(issued.status()))
    issued = absl::FailedPreconditionError(
        absl::StrCat(issuer.string(), " ", issued.status().message()));
  return keep_certificate(file, subject->name, issued, days);
}

absl::Status write_pem(const KeysAsked& asked) {
  const auto key = read_secret_key(asked.what);
  if (!key.ok()) return key.status();
  const auto pem = private_key_pem(**key);
  if (!pem.ok()) return pem.status();
  std::filesystem::path file = asked.what;
  file.replace_extension(".pem");
  if (const absl::Status written = replace_file(file, *pem, 0600); !written.ok()) return written;
  std::cout << file.string() << "\n" << std::flush;
  std::cerr << "it is as secret as " << asked.what << "\n";
  return absl::OkStatus();
}

std::string joined(const std::vector<Pattern>& patterns) {
  if (patterns.empty()) return "-";
  return absl::StrJoin(patterns, " ", [](std::string* out, const Pattern& pattern) {
    absl::StrAppend(out, pattern.text());
  });
}

absl::Status list_keys(const Program& program) {
  const auto path = trust_path(program);
  if (!path.ok()) return path.status();
  const auto trust = read_trust(*path);
  if (!trust.ok()) return trust.status();
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> rows = {{"name", "publishes", "subscribes", "asks", "key"}};
  static const NameRights none;
  for (const Trust::Enrolled& each : trust->keys()) {
    const NameRights* known = trust->rights.find(each.name);
    const NameRights& rights = known == nullptr ? none : *known;
    rows.push_back({each.name, joined(rights.publish), joined(rights.subscribe),
                    rights.requests ? "yes" : "no", each.key.text()});
    nlohmann::ordered_json publish = nlohmann::ordered_json::array();
    for (const Pattern& pattern : rights.publish) publish.push_back(pattern.text());
    nlohmann::ordered_json subscribe = nlohmann::ordered_json::array();
    for (const Pattern& pattern : rights.subscribe) subscribe.push_back(pattern.text());
    json.push_back({{"name", each.name},
                    {"public", each.key.text()},
                    {"publish", publish},
                    {"subscribe", subscribe},
                    {"requests", rights.requests}});
  }
  if (program.json)
    std::cout << json.dump(2) << "\n";
  else
    std::cout << text_table(rows);
  std::cout << std::flush;
  return absl::OkStatus();
}

CLI::App* add_keys_verb(CLI::App& noun, const char* name, const char* what, Program& program,
                        std::function<absl::Status()> verb) {
  CLI::App* command = noun.add_subcommand(name, what);
  command->fallthrough();
  command->callback([&program, verb = std::move(verb)] {
    const absl::Status done = verb();
    if (!done.ok()) program.exit_code = complain(done, keys_exit_code(done));
  });
  return command;
}

}  // namespace

void add_keys_command(CLI::App& root, Program& program) {
  CLI::App* noun = root.add_subcommand("keys", "Keys of nodes and people, and whom a node trusts");
  noun->fallthrough();
  noun->require_subcommand(1);
  noun->footer(
      "A node and a person are each known by one key; the trust file of a node says whose keys it\n"
      "believes and what they may. A node reads it again when it changes. docs/security.md has "
      "more.\n"
      "\n"
      "Examples:\n"
      "  supercloud keys new node-a\n"
      "  supercloud keys enrol node-a.pub --node --trust trust.toml\n"
      "  supercloud keys enrol alice.pub --subscribe '>' --requests --trust trust.toml\n"
      "  supercloud keys list --trust trust.toml\n"
      "  supercloud keys revoke node-a --trust trust.toml\n"
      "  supercloud keys new tls && supercloud keys authority tls.key\n"
      "  supercloud keys certify node-a.pub --authority tls.key --host 10.0.0.1 --days 30");
  const auto asked = std::make_shared<KeysAsked>();
  CLI::App* fresh = add_keys_verb(*noun, "new", "Makes NAME.key, which is secret, and NAME.pub",
                                  program, [asked] { return new_key(*asked); });
  fresh->add_option("name", asked->what, "Of the node or the person")->required();
  fresh->add_option("--directory", asked->directory, "Where to; without it this folder");
  CLI::App* show = add_keys_verb(*noun, "show", "The public key in a key file", program,
                                 [asked, &program] { return show_key(*asked, program); });
  show->add_option("file", asked->what, "NAME.pub or NAME.key")->required();
  CLI::App* enrol =
      add_keys_verb(*noun, "enrol", "Adds a public key to the trust file, with rights", program,
                    [asked, &program] { return enrol_key(*asked, program); });
  enrol->add_option("key", asked->what, "NAME.pub, or the key itself: ed25519:...")->required();
  enrol->add_option("--name", asked->name, "Whose it is; without it as NAME.pub says");
  CLI::Option* node = enrol->add_flag("--node", asked->node, "It may do all that a node does");
  CLI::Option* hub =
      enrol->add_flag("--hub", asked->hub, "It is a hub, which relays what the nodes of others say")
          ->excludes(node);
  for (CLI::Option* option :
       {enrol->add_option("--publish", asked->publish, "Topics, such as 'resource.*.main.>'"),
        enrol->add_option("--subscribe", asked->subscribe, "Topics, such as 'vm.>'"),
        enrol->add_flag("--requests", asked->requests, "It may ask actors, as `vm create` does")})
    option->excludes(node)->excludes(hub);
  CLI::App* revoke = add_keys_verb(*noun, "revoke", "Takes keys out of the trust file", program,
                                   [asked, &program] { return revoke_keys(*asked, program); });
  revoke->add_option("key", asked->what, "A name, all keys of which go; NAME.pub, or a key")
      ->required();
  CLI::App* authority =
      add_keys_verb(*noun, "authority", "Makes a key the authority of certificates: NAME.crt",
                    program, [asked] { return make_authority(*asked); });
  authority->add_option("key", asked->what, "NAME.key, of a key that is used for nothing else")
      ->required();
  authority->add_option("--name", asked->name, "Of the authority; without it the file's");
  CLI::App* certify =
      add_keys_verb(*noun, "certify", "Issues a certificate for TLS, NAME.crt", program,
                    [asked, &program] { return certify_key(*asked, program); });
  certify->add_option("key", asked->what, "NAME.pub, or the key itself")->required();
  certify->add_option("--authority", asked->authority, "Its NAME.key; NAME.crt is beside it")
      ->required();
  certify->add_option("--name", asked->name, "Whose it is; without it as NAME.pub says");
  certify->add_option("--host", asked->hosts,
                      "DNS names and addresses under which it is reached; without any it is for a "
                      "client");
  certify->add_option("--directory", asked->directory, "Where to; without it this folder");
  for (auto [command, days] :
       {std::pair(authority, authority_days), std::pair(certify, certificate_days)})
    command->add_option("--days", asked->days, "For how long it holds")
        ->default_str(std::to_string(days))
        ->check(CLI::Range(1, authority_days));
  CLI::App* as_pem = add_keys_verb(*noun, "pem", "The secret as TLS libraries read it: NAME.pem",
                                   program, [asked] { return write_pem(*asked); });
  as_pem->add_option("file", asked->what, "NAME.key")->required();
  add_keys_verb(*noun, "list", "Who is trusted, and what they may", program,
                [&program] { return list_keys(program); });
}

}  // namespace supercloud
