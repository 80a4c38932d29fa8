#include "tests/storage/etcd/etcd_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/event_loop.h"
#include "core/http/curl_http.h"

namespace supercloud {
namespace {

namespace files = std::filesystem;

constexpr Duration start_time_max = absl::Seconds(30);

std::string find_program() {
  std::vector<std::string> places = {"/usr/bin/etcd"};
  if (const char* unpacked = std::getenv("SUPERCLOUD_ETCD"))
    places.insert(places.begin(), unpacked);
  for (const std::string& place : places)
    if (::access(place.c_str(), X_OK) == 0) return place;
  return "";
}

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no port on loopback");
  ::close(fd);
  return ntohs(address.sin_port);
}

std::shared_ptr<files::path> make_folder() {
  std::string name = (files::temp_directory_path() / "supercloud-etcd-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
  return {new files::path(name), [](files::path* path) {
            std::error_code error;
            files::remove_all(*path, error);
            delete path;
          }};
}

// A socket in the folder that the member runs in.
std::string peer_url(const std::string& name) { return absl::StrCat("unix://", name, ".peer:0"); }

}  // namespace

bool EtcdServer::available() { return !find_program().empty(); }

EtcdServer::EtcdServer(EtcdTls tls) : EtcdServer(make_folder(), "alone", std::move(tls)) {
  members_ = absl::StrCat(name_, "=", peer_url(name_));
}

EtcdServer::EtcdServer(std::shared_ptr<files::path> folder, std::string name, EtcdTls tls)
    : folder_(std::move(folder)),
      name_(std::move(name)),
      tls_(std::move(tls)),
      port_(free_port()) {}

EtcdServer::~EtcdServer() { kill(); }

std::vector<std::unique_ptr<EtcdServer>> EtcdServer::cluster(std::size_t members) {
  const auto folder = make_folder();
  std::vector<std::unique_ptr<EtcdServer>> servers;
  std::string all;
  for (std::size_t i = 0; i < members; ++i) {
    servers.push_back(
        std::unique_ptr<EtcdServer>(new EtcdServer(folder, absl::StrCat("member", i), {})));
    absl::StrAppend(&all, i == 0 ? "" : ",", servers[i]->name_, "=", peer_url(servers[i]->name_));
  }
  for (const auto& server : servers) server->members_ = all;
  return servers;
}

std::string EtcdServer::endpoint() const {
  return absl::StrCat(tls_.key.empty() ? "http" : "https", "://127.0.0.1:", port_);
}

absl::Status EtcdServer::launch() {
  // Heartbeats and elections of one machine; with them the least TTL is a second.
  std::vector<std::string> words = {find_program(),
                                    "--name=" + name_,
                                    "--data-dir=" + name_,
                                    "--listen-client-urls=" + endpoint(),
                                    "--advertise-client-urls=" + endpoint(),
                                    "--listen-peer-urls=" + peer_url(name_),
                                    "--initial-advertise-peer-urls=" + peer_url(name_),
                                    "--initial-cluster=" + members_,
                                    "--heartbeat-interval=50",
                                    "--election-timeout=500"};
  if (!tls_.key.empty())
    words.insert(words.end(), {"--cert-file=" + tls_.certificate, "--key-file=" + tls_.key,
                               "--trusted-ca-file=" + tls_.ca, "--client-cert-auth"});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  std::string path = "PATH=/usr/bin:/bin";
  char* const variables[] = {path.data(), nullptr};
  const int output = ::open((*folder_ / (name_ + ".log")).c_str(),
                            O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  process_ = ::fork();
  if (process_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output, 1);
    ::dup2(output, 2);
    if (::chdir(folder_->c_str()) == 0) ::execve(arguments[0], arguments.data(), variables);
    ::_exit(127);
  }
  ::close(output);
  return process_ < 0 ? absl::InternalError("no process for etcd") : absl::OkStatus();
}

absl::Status EtcdServer::wait_until_it_serves() {
  EventLoop loop;
  const Instant end = loop.clock().now() + start_time_max;
  while (get("/health").find("true") == std::string::npos) {
    if (::waitpid(process_, nullptr, WNOHANG) == process_) {
      process_ = -1;
      return absl::InternalError(absl::StrCat("etcd ended: ", said()));
    }
    if (loop.clock().now() > end)
      return absl::InternalError(absl::StrCat("etcd does not answer: ", said()));
    loop.run_until([] { return false; }, absl::Milliseconds(5));
  }
  return absl::OkStatus();
}

absl::Status EtcdServer::start() {
  const absl::Status launched = launch();
  return launched.ok() ? wait_until_it_serves() : launched;
}

void EtcdServer::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

void EtcdServer::freeze(bool frozen) const {
  ::kill(process_, frozen ? SIGSTOP : SIGCONT);
  if (frozen) ::waitpid(process_, nullptr, WUNTRACED);  // all its threads stand still
}

void EtcdServer::keep_data() const {
  files::copy(*folder_ / name_, *folder_ / (name_ + ".kept"), files::copy_options::recursive);
}

void EtcdServer::restore_data() const {
  files::remove_all(*folder_ / name_);
  files::copy(*folder_ / (name_ + ".kept"), *folder_ / name_, files::copy_options::recursive);
}

std::string EtcdServer::get(const std::string& path) const { return post(path, ""); }

std::string EtcdServer::post(const std::string& path, const std::string& json) const {
  EventLoop loop;
  CurlHttpOptions options;
  options.ca_file = tls_.ca;
  options.certificate_file = tls_.certificate;
  options.key_file = tls_.key;
  CurlHttp http(loop, options);
  std::optional<absl::StatusOr<HttpAnswer>> answer;
  http.send({.url = endpoint() + path, .body = json, .content_type = "application/json"},
            Reply<HttpAnswer>(loop.clock().now() + absl::Seconds(2),
                              [&](absl::StatusOr<HttpAnswer> with) { answer = std::move(with); }));
  loop.run_until([&] { return answer.has_value(); }, absl::Seconds(5));
  return answer && answer->ok() ? (*answer)->body : "";
}

std::string EtcdServer::said() const {
  std::ifstream log(*folder_ / (name_ + ".log"));
  std::string text((std::istreambuf_iterator<char>(log)), {});
  return text.size() <= 2000 ? text : text.substr(text.size() - 2000);
}

}  // namespace supercloud
