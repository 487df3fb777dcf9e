#!/usr/bin/env python3
"""Places an order through renewald, and takes what it brings from the built-in queue. Needs nothing but Python 3.9.

    SHOP_TOKEN=… TOKEN=… python3 order.py http://127.0.0.1:9464 nexway order.json

Prints a line for each message it has taken. Run it again with the same order: it is placed once.
"""
import json, os, sys, time, urllib.error, urllib.request

ADDRESS, PROVIDER, FILE = sys.argv[1:4]


def post(path, token, body):
    headers = {"Authorization": "Bearer " + os.environ[token], "Content-Type": "application/json"}
    request = urllib.request.Request(ADDRESS + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)


def place(order):
    """503: not now, or it is not known yet whether the provider has it. To send the same again is safe."""
    for _ in range(60):
        try:
            return post(f"/v1/shop/{PROVIDER}/order", "SHOP_TOKEN", {"order": order, "deliver": True})
        except urllib.error.HTTPError as error:
            if error.code != 503:
                sys.exit(json.load(error)["detail"])
            time.sleep(int(error.headers.get("Retry-After", 10)))
    sys.exit("still not known: ask again later")


with open(FILE, encoding="utf-8") as file:
    placed = place(json.load(file))
waiting = set(placed["subscriptions"])
while waiting:
    for message in post("/v1/queue:claim", "TOKEN", {"max": 10, "wait_seconds": 60})["messages"]:
        data = message["event"]["data"]
        # Store it here, before you say that it has arrived.
        post("/v1/queue:ack", "TOKEN", {"ids": [message["id"]]})
        subscription = data["subscription"]["subscription_id"]
        print(message["id"], data.get("occasion"), subscription, flush=True)
        waiting.discard(subscription)
