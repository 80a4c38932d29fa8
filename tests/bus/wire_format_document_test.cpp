// docs/wire-format.md is true: each example in it is decoded, compared with what stands beside it, and encoded to the same bytes; each limit in it is ours.
#include "tests/bus/wire_format_document.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bus/base64.h"
#include "bus/calls.h"
#include "bus/checkpoint.h"
#include "bus/history.h"
#include "bus/key.h"
#include "bus/unread_answers.h"
#include "bus/zmq_bus.h"
#include "bus/zmq_wire.h"
#include "core/hybrid_clock.h"
#include "core/json.h"
#include "core/node.h"
#include "core/topic.h"

namespace supercloud {
namespace {

template <class Kind>
Kind control(const Example& example) {
  const absl::StatusOr<Control> decoded = decode_control(example.bytes());
  EXPECT_TRUE(decoded.ok()) << decoded.status() << " line " << example.line;
  if (!decoded.ok() || !std::holds_alternative<Kind>(*decoded)) {
    ADD_FAILURE() << "line " << example.line << " is no " << example.kind;
    return Kind();
  }
  EXPECT_EQ(encode(*decoded), example.bytes()) << "line " << example.line;
  return std::get<Kind>(*decoded);
}

TEST(WireFormatDocument, hellos_are_hellos) {
  const std::vector<Example> examples = document().of("bytes", "hello");
  ASSERT_EQ(examples.size(), 2) << "of a member and of a client";
  for (const Example& example : examples) {
    const Hello hello = control<Hello>(example);
    EXPECT_EQ(example.parts, Said()
                                 .kind('h')
                                 .number("beat", hello.beat)
                                 .member("", hello.self)
                                 .number("client", hello.client ? 1 : 0)
                                 .parts());
  }
  EXPECT_TRUE(control<Hello>(examples[1]).client);
}

TEST(WireFormatDocument, welcomes_are_welcomes) {
  for (const Example& example : document().of("bytes", "welcome")) {
    const Welcome welcome = control<Welcome>(example);
    Said said;
    said.kind('w').number("beat", welcome.beat).member("", welcome.self);
    said.number("members", welcome.members.size());
    for (const Member& member : welcome.members) said.member("member ", member);
    EXPECT_EQ(example.parts, said.parts());
  }
}

TEST(WireFormatDocument, refusals_are_refusals) {
  for (const Example& example : document().of("bytes", "refusal")) {
    const Refusal refusal = control<Refusal>(example);
    EXPECT_EQ(example.parts, Said()
                                 .kind('x')
                                 .number("code", static_cast<std::uint64_t>(refusal.why.code()))
                                 .string("message", std_view(refusal.why.message()))
                                 .parts());
  }
}

TEST(WireFormatDocument, requests_and_answers_are_what_they_say) {
  for (const Example& example : document().of("bytes", "request")) {
    const WireRequest request = control<WireRequest>(example);
    EXPECT_EQ(request.actor, history_actor);
    EXPECT_EQ(example.parts, Said()
                                 .kind('q')
                                 .number("id", request.id)
                                 .string("actor", request.actor)
                                 .other("content", request.bytes, "question")
                                 .parts());
  }
  const std::vector<Example> answers = document().of("bytes", "answer");
  ASSERT_EQ(answers.size(), 2) << "a good one and a bad one";
  const WireAnswer good = control<WireAnswer>(answers[0]);
  ASSERT_TRUE(good.value.ok());
  EXPECT_EQ(answers[0].parts, Said()
                                  .kind('a')
                                  .number("id", good.id)
                                  .number("code", 0)
                                  .string("message", "")
                                  .other("content", *good.value, "history")
                                  .parts());
  const WireAnswer bad = control<WireAnswer>(answers[1]);
  ASSERT_TRUE(absl::IsNotFound(bad.value.status()));
  EXPECT_EQ(answers[1].parts, Said()
                                  .kind('a')
                                  .number("id", bad.id)
                                  .number("code", 5)
                                  .string("message", std_view(bad.value.status().message()))
                                  .string("content", "")
                                  .parts());
}

void say_beyond(const Marker& marker, Said& said) {
  said.number("relays", marker.under ? 2 : 1);
  for (const OriginTail& tail : marker.tails)
    said.number("since", tail.since).number("passed", tail.passed);
  if (!marker.under) return;
  for (const OriginTail& tail : marker.tails) {
    said.number("prefixes", tail.under.size());
    for (const OriginTail::Under& under : tail.under)
      said.string("prefix", under.prefix)
          .number("sequence", under.sequence)
          .number("since", under.since)
          .number("begun", under.begun);
  }
}

TEST(WireFormatDocument, markers_are_markers) {
  const Example topic = document().of("bytes", "marker topic").at(0);
  const std::string name = "meter", nonce = "1790000000000000009";
  EXPECT_EQ(topic.parts, Said()
                             .raw("lead", std::string(marker_lead), "marker")
                             .raw("name", name + "/", Said::quoted(name))
                             .raw("nonce", nonce + "/", nonce)
                             .raw("number", "1/", "1")
                             .parts());
  EXPECT_FALSE(asks_together(topic.bytes()));
  const Example asking = document().of("bytes", "marker topic").at(1);
  EXPECT_EQ(asking.parts, Said()
                              .raw("lead", std::string(marker_lead), "marker")
                              .raw("name", name + "/", Said::quoted(name))
                              .raw("nonce", nonce + "/", nonce)
                              .raw("number", "2b/", "2, and together?")
                              .parts());
  EXPECT_TRUE(asks_together(asking.bytes()));
  std::size_t together = 0, relayed = 0;
  for (const Example& example : document().of("bytes", "marker")) {
    const absl::StatusOr<Marker> marker = decode_marker(example.bytes());
    ASSERT_TRUE(marker.ok()) << marker.status();
    EXPECT_EQ(encode(*marker), example.bytes());
    Said said;
    said.string("publisher", marker->publisher).number("nonce", marker->nonce);
    said.number("tails", marker->tails.size());
    for (const OriginTail& tail : marker->tails)
      said.string("origin", tail.origin)
          .number("incarnation", tail.incarnation)
          .number("sequence", tail.sequence);
    if (marker->together) said.number("together", 1);
    if (marker->relays) say_beyond(*marker, said);
    EXPECT_EQ(example.parts, said.parts());
    together += marker->together ? 1 : 0;
    relayed += marker->relays ? 1 : 0;
  }
  EXPECT_EQ(together, 2) << "two with it, and one without";
  EXPECT_EQ(relayed, 1);
}

TEST(WireFormatDocument, subscriptions_are_those_of_the_patterns) {
  int patterns = 0;
  for (const std::vector<std::string>& row : document().rows()) {
    const std::string pattern(absl::StripSuffix(absl::StripPrefix(row[0], "`"), "`"));
    if (row.size() != 2 || pattern.find('>') == std::string::npos) {
      if (row.size() != 2 || std::count(pattern.begin(), pattern.end(), '.') != 3) continue;
    }
    ++patterns;
    const std::string prefix = Pattern::of(pattern).wire_prefix();
    EXPECT_EQ(row[1],
              prefix.empty() ? "nothing: all topics begin so" : absl::StrCat("`", prefix, "`"))
        << pattern;
  }
  EXPECT_EQ(patterns, 6);
  const std::vector<Example> examples = document().of("bytes", "subscription");
  ASSERT_EQ(examples.size(), 2) << "its beginning and its end";
  const std::string prefix = Pattern::of("vm.>").wire_prefix();
  for (const bool wanted : {true, false}) {
    EXPECT_EQ(examples[wanted ? 0 : 1].parts,
              Said()
                  .raw("what", std::string(1, wanted ? 1 : 0), wanted ? "subscribe" : "unsubscribe")
                  .raw("form", std::string(json_lead), "JSON")
                  .raw("prefix", prefix, Said::quoted(prefix))
                  .parts());
  }
}

absl::StatusOr<Event> event_of(EventPool& pool, std::string_view bytes) {
  return pool.parse({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

// As the runtime of a node would have made it.
Event sealed_event(EventPool& pool) {
  Draft first = pool.draft("web1");
  first.payload().initVmDefined();
  Envelope root{.origin = "node-b/executor", .incarnation = 1'789'000'000'000, .sequence = 4};
  const Event cause = *std::move(first).seal(root);
  Draft draft = pool.draft("web1");
  auto started = draft.payload().initVmStarted();
  started.setNode("node-a");
  started.setWhy("created");
  draft.epoch(2);
  Envelope envelope{.origin = "node-a/executor", .incarnation = 1'790'000'000'000, .sequence = 17};
  envelope.previous[0] = 16;
  envelope.previous[1] = 12;
  envelope.previous[2] = envelope.previous[3] = 9;
  envelope.time = {(1'790'000'000'000'000U << 12) + 1};
  envelope.cause = &cause;
  return *std::move(draft).seal(envelope);
}

TEST(WireFormatDocument, the_event_is_what_a_node_seals_and_its_json_says_the_same) {
  EventPool pool;
  const Example example = document().of("bytes", "event").at(0);
  const std::string json = document().named("event in JSON");
  const Event sealed = sealed_event(pool);
  EXPECT_EQ(absl::BytesToHexString(example.bytes()),
            absl::BytesToHexString(absl::string_view(
                reinterpret_cast<const char*>(sealed.bytes().data()), sealed.bytes().size())));
  EXPECT_EQ(to_json(sealed), json);
  const absl::StatusOr<Event> event = event_of(pool, example.bytes());
  ASSERT_TRUE(event.ok()) << event.status();
  const absl::StatusOr<Event> back = event_from_json(pool, json);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(to_json(*back), json);

  const std::string topic = topic_prefix(event->topic(), 4);
  EXPECT_EQ(document().of("bytes", "event topic").at(0).parts,
            Said().raw("topic", topic, Said::quoted(topic)).parts());
  EXPECT_EQ(document().of("bytes", "json topic").at(0).parts,
            Said()
                .raw("form", std::string(json_lead), "JSON")
                .raw("topic", topic, Said::quoted(topic))
                .parts());

  const std::string three = topic_prefix(event->topic(), 3);
  EXPECT_EQ(document().of("bytes", "together topic").at(0).parts,
            Said()
                .raw("form", std::string(together_lead), "together")
                .raw("prefix", three, Said::quoted(three))
                .parts());
  const std::string together = document().of("bytes", "together").at(0).bytes();
  std::string_view rest = together;
  for (int i = 0; i < 2; ++i) {
    const absl::StatusOr<std::string_view> each = take_event(rest);
    ASSERT_TRUE(each.ok()) << each.status();
    EXPECT_EQ(absl::BytesToHexString(absl_view(*each)), absl::BytesToHexString(example.bytes()));
  }
  EXPECT_TRUE(rest.empty());

  // The numbers and texts beside its words.
  const std::map<std::string, std::uint64_t> numbers = {
      {"previous0", event->previous(0)},
      {"previous1", event->previous(1)},
      {"previous2", event->previous(2)},
      {"previous3", event->previous(3)},
      {"time", event->time().value},
      {"epoch", event->epoch()},
      {"id.incarnation", event->incarnation()},
      {"id.sequence", event->sequence()},
      {"cause.incarnation", event->cause().incarnation},
      {"cause.sequence", event->cause().sequence},
      {"root.incarnation", event->root().incarnation},
      {"root.sequence", event->root().sequence}};
  const std::map<std::string, std::string> texts = {{"id.origin", std::string(event->origin())},
                                                    {"cause.origin", event->cause().origin},
                                                    {"root.origin", event->root().origin},
                                                    {"topic", std::string(event->topic())},
                                                    {"node", "node-a"},
                                                    {"why", "created"}};
  std::set<std::string> told;
  for (const Part& part : example.parts) {
    SCOPED_TRACE(part.field);
    if (const auto number = numbers.find(part.field); number != numbers.end()) {
      EXPECT_EQ(part.value, std::to_string(number->second));
      EXPECT_EQ(part.bytes, WireWriter().number(number->second).take());
      EXPECT_TRUE(told.insert(part.field).second);
    } else if (const auto said = texts.find(part.field); said != texts.end()) {
      EXPECT_EQ(part.value, Said::quoted(said->second));
      EXPECT_EQ(part.bytes.substr(0, part.bytes.find('\0')), said->second);
      EXPECT_TRUE(told.insert(part.field).second);
    } else {
      EXPECT_TRUE(part.field == "framing" || part.field == "pointer" || part.field == "data")
          << part.value;
    }
  }
  EXPECT_EQ(told.size(), numbers.size() + texts.size());
}

// Of a node that has published the event of the examples.
Event sealed_heartbeat(EventPool& pool) {
  const Event before = sealed_event(pool);
  Draft draft = pool.draft("node-a");
  auto heartbeat = draft.payload().initNodeHeartbeat();
  heartbeat.setNode("node-a");
  heartbeat.setBeat(38);
  auto tail = heartbeat.initTails(1)[0];
  tail.setOrigin(std::string(before.origin()));
  tail.setIncarnation(before.incarnation());
  tail.setSequence(before.sequence());
  auto prefixes = tail.initPrefixes(3);
  for (unsigned i = 0; i < 3; ++i) {
    prefixes[i].setPrefix(topic_prefix(before.topic(), i + 1));
    prefixes[i].setSequence(before.sequence());
  }
  Envelope envelope{.origin = "node-a/node", .incarnation = 1'790'000'000'000, .sequence = 40};
  for (std::uint64_t& previous : envelope.previous) previous = 39;
  envelope.time = {1'790'000'001'000'000U << 12};
  return *std::move(draft).seal(envelope);
}

TEST(WireFormatDocument, the_heartbeat_is_one) {
  EventPool pool;
  const std::vector<Example> events = document().of("json", "event");
  ASSERT_EQ(events.size(), 2);
  const std::string json(trimmed(events[1].text));
  const absl::StatusOr<Event> event = event_from_json(pool, json);
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(to_json(*event), json);
  EXPECT_EQ(to_json(sealed_heartbeat(pool)), json);
}

// Of the event of the other examples, by the key of RFC 8032, 7.1, test 1.
TEST(WireFormatDocument, a_checkpoint_proves_the_event) {
  EventPool pool;
  const absl::StatusOr<Event> event = event_of(pool, document().named("event"));
  ASSERT_TRUE(event.ok()) << event.status();
  const auto key =
      KeyPair::parse("ed25519-secret:nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").value();
  Draft draft = KeyNotary(pool, "node-a", key).checkpoint({*event});
  ASSERT_TRUE(draft.set_topic().ok());
  const std::string origin = checkpoint_origin("node-a");
  Envelope envelope;
  envelope.origin = origin;
  envelope.incarnation = event->incarnation();
  envelope.sequence = 3;
  for (std::uint64_t& previous : envelope.previous) previous = 2;
  envelope.time = HybridTime{event->time().value + 1};
  const Event checkpoint = *std::move(draft).seal(envelope);
  const std::string told(trimmed(document().of("json", "checkpoint").at(0).text));
  EXPECT_EQ(to_json(checkpoint), told);

  const Example example = document().of("bytes", "signed").at(0);
  const auto said = checkpoint.payload().getBusCheckpoint();
  const auto stream = said.getStreams()[0];
  std::array<std::uint8_t, 32> digest{};
  ASSERT_TRUE(from_base64(text(stream.getDigests()[0]), digest));
  const std::string lead = "supercloud checkpoint 1";
  EXPECT_EQ(example.parts,
            Said()
                .raw("lead", lead, Said::quoted(lead))
                .number("streams", 1)
                .string("origin", text(stream.getOrigin()))
                .number("incarnation", stream.getIncarnation())
                .number("events", 1)
                .number("sequence", stream.getSequences()[0])
                .raw("digest", {reinterpret_cast<const char*>(digest.data()), digest.size()},
                     "of the event")
                .parts());
  Signature signature{};
  ASSERT_TRUE(from_base64(text(said.getSignature()), signature));
  EXPECT_TRUE(key->public_key().has_signed(example.bytes(), signature));
}

TEST(WireFormatDocument, repair_is_a_question_and_its_answer) {
  EventPool pool;
  const Example asked = document().of("bytes", "question").at(0);
  const absl::StatusOr<StreamRange> range = decode_question(asked.bytes());
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(encode_question(*range), asked.bytes());
  Said question;
  question.string("origin", range->origin).number("incarnation", range->incarnation);
  question.number("after", range->after).number("up to", range->up_to);
  question.number("prefixes", range->prefixes.size());
  for (const std::string& prefix : range->prefixes) question.string("prefix", prefix);
  EXPECT_EQ(asked.parts, question.parts());

  const Example told = document().of("bytes", "history").at(0);
  const std::string bytes = told.bytes();
  const absl::StatusOr<HistoryAnswer> answer = decode_answer(bytes, *range);
  ASSERT_TRUE(answer.ok()) << answer.status();
  ASSERT_EQ(answer->events.size(), 1);
  EXPECT_EQ(told.parts, Said()
                            .number("through", answer->through)
                            .number("events", 1)
                            .other("event", answer->events[0], "event")
                            .parts());
  const absl::StatusOr<Event> event = event_of(pool, answer->events[0]);
  ASSERT_TRUE(event.ok()) << event.status();
  const StreamPart part{{*event}, answer->through};
  EXPECT_TRUE(range->has(part.events[0].topic()));
  EXPECT_EQ(encode_answer(part), bytes);

  const Example in_json = document().of("bytes", "history json").at(0);
  EXPECT_EQ(encode_json_answer(part), in_json.bytes());
  EXPECT_EQ(in_json.parts, Said()
                               .number("through", part.through)
                               .number("events", 1)
                               .other("event", to_json(part.events[0]), "event in JSON")
                               .parts());
}

TEST(WireFormatDocument, the_wish_can_be_granted) {
  EventPool pool;
  const Example example = document().of("bytes", "wish").at(0);
  const absl::StatusOr<PublishWish> wish = decode_wish(example.bytes());
  ASSERT_TRUE(wish.ok()) << wish.status();
  EXPECT_EQ(encode(*wish), example.bytes());
  EXPECT_EQ(example.parts, Said()
                               .string("publisher", wish->publisher)
                               .other("event", wish->json, "wish in JSON")
                               .parts());
  absl::StatusOr<Draft> draft = draft_from_json(pool, wish->json);
  ASSERT_TRUE(draft.ok()) << draft.status();
  EXPECT_EQ(draft->topic(), "latency.measured.main.client-7");
  const auto said = draft->payload().asReader().getLatencyMeasured();
  EXPECT_EQ(text(said.getClient()), "client-7");
  EXPECT_EQ(text(said.getPlace()), "aws/us-east-1/us-east-1a/r3.large/spot");
  EXPECT_EQ(said.getMilliseconds(), 12.5);
}

TEST(WireFormatDocument, requests_that_take_long_are_asked_about_and_cancelled) {
  const Example asked = document().of("bytes", "far").at(0);
  const absl::StatusOr<ProgressQuestion> question = decode_progress_question(asked.bytes());
  ASSERT_TRUE(question.ok()) << question.status();
  EXPECT_EQ(encode(*question), asked.bytes());
  EXPECT_EQ(asked.parts,
            Said().number("id", question->id).number("heard", question->heard).parts());

  const Example told = document().of("bytes", "progress").at(0);
  const absl::StatusOr<ProgressAnswer> answer = decode_progress_answer(told.bytes());
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(encode(*answer), told.bytes());
  EXPECT_EQ(told.parts, Said()
                            .number("number", answer->number)
                            .number("done", answer->progress.done)
                            .number("total", answer->progress.total)
                            .string("what", answer->progress.what)
                            .parts());

  const Example given_up = document().of("bytes", "cancel").at(0);
  const absl::StatusOr<std::uint64_t> id = decode_cancel(given_up.bytes());
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(encode_cancel(*id), given_up.bytes());
  EXPECT_EQ(given_up.parts, Said().number("id", *id).parts());
}

TEST(WireFormatDocument, the_keys_follow_from_each_other) {
  const std::vector<Example> found = document().of("keys", "");
  ASSERT_EQ(found.size(), 1);
  std::map<std::string, std::string> said;
  for (const absl::string_view line : absl::StrSplit(found[0].text, '\n', absl::SkipEmpty())) {
    const std::size_t gap = line.rfind(' ');
    said[std::string(absl::StripAsciiWhitespace(line.substr(0, gap)))] =
        std::string(line.substr(gap + 1));
  }
  const auto key = KeyPair::parse(said["secret"]);
  ASSERT_TRUE(key.ok()) << key.status();
  const auto hex = [](const CurveKey& curve) {
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(curve.data()), curve.size()));
  };
  EXPECT_EQ((*key)->public_key().text(), said["public"]);
  EXPECT_EQ(hex((*key)->curve_secret()), said["CURVE secret"]);
  EXPECT_EQ(hex((*key)->public_key().curve()), said["CURVE public"]);
}

TEST(WireFormatDocument, the_limits_are_ours) {
  const ZmqBusOptions bus;
  const auto ms = [](Duration time) { return absl::ToInt64Milliseconds(time); };
  const std::map<std::string, std::int64_t> limits = {
      {"event_bytes_max", event_bytes_max},
      {"request_bytes_max", request_bytes_max},
      {"message_bytes_max", ZmqSocket::message_bytes_max},
      {"subscription_bytes_max", ZmqSocket::subscription_bytes_max},
      {"ahead_max", ZmqServer::ahead_max},
      {"unread_bytes_max", UnreadAnswers::bytes_max},
      {"unread_short_bytes_max", UnreadAnswers::short_bytes_max},
      {"unread_question_bytes", UnreadAnswers::bytes_of_question},
      {"short_answer_bytes_max", UnreadAnswers::short_answer_bytes_max},
      {"together_bytes_max", together_bytes_max},
      {"topic_bytes_max", topic_bytes_max},
      {"token_bytes_max", token_bytes_max},
      {"wire_name_bytes_max", wire_name_bytes_max},
      {"members_max", members_max},
      {"neighbours_max", neighbours_default},
      {"history_prefixes_max", history_prefixes_max},
      {"progress_text_max", progress_text_max},
      {"calls_of_one_max", OpenCalls::calls_of_one_max},
      {"calls_max", OpenCalls::calls_max},
      {"progress_ms", ms(CallWatcher::interval)},
      {"subscriptions_max", ZmqPublisher::subscriptions_max},
      {"publishers_max", Node::publishers_max},
      {"slow_named_max", SlowSubscribers::subscribers_max},
      {"high_water_mark", bus.high_water_mark},
      {"hello_ms", ms(bus.hello_interval)},
      {"silence_ms", ms(bus.silence_max)},
      {"forget_ms", ms(bus.forget_after)},
      {"marker_retry_ms", ms(bus.handshake_retry)},
      {"ahead_ms", ms(HybridClock::max_ahead)}};
  std::set<std::string> told;
  for (const std::vector<std::string>& row : document().rows()) {
    const std::string name(absl::StripSuffix(absl::StripPrefix(row[0], "`"), "`"));
    const auto limit = limits.find(name);
    if (row.size() != 3 || row[1].find_first_not_of("0123456789") != std::string::npos) continue;
    ASSERT_NE(limit, limits.end()) << name;
    EXPECT_EQ(row[1], std::to_string(limit->second)) << name;
    told.insert(name);
  }
  EXPECT_EQ(told.size(), limits.size());
}

// None is only looked at.
TEST(WireFormatDocument, has_no_example_that_is_not_tested) {
  const std::set<std::string> tested = {"bytes cancel",
                                        "bytes far",
                                        "bytes progress",
                                        "bytes answer",
                                        "bytes event",
                                        "bytes event topic",
                                        "bytes hello",
                                        "bytes history",
                                        "bytes history json",
                                        "bytes json topic",
                                        "bytes marker",
                                        "bytes marker topic",
                                        "bytes question",
                                        "bytes refusal",
                                        "bytes request",
                                        "bytes signed",
                                        "bytes subscription",
                                        "bytes together",
                                        "bytes together topic",
                                        "bytes welcome",
                                        "bytes wish",
                                        "json checkpoint",
                                        "json event",
                                        "json wish",
                                        "keys "};
  std::set<std::string> found;
  for (const Example& example : document().examples())
    found.insert(absl::StrCat(example.form, " ", example.kind));
  EXPECT_EQ(found, tested);
}

}  // namespace
}  // namespace supercloud
