#include "tests/process/torture/record.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace supercloud::torture {

std::string_view topic(Kind kind) {
  switch (kind) {
    case Kind::price:
      return "spot.price_changed.";
    case Kind::started:
      return "vm.started.";
    case Kind::paused:
      return "vm.paused.";
    case Kind::dirty_rate:
      return "vm.dirty_rate.";
  }
  std::abort();
}

bool durable(Kind kind) { return kind == Kind::price || kind == Kind::started; }
bool noted(Kind kind) { return kind == Kind::paused; }

std::uint64_t digest(const Event& event) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::byte byte : event.bytes())
    hash = (hash ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
  return hash;
}

bool describe(const Event& event, const std::vector<std::string>& origins, Record& record) {
  const auto origin = std::find(origins.begin(), origins.end(), event.origin());
  if (origin == origins.end()) return false;
  bool known = false;
  for (std::size_t i = 0; i < kinds; ++i) {
    if (!event.topic().starts_with(topic(static_cast<Kind>(i)))) continue;
    record.kind = static_cast<Kind>(i);
    known = true;
  }
  record.origin = static_cast<std::uint8_t>(origin - origins.begin());
  record.incarnation = event.incarnation();
  record.sequence = event.sequence();
  record.digest = digest(event);
  return known;
}

RecordWriter::RecordWriter(const std::string& path)
    : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (fd_ < 0) {
    std::perror(path.c_str());
    std::abort();
  }
}

RecordWriter::~RecordWriter() { ::close(fd_); }

void RecordWriter::write(const Record& record) const {
  if (::write(fd_, &record, sizeof record) != static_cast<ssize_t>(sizeof record)) {
    std::perror("a record");
    std::abort();
  }
}

void RecordReader::poll() {
  std::ifstream file(path_, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(records_.size() * sizeof(Record)));
  Record record;
  while (file.read(reinterpret_cast<char*>(&record), sizeof record)) records_.push_back(record);
}

}  // namespace supercloud::torture
