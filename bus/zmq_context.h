// A libzmq context.
#pragma once

namespace supercloud {

// Its sockets keep it, for it cannot end before they do.
class ZmqContext {
 public:
  // For two sockets of every member, two more for each that tell of its connections, and those of one's own.
  static constexpr int sockets_max = 8192;

  explicit ZmqContext(int sockets = sockets_max);
  ~ZmqContext();
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  void* get() const { return context_; }

 private:
  void* context_;
};

}  // namespace supercloud
