#include "bench/peers/peers.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace supercloud {
namespace {

namespace files = std::filesystem;

std::string in_folder(const files::path& folder, const char* name) {
  return (folder / name).string();
}

absl::StatusOr<std::string> socket_address(const files::path& folder) {
  std::error_code error;
  if (!files::exists(folder / "socket", error)) return absl::UnavailableError("no socket yet");
  return in_folder(folder, "socket");
}

// It takes a free port, and writes down which: {"nats":["nats://127.0.0.1:43210"]}.
absl::StatusOr<std::string> nats_address(const files::path& folder) {
  std::error_code error;
  for (const auto& entry : files::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".ports") continue;
    std::ifstream file(entry.path());
    const auto ports = nlohmann::json::parse(file, nullptr, false);
    if (ports.is_object() && ports.contains("nats") && ports["nats"].is_array() &&
        !ports["nats"].empty() && ports["nats"][0].is_string())
      return ports["nats"][0].get<std::string>();
  }
  return absl::UnavailableError("no port yet");
}

// Who is slow is not cut off within a burst.
ServerPlan nats_plan(bool keeps) {
  return {
      .arguments = {"-c"},
      .settings =
          [keeps](const files::path& folder) {
            std::string settings =
                absl::StrCat("host: \"127.0.0.1\"\nport: -1\nports_file_dir: \"", folder.string(),
                             "\"\nmax_pending: 1073741824\nwrite_deadline: \"60s\"\n");
            if (keeps)
              absl::StrAppend(&settings, "jetstream { store_dir: \"", in_folder(folder, "streams"),
                              "\", max_memory_store: 67108864, max_file_store: 1073741824 }\n");
            return settings;
          },
      .address = nats_address};
}

// No snapshots; a log of all commands where it keeps, synced before they are answered. Who is slow is not cut off.
ServerPlan redis_plan(bool keeps) {
  return {.arguments = {},
          .settings =
              [keeps](const files::path& folder) {
                return absl::StrCat(
                    "port 0\nunixsocket \"", in_folder(folder, "socket"), "\"\ndir \"",
                    folder.string(),
                    "\"\nsave \"\"\nloglevel warning\ndaemonize no\n"
                    "client-output-buffer-limit pubsub 0 0 0\n"
                    "auto-aof-rewrite-percentage 0\nappendfsync always\nappendonly ",
                    keeps ? "yes\n" : "no\n");
              },
          .address = socket_address};
}

// Nothing is dropped for being too much at a time. It keeps the user that started it.
ServerPlan mosquitto_plan(bool keeps) {
  return {.arguments = {"-c"},
          .settings =
              [keeps](const files::path& folder) {
                return absl::StrCat("listener 0 ", in_folder(folder, "socket"),
                                    "\nallow_anonymous true\nuser root\nlog_dest stderr\n"
                                    "log_type error\nlog_type warning\nsys_interval 0\n"
                                    "max_queued_messages 0\nmax_inflight_messages 0\npersistence ",
                                    keeps ? "true" : "false", "\npersistence_location ",
                                    folder.string(), "/\n");
              },
          .address = socket_address};
}

constexpr const char* nats_program = "nats-server";
constexpr const char* nats_library = "libnats-dev";
constexpr const char* redis_program = "redis-server";
constexpr const char* redis_library = "libhiredis-dev";
constexpr const char* mosquitto_program = "mosquitto";
constexpr const char* mosquitto_library = "libmosquitto-dev";

}  // namespace

std::vector<Peer> passing_peers() {
  return {{.name = "nats-server, tcp",
           .program = nats_program,
           .library = nats_library,
           .plan = nats_plan(false),
           .connect = nats_wires(),
           .open_store = {}},
          {.name = "redis pub/sub, unix",
           .program = redis_program,
           .library = redis_library,
           .plan = redis_plan(false),
           .connect = redis_wires(),
           .open_store = {}},
          {.name = "mosquitto QoS 0, unix",
           .program = mosquitto_program,
           .library = mosquitto_library,
           .plan = mosquitto_plan(false),
           .connect = mosquitto_wires(),
           .open_store = {}}};
}

std::vector<Peer> keeping_peers() {
  return {{.name = "JetStream, *not synced*",
           .program = nats_program,
           .library = nats_library,
           .plan = nats_plan(true),
           .connect = {},
           .open_store = jetstream_stores()},
          {.name = "redis streams, synced",
           .program = redis_program,
           .library = redis_library,
           .plan = redis_plan(true),
           .connect = {},
           .open_store = redis_stream_stores()},
          {.name = "mosquitto QoS 1, *not synced*",
           .program = mosquitto_program,
           .library = mosquitto_library,
           .plan = mosquitto_plan(true),
           .connect = {},
           .open_store = mosquitto_session_stores()}};
}

}  // namespace supercloud
