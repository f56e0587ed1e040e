#!/usr/bin/env bash
# obstore 0.12.1: deleting one object of an S3 bucket is not DELETE /bucket/key, but the bulk call,
# POST /bucket?delete with an XML body that names the one key.
#
# Whoever stands between reads it otherwise than it is meant: a proxy, a gateway or a server of S3's protocol
# that knows the calls for single objects only answers 405 or 501; an access log shows no object that was
# deleted; and a rule that allows DELETE on keys below a prefix, by path, never matches. S3 itself asks for
# the same right either way (s3:DeleteObject). `put`, `get` and `head` of one object are calls of one object.
#
# Seen: the request line and the body that arrive at a server on loopback for `delete(store, "a/b")`.
# Expected: DELETE /bucket/a/b. Fails if that changes.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check obstore==0.12.1

cat >"$folder/delete.py" <<'PYTHON'
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
from obstore.store import S3Store

ANSWER = b'<?xml version="1.0" encoding="UTF-8"?><DeleteResult><Deleted><Key>a/b</Key></Deleted></DeleteResult>'
seen = []


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body=b"", headers=()):
        sent = self.rfile.read(int(self.headers.get("content-length", 0)))
        seen.append((self.command, self.path, sent))
        self.send_response(200)
        for name, value in (*headers, ("content-length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        self.answer(headers=[("etag", '"1"')])

    def do_POST(self):
        self.answer(ANSWER, [("content-type", "application/xml")])

    def do_DELETE(self):
        self.answer()

    def log_message(self, *args):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
threading.Thread(target=server.serve_forever, daemon=True).start()
store = S3Store(
    "bucket",
    endpoint=f"http://127.0.0.1:{server.server_port}",
    region="us-east-1",
    access_key_id="nobody",
    secret_access_key="nothing",
    client_options={"allow_http": True},
)
obstore.put(store, "a/b", b"content")
obstore.delete(store, "a/b")
for method, path, body in seen:
    print(method, path, body[:120])
(put, put_path, _), (method, path, body) = seen
assert (put, put_path) == ("PUT", "/bucket/a/b"), "put is another call than before"
assert method == "POST" and path.startswith("/bucket?delete"), "delete is another call than before"
assert b"<Key>a/b</Key>" in body
PYTHON
"$folder/venv/bin/python" "$folder/delete.py"
