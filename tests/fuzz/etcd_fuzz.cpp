// Answers of what says it is etcd: what is accepted of them is whole, and what stands in its keys is read as a lease table does.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "storage/etcd/wire.h"
#include "storage/lease_codec.h"

namespace {

using namespace supercloud;

void check(const etcd::KeyValue& row) {
  if (row.create_revision <= 0 || row.mod_revision < row.create_revision) std::abort();
  (void)decode_stored_lease(row.value);
  (void)decode_stored_session("node:0000000000000001", row.value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  (void)etcd::parse_error(json);
  (void)etcd::parse_revoke(json);
  if (const auto granted = etcd::parse_grant(json); granted.ok())
    if (granted->id <= 0 || granted->ttl_seconds <= 0) std::abort();
  (void)etcd::parse_keepalive(json);
  (void)etcd::parse_timetolive(json);
  if (const auto range = etcd::parse_range(json); range.ok())
    for (const etcd::KeyValue& row : range->found) check(row);
  if (const auto txn = etcd::parse_txn(json); txn.ok())
    for (const auto& read : txn->reads)
      for (const etcd::KeyValue& row : read) check(row);
  return 0;
}
