#!/usr/bin/env python3
"""subscribe.py [PATTERN] [URL]: prints what happens in a cluster, over `supercloud gateway`. Goes on where it was when the
connection is lost. Needs Python's own library alone; SUPERCLOUD_TOKEN is the token, where the gateway asks for one."""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

pattern = sys.argv[1] if len(sys.argv) > 1 else "vm.>"
url = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8321"
last_id = ""

while True:
    request = urllib.request.Request(f"{url}/v1/events?pattern={urllib.parse.quote(pattern)}")
    request.add_header("Accept", "text/event-stream")
    if "SUPERCLOUD_TOKEN" in os.environ:
        request.add_header("Authorization", "Bearer " + os.environ["SUPERCLOUD_TOKEN"])
    if last_id:
        request.add_header("Last-Event-ID", last_id)
    try:
        with urllib.request.urlopen(request, timeout=60) as stream:
            next_id = last_id
            for line in stream:
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "id":
                    next_id = value
                elif field == "data":
                    event = json.loads(value)
                    print(event["time"], event["type"], event["subject"], json.dumps(event["data"]), flush=True)
                    last_id = next_id  # only what was seen as a whole
    except urllib.error.HTTPError as refused:
        sys.exit(f"{refused.code}: {refused.read().decode()}")
    except OSError as lost:
        print(f"lost: {lost}; asks again", file=sys.stderr)
    time.sleep(1)
