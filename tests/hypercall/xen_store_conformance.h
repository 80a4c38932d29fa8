// What every XenStore must do, whatever is behind it: instantiate XenStoreConformance with a factory of worlds.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "gtest/gtest.h"
#include "hypercall/xen_error.h"
#include "hypercall/xen_store.h"

namespace supercloud {

// A path that a test knows to be one.
inline XenPath at(const std::string& path) { return *XenPath::parse(path); }

// Whether a status is of this call and errno.
inline bool is(const absl::Status& status, const std::string& call, int error) {
  const auto failure = xen_failure(status);
  return failure && failure->call == call && failure->error == error;
}

// Thread-bound.
class XenStoreWorld {
 public:
  virtual ~XenStoreWorld() = default;

  // Two clients of the control domain.
  virtual XenStore& store() = 0;
  virtual XenStore& other() = 0;
  virtual Scheduler& scheduler() = 0;
  // Lets things happen; false: it did not come to that.
  virtual bool run_until(absl::FunctionRef<bool()> done) = 0;

  virtual void introduce(DomainId id) = 0;
  virtual void let_die(DomainId id) = 0;
  // The daemon, as with kill -9; started again it has nothing of what it held.
  virtual void kill() = 0;
  virtual void start() = 0;
};

struct XenStoreWorldMaker {
  std::string name;
  std::function<std::unique_ptr<XenStoreWorld>()> make;  // null: what it needs is not here
  // What others changed below a node is no conflict with a transaction that adds to it or removes it.
  bool merges = false;
};

class XenStoreConformance : public testing::TestWithParam<XenStoreWorldMaker> {
 protected:
  void SetUp() override;

  // Runs one call to its end.
  template <class T>
  absl::StatusOr<T> get(absl::FunctionRef<void(Reply<T>)> call) {
    auto value = std::make_shared<absl::StatusOr<T>>(absl::UnknownError("no reply"));
    auto done = std::make_shared<bool>(false);
    call(Reply<T>(far_future, [value, done](absl::StatusOr<T> reply) {
      *value = std::move(reply);
      *done = true;
    }));
    EXPECT_FALSE(*done) << "replied from inside the call";
    EXPECT_TRUE(world->run_until([&] { return *done; })) << "no reply";
    return *value;
  }
  // Asks again and again, until it holds: for what calls itself.
  bool eventually(absl::FunctionRef<bool()> holds);
  absl::StatusOr<std::string> read(const std::string& path, XenTransactionId in = 0);
  absl::StatusOr<std::vector<std::string>> list(const std::string& path);  // sorted
  absl::Status write(const std::string& path, std::string_view value, XenTransactionId in = 0);
  absl::Status remove(const std::string& path, XenTransactionId in = 0);
  absl::StatusOr<XenTransactionId> begin(XenStore& store);
  absl::Status end(XenStore& store, XenTransactionId id, bool commit = true);

  std::unique_ptr<XenStoreWorld> world;
};

inline std::string world_name(const testing::TestParamInfo<XenStoreWorldMaker>& info) {
  return info.param.name;
}

}  // namespace supercloud
