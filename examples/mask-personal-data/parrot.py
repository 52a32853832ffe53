"""A provider that says again what it is told, in pieces of 4 characters: python3 parrot.py [ADDRESS:PORT]."""
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Parrot(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = asked["messages"][-1]["content"]
        print("parrot was told:", text, file=sys.stderr)
        chunks = [self.chunk({"content": text[at : at + 4]}, None) for at in range(0, len(text), 4)]
        body = "".join([*chunks, self.chunk({}, "stop"), "data: [DONE]\n\n"]).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def chunk(self, delta, finish_reason):
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {"id": "parrot", "object": "chat.completion.chunk", "created": 0, "model": "parrot", "choices": [choice]}
        return f"data: {json.dumps(chunk)}\n\n"

host, port = (sys.argv[1:] or ["127.0.0.1:10013"])[0].split(":")
ThreadingHTTPServer((host, int(port)), Parrot).serve_forever()
