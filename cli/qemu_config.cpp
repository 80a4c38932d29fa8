#include "cli/qemu_config.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "cli/toml_text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

using Accelerator = QemuConfig::Accelerator;
constexpr Accelerator accelerators[] = {Accelerator::automatic, Accelerator::kvm, Accelerator::tcg};

const char* name_of(Accelerator accelerator) {
  return accelerator == Accelerator::kvm ? "kvm" : accelerator == Accelerator::tcg ? "tcg" : "auto";
}

std::string path_of(TomlTable& table, std::string_view key, const std::string& toml) {
  const std::string path = table.text(key, "");
  return path.empty() ? path : path_beside(toml, path);
}

void check_streams(TomlTable& table, std::string_view key, const std::string& endpoint) {
  if (endpoint.empty() || endpoint.starts_with("unix:") || endpoint.starts_with("tcp:")) return;
  table.complain(key, "has to be \"unix:/path\" or \"tcp:ADDRESS:PORT\", port 0 for any");
}

QemuImage read_image(TomlTable& table, const std::string& toml) {
  QemuImage image;
  if (const std::string kernel = table.required_text("kernel"); !kernel.empty())
    image.kernel = path_beside(toml, kernel);
  image.initrd = path_of(table, "initrd", toml);
  image.arguments = table.text("arguments", "");
  return image;
}

}  // namespace

QemuConfig read_qemu(TomlTable& table, const std::string& toml) {
  QemuConfig qemu;
  qemu.program = table.text("program", qemu.program);
  if (qemu.program.find('/') != std::string::npos) qemu.program = path_beside(toml, qemu.program);
  const std::string accelerator = table.text("accelerator", "auto");
  for (const auto named : accelerators)
    if (accelerator == name_of(named)) qemu.accelerator = named;
  if (accelerator != name_of(qemu.accelerator))
    table.complain("accelerator",
                   "has to be \"auto\", \"kvm\", or \"tcg\": emulation, where there is no KVM");
  qemu.cpu = table.text("cpu", "");
  qemu.keeper = path_of(table, "keeper", toml);
  qemu.run = path_of(table, "run", toml);
  qemu.streams = table.text("streams", "");
  qemu.streams_reached_at = table.text("streams_reached_at", "");
  check_streams(table, "streams", qemu.streams);
  check_streams(table, "streams_reached_at", qemu.streams_reached_at);
  if (table.has("tls")) {
    TomlTable tls = table.table("tls");
    for (const auto& [key, file] :
         {std::pair("authority", &qemu.tls_authority),
          std::pair("certificate", &qemu.tls_certificate), std::pair("key", &qemu.tls_key)})
      if (const std::string path = tls.required_text(key); !path.empty())
        *file = path_beside(toml, path);
  }
  TomlTable images = table.table("image");
  for (const std::string& name : images.keys()) {
    if (!is_token(name))
      images.complain(name, absl::StrCat("is no name for an image: write 1 to ", token_bytes_max,
                                         " of A-Z a-z 0-9 _ -"));
    TomlTable image = images.table(name);
    qemu.images[name] = read_image(image, toml);
  }
  if (qemu.images.empty())
    table.complain("image",
                   "is missing: VMs start from an image; write [host.qemu.image.NAME] and below it "
                   "kernel = \"PATH\"");
  return qemu;
}

std::string to_toml(const QemuConfig& qemu) {
  std::string toml =
      absl::StrCat("\n[host.qemu]\nprogram = ", toml_text(qemu.program),
                   "\naccelerator = ", toml_text(name_of(qemu.accelerator)),
                   "\ncpu = ", toml_text(qemu.cpu), "\nkeeper = ", toml_text(qemu.keeper),
                   "\nrun = ", toml_text(qemu.run), "\nstreams = ", toml_text(qemu.streams),
                   "\nstreams_reached_at = ", toml_text(qemu.streams_reached_at), "\n");
  if (!qemu.tls_authority.empty())
    absl::StrAppend(&toml, "\n[host.qemu.tls]\nauthority = ", toml_text(qemu.tls_authority),
                    "\ncertificate = ", toml_text(qemu.tls_certificate),
                    "\nkey = ", toml_text(qemu.tls_key), "\n");
  for (const auto& [name, image] : qemu.images)
    absl::StrAppend(&toml, "\n[host.qemu.image.", name, "]\nkernel = ", toml_text(image.kernel),
                    "\ninitrd = ", toml_text(image.initrd),
                    "\narguments = ", toml_text(image.arguments), "\n");
  return toml;
}

}  // namespace supercloud
