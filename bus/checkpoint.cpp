#include "bus/checkpoint.h"

#include <sodium.h>

#include <array>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/base64.h"
#include "bus/wire_format.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::string_view signed_lead = "supercloud checkpoint 1";
using Digest = std::array<std::uint8_t, 32>;

Digest digest_of(const Event& event) {
  Digest digest;
  const Bytes bytes = event.bytes();
  crypto_generichash(digest.data(), digest.size(),
                     reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), nullptr,
                     0);
  return digest;
}

// What was signed, as it is put together.
class Signed {
 public:
  explicit Signed(std::size_t streams) : bytes_(signed_lead) { number(streams); }
  void stream(std::string_view origin, std::uint64_t incarnation, std::size_t events) {
    bytes_ += WireWriter().string(origin).number(incarnation).number(events).take();
  }
  void event(std::uint64_t sequence, const Digest& digest) {
    number(sequence);
    bytes_.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void number(std::uint64_t value) { bytes_ += WireWriter().number(value).take(); }
  std::string bytes_;
};

using Key =
    std::tuple<std::string_view, std::uint64_t, std::uint64_t>;  // origin, incarnation, sequence
using Listed = std::map<Key, Digest>;

absl::Status forged(const Event& checkpoint, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("checkpoint ", checkpoint.id().to_string(), " ", absl_view(why)));
}

// What a checkpoint lists is added to `listed`, if it is signed as it has to be.
absl::Status read_checkpoint(const Trust& trust, const Event& checkpoint, Listed& listed) {
  if (checkpoint.type() != schema::Payload::BUS_CHECKPOINT) return forged(checkpoint, "is none");
  const std::string_view node = node_of(checkpoint.origin());
  const auto said = checkpoint.payload().getBusCheckpoint();
  Signed words(said.getStreams().size());
  std::vector<std::pair<Key, Digest>> found;
  for (const auto stream : said.getStreams()) {
    const auto origin = text(stream.getOrigin());
    const auto sequences = stream.getSequences();
    const auto digests = stream.getDigests();
    if (node_of(origin) != node) return forged(checkpoint, "lists what is another node's");
    if (sequences.size() != digests.size())
      return forged(checkpoint, "does not have a digest for each event");
    words.stream(origin, stream.getIncarnation(), sequences.size());
    for (unsigned i = 0; i < sequences.size(); ++i) {
      Digest digest;
      if (!from_base64(text(digests[i]), digest))
        return forged(checkpoint, "has a digest that is none");
      words.event(sequences[i], digest);
      found.push_back({{origin, stream.getIncarnation(), sequences[i]}, digest});
    }
  }
  Signature signature;
  if (!from_base64(text(said.getSignature()), signature))
    return forged(checkpoint, "has a signature that is none");
  for (const PublicKey& key : trust.keys_of(node)) {
    if (!key.has_signed(words.bytes(), signature)) continue;
    listed.insert(found.begin(), found.end());
    return absl::OkStatus();
  }
  return forged(checkpoint,
                absl::StrCat("is signed by no key that is enrolled as ", absl_view(node)));
}

}  // namespace

Draft KeyNotary::checkpoint(const std::vector<Event>& commit) {
  using Stream = std::pair<std::string_view, std::uint64_t>;
  std::map<Stream, std::vector<const Event*>> streams;
  for (const Event& event : commit)
    streams[{event.origin(), event.incarnation()}].push_back(&event);
  Draft draft = pool_.draft(node_);
  auto said = draft.payload().initBusCheckpoint();
  auto list = said.initStreams(static_cast<unsigned>(streams.size()));
  Signed words(streams.size());
  unsigned at = 0;
  for (const auto& [stream, events] : streams) {
    const auto count = static_cast<unsigned>(events.size());
    auto entry = list[at++];
    entry.setOrigin(capnp_text(stream.first));
    entry.setIncarnation(stream.second);
    auto sequences = entry.initSequences(count);
    auto digests = entry.initDigests(count);
    words.stream(stream.first, stream.second, count);
    for (unsigned i = 0; i < count; ++i) {
      const Digest digest = digest_of(*events[i]);
      sequences.set(i, events[i]->sequence());
      digests.set(i, to_base64(digest));
      words.event(events[i]->sequence(), digest);
    }
  }
  said.setSignature(to_base64(key_->sign(words.bytes())));
  return draft;
}

absl::Status keep_proven(const Trust& trust, absl::Span<const Event> checkpoints,
                         std::vector<Event>& events) {
  Listed listed;
  absl::Status wrong;
  for (const Event& checkpoint : checkpoints) {
    if (absl::Status read = read_checkpoint(trust, checkpoint, listed); !read.ok()) wrong = read;
  }
  std::erase_if(events, [&](const Event& event) {
    const auto found = listed.find({event.origin(), event.incarnation(), event.sequence()});
    if (found == listed.end()) return true;
    if (found->second == digest_of(event)) return false;
    wrong = absl::InvalidArgumentError(
        absl::StrCat("event ", event.id().to_string(), " is not what its checkpoint lists"));
    return true;
  });
  return wrong;
}

}  // namespace supercloud
