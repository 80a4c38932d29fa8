#include "cli/xenstore_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "cli/interrupt.h"
#include "cli/program.h"
#include "core/event_loop.h"
#include "hypercall/xen/store_client.h"

namespace supercloud {
namespace {

constexpr Duration store_patience = absl::Seconds(10);
constexpr Duration look_up_every = absl::Milliseconds(100);  // at Ctrl-C
constexpr std::size_t nodes_max = 100'000;                   // of one listing

struct StoreAsked {
  std::string path;
  std::string store;
  bool recursive = false;
};

// Values are any bytes.
std::string shown_value(std::string_view value) {
  return absl::CEscape(absl::string_view(value.data(), value.size()));
}

int store_exit_code(const absl::Status& status) {
  if (absl::IsUnavailable(status)) return exit_unreachable;
  if (absl::IsNotFound(status)) return exit_no_match;
  return absl::IsInvalidArgument(status) ? exit_usage : exit_failed;
}

class StoreSession {
 public:
  explicit StoreSession(const StoreAsked& asked) : client_(loop_, {.path = asked.store}) {}

  XenStoreClient& store() { return client_; }
  EventLoop& loop() { return loop_; }

  template <class T>
  absl::StatusOr<T> get(const std::function<void(Reply<T>)>& call) {
    std::optional<absl::StatusOr<T>> answer;
    call(Reply<T>(far_future, [&answer](absl::StatusOr<T> value) { answer = std::move(value); }));
    if (!loop_.run_until([&] { return answer.has_value(); }, store_patience))
      return absl::UnavailableError("the XenStore does not answer");
    return *std::move(answer);
  }
  absl::StatusOr<std::string> read(const XenPath& path) {
    return get<std::string>(
        [&](Reply<std::string> reply) { client_.read(0, path, std::move(reply)); });
  }
  absl::StatusOr<std::vector<std::string>> list(const XenPath& path) {
    return get<std::vector<std::string>>(
        [&](Reply<std::vector<std::string>> reply) { client_.list(0, path, std::move(reply)); });
  }

 private:
  EventLoop loop_;
  XenStoreClient client_;
};

struct StoreNode {
  XenPath path;
  std::optional<std::string> value;  // empty: this process may not read it
};

std::string value_words(const std::optional<std::string>& value) {
  return value ? " = \"" + shown_value(*value) + "\"" : " (no permission)";
}
nlohmann::ordered_json value_json(const std::optional<std::string>& value) {
  return value ? nlohmann::ordered_json(shown_value(*value)) : nlohmann::ordered_json();
}

// Depth first, as a person reads. What goes while it is read is left out; what may not be read is named.
absl::StatusOr<std::vector<StoreNode>> walk_store(StoreSession& session, const XenPath& top,
                                                  bool recursive) {
  std::vector<StoreNode> found;
  std::vector<XenPath> next = {top};
  while (!next.empty()) {
    const XenPath path = std::move(next.back());
    next.pop_back();
    const bool is_top = path == top;
    if (!is_top) {
      auto value = session.read(path);
      if (absl::IsNotFound(value.status())) continue;
      const bool denied = absl::IsPermissionDenied(value.status());
      if (!value.ok() && !denied) return value.status();
      found.push_back({path, denied ? std::nullopt : std::optional(*std::move(value))});
      if (found.size() > nodes_max)
        return absl::ResourceExhaustedError(
            absl::StrCat("more than ", nodes_max, " nodes; name a path further down"));
      if (!recursive || denied) continue;
    }
    auto names = session.list(path);
    if (absl::IsNotFound(names.status()) && !is_top) continue;
    if (!names.ok()) return names.status();
    std::ranges::sort(*names, std::greater<>());
    for (const std::string& name : *names) {
      if (const auto below = path / name; below.ok())
        next.push_back(*below);
      else
        std::cerr << "supercloud: left out: " << below.status().message() << "\n";
    }
  }
  return found;
}

void print_store_json(const nlohmann::ordered_json& json, int indent) {
  std::cout << json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
            << "\n"
            << std::flush;
}

absl::Status list_nodes(const StoreAsked& asked, const XenPath& top, const Program& program) {
  StoreSession session(asked);
  const auto nodes = walk_store(session, top, asked.recursive);
  if (!nodes.ok()) return nodes.status();
  if (program.json) {
    nlohmann::ordered_json json = nlohmann::ordered_json::array();
    for (const StoreNode& node : *nodes)
      json.push_back({{"path", node.path.text()}, {"value", value_json(node.value)}});
    print_store_json(json, 2);
    return absl::OkStatus();
  }
  const std::size_t skipped = top == XenPath::root() ? 1 : top.text().size() + 1;
  for (const StoreNode& node : *nodes)
    std::cout << node.path.text().substr(skipped) << value_words(node.value) << "\n";
  std::cout << std::flush;
  return absl::OkStatus();
}

absl::Status read_node(const StoreAsked& asked, const XenPath& path, const Program& program) {
  StoreSession session(asked);
  const auto value = session.read(path);
  if (!value.ok()) return value.status();
  if (program.json)
    print_store_json({{"path", path.text()}, {"value", shown_value(*value)}}, 2);
  else
    std::cout << shown_value(*value) << "\n" << std::flush;
  return absl::OkStatus();
}

// Prints what is at the paths that a watch tells of, a few reads at a time: of many changes at a path, the last is seen.
class ChangePrinter {
 public:
  ChangePrinter(StoreSession& session, bool json) : session_(session), json_(json) {}

  // `all`: and at all below it.
  void look(const XenPath& path, bool all) {
    if (path.special()) return print(path, "", {{"path", path.text()}});
    bool& marked = marked_[path];
    marked = marked || all;
    pump();
  }

 private:
  static constexpr int reads_max = 64;

  void pump() {
    while (reading_ < reads_max && !marked_.empty()) {
      const auto next = marked_.extract(marked_.begin());
      const XenPath& path = next.key();
      ++reading_;
      session_.store().read(
          0, path,
          Reply<std::string>(far_future, [this, path, all = next.mapped()](
                                             const absl::StatusOr<std::string>& value) {
            show(path, value);
            if (all && value.ok()) return look_below(path);
            --reading_;
            pump();
          }));
    }
  }
  void look_below(const XenPath& path) {
    session_.store().list(
        0, path,
        Reply<std::vector<std::string>>(
            far_future, [this, path](const absl::StatusOr<std::vector<std::string>>& names) {
              --reading_;
              if (names.ok())
                for (const std::string& name : *names)
                  if (const auto below = path / name; below.ok()) marked_[*below] = true;
              pump();
            }));
  }
  void show(const XenPath& path, const absl::StatusOr<std::string>& value) {
    if (absl::IsUnavailable(value.status())) return;  // the watch tells again, when it is back
    if (absl::IsNotFound(value.status()))
      return print(path, " is gone", {{"path", path.text()}, {"value", nullptr}});
    if (!value.ok()) {
      const std::string why(value.status().message());
      return print(path, " cannot be read: " + why, {{"path", path.text()}, {"error", why}});
    }
    print(path, value_words(*value), {{"path", path.text()}, {"value", value_json(*value)}});
  }
  void print(const XenPath& path, const std::string& words, const nlohmann::ordered_json& line) {
    if (json_)
      print_store_json(line, -1);
    else
      std::cout << path.text() << words << "\n" << std::flush;
  }

  StoreSession& session_;
  const bool json_;
  std::map<XenPath, bool> marked_;  // true: with all below
  int reading_ = 0;
};

absl::Status watch_nodes(const StoreAsked& asked, const XenPath& path, const Program& program) {
  StoreSession session(asked);
  const Interrupt interrupt;
  ChangePrinter printer(session, program.json);
  absl::Status refused;
  bool told = false;
  session.store().watch(
      path,
      // Told of its own path again, it may have been registered anew: of what changed meanwhile nobody tells.
      [&](const XenPath& changed) {
        printer.look(changed, std::exchange(told, true) && changed == path);
      },
      Reply<Done>(far_future, [&](const absl::StatusOr<Done>& done) { refused = done.status(); }));
  while (!interrupt.requested() && refused.ok())
    session.loop().run_until([&] { return !refused.ok(); }, look_up_every);
  return refused;
}

using StoreVerb = std::function<absl::Status(const StoreAsked&, const XenPath&, const Program&)>;

CLI::App* add_store_verb(CLI::App& noun, const char* name, const char* what, Program& program,
                         StoreVerb verb, const std::shared_ptr<StoreAsked>& asked,
                         bool path_required) {
  CLI::App* command = noun.add_subcommand(name, what);
  command->fallthrough();
  CLI::Option* path = command->add_option(
      "path", asked->path, "/local/domain/1/name, or relative to this domain: data/x");
  if (path_required) path->required();
  command->add_option("--store", asked->store,
                      "Socket of its daemon, or device; without it the usual ones");
  command->callback([&program, asked, verb = std::move(verb)] {
    const auto where = XenPath::parse(asked->path.empty() ? "/" : asked->path);
    const absl::Status done = where.ok() ? verb(*asked, *where, program) : where.status();
    if (!done.ok()) program.exit_code = complain(done, store_exit_code(done));
  });
  return command;
}

}  // namespace

void add_xenstore_command(CLI::App& root, Program& program) {
  CLI::App* noun =
      root.add_subcommand("xenstore", "The XenStore of this machine: list, read, watch");
  noun->fallthrough();
  noun->require_subcommand(1);
  noun->footer(
      "Changes nothing. Values are shown with C's escapes, in JSON strings too: they are any "
      "bytes. "
      "Exit codes: 3 no XenStore answers, 4 no such path.\n\n"
      "Examples:\n"
      "  supercloud xenstore ls /local/domain\n"
      "  supercloud xenstore read /local/domain/1/name\n"
      "  supercloud xenstore watch /local/domain/1\n"
      "  supercloud xenstore watch @releaseDomain --json");
  const auto asked = std::make_shared<StoreAsked>();
  CLI::App* ls = add_store_verb(*noun, "ls", "What is right below a path, with values", program,
                                list_nodes, asked, false);
  ls->add_flag("-r,--recursive", asked->recursive, "All that is below it");
  add_store_verb(*noun, "read", "One value", program, read_node, asked, true);
  add_store_verb(*noun, "watch", "Each change at a path or below it, until Ctrl-C", program,
                 watch_nodes, asked, true);
}

}  // namespace supercloud
