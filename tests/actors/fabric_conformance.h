// What every implementation of the fabric seam must do: one node's fabric, and its guests' frames.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "actors/network/fabric.h"

namespace supercloud {

class FabricWorld {
 public:
  virtual ~FabricWorld() = default;
  virtual Fabric& fabric() = 0;
  virtual std::string node() = 0;
  virtual Instant now() = 0;
  virtual bool wait(Duration limit, const std::function<bool()>& condition) = 0;
  // A guest that executes at this epoch sends a frame: whether it is delivered.
  virtual bool transmit(const std::string& vm, Epoch epoch) = 0;
  virtual void restart_daemon() = 0;
  virtual void reboot() = 0;
};

struct FabricWorldFactory {
  std::string name;
  std::function<std::unique_ptr<FabricWorld>()> make;
  friend std::ostream& operator<<(std::ostream& out, const FabricWorldFactory& factory) {
    return out << factory.name;
  }
};

class FabricConformance : public ::testing::TestWithParam<FabricWorldFactory> {
 protected:
  absl::Status prepare(const std::string& vm, const std::string& address);
  absl::Status remove(const std::string& vm);
  AddressOwner owned_by(const std::string& node, Epoch epoch) const;
  std::string owner();

  std::unique_ptr<FabricWorld> world_ = GetParam().make();
  const std::string vm_ = "main/web1";
  const std::string address_ = "10.0.0.5";
};

}  // namespace supercloud
