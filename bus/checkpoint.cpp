#include "bus/checkpoint.h"

#include <sodium.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/base64.h"
#include "bus/wire_format.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr std::string_view signed_lead = "supercloud checkpoint 1";

EventDigest digest_of(const Event& event) {
  EventDigest digest;
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
  void event(std::uint64_t sequence, const EventDigest& digest) {
    number(sequence);
    bytes_.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void number(std::uint64_t value) { bytes_ += WireWriter().number(value).take(); }
  std::string bytes_;
};

absl::Status forged(const Event& checkpoint, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("checkpoint ", checkpoint.id().to_string(), " ", absl_view(why)));
}

bool is_logged_kind(std::string_view kind) {
  static const std::set<std::string, std::less<>> kinds = [] {
    std::set<std::string, std::less<>> logged;
    for (unsigned which = 0; !topic_of(schema::Payload::Which(which)).empty(); ++which) {
      const auto type = schema::Payload::Which(which);
      if (delivery_of(type) != schema::Delivery::VOLATILE) logged.emplace(topic_of(type));
    }
    return logged;
  }();
  return kinds.find(kind) != kinds.end();
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
      const EventDigest digest = digest_of(*events[i]);
      sequences.set(i, events[i]->sequence());
      digests.set(i, to_base64(digest));
      words.event(events[i]->sequence(), digest);
    }
  }
  said.setSignature(to_base64(key_->sign(words.bytes())));
  return draft;
}

absl::Status Proofs::take(const Event& checkpoint) {
  if (checkpoint.type() != schema::Payload::BUS_CHECKPOINT) return forged(checkpoint, "is none");
  if (remembers(checkpoint)) return absl::OkStatus();
  const std::string_view node = node_of(checkpoint.origin());
  const auto said = checkpoint.payload().getBusCheckpoint();
  Signed words(said.getStreams().size());
  std::vector<std::pair<Key, EventDigest>> found;
  for (const auto stream : said.getStreams()) {
    const auto origin = text(stream.getOrigin());
    const auto sequences = stream.getSequences();
    const auto digests = stream.getDigests();
    if (node_of(origin) != node) return forged(checkpoint, "lists what is another node's");
    if (sequences.size() != digests.size())
      return forged(checkpoint, "does not have a digest for each event");
    words.stream(origin, stream.getIncarnation(), sequences.size());
    for (unsigned i = 0; i < sequences.size(); ++i) {
      EventDigest digest;
      if (!from_base64(text(digests[i]), digest))
        return forged(checkpoint, "has a digest that is none");
      words.event(sequences[i], digest);
      found.push_back({{origin, stream.getIncarnation(), sequences[i]}, digest});
    }
  }
  Signature signature;
  if (!from_base64(text(said.getSignature()), signature))
    return forged(checkpoint, "has a signature that is none");
  const std::vector<PublicKey> keys = keys_of_(node);
  const bool signed_by_it = std::ranges::any_of(
      keys, [&](const PublicKey& key) { return key.has_signed(words.bytes(), signature); });
  if (!signed_by_it)
    return forged(checkpoint,
                  absl::StrCat("is signed by no key that is enrolled as ", absl_view(node)));
  Taken& taken = taken_.emplace_back(Taken{checkpoint, {}});
  for (const auto& [key, digest] : found)
    if (listed_.try_emplace(key, Listed{digest, &taken.checkpoint}).second)
      taken.listed.push_back(key);
  if (taken.listed.empty()) {  // it says nothing new
    taken_.pop_back();
    return absl::OkStatus();
  }
  bytes_ += checkpoint.bytes().size();
  while ((listed_.size() > room_.events || bytes_ > room_.bytes) && taken_.size() > 1)
    forget_oldest();
  return absl::OkStatus();
}

// The very bytes, as relays send them for each topic that it proves something of.
bool Proofs::remembers(const Event& checkpoint) const {
  const auto streams = checkpoint.payload().getBusCheckpoint().getStreams();
  if (streams.size() == 0 || streams[0].getSequences().size() == 0) return false;
  const auto found = listed_.find(
      {text(streams[0].getOrigin()), streams[0].getIncarnation(), streams[0].getSequences()[0]});
  return found != listed_.end() &&
         std::ranges::equal(found->second.checkpoint->bytes(), checkpoint.bytes());
}

void Proofs::forget_oldest() {
  for (const Key& key : taken_.front().listed) listed_.erase(key);
  bytes_ -= taken_.front().checkpoint.bytes().size();
  taken_.pop_front();
}

void Proofs::forget() {
  listed_.clear();
  taken_.clear();
  bytes_ = 0;
}

Proofs::Key Proofs::key_of(const Event& event) {
  return {event.origin(), event.incarnation(), event.sequence()};
}

absl::Status Proofs::judge(const Event& event) const {
  const auto found = listed_.find(key_of(event));
  if (found == listed_.end())
    return absl::NotFoundError(
        absl::StrCat("no checkpoint is known that lists event ", event.id().to_string()));
  if (found->second.digest == digest_of(event)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("event ", event.id().to_string(), " is not what its checkpoint lists"));
}

const Event* Proofs::checkpoint_of(const Event& event) const {
  const auto found = listed_.find(key_of(event));
  return found == listed_.end() ? nullptr : found->second.checkpoint;
}

bool may_have_proofs(const Rights& rights, std::string_view name) {
  return rights.allowed(name, checkpoint_prefix) ==
         std::vector<std::string>{std::string(checkpoint_prefix)};
}

bool needs_proof(const Event& event) {
  if (!topic_of(event.type()).empty())
    return delivery_of(event.type()) != schema::Delivery::VOLATILE;
  // Of a later build. It may be anything, but not look like what is logged.
  std::string kind = topic_prefix(event.topic(), 2);
  kind.pop_back();
  return is_logged_kind(kind);
}

absl::Status keep_proven(const Trust& trust, absl::Span<const Event> checkpoints,
                         std::vector<Event>& events) {
  Proofs proofs([&trust](std::string_view node) { return trust.keys_of(node); }, Proofs::no_bounds);
  absl::Status wrong;
  for (const Event& checkpoint : checkpoints) {
    if (absl::Status taken = proofs.take(checkpoint); !taken.ok()) wrong = taken;
  }
  std::erase_if(events, [&](const Event& event) {
    const absl::Status proven = proofs.judge(event);
    if (absl::IsInvalidArgument(proven)) wrong = proven;
    return !proven.ok();
  });
  return wrong;
}

}  // namespace supercloud
