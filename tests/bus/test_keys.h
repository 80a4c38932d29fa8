// Keys of names, made once in a program, and trust files that are none.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/trust.h"

namespace supercloud {

inline std::shared_ptr<const KeyPair> test_key(const std::string& name) {
  static std::map<std::string, std::shared_ptr<const KeyPair>> keys;
  std::shared_ptr<const KeyPair>& key = keys[name];
  if (key == nullptr) key = KeyPair::generate();
  return key;
}

// Of every name.
inline std::vector<PublicKey> test_keys_of(std::string_view name) {
  return {test_key(std::string(name))->public_key()};
}

inline NameRights all_rights(bool relays = false) {
  return {{Pattern::of(">")}, {Pattern::of(">")}, true, relays};
}

// Each of the names with its test_key() and all rights.
inline Trust test_trust(const std::vector<std::string>& names) {
  Trust trust;
  for (const std::string& name : names) {
    if (!trust.enrol(test_key(name)->public_key(), name).ok()) std::abort();
    trust.rights.grant(name, all_rights());
  }
  return trust;
}

}  // namespace supercloud
