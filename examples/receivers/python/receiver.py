#!/usr/bin/env python3
"""Takes renewald's webhooks: checks who sent a message, stores it once, and says so. Needs nothing but Python 3.9.

    SIGNING_SECRET=whsec_… python3 receiver.py 8080 inbox

INBOX gets a file ID.json for each message; what your shop does with it is another program's work, and may take its time.
"""
import base64, hashlib, hmac, os, re, sys, tempfile, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["SIGNING_SECRET"].removeprefix("whsec_"))
PORT, INBOX = int(sys.argv[1]), sys.argv[2]


def is_genuine(message_id, sent_at, signatures, body):
    signed = f"{message_id}.{sent_at}.".encode() + body
    ours = b"v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256))
    is_fresh = sent_at.isdigit() and abs(time.time() - int(sent_at)) < 300
    return is_fresh and any(hmac.compare_digest(ours, one.encode()) for one in signatures.split())


def store(message_id, body):
    """On disk when this returns. A message that comes again is the same file with the same content."""
    with tempfile.NamedTemporaryFile(dir=INBOX, prefix=".", delete=False) as part:
        part.write(body)
        part.flush()
        os.fsync(part.fileno())
    os.replace(part.name, os.path.join(INBOX, message_id + ".json"))


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        given = [self.headers.get("webhook-" + name, "") for name in ("id", "timestamp", "signature")]
        if not (re.fullmatch("[0-9a-f-]{36}", given[0]) and is_genuine(*given, body)):
            return self.send_error(401)
        store(given[0], body)
        self.send_response(204)
        self.end_headers()


os.makedirs(INBOX, exist_ok=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
