#include "hypercall/qemu/record.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/text.h"
#include "hypercall/qemu/qmp_message.h"

namespace supercloud {

std::string QemuRecord::to_text() const {
  const QmpValue json = {{"vm", vm},
                         {"address", address},
                         {"memory_bytes", memory_bytes},
                         {"epoch", epoch},
                         {"own", own},
                         {"migration", migration.empty() ? "" : migration.to_string()},
                         {"endpoint", endpoint},
                         {"post_copy", post_copy},
                         {"brought", brought.empty() ? "" : brought.to_string()},
                         {"rest", rest}};
  return json.dump(-1, ' ', false, QmpValue::error_handler_t::replace) + "\n";
}

absl::StatusOr<QemuRecord> QemuRecord::from_text(std::string_view text) {
  const QmpValue json = QmpValue::parse(text, nullptr, /*allow_exceptions=*/false);
  QemuRecord record;
  record.vm = qmp_text(json, "vm");
  record.address = qmp_text(json, "address");
  record.memory_bytes = qmp_number(json, "memory_bytes");
  record.epoch = qmp_number(json, "epoch");
  record.own = qmp_flag(json, "own");
  record.endpoint = qmp_text(json, "endpoint");
  record.post_copy = qmp_flag(json, "post_copy");
  record.rest = qmp_flag(json, "rest");
  for (const auto& [key, id] :
       {std::pair("migration", &record.migration), {"brought", &record.brought}}) {
    const std::string migration = qmp_text(json, key);
    if (migration.empty()) continue;
    auto parsed = EventId::parse(migration);
    if (!parsed.ok()) return absl::DataLossError("the record of a copy names no migration");
    *id = *std::move(parsed);
  }
  if (record.vm.empty()) return absl::DataLossError("the record of a copy names no VM");
  return record;
}

absl::Status QemuRecord::save(const std::string& folder) const {
  const std::string path = absl::StrCat(folder, "/", file);
  const std::string fresh = path + ".new";
  std::ofstream out(fresh, std::ios::trunc);
  out << to_text();
  out.close();
  if (!out || std::rename(fresh.c_str(), path.c_str()) != 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::StatusOr<QemuRecord> QemuRecord::load(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", file);
  std::ifstream in(path);
  if (!in) return absl::NotFoundError(absl::StrCat("no record at ", path));
  auto record = from_text(std::string(std::istreambuf_iterator<char>(in), {}));
  if (!record.ok()) return absl::DataLossError(absl::StrCat(path, ": ", record.status().message()));
  return record;
}

}  // namespace supercloud
