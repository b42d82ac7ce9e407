"""Shout itself, so that there is a vendor to talk to: python shout_server.py [PORT]"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Shout(BaseHTTPRequestHandler):
    """Answers POST /v1/shout with the last message in capitals, if it is asked with the word "please"."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != "Bearer please":
            self.answer(401, "application/json", {"error": "say please"})
            return
        words = asked["messages"][-1]["text"].upper().split()
        end = {"reason": "end", "tokens": {"heard": len(words), "shouted": len(words)}}
        if asked["stream"]:
            self.answer(200, "application/x-ndjson", *({"text": f"{word} "} for word in words), end)
        else:
            self.answer(200, "application/json", {"text": "".join(f"{word} " for word in words), **end})

    def answer(self, status, content_type, *lines):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        for line in lines:
            self.wfile.write(json.dumps(line).encode() + b"\n")
            self.wfile.flush()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8707
    with ThreadingHTTPServer(("127.0.0.1", port), Shout) as server:
        print(f"Shout listens on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
