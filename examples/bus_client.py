#!/usr/bin/env python3
"""bus_client.py SEED subscribe [PREFIX]       prints the events of a cluster, a line of JSON each, and what is missing
bus_client.py SEED publish TOPIC PAYLOAD      has an event of one's own published, and prints it as it was
bus_client.py SEED request NODE ACTOR         sends a Request (core/schema/request.capnp, its bytes on stdin), and writes the bytes of the
                                              Response to stdout; to stderr how far it is. Ctrl-C lets go of it

Speaks to the bus itself, as docs/wire-format.md tells: with pyzmq and nothing else. SEED is the request endpoint of a node,
"ipc:///path", or with keys "node-a@tcp://address:port". PREFIX is at most three tokens: "vm.", "vm.started.main.".
  bus_client.py ipc:///tmp/supercloud-example.req subscribe vm.
  bus_client.py ipc:///tmp/supercloud-example.req publish latency.measured.main.probe-1 \\
      '{"latencyMeasured": {"client": "probe-1", "place": "home/cellar/rack-1/desktop/on-demand", "milliseconds": 3.5}}'
"""

import argparse
import base64
import hashlib
import json
import os
import struct
import sys
import time
import tomllib

import zmq
from zmq.utils import z85

JSON, MARKER = b"\xffj", b"\xffm"
LOST = b"\x01"  # on a marker: something found no room in this one's queue
HEARTBEATS = "node.heartbeat."
HELLO_EVERY, MARKER_AGAIN, SILENCE_MAX = 1.0, 0.2, 3.0  # seconds
ANSWER_WITHIN, REPAIR_WITHIN = 2.0, 10.0
PROGRESS_EVERY, CANCEL_WITHIN = 0.1, 1.0
DEADLINE_EXCEEDED, UNAVAILABLE = 4, 14  # absl::StatusCode


def number(value):
    return struct.pack("<Q", value)


def string(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return number(len(raw)) + raw


class Reader:
    """Takes a frame apart."""

    def __init__(self, frame):
        self.rest = frame

    def take(self, size):
        if size > len(self.rest):
            raise ValueError("a frame that is cut short")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def number(self):
        return struct.unpack("<Q", self.take(8))[0]

    def string(self):
        return self.take(self.number())

    def member(self):
        name, nonce = self.string().decode(), self.number()
        return name, nonce, self.string().decode(), self.string().decode()


def event_of(text):
    return json.loads(text.decode(errors="replace"))


class Keys:
    """One's own key, whose CURVE form is derived from it, and those of others, by name."""

    def __init__(self, key_file, trust_file):
        with open(key_file, encoding="utf-8") as lines:
            text = next(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        secret = bytearray(hashlib.sha512(self.raw(text, "ed25519-secret:")).digest()[:32])
        secret[0] &= 248
        secret[31] = secret[31] & 127 | 64
        self.secret = z85.encode(bytes(secret))
        self.public = zmq.curve_public(self.secret)
        with open(trust_file, "rb") as trust:
            self.others = {each["name"]: self.curve(each["public"]) for each in tomllib.load(trust)["key"]}

    @staticmethod
    def raw(text, lead):
        if not text.startswith(lead):
            raise ValueError(f"no key: it does not begin with {lead}")
        return base64.urlsafe_b64decode(text[len(lead):] + "=")

    def curve(self, text):
        prime = 2**255 - 19
        y = int.from_bytes(self.raw(text, "ed25519:"), "little") & (2**255 - 1)
        return z85.encode(((1 + y) * pow(1 - y, -1, prime) % prime).to_bytes(32, "little"))


class Member:
    """A node, and the two sockets that lead to it."""

    def __init__(self, requests):
        self.requests = requests  # DEALER
        self.name, self.nonce, self.publishes_at = "", 0, ""
        self.events = None  # SUB
        self.marker, self.marker_at = b"", 0.0
        self.standing = b""  # the last that came: while our queue is full, the publisher names us by it
        self.in_effect = False  # what it publishes from now on is owed
        self.heard = 0.0


class Bus:
    """A client: publishes by asking a node, and hears what any of them publishes under one prefix."""

    def __init__(self, seeds, name, keys=None):
        self.name, self.keys = name, keys
        self.nonce = time.time_ns()
        self.context, self.poller = zmq.Context(), zmq.Poller()
        self.members = {}  # by request endpoint
        self.beats = self.markers = self.requests = 0
        self.hello_at = 0.0
        self.prefix = None
        self.newest = {}  # origin -> [incarnation, sequence of the newest that came under the prefix]
        self.on_event = self.on_gap = None
        for seed in seeds:
            whose, at, endpoint = seed.rpartition("@")
            if keys and whose not in keys.others:
                sys.exit(f"{seed}: with keys it is NAME@tcp://address:port, and the trust file has the key of NAME")
            self.meet(endpoint, whose if at else None)

    def close(self):
        self.context.destroy(linger=0)

    # ---- who is here

    def connect(self, kind, endpoint, whose):
        socket = self.context.socket(kind)
        socket.linger = 0
        socket.rcvhwm = socket.sndhwm = 100000
        # A node that is half gone is found out, and connected to again.
        socket.tcp_keepalive, socket.tcp_keepalive_cnt = 1, 2
        socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = 1
        if kind != zmq.SUB:
            socket.immediate = 1
        if self.keys:
            socket.curve_secretkey, socket.curve_publickey = self.keys.secret, self.keys.public
            socket.curve_serverkey = self.keys.others[whose]
        socket.connect(endpoint)
        self.poller.register(socket, zmq.POLLIN)
        return socket

    def meet(self, endpoint, whose):
        if endpoint in self.members or (self.keys and whose not in self.keys.others):
            return
        self.members[endpoint] = Member(self.connect(zmq.DEALER, endpoint, whose))
        self.hello_at = 0.0

    def greet(self):
        self.beats += 1
        me = string(self.name) + number(self.nonce) + string("") + string("")
        sent = [self.send(member, b"h" + number(self.beats) + me + number(1)) for member in self.members.values()]
        connected = all(sent) or any(member.name for member in self.members.values())
        self.hello_at = time.monotonic() + (HELLO_EVERY if connected else 0.05)

    @staticmethod
    def send(member, frame):
        try:
            member.requests.send(frame, zmq.DONTWAIT)
        except zmq.Again:
            return False  # nobody is connected
        return True

    def welcomed(self, member, frame):
        frame.number()  # the beat
        member.name, nonce, publishes_at, _ = frame.member()
        member.heard = time.monotonic()
        for _ in range(frame.number()):
            name, _, _, endpoint = frame.member()
            self.meet(endpoint, name)
        if self.prefix is None or (nonce == member.nonce and publishes_at == member.publishes_at):
            return
        # New, or another process of that name.
        if member.events is None or publishes_at != member.publishes_at:
            if member.events is not None:
                self.poller.unregister(member.events)
                member.events.close()
            member.events = self.connect(zmq.SUB, publishes_at, member.name)
            for prefix in {self.prefix, HEARTBEATS}:
                member.events.subscribe(JSON + prefix.encode())
        member.nonce, member.publishes_at = nonce, publishes_at
        self.place_marker(member)

    # ---- from when nothing is missed

    def place_marker(self, member):
        if member.marker:
            member.events.unsubscribe(member.marker)
        self.markers += 1
        member.marker = MARKER + f"{self.name}/{self.nonce}/{self.markers}/".encode()
        member.marker_at = time.monotonic()
        member.events.subscribe(member.marker)

    def marked(self, member, frame):
        frame.string()  # the publisher
        if frame.number() != member.nonce:
            return  # of a process that is gone: another is tried
        if member.standing:
            member.events.unsubscribe(member.standing)
        member.standing, member.marker = member.marker, b""
        tails = {frame.string().decode(): [frame.number(), frame.number()] for _ in range(frame.number())}
        for origin, tail in tails.items():
            if not member.in_effect or origin not in self.newest:
                self.newest[origin] = tail
            elif tail > self.newest[origin]:  # said before this process of it was heard
                self.catch_up(origin, *tail)
        member.in_effect = True

    # ---- order, and what is missing

    def published(self, member, topic, frame):
        if topic in (member.marker, member.standing) and frame == LOST and not member.marker:
            return self.place_marker(member)  # its tails tell what else was lost
        if topic == member.marker:
            return self.marked(member, Reader(frame)) if frame not in (b"", LOST) else None
        if not topic.startswith(JSON) or not member.in_effect:
            return None  # what comes before the marker is not owed
        event = event_of(frame)
        if event["topic"].startswith(HEARTBEATS):
            self.hear_tails(member, event["payload"]["nodeHeartbeat"].get("tails", []))
        if (event["topic"] + ".").startswith(self.prefix):
            self.take(event)
        return None

    def previous(self, event):
        return int(event[f"previous{self.prefix.count('.')}"])

    def take(self, event):
        origin, incarnation = event["id"]["origin"], int(event["id"]["incarnation"])
        self.catch_up(origin, incarnation, self.previous(event))
        self.accept(event)

    def accept(self, event):
        """In order of the sequence; what was not to be had of those before is missing."""
        key = event["id"]
        known = self.newest[key["origin"]]
        if [int(key["incarnation"]), int(key["sequence"])] <= known:
            return
        if self.previous(event) > known[1]:
            self.on_gap(key["origin"], known[1], self.previous(event))
        known[1] = int(key["sequence"])
        self.on_event(event)

    def hear_tails(self, member, tails):
        for tail in tails:
            origin, sequence = tail["origin"], int(tail["sequence"])
            if origin.split("/")[0] != member.name:
                continue
            if self.prefix:
                under = {each["prefix"]: int(each["sequence"]) for each in tail.get("prefixes", [])}
                sequence = min(sequence, under.get(self.prefix, 0))
            self.catch_up(origin, int(tail["incarnation"]), sequence)
            known = self.newest[origin]
            if known[0] == int(tail["incarnation"]) and known[1] < sequence:
                self.on_gap(origin, known[1], sequence)
                known[1] = sequence

    def catch_up(self, origin, incarnation, up_to):
        """Gets from the log of the origin's node what it has published up to there, and did not come."""
        known = self.newest.setdefault(origin, [incarnation, 0])
        if incarnation > known[0]:  # its log was lost, and how far it had come
            self.on_gap(origin, known[1], None)
            known[:] = [incarnation, 0]
        after, end = known[1], time.monotonic() + REPAIR_WITHIN
        while incarnation == known[0] and after < up_to and time.monotonic() < end:
            question = string(origin) + number(incarnation) + number(after) + number(up_to)
            question += number(1) + string(self.prefix)
            code, message, content = self.request(origin.split("/")[0], "bus.json", question)
            if code in (DEADLINE_EXCEEDED, UNAVAILABLE):
                time.sleep(0.25)
                continue
            if code != 0:
                print(f"the log of {origin} cannot be had: {message}", file=sys.stderr)
                return
            answer = Reader(content)
            after = answer.number()
            for _ in range(answer.number()):
                self.accept(event_of(answer.string()))

    # ---- requests

    def request(self, node, actor, content, within=ANSWER_WITHIN, on_progress=None):
        """Code, message and content of the answer. What is not waited for any more is cancelled; `on_progress` hears (done, total, what)."""
        member = next((each for each in self.members.values() if each.name == node), None)
        asked = self.ask(member, actor, content)
        if asked is None:
            return UNAVAILABLE, f"{node} cannot be reached", b""
        try:
            answer = self.answer(member, asked, within, on_progress)
        except KeyboardInterrupt:
            self.cancel(member, asked)
            raise
        if answer is not None:
            return answer
        if on_progress:
            self.cancel(member, asked)
        return DEADLINE_EXCEEDED, f"{node}/{actor} did not answer", b""

    def ask(self, member, actor, content):
        """The id of the request; None: it did not leave."""
        self.requests += 1
        frame = b"q" + number(self.requests) + string(actor) + string(content)
        return self.requests if member is not None and self.send(member, frame) else None

    def answer(self, member, asked, within, on_progress=None):
        """None: there was none. How far it is is asked beside, one question at a time."""
        end, question, heard = time.monotonic() + within, None, 0
        ask_at = time.monotonic() + PROGRESS_EVERY if on_progress else end
        while (now := time.monotonic()) < end:
            if question is None and now >= ask_at:
                question, ask_at = self.ask(member, "bus.progress", number(asked) + number(heard)), end
            if member.requests.poll((min(end, ask_at) - now) * 1000) == 0:
                continue
            answer = self.controlled(member, member.requests.recv())
            if answer is not None and answer[0] == asked:
                return answer[1:]
            if answer is not None and answer[0] == question and answer[1] == 0:  # else there will be none
                question, ask_at, told = None, time.monotonic() + PROGRESS_EVERY, Reader(answer[3])
                heard = told.number()
                on_progress(told.number(), told.number(), told.string().decode())
        return None

    def cancel(self, member, asked):
        """Whoever answers it is told that nobody waits: that is so when this returns, or nobody answers."""
        told = self.ask(member, "bus.cancel", number(asked))
        if told is not None:
            self.answer(member, told, CANCEL_WITHIN)

    def controlled(self, member, received):
        frame = Reader(received[1:])
        if received[:1] == b"w":
            self.welcomed(member, frame)
        elif received[:1] == b"x":
            sys.exit(f"refused ({frame.number()}): {frame.string().decode()}")
        elif received[:1] == b"a":
            return frame.number(), frame.number(), frame.string().decode(), frame.string()
        return None

    def find(self, node):
        self.run_until(lambda: any(each.name == node for each in self.members.values()), 5.0)

    def publish(self, topic, payload):
        """The event as a node published it."""
        self.run_until(lambda: any(each.name for each in self.members.values()), 5.0)
        node = next((each.name for each in self.members.values() if each.name), None)
        if node is None:
            raise RuntimeError("not published: no node answers")
        wish = string(self.name) + string(json.dumps({"topic": topic, "payload": payload}))
        code, message, content = self.request(node, "bus.publish", wish)
        if code != 0:
            raise RuntimeError(f"not published ({code}): {message}")
        return event_of(content)

    # ---- the loop

    def subscribe(self, prefix, on_event, on_gap):
        self.prefix, self.on_event, self.on_gap = prefix, on_event, on_gap

    def run_until(self, done, limit=None):
        end = None if limit is None else time.monotonic() + limit
        while not done() and (end is None or time.monotonic() < end):
            self.turn()

    def turn(self):
        if time.monotonic() >= self.hello_at:
            self.greet()
        ready = dict(self.poller.poll(50))
        for member in list(self.members.values()):
            if member.requests in ready:
                self.controlled(member, member.requests.recv())
            if member.events is None:
                continue
            if member.events in ready:
                frames = member.events.recv_multipart()
                if len(frames) == 2:
                    self.published(member, *frames)
            heard = time.monotonic() - member.heard < SILENCE_MAX
            if heard and member.marker and time.monotonic() - member.marker_at >= MARKER_AGAIN:
                self.place_marker(member)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed")
    parser.add_argument("--key", help="one's own, NAME.key; with --trust, for tcp")
    parser.add_argument("--trust", help="trust.toml: the keys of the nodes")
    parser.add_argument("--name", help="with keys: the key's; a node remembers for whom it published, so keep to one")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("subscribe").add_argument("prefix", nargs="?", default="")
    publish = commands.add_parser("publish")
    publish.add_argument("topic")
    publish.add_argument("payload", type=json.loads)
    request = commands.add_parser("request")
    request.add_argument("node")
    request.add_argument("actor")
    request.add_argument("--within", type=float, default=60.0, help="seconds")
    given = parser.parse_args()
    given.name = given.name or ("client" if given.command == "publish" else f"client-{os.getpid()}")
    bus = Bus([given.seed], given.name, Keys(given.key, given.trust) if given.key else None)
    try:
        if given.command == "publish":
            print(json.dumps(bus.publish(given.topic, given.payload)))
            return
        if given.command == "request":
            bus.find(given.node)
            code, message, content = bus.request(
                given.node, given.actor, sys.stdin.buffer.read(), given.within,
                lambda done, total, what: print(f"{done} of {total}: {what}", file=sys.stderr, flush=True))
            if code != 0:
                raise RuntimeError(f"no answer ({code}): {message}")
            sys.stdout.buffer.write(content)
            return
        bus.subscribe(
            given.prefix,
            lambda event: print(json.dumps(event), flush=True),
            lambda origin, after, up_to: print(
                json.dumps({"gap": {"origin": origin, "after": after, "upTo": up_to}}), flush=True))
        bus.run_until(lambda: False)
    except RuntimeError as why:
        sys.exit(str(why))
    except KeyboardInterrupt:
        pass
    finally:
        bus.close()


if __name__ == "__main__":
    main()
