// Bytes that are read from any place, again and again: a file, or text in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace supercloud {

// Thread-bound.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual const std::string& name() const = 0;  // for messages
  virtual std::uint64_t size() const = 0;       // when it was opened
  // Fills `to` from `offset` on; fewer bytes only at the end. DataLoss: reading failed (the message names the place).
  virtual absl::StatusOr<std::size_t> read(std::uint64_t offset, char* to, std::size_t count) = 0;
};

// NotFound, InvalidArgument (a folder, a pipe) with cure.
absl::StatusOr<std::unique_ptr<ByteSource>> open_file_bytes(const std::string& path);
std::unique_ptr<ByteSource> text_bytes(std::string name, std::string text);

}  // namespace supercloud
