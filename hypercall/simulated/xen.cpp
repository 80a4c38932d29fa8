#include "hypercall/simulated/xen.h"

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace supercloud {
namespace {

bool allows(const XenTree::Node& node, DomainId by, bool XenAccess::* what) {
  if (by == 0 || node.permissions.front().domain == by) return true;
  for (std::size_t i = 1; i < node.permissions.size(); ++i)
    if (node.permissions[i].domain == by) return node.permissions[i].*what;
  return node.permissions.front().*what;
}

}  // namespace

// ---- the tree --------------------------------------------------------------------------------------------------------

XenTree::XenTree() {
  nodes_["/"].permissions = {{.domain = 0}};
  Changed untold;
  for (const XenPath& path : {XenPath::domains(), *XenPath::parse("/tool")})  // as a daemon begins
    write(path, "", false, 0, XenQuota(), untold);
}

const XenTree::Node* XenTree::find(const std::string& path) const {
  const auto found = nodes_.find(path);
  return found == nodes_.end() ? nullptr : &found->second;
}

std::vector<std::string> XenTree::all_below(const std::string& path) const {
  const std::string prefix = path == "/" ? path : path + "/";
  std::vector<std::string> paths;
  for (auto at = nodes_.upper_bound(prefix); at != nodes_.end() && at->first.starts_with(prefix);
       ++at)
    paths.push_back(at->first);
  return paths;
}

std::vector<std::string> XenTree::children(const std::string& path) const {
  const std::size_t name = path == "/" ? 1 : path.size() + 1;
  std::vector<std::string> names;
  for (const std::string& below : all_below(path))
    if (below.find('/', name) == std::string::npos) names.push_back(below.substr(name));
  return names;
}

std::size_t XenTree::owned_by(DomainId domain) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      nodes_, [&](const auto& node) { return node.second.permissions.front().domain == domain; }));
}

bool XenTree::may_read(const Node& node, DomainId by) { return allows(node, by, &XenAccess::read); }
bool XenTree::may_write(const Node& node, DomainId by) {
  return allows(node, by, &XenAccess::write);
}

void XenTree::touch(const std::string& path) { nodes_.at(path).generation = ++generation_; }

int XenTree::write(const XenPath& path, std::string_view value, bool keep, DomainId by,
                   const XenQuota& quota, Changed& changed) {
  if (by != 0 && value.size() > quota.value_bytes_max) return ENOSPC;
  if (const auto found = nodes_.find(path.text()); found != nodes_.end()) {
    if (!may_write(found->second, by)) return EACCES;
    if (keep) return 0;
    found->second.value = value;
    touch(path.text());
    changed.emplace_back(path, false);
    return 0;
  }
  std::vector<XenPath> missing = {path};
  while (find(missing.back().parent().text()) == nullptr)
    missing.push_back(missing.back().parent());
  const std::string above = missing.back().parent().text();
  const Node& nearest = nodes_.at(above);
  if (!may_write(nearest, by)) return EACCES;
  if (by != 0 && owned_by(by) + missing.size() > quota.nodes_max) return ENOSPC;
  XenPermissions permissions = nearest.permissions;
  if (by != 0) permissions.front().domain = by;  // who makes a node owns it
  for (const XenPath& made : missing) {
    nodes_[made.text()].permissions = permissions;
    touch(made.text());
  }
  nodes_.at(path.text()).value = value;
  touch(above);
  changed.emplace_back(path, false);
  return 0;
}

int XenTree::remove(const XenPath& path, DomainId by, Changed& changed) {
  if (path == XenPath::root()) return EINVAL;
  const auto found = nodes_.find(path.text());
  const std::string above = path.parent().text();
  if (found == nodes_.end()) return find(above) == nullptr ? ENOENT : 0;
  if (!may_write(found->second, by)) return EACCES;
  for (const std::string& below : all_below(path.text())) nodes_.erase(below);
  nodes_.erase(path.text());
  touch(above);
  changed.emplace_back(path, true);
  return 0;
}

int XenTree::set_permissions(const XenPath& path, const XenPermissions& permissions, DomainId by,
                             Changed& changed) {
  const auto found = nodes_.find(path.text());
  if (found == nodes_.end()) return ENOENT;
  if (permissions.empty()) return EINVAL;
  const DomainId owner = found->second.permissions.front().domain;
  if (by != 0 && owner != by) return EACCES;
  if (by != 0 && permissions.front().domain != by) return EPERM;  // nobody gives nodes away
  found->second.permissions = permissions;
  touch(path.text());
  changed.emplace_back(path, false);
  return 0;
}

// ---- the machine -----------------------------------------------------------------------------------------------------

SimulatedXen::SimulatedXen(HostRoom room, std::uint32_t boot) : room_(room), boot_(boot) {
  domains_[0] = {.id = 0, .uuid = "00000000-0000-0000-0000-000000000000", .cpus = room.cpus};
}

absl::StatusOr<DomainId> SimulatedXen::create_domain(const std::string& name,
                                                     std::uint64_t memory_bytes,
                                                     std::uint32_t cpus) {
  if (memory_bytes > room_.memory_free_bytes)
    return absl::ResourceExhaustedError("not enough memory for the domain");
  room_.memory_free_bytes -= memory_bytes;
  const DomainId id = ++last_domain_;
  domains_[id] = {.id = id,
                  .uuid = absl::StrFormat("%08x-0000-0000-0000-%012x", boot_, id),
                  .memory_bytes = memory_bytes,
                  .cpus = cpus};
  if (!runs_) return id;
  const XenPath home = XenPath::domain(id);
  write(home, "");
  write(*(home / "vm"), absl::StrCat("/vm/", domains_[id].uuid));
  write(*(home / "name"), name);
  // A guest's own corner.
  XenTree::Changed changed;
  write(*(home / "data"), "");
  tree_.set_permissions(*(home / "data"), {{.domain = id}}, 0, changed);
  tell(changed);
  tell_special(XenPath::introduced());
  return id;
}

void SimulatedXen::set_state(DomainId id, DomainStatus::State state) {
  const auto found = domains_.find(id);
  if (id == 0 || found == domains_.end() || found->second.state == state) return;
  found->second.state = state;
  if (state != DomainStatus::State::running && state != DomainStatus::State::paused)
    tell_special(XenPath::released());
}

void SimulatedXen::destroy_domain(DomainId id) {
  const auto found = domains_.find(id);
  if (id == 0 || found == domains_.end()) return;
  room_.memory_free_bytes += found->second.memory_bytes;
  domains_.erase(found);
  if (!runs_) return;
  XenTree::Changed changed;
  tree_.remove(XenPath::domain(id), 0, changed);
  tell(changed);
  tell_special(XenPath::released());
}

absl::StatusOr<std::vector<DomainStatus>> SimulatedXen::list() const {
  std::vector<DomainStatus> all;
  for (const auto& [id, domain] : domains_) all.push_back(domain);
  return all;
}

absl::StatusOr<HostRoom> SimulatedXen::room() const { return room_; }

void SimulatedXen::write(const XenPath& path, std::string_view value) {
  XenTree::Changed changed;
  tree_.write(path, value, false, 0, quota_, changed);
  tell(changed);
}

void SimulatedXen::stop_store() {
  if (!runs_) return;
  runs_ = false;
  transactions_.clear();
  for (SimulatedXenStore* client : clients_) client->lost();
}

void SimulatedXen::start_store(bool keep) {
  if (runs_) return;
  runs_ = true;
  ++life_;
  if (!keep) tree_ = XenTree();
  for (SimulatedXenStore* client : clients_) client->came();
}

void SimulatedXen::tell(const XenTree::Changed& changed) {
  for (const auto& [path, below] : changed)
    for (SimulatedXenStore* client : clients_) client->changed(path, below);
}

void SimulatedXen::tell_special(const XenPath& path) {
  if (runs_)
    for (SimulatedXenStore* client : clients_) client->changed(path, false);
}

SimulatedXen::Transaction* SimulatedXen::transaction(XenTransactionId id,
                                                     const SimulatedXenStore& by) {
  const auto found = transactions_.find(id);
  return found == transactions_.end() || found->second.by != &by ? nullptr : &found->second;
}

}  // namespace supercloud
