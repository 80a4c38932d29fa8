#include "tests/process/torture/plan.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace supercloud::torture {

std::string Plan::name(std::size_t member) const {
  return publishes(member) ? absl::StrCat("pub", member) : absl::StrCat("sub", member - publishers);
}

std::string Plan::bound(std::size_t member, bool requests) const {
  if (address.empty())
    return absl::StrCat("ipc://", folder, "/", name(member), requests ? ".r" : ".p");
  return absl::StrCat("tcp://", address, ":", 20000 + 2 * member + (requests ? 1 : 0));
}

std::string Plan::reached(std::size_t member, bool requests) const {
  if (address.empty()) return bound(member, requests) + "link";
  return absl::StrCat("tcp://", address, ":", 21000 + 2 * member + (requests ? 1 : 0));
}

std::string Plan::records(std::size_t member, unsigned life) const {
  return file(member, absl::StrCat(life, ".records"));
}

std::vector<std::string> Plan::origins() const {
  std::vector<std::string> origins;
  for (std::size_t i = 0; i < publishers; ++i) {
    origins.push_back(name(i) + "/durable");
    origins.push_back(name(i) + "/mixed");
  }
  return origins;
}

absl::Status Plan::make_keys() const {
  for (std::size_t i = 0; i < members(); ++i) {
    const auto key = KeyPair::generate();
    if (absl::Status made = write_secret_key(file(i, "secret"), *key); !made.ok()) return made;
    const absl::Status made = write_public_key(file(i, "public"), {name(i), key->public_key()});
    if (!made.ok()) return made;
  }
  return absl::OkStatus();
}

absl::StatusOr<Credentials> Plan::credentials(std::size_t member) const {
  const auto own = read_secret_key(file(member, "secret"));
  if (!own.ok()) return own.status();
  Trust trust;
  for (std::size_t i = 0; i < members(); ++i) {
    const auto key = read_public_key(file(i, "public"));
    if (!key.ok()) return key.status();
    if (absl::Status taken = trust.enrol(key->key, name(i)); !taken.ok()) return taken;
    trust.rights.grant(name(i), {{Pattern::of(">")}, {Pattern::of(">")}, true});
  }
  return Credentials{*own, std::make_shared<const Trust>(std::move(trust))};
}

std::vector<std::string> Plan::arguments(std::size_t member, unsigned life) const {
  return {folder,
          address,
          absl::StrCat(publishers),
          absl::StrCat(subscribers),
          absl::StrCat(seed),
          absl::StrCat(rate),
          short_queues ? "1" : "0",
          repair ? "1" : "0",
          absl::StrCat(member),
          absl::StrCat(life)};
}

Plan Plan::parse(const std::vector<std::string>& arguments, std::size_t& member, unsigned& life) {
  if (arguments.size() != 10) std::abort();
  const auto number = [&](std::size_t i) {
    return std::strtoull(arguments[i].c_str(), nullptr, 10);
  };
  Plan plan;
  plan.folder = arguments[0];
  plan.address = arguments[1];
  plan.publishers = number(2);
  plan.subscribers = number(3);
  plan.seed = number(4);
  plan.rate = static_cast<unsigned>(number(5));
  plan.short_queues = number(6) != 0;
  plan.repair = number(7) != 0;
  member = number(8);
  life = static_cast<unsigned>(number(9));
  return plan;
}

}  // namespace supercloud::torture
