#include "cli/vm_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "actors/policy/fleet.h"
#include "cli/suggest.h"
#include "core/event.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;
constexpr std::uint64_t page_bytes = 4096;
constexpr std::uint64_t memory_bytes_min = 1 << 20;
constexpr std::uint64_t memory_bytes_max = std::uint64_t{64} << 40;
constexpr std::uint64_t disk_bytes_max = std::uint64_t{1} << 50;
constexpr double downtime_usd_max = 1e6;  // per hour
constexpr std::size_t prepared_max = 16;

using Labels = std::vector<std::pair<std::string, std::string>>;

// What a file says, before it becomes a VmSpec.
struct VmDescription {
  std::string name, tenant, address, image, arguments, policy = "stay";
  std::uint64_t memory = 0, disk = 0;
  std::uint32_t cpus = 1, replicas = 1, dirty_pages = 200, writes = 20;
  Labels required, refused;
  schema::DiskLoss disk_loss = schema::DiskLoss::WAIT;
  std::optional<absl::Duration> loss_bound, blackout_max;
  std::vector<std::string> nodes, devices, prepared;
  std::string reads;
  Money downtime;
  std::uint32_t moves_per_day = 0;
  bool post_copy = false;
};

const std::vector<std::string> top_keys = {
    "name",       "tenant",         "memory",        "disk",     "cpus",    "address",
    "policy",     "downtime_price", "moves_per_day", "requires", "refuses", "disk_loss",
    "loss_bound", "replicas",       "nodes",         "devices",  "image",   "arguments",
    "workload",   "blackout_max",   "prepared",      "post_copy"};
const std::vector<std::string> workload_keys = {"dirty_pages_per_second", "writes_per_second",
                                                "reads"};
const std::vector<std::string> disk_losses = {"sync", "wait", "bounded-loss"};

std::string key_text(const toml::key& key) { return std::string(key.str()); }

class VmFileReader {
 public:
  VmFileReader(const std::string& file_name, const VmFileOptions& options)
      : file_name_(file_name), options_(options) {}

  void read(const toml::table& table) {
    known_keys(table, "", top_keys);
    description_.name = name(table, "name");
    description_.tenant = name(table, "tenant");
    if (description_.tenant.empty())
      description_.tenant = options_.tenant_asked.empty() ? "main" : options_.tenant_asked;
    if (!options_.tenant_asked.empty() && description_.tenant != options_.tenant_asked)
      mistake(table.get("tenant"), "tenant",
              absl::StrCat("the file says \"", description_.tenant, "\", --tenant says \"",
                           options_.tenant_asked, "\""),
              "leave one of them out");
    memory(table);
    if (const auto disk = bytes(table, "disk")) description_.disk = *disk;
    if (description_.disk > disk_bytes_max)
      mistake(table.get("disk"), "disk", "more than 1024 TiB", "give a smaller one");
    whole_number(table, "", "cpus", 1, 1024, description_.cpus);
    whole_number(table, "", "replicas", 0, 16, description_.replicas);
    address(table);
    image(table);
    policy(table);
    downtime_price(table);
    whole_number(table, "", "moves_per_day", 0, moves_max, description_.moves_per_day);
    disk_loss(table);
    description_.required = labels(table, "requires", false);
    description_.refused = labels(table, "refuses", true);
    description_.nodes = names(table, "nodes", "[\"node-1\", \"node-2\"]");
    description_.devices = names(table, "devices", "[\"gpu/t4\"]");
    prepared(table);
    workload(table);
  }

  const std::vector<std::string>& mistakes() const { return mistakes_; }
  const VmDescription& description() const { return description_; }

 private:
  void mistake(std::uint32_t line, std::string_view key, std::string_view what,
               std::string_view cure) {
    mistakes_.push_back(absl::StrCat(file_name_, ":", line, ": ", std::string(key), ": ",
                                     std::string(what), "; ", std::string(cure)));
  }
  void mistake(const toml::node* node, std::string_view key, std::string_view what,
               std::string_view cure) {
    mistake(node == nullptr ? 1 : node->source().begin.line, key, what, cure);
  }

  void known_keys(const toml::table& table, const std::string& prefix,
                  const std::vector<std::string>& known) {
    for (const auto& [key, node] : table) {
      const std::string name = key_text(key);
      if (std::find(known.begin(), known.end(), name) != known.end()) continue;
      mistake(key.source().begin.line, prefix + name, "there is no such key",
              suggest(name, known, "leave it out"));
    }
  }

  std::optional<std::string> string(const toml::table& table, const std::string& prefix,
                                    const std::string& key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    if (auto value = node->value_exact<std::string>()) return value;
    mistake(node, prefix + key, "is not a string", absl::StrCat("write ", key, " = \"...\""));
    return std::nullopt;
  }

  void whole_number(const toml::table& table, const std::string& prefix, const std::string& key,
                    std::int64_t low, std::int64_t high, std::uint32_t& value) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return;
    const auto number = node->value_exact<std::int64_t>();
    if (number && *number >= low && *number <= high)
      value = static_cast<std::uint32_t>(*number);
    else
      mistake(node, prefix + key, "is no whole number that fits",
              absl::StrCat("write one from ", low, " to ", high));
  }

  // A tenant's or a VM's: part of "tenant/name" and a token of topics. Empty: none, or not a good one.
  std::string name(const toml::table& table, const std::string& key) {
    if (table.get(key) == nullptr) {
      if (key == "name") mistake(nullptr, key, "is missing", "add a line like name = \"web1\"");
      return "";
    }
    const std::optional<std::string> value = string(table, "", key);
    if (!value) return "";
    if (value->empty() || value->find('/') != std::string::npos ||
        encode_token(*value).size() > token_bytes_max) {
      mistake(
          table.get(key), key, absl::StrCat("\"", *value, "\" cannot be one"),
          absl::StrCat("use 1 to ", token_bytes_max, " letters, digits, - and _, without a slash"));
      return "";
    }
    return *value;
  }

  std::optional<std::uint64_t> bytes(const toml::table& table, const std::string& key) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::nullopt;
    if (const auto number = node->value_exact<std::int64_t>(); number && *number >= 0)
      return static_cast<std::uint64_t>(*number);
    const auto words = node->value_exact<std::string>();
    const auto size =
        words ? parse_bytes(*words)
              : absl::StatusOr<std::uint64_t>(absl::InvalidArgumentError("is not a size"));
    if (size.ok()) return *size;
    mistake(node, key, words ? absl::StrCat("\"", *words, "\" is not a size") : "is not a size",
            absl::StrCat("write ", key, " = \"256MiB\", or a number of bytes"));
    return std::nullopt;
  }

  void memory(const toml::table& table) {
    if (table.get("memory") == nullptr)
      return mistake(nullptr, "memory", "is missing", "add a line like memory = \"256MiB\"");
    const auto size = bytes(table, "memory");
    if (!size) return;
    description_.memory = *size;
    if (*size < memory_bytes_min || *size > memory_bytes_max)
      mistake(table.get("memory"), "memory", absl::StrCat(format_bytes(*size), " is not possible"),
              "give 1 MiB to 64 TiB");
    else if (*size % page_bytes != 0)
      mistake(
          table.get("memory"), "memory", "is no multiple of a page",
          absl::StrCat("give a multiple of ", page_bytes, " bytes: KiB and MiB, not kB and MB"));
  }

  void address(const toml::table& table) {
    if (table.get("address") == nullptr)
      return mistake(nullptr, "address", "is missing", "add a line like address = \"10.1.0.9\"");
    const auto value = string(table, "", "address");
    if (!value) return;
    description_.address = *value;
    if (value->empty())
      mistake(table.get("address"), "address", "is empty",
              "give the guest one of its own, like \"10.1.0.9\"");
  }

  void image(const toml::table& table) {
    if (const auto value = string(table, "", "image")) description_.image = *value;
    if (const auto value = string(table, "", "arguments")) description_.arguments = *value;
    if (!description_.image.empty() && !is_token(description_.image))
      mistake(table.get("image"), "image", "is no name of an image",
              "write one of those under [host.qemu.image] of its nodes, like \"debian-12\"");
    if (description_.image.empty() && !description_.arguments.empty())
      mistake(table.get("arguments"), "arguments", "are for the kernel of an image",
              "name the image too");
  }

  void policy(const toml::table& table) {
    const auto value = string(table, "", "policy");
    if (!value) return;
    description_.policy = *value;
    if (std::find(options_.policies.begin(), options_.policies.end(), *value) ==
        options_.policies.end())
      mistake(table.get("policy"), "policy", absl::StrCat("there is no policy \"", *value, "\""),
              suggest(*value, options_.policies, "leave it out"));
  }

  void downtime_price(const toml::table& table) {
    const toml::node* node = table.get("downtime_price");
    if (node == nullptr) return;
    const auto usd = node->value<double>();
    if (!usd || !(*usd >= 0 && *usd <= downtime_usd_max))
      return mistake(node, "downtime_price", "is no number of USD from 0 to 1000000",
                     "say what an hour of downtime costs, as downtime_price = 0.5");
    description_.downtime = {static_cast<std::int64_t>(std::llround(*usd * 1e9))};
  }

  void disk_loss(const toml::table& table) {
    if (const auto value = string(table, "", "disk_loss")) {
      if (*value == "sync")
        description_.disk_loss = schema::DiskLoss::SYNC;
      else if (*value == "bounded-loss")
        description_.disk_loss = schema::DiskLoss::BOUNDED_LOSS;
      else if (*value != "wait")
        mistake(table.get("disk_loss"), "disk_loss", absl::StrCat("there is no \"", *value, "\""),
                suggest(*value, disk_losses, ""));
    }
    if (const toml::node* node = table.get("post_copy")) {
      if (const auto allowed = node->value_exact<bool>())
        description_.post_copy = *allowed;
      else
        mistake(node, "post_copy", "is neither true nor false", "write post_copy = true");
    }
    description_.blackout_max = duration(table, "blackout_max", absl::Minutes(1));
    const bool bounded = description_.disk_loss == schema::DiskLoss::BOUNDED_LOSS;
    if (const auto bound = duration(table, "loss_bound", absl::Hours(24 * 365))) {
      if (!bounded)
        mistake(table.get("loss_bound"), "loss_bound", "means nothing here",
                "set disk_loss = \"bounded-loss\", or leave it out");
      else
        description_.loss_bound = bound;
    } else if (bounded && table.get("loss_bound") == nullptr) {
      mistake(table.get("disk_loss"), "disk_loss", "bounded-loss has no bound",
              "add a line like loss_bound = \"5s\"");
    }
    if (description_.disk_loss == schema::DiskLoss::SYNC && description_.replicas == 0)
      mistake(table.get("disk_loss"), "disk_loss", "sync has no replica to wait for",
              "set replicas to 1 or more");
  }

  // label = "value", and where several make sense label = ["value", "value"].
  Labels labels(const toml::table& table, const std::string& key, bool several) {
    const toml::node* node = table.get(key);
    Labels found;
    if (node == nullptr) return found;
    const toml::table* entries = node->as_table();
    if (entries == nullptr) {
      mistake(node, key, "is not a table",
              absl::StrCat("write [", key, "] and below it label = \"value\""));
      return found;
    }
    for (const auto& [label, value] : *entries) {
      const toml::array* array = value.as_array();
      const bool list = several && array != nullptr &&
                        std::all_of(array->begin(), array->end(),
                                    [](const toml::node& item) { return item.is_string(); });
      if (const auto word = value.value_exact<std::string>())
        found.emplace_back(key_text(label), *word);
      else if (list)
        for (const toml::node& item : *array)
          found.emplace_back(key_text(label), *item.value_exact<std::string>());
      else
        mistake(&value, absl::StrCat(key, ".", key_text(label)), "is not a label's value",
                absl::StrCat("write ", key_text(label), " = \"value\"",
                             several ? std::string(" or [\"value\", \"value\"]") : std::string()));
    }
    return found;
  }

  std::vector<std::string> names(const toml::table& table, const std::string& key,
                                 const std::string& example) {
    std::vector<std::string> found;
    const toml::node* node = table.get(key);
    if (node == nullptr) return found;
    const toml::array* array = node->as_array();
    if (array == nullptr || !std::all_of(array->begin(), array->end(), [](const toml::node& item) {
          return item.is_string() && !item.value_exact<std::string>()->empty();
        }))
      mistake(node, key, "is not a list of names", absl::StrCat("write ", key, " = ", example));
    else
      for (const toml::node& item : *array) found.push_back(*item.value_exact<std::string>());
    return found;
  }

  void prepared(const toml::table& table) {
    description_.prepared = names(table, "prepared", "[\"node-1\", \"node-2\"]");
    const auto bad = std::ranges::find_if_not(description_.prepared, is_token);
    if (bad != description_.prepared.end())
      mistake(table.get("prepared"), "prepared", absl::StrCat("\"", *bad, "\" is no node's name"),
              "write the name that the node's file has");
    if (description_.prepared.size() > prepared_max)
      mistake(table.get("prepared"), "prepared", "names too many nodes",
              absl::StrCat("each of them keeps room for the VM: name up to ", prepared_max));
  }

  // From a millisecond on.
  std::optional<absl::Duration> duration(const toml::table& table, const char* key,
                                         absl::Duration most) {
    const auto value = string(table, "", key);
    if (!value) return std::nullopt;
    absl::Duration span;
    if (absl::ParseDuration(*value, &span) && span >= absl::Milliseconds(1) && span <= most)
      return span;
    mistake(table.get(key), key, absl::StrCat("\"", *value, "\" is no duration that fits"),
            absl::StrCat("write ", key, " = \"500ms\", or another from 1ms to ",
                         absl::FormatDuration(most)));
    return std::nullopt;
  }

  void workload(const toml::table& table) {
    const toml::node* node = table.get("workload");
    if (node == nullptr) return;
    const toml::table* entries = node->as_table();
    if (entries == nullptr)
      return mistake(node, "workload", "is not a table", "write [workload] and its keys below");
    known_keys(*entries, "workload.", workload_keys);
    whole_number(*entries, "workload.", "dirty_pages_per_second", 0, 1'000'000,
                 description_.dirty_pages);
    whole_number(*entries, "workload.", "writes_per_second", 0, 100'000, description_.writes);
    const toml::node* reads = entries->get("reads");
    if (reads == nullptr) return;
    const auto written = reads->value_exact<std::string>().value_or("");
    const std::size_t slash = written.find('/');
    if (slash == std::string::npos || slash + 1 == written.size() ||
        !is_token(written.substr(0, slash)))
      return mistake(reads, "workload.reads", "names no resource and where it lives",
                     "write reads = \"node/resource\"");
    description_.reads = written;
  }

  const std::string& file_name_;
  const VmFileOptions& options_;
  VmDescription description_;
  std::vector<std::string> mistakes_;
};

Message<schema::VmSpec> to_spec(const VmDescription& vm) {
  const auto fill = [](const Labels& labels, auto list) {
    for (unsigned i = 0; i < labels.size(); ++i) {
      list[i].setName(labels[i].first);
      list[i].setValue(labels[i].second);
    }
  };
  return Message<schema::VmSpec>::build([&](schema::VmSpec::Builder spec) {
    spec.setName(vm.name);
    spec.setTenant(vm.tenant);
    spec.setMemoryBytes(vm.memory);
    spec.setDiskBytes(vm.disk);
    spec.setCpus(vm.cpus);
    spec.setAddress(vm.address);
    spec.setImage(vm.image);
    spec.setArguments(vm.arguments);
    spec.setPolicy(vm.policy);
    fill(vm.required, spec.initRequires(static_cast<unsigned>(vm.required.size())));
    fill(vm.refused, spec.initRefuses(static_cast<unsigned>(vm.refused.size())));
    spec.setDiskLoss(vm.disk_loss);
    if (vm.loss_bound)
      spec.setLossBoundNs(static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(*vm.loss_bound)));
    if (vm.blackout_max)
      spec.setBlackoutMaxNs(static_cast<std::uint64_t>(absl::ToInt64Nanoseconds(*vm.blackout_max)));
    spec.setPostCopy(vm.post_copy);
    spec.setReplicas(vm.replicas);
    spec.setDirtyPagesPerSecond(vm.dirty_pages);
    spec.setWritesPerSecond(vm.writes);
    spec.setReads(vm.reads);
    spec.setDowntimeNanoUsdPerHour(static_cast<std::uint64_t>(vm.downtime.nano_usd));
    spec.setMovesPerDay(vm.moves_per_day);
    auto nodes = spec.initNodes(static_cast<unsigned>(vm.nodes.size()));
    for (unsigned i = 0; i < vm.nodes.size(); ++i) nodes.set(i, vm.nodes[i]);
    auto devices = spec.initDevices(static_cast<unsigned>(vm.devices.size()));
    for (unsigned i = 0; i < vm.devices.size(); ++i) devices.set(i, vm.devices[i]);
    auto prepared = spec.initPrepared(static_cast<unsigned>(vm.prepared.size()));
    for (unsigned i = 0; i < vm.prepared.size(); ++i) prepared.set(i, vm.prepared[i]);
  });
}

std::string label_text(capnp::List<schema::Label>::Reader labels) {
  std::vector<std::string> words;
  for (const auto label : labels)
    words.push_back(
        absl::StrCat(std::string(text(label.getName())), "=", std::string(text(label.getValue()))));
  return words.empty() ? "none" : absl::StrJoin(words, " ");
}

const char* disk_loss_text(schema::DiskLoss loss) {
  return loss == schema::DiskLoss::SYNC           ? "sync"
         : loss == schema::DiskLoss::BOUNDED_LOSS ? "bounded-loss"
                                                  : "wait";
}

std::vector<std::pair<std::string, std::string>> said(schema::VmSpec::Reader spec) {
  std::vector<std::string> nodes, devices, prepared;
  for (const auto node : spec.getNodes()) nodes.emplace_back(text(node));
  for (const auto device : spec.getDevices()) devices.emplace_back(text(device));
  for (const auto node : spec.getPrepared()) prepared.emplace_back(text(node));
  return {{"memory", format_bytes(spec.getMemoryBytes())},
          {"disk", format_bytes(spec.getDiskBytes())},
          {"cpus", absl::StrCat(spec.getCpus())},
          {"address", std::string(text(spec.getAddress()))},
          {"image", std::string(text(spec.getImage()))},
          {"arguments", std::string(text(spec.getArguments()))},
          {"policy", std::string(text(spec.getPolicy()))},
          {"downtime_price",
           absl::StrCat(
               to_string(Money{static_cast<std::int64_t>(spec.getDowntimeNanoUsdPerHour())}, 9),
               " per hour")},
          {"moves_per_day",
           spec.getMovesPerDay() == 0 ? "any number" : absl::StrCat(spec.getMovesPerDay())},
          {"requires", label_text(spec.getRequires())},
          {"refuses", label_text(spec.getRefuses())},
          {"disk_loss", disk_loss_text(spec.getDiskLoss())},
          {"loss_bound", absl::FormatDuration(absl::Nanoseconds(spec.getLossBoundNs()))},
          {"blackout_max", spec.getBlackoutMaxNs() == 0
                               ? "as its nodes are set"
                               : absl::FormatDuration(absl::Nanoseconds(spec.getBlackoutMaxNs()))},
          {"post_copy", spec.getPostCopy() ? "true" : "false"},
          {"replicas", absl::StrCat(spec.getReplicas())},
          {"nodes", nodes.empty() ? "any" : absl::StrJoin(nodes, " ")},
          {"devices", devices.empty() ? "none" : absl::StrJoin(devices, " ")},
          {"prepared", prepared.empty() ? "none" : absl::StrJoin(prepared, " ")},
          {"workload.dirty_pages_per_second", absl::StrCat(spec.getDirtyPagesPerSecond())},
          {"workload.writes_per_second", absl::StrCat(spec.getWritesPerSecond())},
          {"workload.reads", std::string(text(spec.getReads()))}};
}

}  // namespace

absl::StatusOr<Message<schema::VmSpec>> parse_vm_file(std::string_view toml,
                                                      const std::string& file_name,
                                                      const VmFileOptions& options) {
  VmFileReader reader(file_name, options);
  try {
    reader.read(toml::parse(toml, file_name));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(absl::StrCat(
        file_name, ":", error.source().begin.line, ":", error.source().begin.column, ": ",
        std::string(error.description()), "; mend the line, examples/vm.toml has every key"));
  }
  if (!reader.mistakes().empty())
    return absl::InvalidArgumentError(absl::StrJoin(reader.mistakes(), "\n"));
  return to_spec(reader.description());
}

absl::StatusOr<Message<schema::VmSpec>> read_vm_file(const std::string& path,
                                                     const VmFileOptions& options) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return absl::ErrnoToStatus(
        errno, absl::StrCat(path, ": cannot be read; give the path of a VM's description"));
  std::string content(file_bytes_max + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad() || (file.gcount() == 0 && !file.eof()))
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": cannot be read; give the path of a file, not of a folder"));
  content.resize(static_cast<std::size_t>(file.gcount()));
  if (content.size() > file_bytes_max)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": has more than 1 MiB; give the description of one VM"));
  return parse_vm_file(content, path, options);
}

absl::StatusOr<std::uint64_t> parse_bytes(std::string_view text) {
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" is not a size like 256MiB"));
  };
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  std::uint64_t number = 0;
  if (digits == 0 || !absl::SimpleAtoi(absl::string_view(text.data(), digits), &number))
    return bad();
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  static const std::map<std::string_view, std::uint64_t> units = {{"", 1},
                                                                  {"B", 1},
                                                                  {"kB", 1000},
                                                                  {"KiB", 1 << 10},
                                                                  {"MB", 1'000'000},
                                                                  {"MiB", 1 << 20},
                                                                  {"GB", 1'000'000'000},
                                                                  {"GiB", 1 << 30},
                                                                  {"TB", 1'000'000'000'000},
                                                                  {"TiB", std::uint64_t{1} << 40}};
  const auto factor = units.find(unit);
  if (factor == units.end() || number > UINT64_MAX / factor->second) return bad();
  return number * factor->second;
}

std::string format_bytes(std::uint64_t bytes) {
  static constexpr const char* names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < std::size(names)) {
    bytes /= 1024;
    ++unit;
  }
  return absl::StrCat(bytes, " ", names[unit]);
}

std::vector<std::string> spec_differences(schema::VmSpec::Reader there,
                                          schema::VmSpec::Reader here) {
  const auto old = said(there), now = said(here);
  std::vector<std::string> differences;
  for (std::size_t i = 0; i < old.size(); ++i)
    if (old[i] != now[i])
      differences.push_back(absl::StrCat(old[i].first, ": ", old[i].second, " there, ",
                                         now[i].second, " in the file"));
  return differences;
}

}  // namespace supercloud
