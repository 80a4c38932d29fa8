#!/usr/bin/python3
"""A policy as a program: the cheapest place at the end of a paid hour, if it saves a tenth; away at once when the cloud takes the machine.

Needs pyzmq (Debian: python3-zmq). How it speaks with its node: docs/policies.md. Try it: tests/actors/policy/plugin/examples_test.cpp.
"""

import json
import sys

import zmq

SAVES_AT_LEAST = 0.10  # of what staying costs


def usd(nano):
    return f"{nano / 1e9:.4f}"


def decide(world):
    """World in, Decision out, as JSON of core/schema/world.capnp: 64-bit integers are texts, what is empty may be missing."""
    now, here = int(world["nowNs"]), world.get("currentPlace", "")
    notice = int(world["noticeDeadlineNs"])
    hour, lead = int(world["market"]["hourNs"]), int(world["market"]["leadNs"])

    places, candidates, paid_until = {}, [], (now // hour + 1) * hour
    for view in world.get("candidates", []):
        place, price = view["place"]["id"], int(view["priceNanoUsdPerHour"])
        excluded = "" if view["allowed"] else view.get("whyNot", "it is not allowed")
        if not excluded and not view["priceKnown"]:
            excluded = "no price is known there"
        if place == here:
            for instance in view.get("instances", []):
                if instance["instance"] == world.get("currentInstance"):
                    paid_until = int(instance["paidUntilNs"])
            if notice:
                excluded = "the cloud takes the machine there"
        candidates.append({"place": place, "costNanoUsd": str(price), "excluded": excluded})
        if not excluded:
            places[place] = price

    # Asked again as the present paid hour is about to end, or, if that is so now, the next one.
    ends = paid_until - lead
    wake = ends if ends > now else ends + hour
    decision = {"candidates": candidates, "wakeAtNs": str(wake)}
    best = min(places, key=lambda place: (places[place], place != here, place), default=None)
    if notice:
        if best is None:
            return {**decision, "reason": "the cloud takes the machine, and there is no place to go to"}
        return {**decision, "choice": best, "reason": f"the cloud takes the machine; {best} is the cheapest place left"}
    if now < ends:
        return {**decision, "reason": "the hour is paid"}
    if best is None or best == here or here not in places:
        return {**decision, "reason": "no other place that is allowed has a lower price"}
    saved = places[here] - places[best]
    if saved < SAVES_AT_LEAST * places[here]:
        return {**decision, "reason": f"{best} would save {usd(saved)} USD per hour, less than a tenth"}
    return {**decision, "choice": best, "gainNanoUsd": str(saved),
            "reason": f"the paid hour ends, and {best} saves {usd(saved)} USD per hour"}


def main():
    node = zmq.Context().socket(zmq.DEALER)
    node.connect(sys.argv[1])
    hello = {"protocol": 1, "name": "cheapest at hour end", "version": "1",
             "decidesOn": "prices as a paid hour ends, notices"}
    node.send_multipart([b"hello", json.dumps(hello).encode()])
    while True:
        _, question, world = node.recv_multipart()
        try:
            answer = [b"decision", question, json.dumps(decide(json.loads(world))).encode()]
        except Exception as error:  # told to people; the VM stays where it is
            answer = [b"failed", question, repr(error).encode()]
        node.send_multipart(answer)


if __name__ == "__main__":
    main()
