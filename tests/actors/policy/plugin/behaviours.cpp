#include "tests/actors/policy/plugin/behaviours.h"

#include <signal.h>
#include <unistd.h>
#include <zmq.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string_view>
#include <vector>

#include "actors/policy/plugin/policy_host.h"
#include "actors/policy/plugin/process_policy.h"
#include "core/event_loop.h"

namespace supercloud {
namespace {

using Frames = std::vector<std::string>;

class Node {
 public:
  explicit Node(const char* endpoint)
      : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER)) {
    zmq_connect(socket_, endpoint);
  }
  void say(const Frames& frames, bool unfinished = false) const {
    for (std::size_t i = 0; i < frames.size(); ++i)
      zmq_send(socket_, frames[i].data(), frames[i].size(),
               i + 1 < frames.size() || unfinished ? ZMQ_SNDMORE : 0);
  }
  Frames hear() const {
    Frames frames;
    for (int more = 1; more != 0;) {
      zmq_msg_t frame;
      zmq_msg_init(&frame);
      if (zmq_msg_recv(&frame, socket_, 0) < 0) std::exit(9);
      frames.emplace_back(static_cast<const char*>(zmq_msg_data(&frame)), zmq_msg_size(&frame));
      more = zmq_msg_more(&frame);
      zmq_msg_close(&frame);
    }
    return frames;
  }

 private:
  void* context_;
  void* socket_;
};

const std::string decision_b =
    R"({"choice": "aws/us-east-1/us-east-1b/r3.large/spot", "reason": "a test says so"})";

[[noreturn]] void wait_for_the_end() {
  while (true) ::pause();
}

int policy(const std::string& how, const char* endpoint) {
  if (how == "exits") {
    std::cerr << "this machine has no luck" << std::endl;
    return 3;
  }
  if (how == "says nothing") wait_for_the_end();
  const Node node(endpoint);
  if (how == "speaks another protocol") {
    node.say({"hello", R"({"protocol": 7, "name": "x"})"});
    wait_for_the_end();
  }
  node.say({"hello", R"({"protocol": 1, "name": "x", "version": "2", "decidesOn": "nothing"})"});
  if (how == "talks") {
    const std::string line(1000, 'x');
    for (int i = 0; i < 5000; ++i) std::cout << line << "\n";
  }
  if (how == "leaves a child behind" && ::fork() == 0) wait_for_the_end();
  Frames before;
  while (true) {
    const Frames question = node.hear();
    const std::string& id = question.at(1);
    if (how == "never answers") continue;
    if (how == "is late") {  // each answer comes after the next question
      if (!before.empty()) node.say({"decision", before.at(1), R"({"choice": "late"})"});
      before = question;
      if (before.at(1) != "3") continue;
    }
    if (how == "is late with nonsense") {  // as the next question is there, without an id
      if (!before.empty()) node.say({"decision", decision_b});
      before = question;
      if (before.at(1) != "3") continue;
    }
    if (how == "is late with a frame too many") {
      if (!before.empty()) node.say({"decision", before.at(1), decision_b, "and more"});
      before = question;
      if (before.at(1) != "3") continue;
    }
    if (how == "is late with nonsense, then silent") {
      if (!before.empty()) node.say({"decision", decision_b});
      before = question;
      continue;
    }
    if (how == "crashes in its answer") {
      std::cerr << "its last words" << std::endl;
      node.say({"decision", id}, true);
      ::signal(SIGSEGV, SIG_DFL);  // a sanitizer would tell of it, and exit
      ::raise(SIGSEGV);
    }
    if (how == "crashes once") {
      const std::string flag = std::getenv("TEST_FLAG");
      if (!std::filesystem::exists(flag)) {
        std::ofstream(flag) << "x";
        std::_Exit(4);
      }
    }
    if (how == "leaves a child behind") return 0;
    if (how == "answers garbage") {
      node.say({"decision", id, "{{{\x01"});
    } else if (how == "answers without an id") {
      node.say({"decision", decision_b});
    } else if (how == "cannot decide") {
      node.say({"failed", id, "no\nidea"});
    } else {
      node.say({"decision", id, decision_b});
    }
  }
}

// A node whose policy has a process: tells its id, and runs until it is killed.
int node() {
  EventLoop loop;
  ProcessPolicyOptions options;
  options.command = {"/proc/self/exe", {"policy", "policy", "is good"}, {}};
  ProcessPolicy policy(loop, options);
  policy.on_greeting([&](const absl::StatusOr<PolicyGreeting>& greeting) {
    std::printf("%d\n", greeting.ok() ? static_cast<int>(policy.pid()) : 0);
    std::fflush(stdout);
  });
  loop.run();
  return 0;
}

}  // namespace

int behave(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "node") return node();
  if (argc != 4) return -1;
  if (what == "policy") return policy(argv[2], argv[3]);
  if (what == "policy-host") {
    std::cerr << host_policy(argv[2], argv[3]).message() << std::endl;
    return 1;
  }
  return -1;
}

}  // namespace supercloud
