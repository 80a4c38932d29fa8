// The network of a torture run: each endpoint of a member is reached through one of these, which passes bytes on, and can stall, break and
// refuse connections. What is on its way in a broken one is lost, wherever in a message that is.
#pragma once

#include <cstddef>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace supercloud::torture {

// Its work is done on a thread of its own. Thread-bound to its owner.
class Links {
 public:
  Links();
  ~Links();
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  // From "tcp://address:port" or "ipc://path" to another of the same; before start().
  void add(const std::string& from, const std::string& to);
  void start();

  // Breaks the connections that there are over it: each with the given probability.
  void cut(std::size_t link, double probability, unsigned seed);
  void refuse(std::size_t link, bool refused);  // new connections
  void stall(std::size_t link, bool stalled);   // no byte passes, and none is lost
  std::size_t broken() const;                   // connections, by cut()

 private:
  struct Link {
    std::string to;
    int listener = -1;
    bool refused = false;
    bool stalled = false;
  };
  struct Way {
    int from = -1;
    int to = -1;
    std::string bytes;  // taken, not yet given
    bool ended = false;
  };
  struct Connection {
    std::size_t link = 0;
    Way ways[2];
  };

  void run();
  void wake() const;
  bool pass(Way& way) const;
  static void close(Connection& connection);

  mutable std::mutex mutex_;
  std::vector<Link> links_;            // guarded by mutex_
  std::list<Connection> connections_;  // guarded by mutex_
  std::size_t broken_ = 0;             // guarded by mutex_
  bool ending_ = false;                // guarded by mutex_
  int wake_fd_ = -1;
  std::thread thread_;
};

}  // namespace supercloud::torture
