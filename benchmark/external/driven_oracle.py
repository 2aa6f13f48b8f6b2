"""A contender that listens for requests: it remembers each lane's first observation and answers with that.

It does not train. It uses only Python's standard library; `strategic_memory_envs.contender.serve` does this for you.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sessions: dict[str, dict] = {}


def act(asked: dict) -> tuple[int, dict]:
    """Returns status and body of the answer to `POST /v1/act`."""
    session = sessions.get(asked["session_id"])
    if session is None:
        return 404, {"detail": "there is no such session"}
    if asked["seq"] == session["seq"] - 1:
        return 200, session["reply"]  # A repeated request: its reply is sent again.
    if asked["seq"] != session["seq"]:
        return 409, {"detail": f"seq {session['seq']} comes next"}
    for lane, is_first in enumerate(asked["is_first"]):
        if is_first:
            session["cues"][lane] = int(asked["observations"][lane][0])
    session["seq"] += 1
    session["reply"] = {"actions": list(session["cues"]), "seq": session["seq"]}
    return 200, session["reply"]


class Handler(BaseHTTPRequestHandler):
    """The three requests that the benchmark makes."""

    protocol_version = "HTTP/1.1"

    def read(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: dict) -> None:
        data = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_PUT(self) -> None:
        lanes = self.read()["num_envs"]
        sessions.setdefault(self.path.rsplit("/", 1)[1], {"cues": [0] * lanes, "seq": 0, "reply": {}})
        self.answer(201, {})

    def do_POST(self) -> None:
        self.answer(*act(self.read()))

    def do_DELETE(self) -> None:
        sessions.pop(self.path.rsplit("/", 1)[1], None)
        self.answer(204, {})

    def log_message(self, *_: object) -> None:
        """Logs no requests."""


if os.environ["STRATEGIC_MEMORY_PHASE"] == "train":
    sys.exit()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
