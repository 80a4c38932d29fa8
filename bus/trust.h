// Whom this process believes: the names of public keys, and the rights of names. A value; what is in force is replaced as a whole.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "bus/key.h"
#include "bus/rights.h"

namespace supercloud {

class Trust {
 public:
  struct Enrolled {
    std::string name;
    PublicKey key;
  };

  // A name may have several keys, a key has one name. AlreadyExists: it has one.
  absl::Status enrol(const PublicKey& key, std::string name);
  Rights rights;

  // By the text of a key: as its peer is known to libzmq. Null: not enrolled, or not any more.
  const Enrolled* find(std::string_view key_text) const;
  const std::string* name_of(std::string_view key_text) const {
    const Enrolled* found = find(key_text);
    return found == nullptr ? nullptr : &found->name;
  }
  // By what CURVE tells of a peer.
  const Enrolled* find(const CurveKey& key) const;
  bool has(std::string_view name, const PublicKey& key) const;
  // In the order of their enrolment.
  std::vector<PublicKey> keys_of(std::string_view name) const;
  const std::vector<Enrolled>& keys() const { return keys_; }

 private:
  std::vector<Enrolled> keys_;
  std::map<std::string, std::size_t, std::less<>> by_text_;  // index in keys_
  std::map<CurveKey, std::size_t> by_curve_;
};

// Whether the one with that key is who it was.
bool same_name(const Trust& before, const Trust& after, std::string_view key_text);
// And may subscribe what it might: what it was granted is neither too much nor too little.
bool same_subscriber(const Trust& before, const Trust& after, std::string_view key_text);

// Who a process is, and whom it believes. Both there, or neither: then it has no connection but ipc, and believes everyone there.
struct Credentials {
  std::shared_ptr<const KeyPair> key;
  std::shared_ptr<const Trust> trust;
};

}  // namespace supercloud
