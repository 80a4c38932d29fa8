// Certificates of a test's own: an authority, a server on loopback, and a client.
#pragma once

#include <string>

namespace supercloud {

struct CertificateFiles {
  std::string certificate, key;  // PEM
};

// As somebody has one who was asked for a passphrase.
void encrypt_key(const std::string& path);

// Writes them into `folder`; the names of the files begin with `name`. They hold for an hour.
class TestAuthority {
 public:
  TestAuthority(std::string folder, const std::string& name);
  // PEM
  const std::string& certificate() const { return own_.certificate; }
  // For 127.0.0.1, as a server and as a client: etcd's gateway speaks to etcd itself as one.
  CertificateFiles issue(const std::string& name) const;

 private:
  CertificateFiles make(const std::string& name, bool authority) const;

  std::string folder_;
  CertificateFiles own_;
};

}  // namespace supercloud
