// A checkpoint as an archive or a hub may make it up, from a true one: whatever is changed in it, no event is proven that its node has not signed.
//
//   input = *( offset(2 bytes) value(1 byte) )          of the true checkpoint's bytes, which are changed there
//         / %xFF %xFF bytes                             a checkpoint of its own
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bus/checkpoint.h"

namespace {

using namespace supercloud;

struct True {
  EventPool pool;
  Trust trust;
  std::vector<Event>
      events;  // two that are listed, and one of the same number as the first that is not
  std::vector<std::byte> checkpoint;

  True() {
    const std::shared_ptr<const KeyPair> key = KeyPair::generate();
    if (!trust.enrol(key->public_key(), "node-a").ok()) std::abort();
    for (const auto& [vm, sequence] :
         {std::pair("web1", 1), std::pair("web2", 2), std::pair("web3", 1)})
      events.push_back(seal(failed(vm), "node-a/executor", sequence));
    KeyNotary notary(pool, "node-a", key);
    const Event made = seal(notary.checkpoint({events[0], events[1]}), "node-a/log", 1);
    checkpoint.assign(made.bytes().begin(), made.bytes().end());
  }

 private:
  Draft failed(const char* vm) {
    Draft draft = pool.draft(vm);
    draft.payload().initVmFailed().setNode("node-a");
    return draft;
  }
  static Event seal(Draft draft, const char* origin, std::uint64_t sequence) {
    if (!draft.set_topic().ok()) std::abort();
    Envelope envelope;
    envelope.origin = origin;
    envelope.incarnation = 1;
    envelope.sequence = sequence;
    absl::StatusOr<Event> sealed = std::move(draft).seal(envelope);
    if (!sealed.ok()) std::abort();
    return *std::move(sealed);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static True& is = *new True;
  std::vector<std::byte> bytes;
  if (size >= 2 && data[0] == 0xff && data[1] == 0xff) {
    const auto* begin = reinterpret_cast<const std::byte*>(data + 2);
    bytes.assign(begin, begin + size - 2);
  } else {
    bytes = is.checkpoint;
    for (; size >= 3; data += 3, size -= 3)
      bytes[(data[0] << 8U | data[1]) % bytes.size()] = std::byte{data[2]};
  }
  const absl::StatusOr<Event> checkpoint = is.pool.parse(bytes);
  if (!checkpoint.ok()) return 0;
  std::vector<Event> left = is.events;
  const absl::Status judged = keep_proven(is.trust, {*checkpoint}, left);
  for (const Event& proven : left)
    if (proven.topic() == is.events[2].topic()) std::abort();
  // The true one proves what it lists, and tells of the event that has another's number.
  if (bytes == is.checkpoint && (left.size() != 2 || judged.ok())) std::abort();
  return 0;
}
