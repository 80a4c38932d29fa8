#include "bus/zmq_publisher.h"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "bus/checkpoint.h"
#include "core/json.h"
#include "core/text.h"
#include "core/topic.h"

namespace supercloud {
namespace {

constexpr int send_tries = 4;

// The whole of one, which is nobody else's.
bool is_marker(std::string_view topic) {
  return topic.starts_with(marker_lead) && topic.size() <= 2 * wire_name_bytes_max &&
         std::count(topic.begin(), topic.end(), '/') == 3 && topic.back() == '/';
}

// With what a topic may begin: so many subscriptions are one of everything, without what others have subscribed for themselves.
constexpr std::string_view topic_letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-%";

// That of others is in it, and what is sent to find out whether they are slow.
bool is_part_of_markers(std::string_view topic) {
  return !topic.empty() && !is_marker(topic) &&
         (topic.starts_with(marker_lead) || marker_lead.starts_with(topic));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ZmqPublisher>> ZmqPublisher::bind(
    const std::shared_ptr<ZmqContext>& context, EventLoop& loop, const Member& self,
    const Credentials& credentials, ZmqPublisherOptions options, Rejected rejected) {
  std::unique_ptr<ZmqPublisher> made(
      new ZmqPublisher(loop, self, credentials, std::move(options), std::move(rejected)));
  ZmqSocketOptions queue{.high_water_mark = made->options_.high_water_mark, .nodrop = true};
  queue.linger = made->options_.linger;
  queue.silence_max = made->options_.silence_max;
  queue.verbose = !made->secured();  // with keys everything is told
  if (made->secured()) {
    queue.curve = CurveEnd{credentials.key, std::nullopt};
    queue.manual = true;
    queue.connections_max = made->options_.connections_max;
    queue.on_crowded = [raw = made.get()] {
      raw->rejected_("a connection", absl::StrCat("more than ", raw->options_.connections_max,
                                                  " processes are connected to what publishes"));
    };
  }
  auto socket = ZmqSocket::make(
      context, ZMQ_XPUB, std::move(queue), loop,
      [raw = made.get()](ZmqSocket::Frames frames) { raw->on_subscription(frames[0]); });
  if (!socket.ok()) return socket.status();
  made->socket_ = *std::move(socket);
  if (!made->secured()) {
    auto probe = ZmqProbe::make(context, loop, *made->socket_);
    if (!probe.ok()) return probe.status();
    made->probe_ = *std::move(probe);
  }
  if (absl::Status bound = made->socket_->bind(made->options_.endpoint); !bound.ok()) return bound;
  return made;
}

ZmqPublisher::ZmqPublisher(EventLoop& loop, const Member& self, const Credentials& credentials,
                           ZmqPublisherOptions options, Rejected rejected)
    : name_(self.name),
      nonce_(self.nonce),
      credentials_(credentials),
      options_(std::move(options)),
      rejected_(std::move(rejected)),
      batch_(loop, together_lead, together_bytes_max,
             [this](std::string_view topic, std::string_view bytes, int events) {
               send(topic, bytes, events);
             }),
      slow_(loop, static_cast<std::uint64_t>(options_.high_water_mark),
            {.send =
                 [this](std::string_view topic, std::string_view message) {
                   const std::string_view frames[] = {topic, message};
                   return socket_->send(frames);
                 },
             .send_lossy =
                 [this](std::string_view topic, std::string_view message) {
                   const std::string_view frames[] = {topic, message};
                   socket_->send_lossy(frames);
                 },
             .had_news = [this] { return socket_->had_news(); }},
            options_.on_slow_subscriber) {}

ZmqPublisher::~ZmqPublisher() { batch_.flush(); }

void ZmqPublisher::start(std::vector<OriginTail> past) {
  published_ = PublishedTails(std::move(past));
  socket_->start();
}

void ZmqPublisher::publish(const Event& event) {
  if (beyond_ == nullptr || node_of(event.origin()) == name_) published_.note(event);
  const std::string_view topic = event.topic();
  std::array<char, topic_bytes_max + 1> wire_topic;
  if (topic.size() >= wire_topic.size()) return;  // no valid topic is
  *std::copy(topic.begin(), topic.end(), wire_topic.begin()) = '.';
  const std::string_view wire(wire_topic.data(), topic.size() + 1);
  const std::string_view bytes(reinterpret_cast<const char*>(event.bytes().data()),
                               event.bytes().size());
  if (alone_.wanted.covers(wire)) send(wire, bytes);
  // Subscriptions are of three tokens at most. Where one is not, it gets what is all of one topic.
  if (together_.wanted.covers(wire)) {
    batch_.add(narrow_.covers(wire) ? wire : leading_tokens(wire, 3), bytes);
    // A blackout waits for these.
    if (delivery_of(event.type()) == schema::Delivery::NOTED) batch_.flush();
  } else {
    batch_.look();
  }
  if (json_.wanted.covers(wire)) publish_json(event, wire);
}

void ZmqPublisher::publish_proof(const Event& checkpoint, std::string_view prefix) {
  if (!proof_.wanted.covers(prefix)) return;
  const std::string_view bytes(reinterpret_cast<const char*>(checkpoint.bytes().data()),
                               checkpoint.bytes().size());
  send(absl::StrCat(absl_view(proof_lead), absl_view(prefix)), bytes, /*events=*/0);
}

void ZmqPublisher::send(std::string_view topic, std::string_view bytes, int events) {
  const std::string_view frames[] = {topic, bytes};
  const auto sent = [&] {
    return slow_.tell_losers() ? socket_->send(frames) : socket_->send_unlooked(frames);
  };
  const auto count = static_cast<std::uint64_t>(events);
  int tries = 0;
  do {  // who was full may have taken some of it meanwhile, and the look for it may have taken that room
    if (sent()) return;
  } while (!slow_.denied(count) && ++tries < send_tries);
  if (tries == send_tries) slow_.lost(count);
  dropped_ += count;
  socket_->send_lossy(frames);  // to those that have room
}

void ZmqPublisher::publish_json(const Event& event, std::string_view wire_topic) {
  const std::string json = to_json(event);
  if (json.size() > ZmqSocket::message_bytes_max) return;  // missed, and so told by what follows
  send(absl::StrCat(absl_view(json_lead), absl_view(wire_topic)), json);
}

// Someone subscribed a topic, or let one go. When it is a marker's, what they subscribed before it is in effect.
void ZmqPublisher::on_subscription(std::string_view frame) {
  if (secured() && !in_step(frame)) return;
  const ZmqProbe::Told told = secured() ? ZmqProbe::Told::others : probe_->told(frame);
  if (told == ZmqProbe::Told::nothing) return;
  if (frame.empty() || (frame[0] != 0 && frame[0] != 1)) return;
  const bool wanted = frame[0] == 1;
  const std::string_view topic = frame.substr(1);
  if (secured() && (topic.size() > 2 * wire_name_bytes_max ||
                    socket_->sender_holds(topic, wanted) > subscriptions_max))
    return turn_out(topic.size() > 2 * wire_name_bytes_max
                        ? "a topic that is too long"
                        : "more subscriptions than anybody needs");
  // Who is slow is known by them.
  if (secured() && wanted && is_part_of_markers(topic))
    return turn_out("a part of markers, others' among them");
  if (secured() && wanted && is_marker(topic) && is_anothers(topic))
    return turn_out("a marker in the name of another");
  if (secured()) decide(topic, wanted);
  Form* form = form_of(topic);
  if (form != nullptr) {
    const std::string_view prefix = topic.substr(form->lead.size());
    told == ZmqProbe::Told::nobody ? let_go(*form, prefix) : note(*form, prefix, wanted);
    return note_interest();
  }
  if (!is_marker(topic)) return;
  if (secured() && wanted) note_marker(topic);
  if (wanted) return take_marker(topic);
  // Of who is gone, and of who was cut off for it, libzmq tells without a sender: it may be another's still.
  if (secured() && sender().empty() && socket_->any_meets(topic, topic)) return;
  if (const auto found = asked_.find(topic);
      found != asked_.end() && (sender().empty() || found->second.user == sender()))
    asked_.erase(found);
  if (const auto marked = marked_.find(topic);
      marked != marked_.end() && (marked->second == sender() || !socket_->any_meets(topic, topic)))
    marked_.erase(marked);
  slow_.let_go(topic, sender());
}

void ZmqPublisher::relay(Beyond& beyond) {
  beyond_ = &beyond;
  interest_ = std::make_unique<Interest>(beyond, [this](const std::string&) { answer_markers(); });
}

void ZmqPublisher::note_interest() {
  if (interest_ == nullptr) return;
  Interest::Prefixes wanted;
  for (const Form* form : {&alone_, &together_, &json_})
    form->wanted.each([&](const std::string& prefix) { wanted.insert(prefix); });
  interest_->set(wanted);
  answer_markers();  // some may have waited for what is not wanted any more
}

void ZmqPublisher::take_marker(std::string_view topic) {
  // Whom alone parts were granted keeps these until the connection ends, and would get all of it twice.
  const bool together =
      asks_together(topic) && (!secured() || narrowed_.find(socket_->user()) == narrowed_.end());
  // Who does not ask for what is beyond does not wait for it: hubs of one cloud would wait for each other.
  if (interest_ == nullptr || !asks_relay(topic) || interest_->in_effect_up_to(interest_->asked()))
    return answer_marker(topic, sender(), together);
  if (asked_.size() >= subscriptions_max) asked_.clear();  // they are asked again
  asked_.insert_or_assign(std::string(topic),
                          AskedMarker{std::string(sender()), together, interest_->asked()});
}

void ZmqPublisher::answer_markers() {
  for (auto next = asked_.begin(); next != asked_.end();) {
    const auto& [topic, asked] = *next;
    if (interest_->in_effect_up_to(asked.asked)) {
      answer_marker(topic, asked.user, asked.together);
      next = asked_.erase(next);
    } else {
      ++next;
    }
  }
}

bool ZmqPublisher::is_anothers(std::string_view marker) const {
  const std::string_view claim = claim_of(marker);
  const std::string_view claimed = claim.substr(0, claim.find('/'));
  const std::string name(sender());
  const Trust& trust = *credentials_.trust;
  return claimed != name && !trust.rights.may_relay(name) && !trust.keys_of(claimed).empty();
}

// Of a client's marker anybody may have been told. Whose queue an empty message to it finds full is not known where several have it.
void ZmqPublisher::note_marker(std::string_view marker) {
  const auto [known, fresh] = marked_.try_emplace(std::string(marker), sender());
  std::string& user = known->second;
  if (fresh || user.empty() || user == sender()) return;
  slow_.let_go(marker, user);
  user.clear();
}

std::string_view ZmqPublisher::sender() const {
  const std::string* name = secured() ? credentials_.trust->name_of(socket_->user()) : nullptr;
  return name == nullptr ? std::string_view() : *name;
}

void ZmqPublisher::answer_marker(std::string_view topic, std::string_view user, bool together) {
  batch_.flush();  // the tails tell of what waits, too
  slow_.tell_losers();
  Marker marker{
      .publisher = name_, .nonce = nonce_, .tails = published_.all(), .together = together};
  marker.relays = beyond_ != nullptr && asks_relay(topic);
  marker.under = marker.relays && asks_under(topic);
  if (marker.relays)
    for (OriginTail& tail : beyond_->standing()) marker.tails.push_back(std::move(tail));
  const std::string body = encode(marker);
  if (body.size() > ZmqSocket::message_bytes_max) {
    return rejected_(
        name_, absl::StrCat("where ", marker.tails.size(),
                            " origins stand has no room in a message: nobody can "
                            "subscribe here any more; subscribe less in this cloud, or divide it"));
  }
  const std::string_view frames[] = {topic, body};
  socket_->send_lossy(frames);
  if (const auto marked = marked_.find(topic); marked == marked_.end() || !marked->second.empty())
    slow_.answered(topic, user);
}

// Null: a marker's topic, or nothing that is sent.
ZmqPublisher::Form* ZmqPublisher::form_of(std::string_view topic) {
  for (Form* form : {&json_, &together_, &proof_})
    if (topic.starts_with(form->lead)) return form;
  return !topic.empty() && topic[0] == marker_lead[0] ? nullptr : &alone_;
}

// Without keys libzmq tells of who lets a topic go last, or never had it: which of these, the probe finds out. With keys it tells of everyone, and
// not always in pairs.
void ZmqPublisher::note(Form& form, std::string_view topic, bool wanted) {
  if (!secured()) {
    if (wanted) return add(form, topic);
    if (form.wanted.has(topic)) probe_->ask(absl::StrCat(absl_view(form.lead), absl_view(topic)));
    return;
  }
  if (wanted && form.wanted.size() < form.look) return;
  form.wanted.remove_if([&](const std::string& prefix) {
    return (wanted || prefix.starts_with(topic) || topic.starts_with(prefix)) &&
           !socket_->any_meets(form.lead, absl::StrCat(absl_view(form.lead), prefix));
  });
  if (wanted)
    form.look =
        2 * form.wanted.size() + 16;  // so that who comes and goes costs no more than it has
  narrow(form);
}

void ZmqPublisher::add(Form& form, std::string_view prefix) {
  form.wanted.add(prefix);
  if (&form == &together_ && std::ranges::count(prefix, '.') >= 3 &&
      leading_tokens(prefix, 3) != prefix)
    narrow_.add(prefix);
}

void ZmqPublisher::let_go(Form& form, std::string_view prefix) {
  form.wanted.remove(prefix);
  narrow(form);
}

// After some of its prefixes went.
void ZmqPublisher::narrow(const Form& form) {
  if (&form == &together_ && !narrow_.empty())
    narrow_.remove_if([&](const std::string& prefix) { return !form.wanted.has(prefix); });
}

// libzmq keeps subscriptions that wait, and the pipes of their senders, in two queues. A message that is no subscription takes a place in the
// first alone (seen with 4.3.4): from then on a right would be granted to whoever comes next in the second, until both are empty. So nothing is
// granted for as long, and who sent something meanwhile has to connect again, and to ask again.
bool ZmqPublisher::in_step(std::string_view frame) {
  if (frame.empty() || (frame[0] != 0 && frame[0] != 1)) {
    out_of_step_ = true;
    turn_out("what is no subscription");
  } else if (socket_->burst() == 1) {
    out_of_step_ = false;
  }
  if (out_of_step_) socket_->cut_sender();
  return !out_of_step_;
}

void ZmqPublisher::turn_out(std::string_view why) {
  const std::string* name = credentials_.trust->name_of(socket_->user());
  rejected_(name == nullptr ? "a connection" : *name,
            absl::StrCat("it is cut off, for it sends to what publishes ", absl_view(why)));
  socket_->cut_sender();
}

// What the sender of a subscription is granted of it.
void ZmqPublisher::decide(std::string_view topic, bool wanted) {
  const std::string_view key = socket_->user();
  const std::string* name = credentials_.trust->name_of(key);
  if (wanted && name == nullptr) return socket_->cut_sender();
  if (is_marker(topic)) return wanted ? socket_->grant(topic) : socket_->withdraw(topic);
  Form* const form = form_of(topic);
  if (form == nullptr) {  // a newer build's
    if (wanted) rejected_(*name, "it subscribes events in a form that this build does not know");
    return;
  }
  topic.remove_prefix(form->lead.size());
  if (form == &proof_) topic = leading_tokens(topic, 3);  // they are sent by three tokens
  const auto granted = [&](std::string_view prefix) {
    return absl::StrCat(absl_view(form->lead), absl_view(prefix));
  };
  if (!wanted) {
    if (name == nullptr || narrowed_.find(key) != narrowed_.end()) return;
    if (form != &alone_ || topic.size() > 1) return socket_->withdraw(granted(topic));
    // Of everything, or of a part of what that was granted as.
    for (const char& letter : topic_letters) {
      const std::string_view part(&letter, 1);
      if (part.starts_with(topic) && !socket_->sender_has("") && !socket_->sender_has(part))
        socket_->withdraw(part);
    }
    return;
  }
  const Rights& rights = credentials_.trust->rights;
  const std::vector<std::string> allowed = rights.allowed(*name, topic);
  if (form == &proof_ && !may_have_proofs(rights, *name)) {
    return rejected_(*name, absl::StrCat("it gets nothing of other clouds that is logged: ",
                                         "what proves that takes the right to subscribe ",
                                         absl_view(checkpoint_prefix), ">"));
  }
  for (const std::string& prefix : allowed) {
    const std::string_view sent = form == &proof_ ? leading_tokens(prefix, 3) : prefix;
    add(*form, sent);
    if (form != &alone_ || !sent.empty()) {
      socket_->grant(granted(sent));
      continue;
    }
    // In these words it has no marker but its own: so its queue is full when that one's is.
    for (const char& letter : topic_letters) socket_->grant(std::string_view(&letter, 1));
  }
  if (allowed.size() == 1 && allowed[0] == topic) return;
  narrowed_.emplace(key);
  rejected_(*name,
            absl::StrCat("it has no right to subscribe all of \"", absl_view(topic), "\"; it gets ",
                         allowed.empty()       ? std::string("nothing")
                         : allowed.size() == 1 ? absl::StrCat("\"", allowed[0], "\"")
                                               : absl::StrCat(allowed.size(), " parts of it")));
}

void ZmqPublisher::trust_changed(const Trust& before) {
  const auto stays = [&](std::string_view key) {
    return same_subscriber(before, *credentials_.trust, key);
  };
  socket_->cut_unless(stays);
  std::erase_if(narrowed_, [&](const std::string& key) { return !stays(key); });
}

}  // namespace supercloud
